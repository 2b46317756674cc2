"""What is checked before a run begins or goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from napari_uml.errors import UMLError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_uml.config import Focus, Task, TrainConfig, UMLConfig
    from napari_uml.training.checkpoint import Checkpoint

MACHINE: Final = frozenset({"device", "precision", "processes", "num_workers"})
"""Settings that say where a run computes: they may change when it goes on."""


def check_settings(config: TrainConfig, network: UMLConfig, task: Task, focus: Focus | None) -> None:
    """Refuse settings that contradict each other.

    Raises
    ------
    ValueError
        When the processes cannot share a batch, the network is made for other classes or structures than the data sets
        have, or the focus is on something that they do not have.
    """
    if config.batch_size % config.processes:
        raise ValueError(f"Expected a batch_size divisible by {config.processes} processes, got {config.batch_size}.")
    needed = len(task.cls_classes), len(task.seg_classes)
    if (network.num_classes, network.num_structures) != needed:
        raise ValueError(
            f"Expected a network for {needed[0]} classes and {needed[1]} structures, as the data sets have, got one "
            f"for {network.num_classes} and {network.num_structures}."
        )
    unknown = sorted(set(focus.structures if focus else ()) - set(task.structures))
    if unknown:
        raise ValueError(f"Expected a focus among {', '.join(task.structures)}, got {', '.join(unknown)}.")


def check_same_run(checkpoint: Checkpoint, config: TrainConfig, network: UMLConfig, run: Path) -> None:
    """Refuse to go on with other settings than the run began with, those of `MACHINE` apart.

    Raises
    ------
    UMLError
        With the names of those that differ.
    """
    begun, now = checkpoint.train.model_dump(), config.model_dump()
    other = [name for name in now if name not in MACHINE and now[name] != begun[name]]
    other += ["network"] if checkpoint.network != network else []
    if other:
        raise UMLError(
            f"Expected the settings of the run in {run}, got other {', '.join(other)}; leave them out, or start a new "
            "run from its weights."
        )
