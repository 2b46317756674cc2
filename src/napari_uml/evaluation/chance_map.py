"""A monotone map from the uncertainty to the chance of an error that few images cannot make absurd.

The uncertainties are cut into bins with about as many images each. In every bin the share of errors is drawn towards
that of all images as if `PRIOR` more had been seen, so that it is never 0 or 1; isotonic regression over the bins makes
it rise. The interval is the wider of the bootstrap's over groups and the one that the bin's own number of images gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import beta

from napari_uml.calibration import Knot
from napari_uml.evaluation.bootstrap import resample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_uml.evaluation.bootstrap import Array

PRIOR = 2.0
"""Images that the share of errors of all images counts for in every bin; that share itself starts from one half."""
IMAGES_A_BIN = 12
MOST_BINS = 10


def fit_map(
    uncertainty: NDArray[np.float64],
    wrong: NDArray[np.bool_],
    groups: Sequence[str] | NDArray[np.str_],
    weight: NDArray[np.float64] | None = None,
    *,
    bins: int | None = None,
    guessed: float | None = None,
    resamples: int = 500,
    seed: int = 0,
) -> tuple[Knot, ...]:
    """The knots of a map.

    Parameters
    ----------
    uncertainty
        (N,) u.
    wrong
        (N,) whether the answer is wrong.
    groups
        Group of each, drawn together in the bootstrap.
    weight
        (N,) how many images each counts for; None: 1.
    bins
        How many, with the right and the wrong answers spread evenly over them, for answers that are many and rarely
        wrong; None: one for about `IMAGES_A_BIN` images, `MOST_BINS` at most.
    guessed
        Chance that a guess is wrong, which the map reaches at u = 1, from the highest u on; None: it stays level.
    resamples, seed
        Of the bootstrap; without resamples the interval is the bins' own.

    Raises
    ------
    ValueError
        When there is nothing to fit on.
    """
    if not len(uncertainty):
        raise ValueError("Expected the uncertainty of one answer or more, got none.")
    weight = np.ones(len(uncertainty)) if weight is None else weight
    names, of_group = np.unique(np.asarray(groups), return_inverse=True)
    if bins is None:
        place = _bins(uncertainty, weight, int(np.clip(weight.sum() // IMAGES_A_BIN, 1, MOST_BINS)))
    else:
        place = _bins(uncertainty, weight / weight.sum() + weight * wrong / max(float(weight @ wrong), 1e-12), bins)
    bins = int(place.max()) + 1
    seen, errors, at = (
        _by_group(of_group, place, values, (len(names), bins))
        for values in (weight, weight * wrong, weight * uncertainty)
    )
    knots_at = at.sum(axis=0) / seen.sum(axis=0)
    chance = rising_chances(seen.sum(axis=0), errors.sum(axis=0))
    drawn = [rising_chances(d @ seen, d @ errors) for block in resample(names, resamples, seed) for d in block]
    low, high = _interval(chance, np.array(drawn).reshape(-1, bins), seen.sum(axis=0))
    knots = tuple(
        Knot(uncertainty=min(1.0, float(u)), chance=float(c), low=float(a), high=float(b))
        for u, c, a, b in zip(knots_at, chance, low, high, strict=True)
    )
    return knots if guessed is None else (*knots, *_beyond(knots[-1], float(uncertainty.max()), guessed))


def _beyond(last: Knot, most: float, guessed: float) -> Iterator[Knot]:
    """Knots above the last bin: level to the highest u that was seen, then towards guessing, of which nothing is known.

    At u = 1 there is no evidence, so the answer is no better than a guess.
    """
    if last.uncertainty < most < 1:
        yield last.model_copy(update={"uncertainty": most})
    if last.uncertainty < 1:
        yield Knot(uncertainty=1.0, chance=max(last.chance, guessed), low=last.low, high=1.0)


def rising_chances(seen: Array, errors: Array) -> Array:
    """The smoothed share of errors in every bin (B,), from weighted counts; it never falls from bin to bin."""
    from sklearn.isotonic import isotonic_regression

    base = (errors.sum() + PRIOR / 2) / (seen.sum() + PRIOR)
    share = (errors + PRIOR * base) / (seen + PRIOR)
    return np.asarray(np.clip(isotonic_regression(share, sample_weight=seen + PRIOR), 0, 1))


def _bins(uncertainty: NDArray[np.float64], weight: NDArray[np.float64], wanted: int) -> NDArray[np.intp]:
    """Bin of each (N,), from 0, ascending in u, of about the same weight; equal uncertainties share a bin."""
    order = np.argsort(uncertainty, kind="stable")
    below = np.cumsum(weight[order])
    cuts = np.searchsorted(below, below[-1] * np.arange(1, wanted) / wanted)
    edges = np.unique(uncertainty[order][np.minimum(cuts, len(order) - 1)])
    _, place = np.unique(np.searchsorted(edges, uncertainty), return_inverse=True)
    return place


def _by_group(
    group: NDArray[np.intp], place: NDArray[np.intp], values: NDArray[np.float64], shape: tuple[int, int]
) -> Array:
    """Sums (G, B) of the values in every group and bin."""
    flat = np.bincount(group * shape[1] + place, weights=values, minlength=shape[0] * shape[1])
    return np.asarray(flat.reshape(shape), dtype=np.float64)


def _interval(chance: Array, drawn: Array, seen: Array) -> tuple[Array, Array]:
    """Lower and upper ends (B,), around the chance."""
    right, wrong = (seen + PRIOR) * (1 - chance), (seen + PRIOR) * chance
    low, high = (beta.ppf(share, wrong, right) for share in (0.025, 0.975))
    if len(drawn):
        low = np.minimum(low, np.quantile(drawn, 0.025, axis=0))
        high = np.maximum(high, np.quantile(drawn, 0.975, axis=0))
    return np.clip(np.minimum(low, chance), 0, 1), np.clip(np.maximum(high, chance), 0, 1)
