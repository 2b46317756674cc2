"""Checkpoints of a run, `last.ckpt` and `best.ckpt`, from which training goes on to the same numbers."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import torch

from napari_uml.config import TrainConfig, UMLConfig
from napari_uml.errors import WeightsError
from napari_uml.files import replacing
from napari_uml.training.learning import mixed
from napari_uml.training.plan import BEST, LAST

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

__all__ = ["BEST", "LAST", "Checkpoint", "load_checkpoint", "save_checkpoint"]


@dataclass(frozen=True, slots=True, eq=False)
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
    best_score, best_error, best_epoch
        The highest score of the run so far, its standard error and its epoch.
    seconds
        Training time of the run so far.
    metrics
        Validation figures of this epoch.
    anchor
        The parameters that `TrainConfig.anchor` and `class_anchor` pull towards and `start_share` mixes in (empty
        without).
    scaler
        State of the loss scaling that fp16 needs.
    share
        Of the start weights, when it was chosen at the end; None: `TrainConfig.start_share`.
    solved
        The weight of the last layer of the class, by its name, when it was solved for at the end.
    keeps_class
        Whether what the class is told by stays (`TrainConfig.class_anchor`).
    examples
        Training examples of the run; None when an earlier version wrote it.
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
    anchor: dict[str, Tensor] = field(default_factory=dict)
    scaler: dict[str, Any] = field(default_factory=dict)
    best_error: float = 0.0
    share: float | None = None
    solved: dict[str, Tensor] = field(default_factory=dict)
    keeps_class: bool = False
    examples: int | None = None

    @property
    def start_share(self) -> float:
        """Share of the start weights in those to use."""
        return self.train.start_share if self.share is None else self.share

    @property
    def shown(self) -> dict[str, Tensor]:
        """The weights to use: the average where there is one, with the share of the start and what was solved for."""
        trained = self.averaged or self.weights
        shown = mixed(trained, self.anchor, self.start_share) if self.start_share else trained
        return {**shown, **self.solved}


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint so that a reader sees either the old or the new file.

    Raises
    ------
    WeightsError
        When it cannot be written.
    """
    values = {entry.name: getattr(checkpoint, entry.name) for entry in fields(checkpoint)}
    values["network"] = checkpoint.network.model_dump_json()
    values["train"] = checkpoint.train.model_dump_json()
    try:
        with replacing(path, WeightsError) as part:
            torch.save(values, part)
    except RuntimeError as error:  # torch's for a full disk
        raise WeightsError(f"Cannot write {path}; is the disk full? ({str(error).splitlines()[0][:200]})") from error


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
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError, ValueError, OSError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise WeightsError(f"Expected a checkpoint of a training run, {path} is damaged ({reason}).") from error
