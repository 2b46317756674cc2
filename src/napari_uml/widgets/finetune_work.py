"""What the Fine-tune dock has done beside the GUI thread: plain generators, without Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from napari_uml.data.dataset import read_dataset
from napari_uml.errors import DatasetError
from napari_uml.evaluation.comparison import COMPARISON, read_comparison
from napari_uml.training.commands import run_command
from napari_uml.training.lengths import Counts
from napari_uml.training.pace import Pace
from napari_uml.training.plan import command_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from napari_uml.data.dataset import DatasetInfo
    from napari_uml.training.events import Event
    from napari_uml.training.supervise import Outcome

    Stopped = Callable[[], bool]
    Work = Callable[[Stopped], Iterator[object]]


TIMED: Final = ("batch_size", "image_size", "trainable", "class_anchor", "start_share", "device", "precision")
"""Settings that the time of a step depends on."""


class Process(Protocol):
    """What the dock needs of `TrainingProcess`."""

    def events(self) -> Iterator[Event]:
        """What it says, until it ends."""

    def outcome(self) -> Outcome:
        """How it ended."""

    def stop(self) -> None:
        """Ask it to keep the best epoch and end."""

    def kill(self) -> None:
        """End it at once."""


@dataclass(frozen=True, slots=True)
class ListRead:
    """The training list as the disk has it; `problems` keep it from being trained on."""

    info: DatasetInfo | None
    counts: Counts | None
    problems: tuple[str, ...]


def read_list(folder: Path) -> Work:
    """Work that yields a `ListRead`."""

    def work(stopped: Stopped) -> Iterator[object]:
        try:
            dataset = read_dataset(folder)
        except DatasetError as error:
            yield ListRead(None, None, error.problems)
        else:
            counts = Counts(len(dataset.annotated("train")), len(dataset.annotated("val")))
            yield ListRead(dataset.info, counts, ())

    return work


def measure(start: str, settings: Mapping[str, Any]) -> Work:
    """Work that yields the `Pace` of this machine with a model."""
    wanted = {name: settings[name] for name in TIMED if name in settings}

    def work(stopped: Stopped) -> Iterator[object]:
        said = run_command(["estimate", "--json", *command_words((), {"from": start, **wanted})], stopped)
        if said is not None:
            yield Pace.model_validate_json(said)

    return work


def judge(run: Path, name: str) -> Work:
    """Work that compares a run's model with its start, adds it under a name, and yields the `Comparison`."""

    def work(stopped: Stopped) -> Iterator[object]:
        install = ["--install", name] if name else []
        if run_command(["compare", str(run), *install], stopped) is not None:
            yield read_comparison(run / COMPARISON)

    return work
