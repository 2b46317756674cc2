"""What can go wrong in the world outside the program; a bad argument is a plain `ValueError` instead.

Nothing here derives from `RuntimeError`: generator workers of superqt swallow that one silently.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pydantic import ValidationError

EXPECTED: Final = {
    "missing": "is missing",
    "extra_forbidden": "is not known here",
    "tuple_type": "expected a list",
    "list_type": "expected a list",
    "dict_type": "expected names with values",
    "model_type": "expected names with values",
    "model_attributes_type": "expected names with values",
}
"""What pydantic's errors mean, by their types; the others speak for themselves."""
LONGEST = 60
LITTLE_MEMORY: Final = ("allocate memory", "out of memory", "not enough memory")
"""What a `RuntimeError` of torch says when it is about memory: CPU on Linux, MPS, CPU on Windows."""


class UMLError(Exception):
    """Anything that a user can do something about; its text is one sentence fit to be shown as it is."""


def is_about_memory(error: Exception) -> bool:
    """Whether an error of Python, torch or the system says that memory is short."""
    known = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return known or any(words in str(error) for words in LITTLE_MEMORY)


def validation_problems(error: ValidationError) -> list[str]:
    """What pydantic found, a line each, without a point: where, what was expected, and what it got."""
    found = []
    for problem in error.errors(include_url=False):
        where, kind, got = ".".join(map(str, problem["loc"])), problem["type"], repr(problem["input"])
        words = EXPECTED.get(kind, problem["msg"].removeprefix("Value error, ").rstrip("."))
        if kind not in ("missing", "extra_forbidden", "value_error"):
            words += f", got {got if len(got) <= LONGEST else got[: LONGEST - 1] + '…'}"
        separator = " " if kind in ("missing", "extra_forbidden") else ": "
        found.append(f"{where}{separator}{words}" if where else words)
    return found


class ImageError(UMLError):
    """A file is no image, is damaged, or holds something that cannot be analysed."""


class DatasetError(UMLError):
    """A dataset folder has problems; all of them are listed at once.

    Parameters
    ----------
    problems
        One sentence a problem.
    """

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class WeightsError(UMLError):
    """A weights file is missing, damaged, of another format, or does not fit the network."""


class DownloadError(WeightsError):
    """Weights could not be fetched."""


class DeviceError(UMLError):
    """The device asked for is not there."""


class MemoryLimitError(UMLError):
    """The device ran out of memory, even with the smallest batch."""


class DivergedError(UMLError):
    """The training loss became infinite or not a number; the last good checkpoint is kept."""
