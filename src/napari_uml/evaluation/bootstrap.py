"""Bootstrap intervals over groups: a resample is how often each image was drawn, so that one formula serves all.

A statistic takes `draws` (R, N) and returns (R,) values, NaN where it is undefined: R resamples of N images, each
image counted as often as it was drawn. A single row of ones gives the value on the images as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]

_BLOCK = 2**20  # numbers in one block of draws, 8 MB


def divide(numerator: Array, denominator: Array) -> Array:
    """Quotient of two arrays, NaN (without a warning) where the denominator is 0."""
    shape = np.broadcast_shapes(numerator.shape, denominator.shape)
    quotient = np.full(shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator != 0)
    return quotient


def drawn_mean(draws: Array, values: Array) -> Array:
    """Mean of (N,) values over the images drawn: sum_i d_i v_i / sum_i d_i, (R,)."""
    return divide(draws @ values, draws.sum(axis=1))


def resample(groups: Sequence[str] | NDArray[np.str_], resamples: int, seed: int) -> Iterator[Array]:
    """Draw groups with replacement, as many as there are; images of one group stay together.

    Parameters
    ----------
    groups
        Group of each of N images.
    resamples
        How many times.
    seed
        Of the generator; the same seed gives the same draws.

    Yields
    ------
    Blocks (r, N) of draws, together `resamples` rows; no block is larger than 8 MB.
    """
    generator = np.random.default_rng(seed)
    names, group_of_image = np.unique(np.asarray(groups), return_inverse=True)
    chance = np.full(len(names), 1 / len(names))
    rows = max(1, _BLOCK // len(groups))
    for start in range(0, resamples, rows):
        drawn = generator.multinomial(len(names), chance, size=min(rows, resamples - start))
        yield drawn[:, group_of_image].astype(np.float64)


def interval(value: float, resampled: Array, coverage: float = 0.95) -> tuple[float, float] | None:
    """Percentile interval of the resampled values, widened where needed to include the value itself.

    Some statistics are biased in a resample (ECE and the best of several thresholds are larger there), so that the
    value of the images as they are can fall just outside the percentiles.

    Parameters
    ----------
    value
        The statistic of the images as they are.
    resampled
        (R,) values; NaN, where the resample lacks a class for instance, is left out.
    coverage
        Share of the resampled values between the two ends, in (0, 1).

    Returns
    -------
    Lower and upper end; None when the statistic is defined in no resample.
    """
    defined = resampled[np.isfinite(resampled)]
    if not defined.size:
        return None
    low, high = np.quantile(defined, [(1 - coverage) / 2, (1 + coverage) / 2])
    return min(value, float(low)), max(value, float(high))


def share_interval(value: float, resampled: Array, n: int, coverage: float = 0.95) -> tuple[float, float] | None:
    """`interval` of a share of `n` groups; one of 0 or 1, which every resample has, too, gets the exact one.

    No error among n is no proof of none: Clopper and Pearson's interval then ends at 1 - ((1 - coverage) / 2)^(1/n).
    """
    ends = interval(value, resampled, coverage)
    if ends is None or ends[0] != ends[1] or value not in (0, 1):
        return ends
    far = ((1 - coverage) / 2) ** (1 / n)
    return (far, 1.0) if value == 1 else (0.0, 1 - far)
