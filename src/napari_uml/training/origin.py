"""What a run can start from: a model by name, a weights file, the folder of another run or one of its checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_uml.baselines.registry import looks_in_words
from napari_uml.training.checkpoint import BEST, load_checkpoint
from napari_uml.training.plan import PLAN, read_plan
from napari_uml.weights import find_weights, load_tensors, read_info
from napari_uml.weights.registry import load_registry, user_models

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from napari_uml.config import Focus, Task, UMLConfig


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """Trained weights and what a run that starts from them takes over.

    Attributes
    ----------
    tensors
        By name, as the network's state has them.
    task, network, image_size, focus
        What they were trained for; a run keeps the last three unless it is told otherwise.
    licence
        Terms of the data that they have seen.
    words
        Where they come from, for the model card.
    commands
        What they were trained by, the first command first.
    """

    tensors: Mapping[str, Tensor]
    task: Task
    network: UMLConfig
    image_size: int
    focus: Focus | None
    licence: str
    words: str
    commands: tuple[str, ...]


def find_origin(name_or_path: str) -> Origin:
    """Read what `--from` names; a model's name goes before a file or folder of that name.

    Raises
    ------
    ValueError
        When there is no such model, file or run, or it looks several times.
    UMLError
        When it cannot be read.
    """
    path = Path(name_or_path).expanduser()
    if name_or_path not in {*load_registry().models, *user_models()}:
        if (path / PLAN).is_file():
            return _of_run(path, path / BEST)
        if path.suffix == ".ckpt":
            return _of_run(path.parent, path)
    return _of_weights(name_or_path)


def _of_weights(name_or_path: str) -> Origin:
    path = find_weights(name_or_path)
    info = read_info(path)
    if info.config.way is not None:
        raise ValueError(
            f"Expected a network to train, {info.name} looks several times ({looks_in_words(info.config)}); start from "
            "a model that it is made of."
        )
    return Origin(
        tensors=load_tensors(path),
        task=info.task,
        network=info.config,
        image_size=info.image_size,
        focus=info.focus,
        licence=info.licence,
        words=f"the model {info.name}, version {info.version}",
        commands=info.commands,
    )


def _of_run(run: Path, path: Path) -> Origin:
    checkpoint, plan = load_checkpoint(path), read_plan(run)
    return Origin(
        tensors=checkpoint.shown,
        task=plan.task,
        network=checkpoint.network,
        image_size=checkpoint.train.image_size,
        focus=plan.focus,
        licence=plan.licence,
        words=f"epoch {checkpoint.epoch} of `{plan.command}`",
        commands=(*plan.earlier, plan.command),
    )
