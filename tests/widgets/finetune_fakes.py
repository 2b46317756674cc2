"""A training process that says what a test wants, and a comparison without a network."""

from __future__ import annotations

from dataclasses import dataclass, field
from queue import Queue
from typing import TYPE_CHECKING, Any

from napari_uml.evaluation.comparison import Comparison
from napari_uml.evaluation.record import Metric, MetricsRecord
from napari_uml.results import EpochReport
from napari_uml.training.events import EpochDone, RunEnded, RunFailed, RunStarted, StepDone
from napari_uml.training.supervise import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from napari_uml.training.events import Event


def report(run: Path, epoch: int, epochs: int = 3, stopped: str = "") -> EpochReport:
    losses = {"total": 3 / epoch, "mutual": 1 / epoch, "class": 0.5 / epoch, "mask": 1.5 / epoch}
    metrics = {"dice_present/lesion": 1 - 0.5 / epoch, "auc": 1 - 0.3 / epoch, "acc": 1 - 0.4 / epoch}
    return EpochReport(
        epoch=epoch, epochs=epochs, losses=losses, metrics=metrics, learning_rate=1e-4 / epoch, score=0.5, is_best=True,
        seconds=2.0, images_per_second=4.0, eta_seconds=40.0, memory_mb=1500.0, last=run / "last.ckpt",
        best=run / "best.ckpt", stopped=stopped,
    )  # fmt: skip


@dataclass
class FakeProcess:
    """Says what was put into `script`; None ends it, as it does when it is stopped."""

    run: Path
    arguments: Sequence[str]
    code: int = 0
    script: Queue[Event | None] = field(default_factory=Queue)
    stopped: bool = False
    said: RunEnded | RunFailed | None = None

    def events(self) -> Iterator[Event]:
        while (event := self.script.get()) is not None:
            if isinstance(event, (RunEnded, RunFailed)):
                self.said = event
            yield event

    def outcome(self) -> Outcome:
        return Outcome(self.code, self.said, "the log")

    def stop(self) -> None:
        self.stopped = True
        self.script.put(RunEnded(reason="interrupted", model=self.run / "model.safetensors"))
        self.script.put(None)

    def kill(self) -> None:
        self.code = -9
        self.script.put(None)

    def say(self, *events: Event | None) -> None:
        for event in events:
            self.script.put(event)

    def start(self, epochs: int = 3) -> None:
        self.say(RunStarted(run=self.run, name="x", pid=1, epoch=0, epochs=epochs))
        self.say(StepDone(epoch=1, epochs=epochs, step=1, steps=2, loss=3.0))

    def finish(self, epochs: int = 3) -> None:
        for epoch in range(1, epochs + 1):
            self.say(EpochDone(report=report(self.run, epoch, epochs)))
        self.say(RunEnded(reason="all epochs done", model=self.run / "model.safetensors"), None)


@dataclass
class FakeLaunch:
    """Starts `FakeProcess`es, and remembers them."""

    started: list[FakeProcess] = field(default_factory=list)

    def __call__(self, run: Path, arguments: Sequence[str]) -> FakeProcess:
        self.started.append(FakeProcess(run, arguments))
        return self.started[-1]

    @property
    def last(self) -> FakeProcess:
        return self.started[-1]


def comparison() -> Comparison:
    def record(dice: float) -> MetricsRecord:
        metrics = {
            "dice_present/lesion": Metric(value=dice, low=dice - 0.1, high=dice + 0.1, n=8),
            "auc": Metric(value=dice, n=8), "auc/benign": Metric(value=dice, n=8), "nll": Metric(value=1, n=8),
        }  # fmt: skip
        return MetricsRecord(model="m", dataset="Blobs", split="val", n=8, metrics=metrics)

    change = {"dice_present/lesion": Metric(value=0.2, low=0.1, high=0.3, n=8)}
    return Comparison(before=record(0.6), after=record(0.8), difference=change)


def judging(run: Path, name: str) -> Callable[[Callable[[], bool]], Iterator[Any]]:
    def work(stopped: Callable[[], bool]) -> Iterator[Any]:
        yield comparison()

    return work
