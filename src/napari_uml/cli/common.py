"""What the commands share: options, exit codes, progress, and how an error becomes one line."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final, cast

import typer
from pydantic import ValidationError

from napari_uml.errors import DatasetError, UMLError, validation_problems

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress

DEBUG: Final = "--debug"
NOT_AGREED: Final = 1
WRONG_INPUT: Final = 2
INTERRUPTED: Final = 130

USAGE_ERROR: Final = cast("type[typer.BadParameter]", typer.BadParameter.__base__)
"""What typer raises for unknown commands and options; it has no public name of its own."""
EXPECTED_ERRORS: Final = (UMLError, ValueError, FileNotFoundError, PermissionError, USAGE_ERROR)
"""What a user can mend (pydantic's ValidationError is a ValueError); anything else is a fault of the program."""

PART_OF: Final = {
    "lightning": "train", "monai": "train", "psutil": "train", "sklearn": "train",
    "nibabel": "medical", "pydicom": "medical", "napari": "all",
}  # fmt: skip
"""Optional libraries, and the part of the installation that brings each."""

ModelOption = Annotated[
    str, typer.Option("--model", "-m", help="Name of a model (napari-uml models list) or path of a weights file.")
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
PrecisionOption = Annotated[
    str, typer.Option(help="auto, float32, bf16 or fp16; auto: half precision where the device computes in it.")
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace files that are there already.")]


def sentences(error: BaseException) -> list[str]:
    """One line a problem, fit to be shown to a user."""
    if isinstance(error, ValidationError):
        return [_one_line(f"{problem}.") for problem in validation_problems(error)]
    if isinstance(error, DatasetError):
        return [_one_line(problem) for problem in error.problems]
    if isinstance(error, OSError) and error.filename:
        return [f"{error.filename}: {error.strerror}."]
    if isinstance(error, USAGE_ERROR):
        return [_one_line(error.format_message())]
    return [_one_line(str(error))]


def missing_part(error: ModuleNotFoundError) -> str | None:
    """What to do about an optional library that is not installed; None for any other module."""
    library = (error.name or "").partition(".")[0]
    part = PART_OF.get(library)
    return part and f'This needs {library}, which is not installed. Run pip install "napari-uml[{part}]".'


def progress_bar() -> Progress:
    """A bar with count and remaining time on stderr; silent where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


def follow(bar: Progress, name: str) -> Callable[[int, int], None]:
    """A new line of the bar, as a function of the steps done and the steps there are; it goes when all are done."""
    task = bar.add_task(name, total=None)

    def update(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total, visible=done < total)

    return update


@contextmanager
def ending_like_ctrl_c() -> Iterator[None]:
    """While the block runs, the system's request to end (SIGTERM, on Windows Ctrl-Break) is like Ctrl-C.

    Ctrl-C itself may be switched off in a process that was started in the background, so it is set, too.
    """
    names = [name for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)]
    before = {getattr(signal, name): signal.signal(getattr(signal, name), signal.default_int_handler) for name in names}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _one_line(text: str) -> str:
    return " ".join(text.split())
