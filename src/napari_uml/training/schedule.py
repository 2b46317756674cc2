"""What changes during a training run, or with its length: learning rate, weight of the KL term, size, averaging."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import optim

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

    from napari_uml.config import TrainConfig

WARM_UP = 0.15  # share of the steps in which one-cycle rises
GROWTH = 0.7  # share of the epochs in which the images grow
GROWTH_STEP = 32  # pixels
AVERAGED = 0.2  # largest share of the steps that the averaged weights reach back over
PAPER_CONSTANT_EPOCHS, PAPER_POWER, PAPER_FLOOR = 30, 0.9, 1e-5


def make_optimizer(parameters: Iterable[nn.Parameter], config: TrainConfig, *, fused: bool = False) -> optim.Optimizer:
    """AdamW (modern) or Adam with L2 (paper); `fused` is faster on the CPU."""
    kind = optim.Adam if config.recipe == "paper" else optim.AdamW
    return kind(parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=fused or None)


def make_scheduler(
    optimizer: optim.Optimizer, config: TrainConfig, steps_per_epoch: int
) -> optim.lr_scheduler.LRScheduler:
    """One-cycle (modern), or constant to epoch 30, then polynomial 0.9 with floor 1e-5 (paper); stepped every batch."""
    if config.recipe == "modern":
        total = config.epochs * steps_per_epoch
        return optim.lr_scheduler.OneCycleLR(
            optimizer, config.learning_rate, total_steps=total + 1, pct_start=WARM_UP, cycle_momentum=False
        )
    return optim.lr_scheduler.LambdaLR(optimizer, lambda step: _paper_factor(config, step // steps_per_epoch))


def kl_weight(config: TrainConfig, epoch: int) -> float:
    """Weight lambda = min(1, epoch / annealing_epochs) * kl_scale; `epoch` counts from 0."""
    return min(1.0, epoch / config.annealing_epochs) * config.kl_scale


def average_decay(config: TrainConfig, steps_per_epoch: int) -> float:
    """Decay of the averaged weights: `ema`, or less in a short run, whose average would be left near its start.

    A decay d reaches back over 1 / (1 - d) steps.
    """
    return min(config.ema, max(0.0, 1 - 1 / (AVERAGED * config.epochs * steps_per_epoch)))


def image_size(config: TrainConfig, epoch: int) -> int:
    """Side of the images in an epoch (from 0): from start_size, in steps of 32, to image_size at 70 % of the epochs."""
    if config.start_size is None:
        return config.image_size
    done = min(1.0, epoch / max(1, int(GROWTH * config.epochs)))
    grown = done * (config.image_size - config.start_size)
    return config.image_size if done == 1 else config.start_size + int(grown // GROWTH_STEP) * GROWTH_STEP


def _paper_factor(config: TrainConfig, epoch: int) -> float:
    """Learning rate of an epoch (from 0) as a share of the highest."""
    decaying = max(1, config.epochs - PAPER_CONSTANT_EPOCHS)
    left = min(1.0, max(0.0, 1 - (epoch - PAPER_CONSTANT_EPOCHS) / decaying))
    return max(float(left**PAPER_POWER), min(1.0, PAPER_FLOOR / config.learning_rate))
