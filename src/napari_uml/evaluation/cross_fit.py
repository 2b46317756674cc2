"""How far a calibration helps, judged on images that it was not fitted on.

The groups are split into folds; on each fold the calibration that was fitted on the others is judged. So the split that
a model is calibrated on can be reported on, too. The groups with a class and those with a mask are split separately, so
that every fold has something to judge and leaves something to fit on.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_uml.calibration import Estimate, chances
from napari_uml.evaluation.answer_table import RESAMPLES, estimate
from napari_uml.evaluation.bootstrap import drawn_mean
from napari_uml.evaluation.chance_map import fit_map
from napari_uml.evaluation.evidence_scale import probabilities, true_probability, uncertainties
from napari_uml.evaluation.uncertainty import calibration_error, negative_log_likelihood

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_uml.evaluation.answer_table import AnswerTable
    from napari_uml.evaluation.bootstrap import Array

FOLDS = 5
SIMULATIONS = 500


def cross_fitted(classes: AnswerTable, pixels: AnswerTable | None, seed: int) -> tuple[dict[str, Estimate], int]:
    """The figures of a calibration and the number of folds; nothing and 0 when neither part has two groups.

    Class and pixels each have figures when two groups or more have an answer about them, from as many folds as there
    are such groups, `FOLDS` at most. The number of folds is that of the class, or of the pixels if the class has none.

    Parameters
    ----------
    classes, pixels
        Answers about the class and about pixels.
    seed
        Of the split into folds, and of the bootstrap.
    """
    of_class = _folds(classes, seed)
    of_pixels = () if pixels is None else _folds(pixels, seed)
    figures = _class_figures(classes, of_class, seed) if of_class else {}
    if pixels is not None and of_pixels:
        figures |= _pixel_figures(pixels, of_pixels, seed)
    return figures, len(of_class or of_pixels)


def _folds(answers: AnswerTable, seed: int) -> tuple[frozenset[str], ...]:
    """The folds of the groups that have an answer; none with a single group."""
    folds = min(FOLDS, len(np.unique(answers.groups)))
    return split_groups(answers.groups, folds, seed) if folds > 1 else ()


def split_groups(groups: Sequence[str] | NDArray[np.str_], folds: int, seed: int) -> tuple[frozenset[str], ...]:
    """Every group in one of the folds, whose numbers of groups differ by one at most."""
    names = np.random.default_rng(seed).permutation(np.unique(np.asarray(groups)))
    return tuple(frozenset(map(str, names[fold::folds])) for fold in range(folds))


def _class_figures(answers: AnswerTable, parts: Sequence[frozenset[str]], seed: int) -> dict[str, Estimate]:
    n = len(answers.truth)
    p, chance = np.empty(answers.evidence.shape), np.empty(n)
    for judged in _judged(answers, parts):
        fitted, others = answers.part(~judged), answers.part(judged)
        scale = fitted.scale(seed, resamples=0).value
        u = uncertainties(fitted.evidence, scale)
        knots = fit_map(u, fitted.wrong, fitted.groups, guessed=1 - 1 / answers.evidence.shape[1], resamples=0)
        p[judged] = probabilities(others.evidence, scale)
        chance[judged] = chances(knots, uncertainties(others.evidence, scale))[0]
    plain, correct = probabilities(answers.evidence, 1.0), ~answers.wrong

    def ece(confidence: Array) -> Estimate:
        statistic = partial(calibration_error, confidence=confidence, correct=correct)
        return estimate(statistic, answers.groups, seed, RESAMPLES)

    def nll(probability: Array) -> Estimate:
        values = negative_log_likelihood(probability, answers.truth)
        return estimate(partial(drawn_mean, values=values), answers.groups, seed, RESAMPLES)

    return {
        "ece/before": ece(plain.max(axis=1)), "ece": ece(p.max(axis=1)), "ece_chance": ece(1 - chance),
        "ece/perfect": Estimate(value=perfect_calibration_error(p.max(axis=1), seed)),
        "nll/before": nll(plain), "nll": nll(p),
    }  # fmt: skip


def perfect_calibration_error(confidence: Array, seed: int) -> float:
    """Mean ECE of answers that are right exactly as often as they claim: what so few images give by chance alone."""
    generator, ones = np.random.default_rng(seed), np.ones((1, len(confidence)))
    draws = (generator.random(len(confidence)) < confidence for _ in range(SIMULATIONS))
    return float(np.mean([calibration_error(ones, confidence, correct) for correct in draws]))


def _pixel_figures(answers: AnswerTable, parts: Sequence[frozenset[str]], seed: int) -> dict[str, Estimate]:
    """The pixels of an image together count for one."""
    names, of_group = np.unique(answers.groups, return_inverse=True)
    nll = np.empty(len(answers.truth))
    for judged in _judged(answers, parts):
        scale = answers.part(~judged).scale(seed, resamples=0).value
        nll[judged] = -np.log(true_probability(answers.evidence[judged], scale, answers.truth[judged]))
    before = -np.log(true_probability(answers.evidence, 1.0, answers.truth))
    images = np.bincount(of_group, weights=answers.weight)

    def mean(values: Array) -> Estimate:
        total = np.bincount(of_group, weights=answers.weight * values)
        return estimate(lambda draws: (draws @ total) / (draws @ images), names, seed, RESAMPLES)

    return {"pixel_nll/before": mean(before), "pixel_nll": mean(nll)}


def _judged(answers: AnswerTable, parts: Sequence[frozenset[str]]) -> list[NDArray[np.bool_]]:
    """Which answers (N,) each fold judges."""
    return [np.isin(answers.groups, sorted(part)) for part in parts]
