"""A `napari-uml` command in a process of its own, whose answer is waited for; no torch, no Qt."""

from __future__ import annotations

import subprocess
import tempfile
from typing import IO, TYPE_CHECKING, Final

from napari_uml.errors import UMLError
from napari_uml.training.supervise import COMMAND, utf8_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LOOK: Final = 0.2
"""Seconds between two looks at whether to stop."""
PREFIX: Final = "napari-uml: "


def run_command(words: Sequence[str], stopped: Callable[[], bool], command: Sequence[str] = COMMAND) -> str | None:
    """What the command prints; None when it was stopped.

    Parameters
    ----------
    words
        What follows `napari-uml`.
    stopped
        Says whether to end the process.
    command
        What stands before the words; another one for tests.

    Raises
    ------
    UMLError
        With its last line of complaint when it does not end well.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            process = subprocess.Popen(
                [*command, *words], stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=utf8_environment()
            )
        except OSError as error:
            raise UMLError(f"{words[0]} cannot be started: {error.strerror or error}.") from error
        while True:
            try:
                code = process.wait(LOOK)
                break
            except subprocess.TimeoutExpired:
                if stopped():
                    process.kill()
                    process.wait()
                    return None
        said, complaints = (_text(stream) for stream in (out, err))
    if code:
        lines = [line for line in complaints.splitlines() if line.strip()]
        raise UMLError(lines[-1].removeprefix(PREFIX) if lines else f"{words[0]} ended with the exit code {code}.")
    return said


def _text(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode("utf-8", "replace")
