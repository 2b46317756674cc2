"""Gaussian noise where the paper adds it: on the [0, 1] image, after resizing to the network's input, then clipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_SIGMA = 1.0
LARGEST_SEED = 2**62


def check_sigma(sigma: float) -> None:
    """Refuse a standard deviation outside 0..1.

    Raises
    ------
    ValueError
        Then.
    """
    if not 0 <= sigma <= LARGEST_SIGMA:
        raise ValueError(f"Expected a noise sigma from 0 to {LARGEST_SIGMA:g} (the image spans 0 to 1), got {sigma:g}.")


def check_seed(seed: int) -> None:
    """Refuse a seed that the generator does not take.

    Raises
    ------
    ValueError
        When it is below 0 or above `LARGEST_SEED`.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise ValueError(f"Expected a seed from 0 to {LARGEST_SEED}, got {seed}.")


def add_noise(image: Tensor, sigma: float, seed: int, grey: bool) -> Tensor:
    """A noisy copy of one network input.

    Parameters
    ----------
    image
        (3, S, S) float32 in [0, 1], on the CPU.
    sigma
        Standard deviation of the noise; 0 returns the image itself.
    seed
        The same seed gives the same noise on every device.
    grey
        Whether the three channels are copies of one grey image, which then get the same noise.
    """
    if sigma == 0:
        return image
    shape = (1 if grey else 3, *image.shape[1:])
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return (image + sigma * noise).clamp(0, 1)
