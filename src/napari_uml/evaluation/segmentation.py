"""How well a mask agrees with the true one, pixel by pixel: confusion matrix, Dice, intersection over union."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def confusion_matrix(
    true_mask: NDArray[np.integer], mask: NDArray[np.integer], num_structures: int
) -> NDArray[np.int64]:
    """Pixels of true structure i that were called j, as (Q, Q) counts; every Dice can be computed from it.

    Parameters
    ----------
    true_mask, mask
        Class numbers 0..Q-1, arrays of the same shape.
    num_structures
        Q, background included.

    Raises
    ------
    ValueError
        When the shapes differ or a number is not below Q.
    """
    if true_mask.shape != mask.shape:
        raise ValueError(f"Expected masks of the same shape, got {true_mask.shape} (true) and {mask.shape}.")
    for array in (true_mask, mask):
        if array.size and not 0 <= array.min() <= array.max() < num_structures:
            raise ValueError(f"Expected class numbers 0 to {num_structures - 1}, got {array.min()} to {array.max()}.")
    pairs = true_mask.ravel().astype(np.int64) * num_structures + mask.ravel()
    return np.bincount(pairs, minlength=num_structures**2).reshape(num_structures, num_structures)


def true_pixels(confusion: NDArray[np.int64], members: tuple[int, ...]) -> NDArray[np.int64]:
    """Pixels (...) that a structure truly has, from (..., Q, Q) confusion matrices."""
    return np.asarray(confusion[..., list(members), :].sum(axis=(-2, -1)))


def dice(confusion: NDArray[np.int64], members: tuple[int, ...]) -> NDArray[np.float64]:
    """Dice of a structure or union: 2 |A and B| / (|A| + |B|); 1 where both are empty.

    Parameters
    ----------
    confusion
        (..., Q, Q) counts, rows the truth.
    members
        Class numbers that make up the structure.

    Returns
    -------
    (...) values in [0, 1].
    """
    index = list(members)
    both = confusion[..., index, :][..., index].sum(axis=(-2, -1))
    total = true_pixels(confusion, members) + confusion[..., index].sum(axis=(-2, -1))
    return np.where(total > 0, 2 * both / np.maximum(total, 1), 1.0)


def iou(dice_: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union |A and B| / |A or B| from the Dice of the same regions: D / (2 - D)."""
    return np.asarray(dice_ / (2 - dice_))
