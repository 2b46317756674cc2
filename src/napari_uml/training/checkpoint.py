"""Checkpoints of a run, `last.ckpt` and `best.ckpt`, from which training goes on to the same numbers."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from napari_uml.config import TrainConfig, UMLConfig
from napari_uml.errors import WeightsError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

LAST, BEST = "last.ckpt", "best.ckpt"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """State of a run after an epoch.

    Attributes
    ----------
    network, train
        Settings of the run.
    epoch
        Epochs done.
    weights, averaged
        State of the network and of its moving average (empty without one).
    optimizer, scheduler
        Their states.
    best_score, best_epoch
        Of the run so far.
    seconds
        Wall time of the run so far.
    metrics
        Validation figures of this epoch.
    """

    network: UMLConfig
    train: TrainConfig
    epoch: int
    weights: dict[str, Tensor]
    averaged: dict[str, Tensor]
    optimizer: dict[str, Any]
    scheduler: dict[str, Any]
    best_score: float | None
    best_epoch: int
    seconds: float
    metrics: dict[str, float]

    @property
    def shown(self) -> dict[str, Tensor]:
        """The weights to use: the average where there is one."""
        return self.averaged or self.weights


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint so that a reader sees either the old or the new file."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    values = {name: getattr(checkpoint, name) for name in Checkpoint.__slots__}
    values["network"] = checkpoint.network.model_dump_json()
    values["train"] = checkpoint.train.model_dump_json()
    torch.save(values, temporary)
    temporary.replace(path)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; nothing in it is executed.

    Raises
    ------
    WeightsError
        When there is none, or it is damaged.
    """
    if not path.is_file():
        raise WeightsError(f"Expected a checkpoint {path}, there is none; start the run without --resume.")
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
        values["network"] = UMLConfig.model_validate_json(values["network"])
        values["train"] = TrainConfig.model_validate_json(values["train"])
        return Checkpoint(**values)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"Expected a checkpoint of a training run, {path} is damaged ({error}).") from error
