"""How well the border of a structure agrees with the true one: ASSD, HD95, normalised surface Dice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import binary_erosion
from scipy.spatial import KDTree

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOLERANCE = 0.01
"""Share of the image's shorter side that two borders may lie apart and still agree."""


@dataclass(frozen=True, slots=True)
class SurfaceScores:
    """Borders of one structure, compared.

    Attributes
    ----------
    assd
        Average symmetric surface distance in pixels: the mean, over the border pixels of both regions, of the distance
        to the nearest border pixel of the other. None where either region is empty.
    hd95
        Hausdorff distance in pixels at the 95th percentile: the larger of those of the distances from the one border
        to the other and back. None where either region is empty.
    surface_dice
        Normalised surface Dice: share of the border pixels of both that are not further than the tolerance from the
        other border; 0 where either region is empty.
    """

    assd: float | None
    hd95: float | None
    surface_dice: float


def surface_scores(
    truth: NDArray[np.bool_], predicted: NDArray[np.bool_], tolerance: float | None = None
) -> SurfaceScores | None:
    """Compare the borders of two regions; None where both are empty.

    A border pixel has a neighbour (of four) outside the region or outside the image.

    Parameters
    ----------
    truth, predicted
        Regions, both (H, W).
    tolerance
        In pixels; None: the share `TOLERANCE` of the shorter side.
    """
    if not (truth.any() or predicted.any()):
        return None
    if not (truth.any() and predicted.any()):
        return SurfaceScores(None, None, 0.0)
    borders = [np.argwhere(region & ~binary_erosion(region)) for region in (truth, predicted)]
    there, _ = KDTree(borders[0]).query(borders[1])
    back, _ = KDTree(borders[1]).query(borders[0])
    both = np.concatenate((there, back))
    return SurfaceScores(
        assd=float(both.mean()),
        hd95=float(max(np.quantile(there, 0.95), np.quantile(back, 0.95))),
        surface_dice=float((both <= (TOLERANCE * min(truth.shape) if tolerance is None else tolerance)).mean()),
    )
