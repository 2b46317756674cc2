"""Fit what a model's uncertainty means, on the images of one split and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_uml.calibration import Calibration, chances
from napari_uml.evaluation.answer_table import RESAMPLES, class_answers, pixel_answers
from napari_uml.evaluation.chance_map import fit_map
from napari_uml.evaluation.conformal import COVERAGE, class_set_threshold, fit_contours, outline_limits
from napari_uml.evaluation.cross_fit import cross_fitted
from napari_uml.evaluation.evidence_scale import probabilities, true_probability, uncertainties

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_uml.calibration import Contours, Knot
    from napari_uml.config import Task
    from napari_uml.evaluation.answer_table import AnswerTable
    from napari_uml.evaluation.answers import Answer, PixelAnswers
    from napari_uml.evaluation.bootstrap import Array

PIXEL_BINS = 10


def calibrate(
    answers: Sequence[Answer],
    task: Task,
    *,
    dataset: str,
    split: str,
    target_risk: float = 0.05,
    seed: int = 0,
) -> Calibration:
    """What the answers for a split say of a model's uncertainty.

    Parameters
    ----------
    answers
        From `read_answers`, of a model loaded with `calibrated=False`.
    task
        Of the model.
    dataset, split
        What to call the images.
    target_risk
        Share of wrong classes that is to remain among the images that nobody is asked to look at.
    seed
        Of folds and bootstrap.

    Raises
    ------
    ValueError
        When no image has a class, or the target is no share.
    """
    if not 0 < target_risk < 1:
        raise ValueError(f"Expected a target risk between 0 and 1, got {target_risk:g}.")
    labelled, annotated = class_answers(answers), pixel_answers(answers)
    if labelled is None:
        raise ValueError(f"Expected images with a class in {dataset}, {split}, got none; calibrate on a labelled set.")
    scale = labelled.scale(seed)
    u = uncertainties(labelled.evidence, scale.value)
    guessed = 1 - 1 / len(task.cls_classes)
    knots = fit_map(u, labelled.wrong, labelled.groups, guessed=guessed, resamples=RESAMPLES, seed=seed)
    chance = chances(knots, u)[0]
    threshold = referral_threshold(chance, labelled.wrong, target_risk)
    kept = chance <= threshold
    p = true_probability(labelled.evidence, scale.value, labelled.truth)
    figures, folds = cross_fitted(labelled, annotated, seed)
    return Calibration(
        dataset=dataset,
        split=split,
        n=len(u),
        knots=knots,
        referral_threshold=threshold,
        class_scale=scale,
        target_risk=target_risk,
        kept_risk=labelled.mean(labelled.wrong, kept, seed) if kept.any() else None,
        kept_share=labelled.mean(kept, np.ones_like(kept), seed),
        figures=figures,
        folds=folds,
        class_set_threshold=class_set_threshold(p),
        set_coverage=COVERAGE,
        **({} if annotated is None else _of_pixels(annotated, answers, task, seed)),
    )


def _of_pixels(pixels: AnswerTable, answers: Sequence[Answer], task: Task, seed: int) -> dict[str, Any]:
    """The fields of a `Calibration` that speak of pixels."""
    scale = pixels.scale(seed)
    outlines = [answer.outline for answer in answers if answer.outline is not None]
    return {
        "pixel_scale": scale,
        "structures": pixel_maps(pixels, scale.value, task, seed),
        "contours": contours(outlines, scale.value, task),
    }


def pixel_maps(pixels: AnswerTable, scale: float, task: Task, seed: int) -> dict[str, tuple[Knot, ...]]:
    """By structure that was found anywhere: the map from u to the chance that a pixel called so is something else.

    The pixels of a structure count alike, and together as many as there are images with it.
    """
    maps = {}
    for number, name in enumerate(task.seg_classes):
        found = pixels.part(pixels.called == number)
        if len(found.truth):
            weight = np.full(len(found.truth), len(np.unique(found.image)) / len(found.truth))
            u = uncertainties(found.evidence, scale)
            maps[name] = fit_map(
                u, found.wrong, found.groups, weight, bins=PIXEL_BINS, guessed=1 - 1 / len(task.seg_classes),
                resamples=RESAMPLES, seed=seed,
            )  # fmt: skip
    return maps


def contours(images: Sequence[PixelAnswers], scale: float, task: Task) -> dict[str, Contours]:
    """Nested outlines of every structure and union with enough images."""
    probability, fitted = [probabilities(image.evidence, scale) for image in images], {}
    for name in task.structures:
        members = list(task.members(name))
        each = (
            outline_limits(p[:, members].sum(axis=1), np.isin(image.truth, members))
            for p, image in zip(probability, images, strict=True)
        )
        found = fit_contours([limits for limits in each if limits is not None])
        if found is not None:
            fitted[name] = found
    return fitted


def referral_threshold(chance: Array, wrong: NDArray[np.bool_], target_risk: float) -> float:
    """The greatest chance of an error up to which the images together keep to the target.

    Their share of errors is drawn towards that of all images as if one more had been seen; 0, which refers every image,
    when even the most certain ones do not keep to it.
    """
    base = (wrong.sum() + 1) / (len(wrong) + 2)
    for threshold in np.unique(chance)[::-1]:
        kept = chance <= threshold
        if (wrong[kept].sum() + base) / (kept.sum() + 1) <= target_risk:
            return float(threshold)
    return 0.0
