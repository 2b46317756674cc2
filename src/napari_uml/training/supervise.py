"""A training run in a process of its own: how it is started, heard and stopped, and how it ended; no torch, no Qt."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from napari_uml.errors import UMLError
from napari_uml.training.events import RunEnded, RunFailed, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from napari_uml.training.events import Event

LOG: Final = "train.log"
GRACE: Final = 60.0
"""Seconds that a process has to save its model after it was asked to stop."""
NICENESS: Final = 10
"""Of the process; 0 is that of other programs, 19 the most patient."""
LINES: Final = 30
"""Lines of the log that an error report shows."""
COMMAND: Final = (sys.executable, "-m", "napari_uml")
STOP_VARIABLE: Final = "NAPARI_UML_STOP"
"""Environment variable that names the file whose appearance asks the process to stop."""
BY_FILE: Final = os.name == "nt"
"""Whether a file asks it, not a signal: on Windows one reaches it only through a console, else it ends it at once."""
KILLED: Final = frozenset({-9, 137})
"""Exit codes of a process that was killed, as the system does when the memory is used up."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a process ended.

    Attributes
    ----------
    code
        Its exit code; negative: the number of the signal that ended it.
    said
        Its last word, the `end` or `error` event; None when it was killed.
    log
        The last lines that it wrote beside the events.
    was_late
        Whether it was asked to end and did not within the time for it.
    """

    code: int
    said: RunEnded | RunFailed | None
    log: str
    was_late: bool = False

    @property
    def memory_was_short(self) -> bool:
        """Whether it says, or looks like, that the memory was too small."""
        if isinstance(self.said, RunFailed):
            return self.said.kind == "MemoryLimitError"
        return self.said is None and self.code in KILLED and not self.was_late

    @property
    def message(self) -> str:
        """What went wrong, one sentence; empty when nothing did."""
        if isinstance(self.said, RunFailed):
            return self.said.message
        if self.said is not None:
            return ""
        if self.was_late:
            return f"The training process did not end within {GRACE:.0f} s and was ended."
        if self.code in KILLED:
            return "The training process was killed, most likely because the memory was used up."
        reason = next((line for line in reversed(self.log.splitlines()) if line.strip()), "").strip()
        return f"The training process ended without a word (exit code {self.code})" + (f": {reason}" if reason else ".")


class TrainingProcess:
    """`napari-uml train` in a process of its own; a thread reads `events`, any thread may stop it.

    Parameters
    ----------
    run
        Folder of the run; it holds the log, too.
    arguments
        What follows `napari-uml train`, without output folder and events.
    command
        What stands before `train`; another one for tests.

    Raises
    ------
    UMLError
        When it cannot be started.
    """

    def __init__(self, run: Path, arguments: Sequence[str], command: Sequence[str] = COMMAND) -> None:
        self.run = run
        self._said: RunEnded | RunFailed | None = None
        self._killer: threading.Timer | None = None
        self._was_late = False
        self._stop_file = run / f".stop-{secrets.token_hex(4)}"
        environment = utf8_environment() | ({STOP_VARIABLE: str(self._stop_file.absolute())} if BY_FILE else {})
        words = [*command, "train", *arguments, "--output", str(run), "--events", "-"]
        try:
            run.mkdir(parents=True, exist_ok=True)
            with (run / LOG).open("ab") as log:
                self._process = subprocess.Popen(
                    words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, env=environment,
                    encoding="utf-8", errors="backslashreplace", **_apart(),
                )  # fmt: skip
        except OSError as error:
            raise UMLError(f"Training cannot be started: {error.strerror or error}.") from error
        _give_way(self._process)

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def events(self) -> Iterator[Event]:
        """What it says, as it says it, until it ends; a line that is no event (a library's) is left to the log."""
        if self._process.stdout is None:
            return
        with self._process.stdout as lines:
            for line in lines:
                try:
                    event = parse(line)
                except ValueError:
                    self._note(line)
                    continue
                if isinstance(event, (RunEnded, RunFailed)):
                    self._said = event
                yield event

    def outcome(self) -> Outcome:
        """How it ended; waits for the end."""
        code = self._process.wait()
        if self._killer is not None:
            self._killer.cancel()
        with suppress(OSError):  # another program holds it, and nobody will ask for it again
            self._stop_file.unlink(missing_ok=True)
        return Outcome(code, self._said, log_tail(self.run), self._was_late)

    def stop(self, grace: float = GRACE) -> None:
        """Ask it, once, to save the best epoch as a model and end; after `grace` seconds it is killed."""
        if not self.is_running or self._killer is not None:  # a second signal would end the saving
            return
        self._killer = threading.Timer(grace, self._end)
        self._killer.daemon = True
        self._killer.start()
        with suppress(OSError):  # it has just ended, or the folder is gone
            if BY_FILE:
                self._stop_file.touch()
            else:
                self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End it at once; the checkpoints of the last epoch are whole."""
        if self.is_running:
            self._process.kill()

    def _end(self) -> None:
        self._was_late = self.is_running
        self.kill()

    def _note(self, line: str) -> None:
        with (self.run / LOG).open("a", encoding="utf-8") as log:
            log.write(line)


def utf8_environment() -> dict[str, str]:
    """The environment of this process, for one of Python that is to write UTF-8 whatever the system's encoding is."""
    return {**os.environ, "PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8"}


def log_tail(run: Path) -> str:
    """The last lines of a run's log; empty when there is none."""
    try:
        return "\n".join((run / LOG).read_text(encoding="utf-8", errors="replace").splitlines()[-LINES:])
    except FileNotFoundError:
        return ""


def _apart() -> dict[str, Any]:
    """Options that keep a Ctrl-C in the terminal of this process from the other one, which is asked by `stop`.

    On Windows they also let it give way to other programs, as `_give_way` does elsewhere.
    """
    if hasattr(signal, "CTRL_BREAK_EVENT"):
        return {"creationflags": 0x200 | 0x4000}  # subprocess.CREATE_NEW_PROCESS_GROUP, BELOW_NORMAL_PRIORITY_CLASS
    return {"process_group": 0}  # not a new session, which Linux would give a fair share whatever its priority


def _give_way(process: subprocess.Popen[str]) -> None:
    """Let other programs go first, so that a window stays fluid while every core is trained on."""
    if hasattr(os, "setpriority"):
        patience = max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0))  # less than its own no process may give
        with suppress(ProcessLookupError):  # it has ended already
            os.setpriority(os.PRIO_PROCESS, process.pid, patience)
