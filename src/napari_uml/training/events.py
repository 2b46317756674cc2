"""What a run says while it trains, one JSON object a line; what follows it (a dock, a script) reads them with `parse`.

A run writes `start`, then `step` (a few a second at most) and `epoch` in turn, and at last either `end` or `error`; a
process that was killed writes neither. A resumed run goes on in the same file, with a `start` of its own. Version 1:

    {"event": "start", "version": 1, "run", "name", "pid", "epoch", "epochs"}      epoch: done before
    {"event": "step", "epoch", "epochs", "step", "steps", "loss"}                  epoch: the one being trained
    {"event": "epoch", "report": {...}}                                            the fields of `EpochReport`
    {"event": "end", "reason", "model"}                                            model: the weights file, or null
    {"event": "error", "kind", "message"}                                          kind: name of the exception
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self, TextIO

from pydantic import Field, TypeAdapter

from napari_uml.config import Settings
from napari_uml.errors import UMLError
from napari_uml.results import EpochReport

if TYPE_CHECKING:
    from types import TracebackType

STEP_INTERVAL: Final = 0.2
"""Seconds between two `step` events of an epoch; its last step is always written."""


class RunStarted(Settings):
    """Training begins, or goes on after `epoch` epochs; images are read next."""

    event: Literal["start"] = "start"
    version: Literal[1] = 1
    run: Path
    name: str
    pid: int
    epoch: int
    epochs: int


class StepDone(Settings):
    """A batch of the running epoch is done."""

    event: Literal["step"] = "step"
    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float


class EpochDone(Settings):
    """An epoch is done, its checkpoints are on disk."""

    event: Literal["epoch"] = "epoch"
    report: EpochReport


class RunEnded(Settings):
    """Training is over: all epochs done, no better score for some time, or interrupted."""

    event: Literal["end"] = "end"
    reason: str
    model: Path | None


class RunFailed(Settings):
    """Training failed; the message is fit to be shown."""

    event: Literal["error"] = "error"
    kind: str
    message: str


Event = RunStarted | StepDone | EpochDone | RunEnded | RunFailed
_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


def parse(line: str) -> Event:
    """The event in a line.

    Raises
    ------
    ValueError
        When the line is no event of version 1.
    """
    return _EVENT.validate_json(line)


class EventWriter:
    """Writes events as they happen; as a context it reports the error that ends it.

    Parameters
    ----------
    stream
        Where to; None: nowhere.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._last_step = -STEP_INTERVAL

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):
            self.write(RunFailed(kind=type(error).__name__, message=str(error)))

    def write(self, event: Event) -> None:
        """Write an event at once.

        Raises
        ------
        UMLError
            When nobody reads the pipe any more.
        """
        if self._stream is None:
            return
        try:
            self._stream.write(event.model_dump_json() + "\n")
            self._stream.flush()
        except BrokenPipeError as error:
            self._stream = None
            raise UMLError("Expected somebody to read the events, the pipe is closed; go on with --resume.") from error

    def step(self, event: StepDone) -> None:
        """Write a step unless the last one was written a moment ago."""
        now = time.monotonic()
        if event.step == event.steps or now - self._last_step >= STEP_INTERVAL:
            self._last_step = now
            self.write(event)
