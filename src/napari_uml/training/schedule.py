"""What changes during a training run: learning rate, weight of the KL term, size of the images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import optim

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

    from napari_uml.config import TrainConfig

WARM_UP = 0.15  # share of the steps in which one-cycle rises
GROWTH = 0.7  # share of the epochs in which the images grow
PAPER_CONSTANT_EPOCHS, PAPER_POWER, PAPER_FLOOR = 30, 0.9, 1e-5


def make_optimizer(parameters: Iterable[nn.Parameter], config: TrainConfig) -> optim.Optimizer:
    """AdamW (modern) or Adam with L2 (paper)."""
    if config.recipe == "paper":
        return optim.Adam(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
    return optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)


def make_scheduler(
    optimizer: optim.Optimizer, config: TrainConfig, steps_per_epoch: int
) -> optim.lr_scheduler.LRScheduler:
    """One-cycle (modern), or constant to epoch 30, then polynomial 0.9 with floor 1e-5 (paper); stepped every batch."""
    total = config.epochs * steps_per_epoch
    if config.recipe == "modern":
        return optim.lr_scheduler.OneCycleLR(
            optimizer, config.learning_rate, total_steps=total + 1, pct_start=WARM_UP, cycle_momentum=False
        )

    def paper(step: int) -> float:
        epoch = step // steps_per_epoch
        if epoch < PAPER_CONSTANT_EPOCHS:
            return 1.0
        left = 1 - (epoch - PAPER_CONSTANT_EPOCHS) / max(1, config.epochs - PAPER_CONSTANT_EPOCHS)
        return float(max(left, 0.0) ** PAPER_POWER) if config.learning_rate * left**PAPER_POWER > PAPER_FLOOR else (
            PAPER_FLOOR / config.learning_rate
        )

    return optim.lr_scheduler.LambdaLR(optimizer, paper)


def kl_weight(config: TrainConfig, epoch: int) -> float:
    """Lambda = min(1, epoch / annealing_epochs) * kl_scale; `epoch` counts from 0."""
    return min(1.0, epoch / config.annealing_epochs) * config.kl_scale


def image_size(config: TrainConfig, epoch: int) -> int:
    """Side of the images in an epoch (from 0): from start_size, in steps of 32, to image_size at 70 % of the epochs."""
    if config.start_size is None:
        return config.image_size
    done = min(1.0, epoch / max(1.0, GROWTH * config.epochs))
    size = config.start_size + done * (config.image_size - config.start_size)
    return min(config.image_size, config.start_size + int((size - config.start_size) // 32) * 32)
