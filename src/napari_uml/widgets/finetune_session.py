"""What the Fine-tune dock knows: the choices, the run and what it brought; no Qt, no napari, no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from psygnal import SignalGroupDescriptor
from pydantic import ValidationError

from napari_uml.config import TrainConfig
from napari_uml.data.kept import what_is_kept
from napari_uml.data.tasks import merge_tasks
from napari_uml.errors import DatasetError, validation_problems
from napari_uml.training.job import TrainingJob
from napari_uml.training.lengths import Counts, Length, settings_for
from napari_uml.training.plan import title_of
from napari_uml.weights.info import NAME_PATTERN

if TYPE_CHECKING:
    from pathlib import Path

    from napari_uml.config import Task, Trainable
    from napari_uml.data.dataset import DatasetInfo
    from napari_uml.evaluation.comparison import Comparison
    from napari_uml.results import EpochReport
    from napari_uml.training.pace import Pace
    from napari_uml.training.run_state import FoundRun
    from napari_uml.weights import ModelEntry, WeightsInfo
    from napari_uml.widgets.session import Message

SCRATCH = ""
"""Name of the start that is no model."""


class Stage(StrEnum):
    """What is going on."""

    IDLE = "idle"
    TRAINING = "training"
    STOPPING = "stopping"
    JUDGING = "judging"


@dataclass(frozen=True, slots=True)
class Step:
    """Where a run is: the epoch being trained, from 1, and the batch of it; 0 of 0 before the first."""

    epoch: int = 0
    epochs: int = 0
    step: int = 0
    steps: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that ended badly.

    Attributes
    ----------
    run, plan
        What it was; the plan is None when the run did not get as far as writing it.
    memory
        Whether the memory was too small.
    """

    run: Path
    plan: Any
    memory: bool


@dataclass
class FinetuneSession:
    """The state that all panels of the dock share; every field has a signal in `events`, emitted when it changes.

    Only the GUI thread assigns to it.

    Attributes
    ----------
    folder, info, counts, problems
        The training list: its dataset folder, names, images of a split, and what keeps it from being trained on.
    models, start, start_info
        The models there are, the name of the one to start from (empty: random weights), and what it says of itself.
    name
        Of the new model.
    part, length
        What learns, and for how long.
    changes
        Fields of `TrainConfig` that the user set; the others follow from part, length and number of images.
    mix_in, mix_info
        Another dataset folder to train on as well, against forgetting, and its names.
    pace
        How fast this machine trains such a model; None: not measured.
    stage, step, reports
        What is going on, where the run is, and its epochs so far.
    run
        Folder of the run that is shown.
    failure
        How it ended badly; None when it did not.
    comparison, installed
        What it brought, and the name under which the model was added; empty when it was not.
    found
        Runs that nobody ended and that can go on.
    message
        The last thing to tell the user; None when all is well.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    folder: Path | None = None
    info: DatasetInfo | None = None
    counts: Counts | None = None
    problems: tuple[str, ...] = ()
    models: tuple[ModelEntry, ...] = ()
    start: str = SCRATCH
    start_info: WeightsInfo | None = None
    name: str = ""
    part: Trainable = "all"
    length: Length = "quick"
    changes: dict[str, Any] = field(default_factory=dict)
    mix_in: Path | None = None
    mix_info: DatasetInfo | None = None
    pace: Pace | None = None
    stage: Stage = Stage.IDLE
    step: Step = Step()
    reports: tuple[EpochReport, ...] = ()
    run: Path | None = None
    failure: Failure | None = None
    comparison: Comparison | None = None
    installed: str = ""
    found: tuple[FoundRun, ...] = ()
    message: Message | None = None

    @property
    def views(self) -> int:
        """For how many images one of the list counts: 2 when the start model looks twice at photographs."""
        return 2 if self.start_info is not None and self.start_info.focus is not None else 1

    def settings(self) -> dict[str, Any]:
        """The fields of `TrainConfig` of a run that is started now; those that are left out have their defaults."""
        images = self.counts.train * self.views if self.counts else 1
        values = dict(settings_for(self.length, self.part, max(1, images)))
        if self.start_info is not None:
            values["image_size"] = self.start_info.image_size
        if self.start == SCRATCH:
            values["start_share"] = 0.0
        if not self._knows_classes:
            values["class_anchor"] = 0.0
        return {**values, **self.changes}

    @property
    def _knows_classes(self) -> bool:
        """Whether no class of the list, or of what is mixed in, is new to the start model."""
        if self.start == SCRATCH:
            return False
        if self.start_info is None:
            return True
        known, infos = self.start_info.task, (self.info, self.mix_info)
        return not any(info and None in what_is_kept(known, info).classes.values() for info in infos)

    def task(self) -> Task | None:
        """What the new model will find and tell apart, with the names of the data that are mixed in; None: no list.

        Raises
        ------
        DatasetError
            When list and mixed-in data mean different things by one name.
        """
        if self.info is None or self.mix_info is None:
            return self.info
        return merge_tasks((self.info, self.mix_info))

    def job(self, run: Path) -> TrainingJob:
        """The run to start."""
        folders = () if self.folder is None else (self.folder,)
        mix_in = () if self.mix_in is None else (self.mix_in,)
        options = {"from": self.start, "mix_in": mix_in, "name": self.name, "title": title_of(self.name)}
        given = {name: value for name, value in self.settings().items() if value is not None}
        return TrainingJob(run, folders, {k: v for k, v in options.items() if v}, given)


def free_name(start: str, taken: set[str]) -> str:
    """A name for the model that comes of a start, which no other model has."""
    return numbered(f"{start or 'model'}-tuned", taken)


def numbered(name: str, taken: set[str]) -> str:
    """The name, with a number when another model has it."""
    names = (name[:60], *(f"{name[:56]}-{number}" for number in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)


def not_ready(session: FinetuneSession) -> str:
    """Why training cannot start, one sentence; empty when it can."""
    if session.stage is not Stage.IDLE:
        return "A run is in progress."
    if not _can_train():
        return 'Training needs more libraries: pip install "napari-uml[train]".'
    return _list_problem(session) or _choice_problem(session)


@cache
def _can_train() -> bool:
    """Whether the libraries of the extra `train` are installed."""
    return find_spec("lightning") is not None


def _list_problem(session: FinetuneSession) -> str:
    if session.folder is None:
        return "Make or open a training list first."
    if session.problems:
        more = len(session.problems) - 1
        return session.problems[0] + (f" (and {more} more)" if more else "")
    if session.counts is None:
        return "The training list is being read."
    if session.counts.train == 0:
        return "Expected images with a mask or a class that train, the list has none."
    if session.counts.validate == 0:
        return "Expected images with a mask or a class that validate, the list has none; press Suggest split."
    return ""


def _choice_problem(session: FinetuneSession) -> str:
    taken = {entry.name for entry in session.models}
    if not re.fullmatch(NAME_PATTERN, session.name):
        return "Give the new model a name of small letters, digits, - and _."
    if session.name in taken:
        return f"There is another model called {session.name!r}; choose another name."
    if not session.start and session.part != "all":
        return "Random weights have nothing to keep: choose a model to start from, or train everything."
    entry = next((entry for entry in session.models if entry.name == session.start), None)
    if entry is not None and (entry.path is None or entry.problem):
        return entry.problem or "The start model is not downloaded; download it in the Analyse dock."
    try:
        session.task()
        TrainConfig.model_validate(session.settings())
    except DatasetError as error:
        return str(error)
    except ValidationError as error:
        return f"{validation_problems(error)[0]}."
    return ""


def kept_in_words(old: Task | None, new: Task | None) -> str:
    """What keeps trained weights and what starts untrained; empty without a list."""
    if new is None:
        return ""
    if old is None:
        return "Starts from random weights: nothing is known yet; expect to need hundreds of images."
    return what_is_kept(old, new).words
