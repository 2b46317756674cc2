"""`train.json`: what a training run was told, so that the run's folder alone is enough to go on; no torch."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field, ValidationError

from napari_uml import __version__
from napari_uml.config import Focus, Settings, Task, TrainConfig, UMLConfig
from napari_uml.errors import UMLError
from napari_uml.files import make_folder, write_text
from napari_uml.shell import shell_line
from napari_uml.weights.info import NAME_PATTERN, in_short

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_uml.data.dataset import Dataset

PLAN: Final = "train.json"
MODEL: Final = "model.safetensors"
CARD: Final = "model.md"
CURVES, PICTURE = "curves.csv", "curves.png"
LAST, BEST = "last.ckpt", "best.ckpt"
PREVIEW: Final = "preview.png"
AUGMENTATION: Final = 3
"""Version of what training images go through (`napari_uml.data.augment`); runs of different ones compare badly."""


class RunPlan(Settings):
    """What a run trains, on what, and how.

    Attributes
    ----------
    command
        What was typed.
    datasets
        Dataset folders, absolute.
    mix_in
        Those that are trained on as well, against forgetting, and not validated on.
    images
        What `count_images` gave when the run began; empty when an earlier version began it.
    task
        Structures and classes of all of them together.
    network, settings
        What is trained, and how.
    preset, start, class_encoder, learn_norm
        The options `--preset`, `--from`, `--class-encoder` and `--learn-norm` as typed; empty or off when they were
        not.
    started_from
        What the weights start from, in words.
    earlier
        The commands that made these, the first one first, as far as they are on record.
    focus
        How whole photographs are looked at twice.
    vertical_flip
        Whether training images are turned upside down, too.
    name, title
        Of the model that the run ends in.
    licence
        Terms of the data, and of those that the start weights have seen; a line a data set.
    augmentation
        Version of what the training images go through; 1 in plans from before it was recorded.
    written_by
        The program.
    """

    command: str
    datasets: Annotated[tuple[Path, ...], Field(min_length=1)]
    mix_in: tuple[Path, ...] = ()
    images: dict[str, dict[str, int]] = Field(default_factory=dict)
    task: Task
    network: UMLConfig
    settings: TrainConfig
    preset: str = ""
    start: str = ""
    class_encoder: str = ""
    learn_norm: bool = False
    started_from: str = "random weights"
    earlier: tuple[str, ...] = ()
    focus: Focus | None = None
    vertical_flip: bool = False
    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    title: Annotated[str, Field(min_length=1, max_length=100)]
    licence: str = ""
    augmentation: int = 1
    written_by: str = f"napari-uml {__version__}"


def title_of(name: str) -> str:
    """A name for people of a model's name."""
    return re.sub("[-_]+", " ", name).capitalize()


def write_plan(run: Path, plan: RunPlan) -> None:
    """Write `train.json`, whole or not at all; the run's folder is made when it is missing.

    Raises
    ------
    UMLError
        When it cannot be written.
    """
    make_folder(run)
    write_text(run / PLAN, plan.model_dump_json(indent=2) + "\n")


def read_plan(run: Path) -> RunPlan:
    """Read the `train.json` of a run.

    Raises
    ------
    UMLError
        When the folder holds none, or it is damaged.
    """
    path = run / PLAN
    try:
        return RunPlan.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UMLError(f"Expected the folder of a training run, {run} has no {PLAN} that can be read.") from error
    except ValidationError as error:
        raise UMLError(f"Expected the settings of a training run, {path} is damaged ({in_short(error)}).") from error


def count_images(own: Sequence[Dataset], mixed: Sequence[Dataset]) -> dict[str, dict[str, int]]:
    """Annotated images of a split by data set; folders of one name are counted together.

    Parameters
    ----------
    own, mixed
        What is trained and validated on, and what is only trained on as well.
    """
    numbers: dict[str, Counter[str]] = {}
    for dataset in own:
        counts = numbers.setdefault(dataset.info.name, Counter())
        counts.update(train=len(dataset.annotated("train")), val=len(dataset.annotated("val")))
    for dataset in mixed:
        counts = numbers.setdefault(f"{dataset.info.name}, mixed in", Counter(val=0))
        counts.update(train=len(dataset.annotated("train")))
    return {name: dict(counts) for name, counts in numbers.items()}


def first_start(plan: RunPlan) -> str:
    """What the weights started from before all runs that go on from one another; empty: from random weights.

    A run that starts from a checkpoint of another continues it; one that starts from a run's folder or its weights
    file starts from a model of its own.
    """
    path = Path(plan.start).expanduser()
    if path.suffix == ".ckpt" and (path.parent / PLAN).is_file():
        return first_start(read_plan(path.parent))
    return str(path / MODEL) if (path / PLAN).is_file() and (path / MODEL).is_file() else plan.start


def command_line(datasets: Sequence[Path], options: Mapping[str, object]) -> str:
    """The `napari-uml train` command with these data sets and options, ready to be pasted into a shell."""
    return shell_line(["napari-uml", "train", *command_words(datasets, options)])


def command_words(datasets: Sequence[Path], options: Mapping[str, object]) -> list[str]:
    """What follows `napari-uml train` in that command, word by word."""
    words = list(map(str, datasets))
    for name, value in options.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            for item in value if isinstance(value, (list, tuple)) else [value]:
                words += [f"--{flag}", str(item)]
    return words
