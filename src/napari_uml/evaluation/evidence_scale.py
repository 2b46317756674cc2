"""The evidence scale tau: one number that makes p = (tau e + 1) / (tau sum(e) + K) as likely as possible.

The loss of every group is laid out over a grid of tau once, so that tau of the whole, of a fold and of every bootstrap
resample are sums and a search.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_uml.evaluation.bootstrap import Array

PRIOR_WIDTH = 1.0
"""Standard deviation of ln tau before any image is seen: so few images never drive the evidence to 0 or infinity."""
GRID = np.linspace(-5, 5, 101)
"""Of ln tau; between its points tau is found on a parabola."""


def loss_table(evidence: Array, truth: NDArray[np.intp], weight: Array, of_group: NDArray[np.intp]) -> Array:
    """Sum over the answers of a group of w (-ln p[truth]), at every tau of the grid.

    Parameters
    ----------
    evidence
        (N, K) evidence e >= 0.
    truth
        (N,) number of the true class, 0..K-1.
    weight
        (N,) how many images each counts for.
    of_group
        (N,) number of the group, 0..G-1.

    Returns
    -------
    (G, T) losses.
    """
    groups = int(of_group.max()) + 1
    true, total = evidence[np.arange(len(truth)), truth], evidence.sum(axis=1)
    columns = []
    for scale in np.exp(GRID):
        nll = np.log((scale * total + evidence.shape[1]) / (scale * true + 1))
        columns.append(np.bincount(of_group, weights=weight * nll, minlength=groups))
    return np.stack(columns, axis=1)


def best_scales(draws: Array, table: Array) -> Array:
    """Tau (R,) at the least of sum_g d_g loss_g + (ln tau)^2 / (2 PRIOR_WIDTH^2).

    Parameters
    ----------
    draws
        (R, G) how often each group counts.
    table
        (G, T) from `loss_table`.
    """
    loss = draws @ table + GRID**2 / (2 * PRIOR_WIDTH**2)
    at = np.clip(loss.argmin(axis=1), 1, len(GRID) - 2)
    rows = np.arange(len(loss))
    before, here, after = (loss[rows, at + step] for step in (-1, 0, 1))
    shift = np.clip((before - after) / np.maximum(2 * (before - 2 * here + after), 1e-12), -1, 1)
    return np.asarray(np.exp(GRID[at] + shift * (GRID[1] - GRID[0])))


def probabilities(evidence: Array, scale: float) -> Array:
    """P = alpha / T, (N, K), when the evidence (N, K) is scaled."""
    alpha = scale * evidence + 1
    return np.asarray(alpha / alpha.sum(axis=1, keepdims=True))


def true_probability(evidence: Array, scale: float, truth: NDArray[np.intp]) -> Array:
    """P of the true class, (N,), when the evidence (N, K) is scaled."""
    true = evidence[np.arange(len(truth)), truth]
    return np.asarray((scale * true + 1) / (scale * evidence.sum(axis=1) + evidence.shape[1]))


def uncertainties(evidence: Array, scale: float) -> Array:
    """U = K / T, (N,), when the evidence (N, K) is scaled."""
    classes = evidence.shape[1]
    return np.asarray(classes / (scale * evidence.sum(axis=1) + classes))
