"""Sets with a stated coverage (split conformal prediction): of classes, and nested outlines of a structure.

They hold for new images that are drawn as those of the calibration were, on average over such calibrations, and say
nothing of other images.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_uml.calibration import Contours

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_uml.evaluation.bootstrap import Array

COVERAGE = 0.9
SPARED = 0.05
"""Share of a structure's size that may lie on the wrong side of an outline, so that stray pixels do not decide."""


def class_set_threshold(true_probability: Array) -> float:
    """The p from which a class belongs to the set that holds that of a new image with the chance `COVERAGE`.

    It is 0, and the set every class, with too few images for the coverage.

    Parameters
    ----------
    true_probability
        (N,) p of the true class of images that the model was not trained on.
    """
    return lower_quantile(true_probability, COVERAGE)


def outline_limits(probability: Array, inside: NDArray[np.bool_], spared: float = SPARED) -> tuple[float, float] | None:
    """The least inner and the greatest outer threshold that hold for one image (see `Contours`).

    None where the structure is not there, or has so few of the pixels that one of them is more than may be spared.

    Parameters
    ----------
    probability
        (P,) p of the structure at the image's pixels, or at some drawn evenly from them.
    inside
        (P,) whether the pixel truly belongs to it.
    spared
        Share of the structure's size.
    """
    allowed = int(spared * inside.sum())
    if not inside.any() or (spared and not allowed):
        return None
    outside = np.sort(probability[~inside])[::-1]
    inner = float(np.nextafter(outside[allowed], 2)) if len(outside) > allowed else 0.0
    return min(inner, 1.0), float(np.sort(probability[inside])[allowed])


def fit_contours(limits: Sequence[tuple[float, float]]) -> Contours | None:
    """Thresholds for `COVERAGE` from the limits of single images; None with too few images for the coverage."""
    inner, outer = (np.array(side) for side in zip(*limits, strict=True)) if limits else (np.empty(0), np.empty(0))
    if _rank(len(inner), COVERAGE) < 1:
        return None
    highest = -lower_quantile(-inner, COVERAGE)
    lowest = lower_quantile(outer, COVERAGE)
    return Contours(
        inner=max(highest, lowest), outer=min(highest, lowest), spared=SPARED, coverage=COVERAGE, n=len(inner)
    )


def lower_quantile(values: Array, coverage: float) -> float:
    """The value that a new one reaches with this chance at least: the k-th smallest, k = floor((n + 1)(1 - coverage)).

    0 when k is 0.
    """
    rank = _rank(len(values), coverage)
    return float(np.sort(values)[rank - 1]) if rank else 0.0


def _rank(n: int, coverage: float) -> int:
    return math.floor((n + 1) * (1 - coverage) + 1e-9)
