"""How far probabilities and uncertainties can be believed, over resamples (`draws`, see bootstrap.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_uml.evaluation.bootstrap import Array, divide
from napari_uml.evaluation.classification import Flags, Labels, auroc_of_counts, counts_by_score

if TYPE_CHECKING:
    from numpy.typing import NDArray

U_BINS = 512
"""Bins of a histogram of the pixels' u; equally wide in log u, 1.8 % each."""

U_SMALLEST = 1e-4
"""Everything below is counted in the first bin."""


def calibration_error(draws: Array, confidence: Array, correct: Flags, bins: int = 15) -> Array:
    """Expected calibration error (ECE): sum over bins of (n_b / n) |accuracy_b - mean confidence_b|.

    Parameters
    ----------
    draws
        (R, N) how often each image counts.
    confidence
        (N,) probability of the class that was chosen, in [0, 1].
    correct
        (N,) whether that class is right.
    bins
        Equally wide, closed on the left.
    """
    index = np.minimum((confidence * bins).astype(np.intp), bins - 1)
    gap = np.eye(bins)[index] * (correct - confidence)[:, None]  # (N, bins)
    return divide(np.abs(draws @ gap).sum(axis=1), draws.sum(axis=1))


def adaptive_calibration_error(draws: Array, confidence: Array, correct: Flags, bins: int = 15) -> Array:
    """ECE in bins that hold as many images each, equal confidences together; arguments as in `calibration_error`."""
    ordered = np.sort(confidence)
    edges = np.unique(ordered[np.arange(1, bins) * len(ordered) // bins])
    index = np.searchsorted(edges, confidence, side="right")
    gap = np.eye(len(edges) + 1)[index] * (correct - confidence)[:, None]
    return divide(np.abs(draws @ gap).sum(axis=1), draws.sum(axis=1))


def negative_log_likelihood(probability: Array, label: Labels) -> Array:
    """-ln p of the true class, (N,), from (N, K) probabilities; p is held at 1e-12 or above."""
    return -np.log(np.maximum(probability[np.arange(len(label)), label], 1e-12))


def brier(probability: Array, label: Labels) -> Array:
    """Brier score sum_k (p_k - y_k)^2 of each image, (N,) in [0, 2], from (N, K) probabilities."""
    truth = np.eye(probability.shape[1])[label]
    return np.asarray(((probability - truth) ** 2).sum(axis=1))


def risk_coverage_area(draws: Array, uncertainty: Array, wrong: Flags) -> Array:
    """Area under the risk-coverage curve (AURC): the mean error rate when the most uncertain images are refused.

    For every image, the error rate among the images that are at most as uncertain, averaged over the images; 0 is
    best, and an uncertainty that says nothing gives the error rate of all.

    Parameters
    ----------
    draws
        (R, N) how often each image counts.
    uncertainty
        (N,) what the images are ranked by.
    wrong
        (N,) whether the class is wrong.
    """
    right, mistaken = counts_by_score(draws, uncertainty, wrong)
    kept = right + mistaken
    risk = np.nan_to_num(divide(np.cumsum(mistaken, axis=1), np.cumsum(kept, axis=1)))
    return divide((kept * risk).sum(axis=1), kept.sum(axis=1))


def risk_at_coverage(draws: Array, uncertainty: Array, wrong: Flags, coverage: float = 0.8) -> Array:
    """Error rate among the least uncertain images, just so many that they are the share `coverage` of all or more.

    Images that are as uncertain as the last one kept are kept, too; other arguments as in `risk_coverage_area`.
    """
    right, mistaken = (np.cumsum(counts, axis=1) for counts in counts_by_score(draws, uncertainty, wrong))
    kept = right + mistaken
    last = (kept >= coverage * kept[:, -1:] - 1e-9).argmax(axis=1)
    rows = np.arange(len(draws))
    return divide(mistaken[rows, last], kept[rows, last])


def kept_at_coverage(uncertainty: NDArray[np.floating], coverage: float = 0.8) -> Flags:
    """Which images `risk_at_coverage` keeps of all, (N,)."""
    last = int(np.ceil(coverage * len(uncertainty) - 1e-9)) - 1
    kept: Flags = uncertainty <= np.sort(uncertainty)[max(0, last)]
    return kept


def uncertainty_histogram(uncertainty: NDArray[np.floating], wrong: Flags) -> NDArray[np.int64]:
    """Count the pixels by u, or another doubt, and by whether their structure is right.

    Parameters
    ----------
    uncertainty
        u of every pixel, in [0, 1], any shape.
    wrong
        Same shape: whether the pixel's structure is wrong.

    Returns
    -------
    (2, U_BINS) counts: right pixels, wrong pixels; ascending u.
    """
    position = 1 - np.log(np.clip(uncertainty, U_SMALLEST, 1)) / np.log(U_SMALLEST)  # 0..1
    index = np.minimum((position * U_BINS).astype(np.intp), U_BINS - 1)
    return np.bincount((index + U_BINS * wrong).ravel(), minlength=2 * U_BINS).reshape(2, U_BINS)


def pixel_auroc(draws: Array, histograms: Array) -> Array:
    """AUROC of what was counted, u or another doubt, for finding the wrong pixels, over the pixels of all images drawn.

    Parameters
    ----------
    draws
        (R, N) how often each image counts.
    histograms
        (N, 2, U_BINS) from `uncertainty_histogram`.
    """
    return auroc_of_counts(draws @ histograms[:, 0], draws @ histograms[:, 1])


def error_overlap(draws: Array, histograms: Array) -> Array:
    """Uncertainty-error overlap (UEO): Dice of "u is at least t" with "wrong", for the best t.

    Pixels of all images drawn are counted together and t is the same for all; NaN where no pixel is wrong. Arguments
    as in `pixel_auroc`.
    """
    right, wrong = (np.cumsum((draws @ histograms[:, i])[:, ::-1], axis=1) for i in (0, 1))
    errors = wrong[:, -1]
    best = divide(2 * wrong, right + wrong + errors[:, None])
    return np.where(errors > 0, best.max(axis=1), np.nan)
