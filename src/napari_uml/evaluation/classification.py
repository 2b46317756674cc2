"""How well the images' classes were found, over resamples (`draws`, see bootstrap.py).

Every function takes draws (R, N), how often each of N images counts, and returns (R,) values, NaN where the value is
undefined because a class is missing. They are scikit-learn's metrics with `sample_weight`, for all resamples at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_uml.evaluation.bootstrap import Array, divide, drawn_mean

Labels = NDArray[np.intp]
Flags = NDArray[np.bool_]


def accuracy(draws: Array, label: Labels, predicted: Labels) -> Array:
    """Share of the images whose class is right, in [0, 1]."""
    return drawn_mean(draws, (label == predicted).astype(np.float64))


def balanced_accuracy(draws: Array, label: Labels, predicted: Labels) -> Array:
    """Mean of the sensitivities of the classes that occur, in [0, 1]; chance is 1 / their number."""
    confusion = _confusion(draws, label, predicted)
    present = confusion.sum(axis=2) > 0
    recall = np.where(present, np.nan_to_num(divide(_diagonal(confusion), confusion.sum(axis=2))), 0)
    return divide(recall.sum(axis=1), present.sum(axis=1).astype(np.float64))


def f1_weighted(draws: Array, label: Labels, predicted: Labels) -> Array:
    """F1 = 2 TP / (2 TP + FP + FN) of each class, averaged with the number of its images as weight, in [0, 1]."""
    confusion = _confusion(draws, label, predicted)
    true, called = confusion.sum(axis=2), confusion.sum(axis=1)
    f1 = np.nan_to_num(divide(2 * _diagonal(confusion), true + called))
    return divide((f1 * true).sum(axis=1), true.sum(axis=1))


def auroc(draws: Array, score: Array, positive: Flags) -> Array:
    """Chance that a positive image scores higher than a negative one, ties counted half (area under the ROC).

    Parameters
    ----------
    draws
        (R, N) how often each image counts.
    score
        (N,) higher means more likely positive.
    positive
        (N,) truth.
    """
    return auroc_of_counts(*counts_by_score(draws, score, positive))


def macro_auroc(draws: Array, label: Labels, probability: Array) -> Array:
    """Mean over the classes that occur of the AUROC of p_k for class k against the rest.

    Parameters
    ----------
    draws, label
        (R, N) and (N,).
    probability
        (N, K) expected probabilities p = alpha / T.
    """
    each = [auroc(draws, probability[:, k], label == k) for k in np.unique(label)]
    return np.asarray(np.mean(each, axis=0))


def sensitivity_at_specificity(draws: Array, score: Array, positive: Flags, specificity: float = 0.85) -> Array:
    """Largest sensitivity of any threshold, "score >= t", whose specificity is at least the one asked for."""
    negatives, positives = counts_by_score(draws, score, positive)
    rejected = np.cumsum(negatives, axis=1) - negatives  # negatives below the threshold
    found = np.cumsum(positives[:, ::-1], axis=1)[:, ::-1]  # positives at or above it
    enough = rejected >= specificity * negatives.sum(axis=1, keepdims=True) - 1e-9
    best = np.where(enough, found, 0).max(axis=1)
    return np.where(negatives.sum(axis=1) > 0, divide(best, positives.sum(axis=1)), np.nan)


def auroc_of_counts(negatives: Array, positives: Array) -> Array:
    """AUROC from how many negatives and positives have each score.

    AUROC = sum_t P_t (N_<t + N_t / 2) / (P N)

    Parameters
    ----------
    negatives, positives
        (R, T) counts at T ascending scores.
    """
    beaten = np.cumsum(negatives, axis=1) - negatives / 2
    pairs = negatives.sum(axis=1) * positives.sum(axis=1)
    return divide((positives * beaten).sum(axis=1), pairs)


def counts_by_score(draws: Array, score: Array, positive: Flags) -> tuple[Array, Array]:
    """Draws of negatives and of positives at each distinct score, ascending: two (R, T) arrays."""
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=-np.inf))
    ordered, truth = draws[:, order], positive[order]
    return np.add.reduceat(ordered * ~truth, starts, axis=1), np.add.reduceat(ordered * truth, starts, axis=1)


def _confusion(draws: Array, label: Labels, predicted: Labels) -> Array:
    """Draws of each pair of true and predicted class, (R, K, K), rows the truth."""
    classes = int(max(label.max(), predicted.max())) + 1
    pairs = np.eye(classes**2)[label * classes + predicted]
    return np.reshape(draws @ pairs, (-1, classes, classes))


def _diagonal(confusion: Array) -> Array:
    return np.diagonal(confusion, axis1=1, axis2=2)
