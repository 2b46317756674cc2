"""Where a network is least sure: the most uncertain places of an image or a stack, ranked and apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import uniform_filter

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEPS = 4
"""A window is looked at every quarter of its side."""
APART = 2
"""The same spot of a stack is named again only when it is more than so many slices away."""


@dataclass(frozen=True, slots=True)
class Place:
    """A square window of an image.

    Attributes
    ----------
    slice_number
        0 for a single image.
    row, column
        Of its centre, in pixels; fractions between pixels.
    side
        In pixels.
    uncertainty
        Mean u inside.
    """

    slice_number: int
    row: float
    column: float
    side: int
    uncertainty: float


def uncertain_places(uncertainty: NDArray[np.floating], count: int = 10, side: int | None = None) -> tuple[Place, ...]:
    """The windows with the highest mean uncertainty, the highest first; no two in a slice overlap.

    Parameters
    ----------
    uncertainty
        (H, W) or (D, H, W): u of every pixel, in (0, 1].
    count
        At most so many places.
    side
        Of a window in pixels; by default a twelfth of the image's shorter side.

    Returns
    -------
    Places whose windows lie inside the image. Windows begin at multiples of a quarter of their side, so that a whole
    stack takes milliseconds.

    Raises
    ------
    ValueError
        When the array has other axes, or the window does not fit into it.
    """
    if uncertainty.ndim not in (2, 3):
        raise ValueError(f"Expected an uncertainty (H, W) or (D, H, W), got {uncertainty.shape}.")
    shorter = min(uncertainty.shape[-2:])
    side = max(1, shorter // 12) if side is None else side
    if not 1 <= side <= shorter:
        raise ValueError(f"Expected a window of 1 to {shorter} pixels, got {side}.")
    cell = max(1, side // STEPS)
    cells = side // cell
    means = _window_means(_cell_means(uncertainty.reshape(-1, *uncertainty.shape[-2:]), cell), cells)
    places: list[Place] = []
    while len(places) < count and np.isfinite(best := means.max()):
        number, top, left = (int(i) for i in np.unravel_index(means.argmax(), means.shape))
        middle = cells * cell / 2 - 0.5
        places.append(Place(number, top * cell + middle, left * cell + middle, cells * cell, float(best)))
        means[
            max(0, number - APART) : number + APART + 1,
            max(0, top - cells + 1) : top + cells,
            max(0, left - cells + 1) : left + cells,
        ] = -np.inf
    return tuple(places)


def _cell_means(stack: NDArray[np.floating], cell: int) -> NDArray[np.float64]:
    """Means of `cell` x `cell` pixels; a rest at the lower and right border is left out."""
    depth, height, width = stack.shape
    rows, columns = height // cell, width // cell
    inside = stack[:, : rows * cell, : columns * cell].reshape(depth, rows, cell, columns * cell)
    lines = inside.sum(axis=2, dtype=np.float32)  # row by row first, which is many times faster than both axes at once
    return np.asarray(lines.reshape(depth, rows, columns, cell).sum(axis=3, dtype=np.float64) / cell**2)


def _window_means(means: NDArray[np.float64], cells: int) -> NDArray[np.float64]:
    """Means of every window of `cells` x `cells` cells that fits, by its first cell."""
    origin = -(cells // 2)
    smooth = uniform_filter(means, size=(1, cells, cells), origin=(0, origin, origin))
    return np.asarray(smooth[:, : means.shape[1] - cells + 1, : means.shape[2] - cells + 1])
