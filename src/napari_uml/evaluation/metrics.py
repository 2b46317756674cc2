"""The figures of the metrics record, from the scores of the images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_uml.evaluation import classification, segmentation, uncertainty
from napari_uml.evaluation.bootstrap import Array, Statistic, drawn_mean, interval, resample, share_interval
from napari_uml.evaluation.record import Metric
from napari_uml.evaluation.scores import cup_disc_ratio
from napari_uml.inference.measure import class_numbers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_uml.config import Task
    from napari_uml.evaluation.scores import ImageScores, MaskScores


def metrics_record(
    scores: Sequence[ImageScores], task: Task, *, resamples: int = 1000, seed: int = 0
) -> dict[str, Metric]:
    """Every figure of a metrics record by its flat name; one that is undefined on these images is absent.

    Images without a mask or a label take part in what they can, and n says how many did. Images are ranked by their u
    for `aurc` and `risk_at_80` (the least uncertain are kept) and `auroc_misclassified`, pixels by theirs for
    `auroc_pixel_error`, `ueo` and `auroc_experts` (do experts disagree where u is high?), and by their
    doubt 1 - p for `auroc_pixel_error_p`; the pixels of all images are counted together there. `ece` is that of the
    class chosen, in 15 bins; `ece_adaptive` has as many images in each bin. `nsd` is the normalised surface Dice at a
    tolerance of 1 % of the image's shorter side.

    Parameters
    ----------
    scores
        One per image, made with `task`.
    task
        Names of the structures and classes.
    resamples
        Bootstrap resamples of the groups; 0: no intervals.
    seed
        Of the bootstrap.

    Raises
    ------
    ValueError
        When there are no scores.
    """
    if not scores:
        raise ValueError("Expected the scores of one image or more, got none.")
    return _record(_figures(scores, task), np.array([s.group for s in scores]), resamples, seed)


def metrics_difference(
    before: Sequence[ImageScores],
    after: Sequence[ImageScores],
    tasks: tuple[Task, Task],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Metric]:
    """How much every figure changed between two models on the same images; the groups are drawn for both together.

    Figures are matched by name. Those of a class or structure that only one of the two knows are absent, and so are
    those of a union, and of the cup/disc ratio, that the two make up of different structures. A mean over images, such
    as that of the surface distances, changes by its change on the images where both have a value, so that it need not
    be the difference of the two means.

    Parameters
    ----------
    before, after
        Scores of the same images in the same order.
    tasks
        What `before` and what `after` was made with.
    resamples, seed
        As for `metrics_record`.

    Raises
    ------
    ValueError
        When the images are of different groups, or there are none.
    """
    groups = np.array([s.group for s in before])
    if not before or list(groups) != [s.group for s in after]:
        raise ValueError("Expected the scores of the same images twice, got different ones.")
    old = {f.name: f for f in _figures(before, _shared(*tasks))}
    new = {f.name: f for f in _figures(after, _shared(*tasks[::-1]))}
    changes = [change for name in old if name in new if (change := _change(old[name], new[name])) is not None]
    if _ratio_parts(tasks[0]) != _ratio_parts(tasks[1]):
        changes = [change for change in changes if change.name != "vcdr_mae"]
    return _record(changes, groups, resamples, seed)


def _change(old: _Figure, new: _Figure) -> _Figure | None:
    """The change of a figure on the images where both have it; None where it is not a mean, and they differ in these.

    The statistics of classes and pixels are over labelled or annotated images, the same for both models.
    """
    if old.values is not None and new.values is not None:
        return _mean(old.name, new.values - old.values)
    if (old.used != new.used).any():
        return None
    return _Figure(old.name, old.used, lambda draws: new.statistic(draws) - old.statistic(draws))


def _record(figures: Iterable[_Figure], groups: NDArray[np.str_], resamples: int, seed: int) -> dict[str, Metric]:
    """The figures that are defined on the images as they are, with their intervals; all on the same draws."""
    figures = [f for f in figures if f.used.any()]
    values = {f.name: float(f.on(np.ones((1, len(groups))))[0]) for f in figures}
    figures = [f for f in figures if np.isfinite(values[f.name])]
    blocks: dict[str, list[Array]] = {f.name: [np.empty(0)] for f in figures}
    for draws in resample(groups, resamples, seed):
        for f in figures:
            blocks[f.name].append(f.on(draws))
    return {f.name: _metric(f, values[f.name], np.concatenate(blocks[f.name]), groups[f.used]) for f in figures}


def _shared(task: Task, other: Task) -> Task:
    """The task without the unions that the other one does not make up of the same structures."""
    unions = {name: parts for name, parts in task.unions.items() if {*parts} == {*other.unions.get(name, ())}}
    return task.model_copy(update={"unions": unions})


def _ratio_parts(task: Task) -> list[set[str]]:
    """Names of the structures that make up cup and disc of the declared ratio; empty: there is none."""
    declared = cup_disc_ratio(task)
    sides = () if declared is None else (declared.of, declared.to)
    return [{task.seg_classes[number] for number in class_numbers(task, side)} for side in sides]


@dataclass(frozen=True, slots=True, eq=False)
class _Figure:
    """A named statistic of images.

    Attributes
    ----------
    name, used, statistic
        Its name, which (N,) of the images take part in it, and what it is of draws of these.
    values
        (N,) of a mean.
    share_of
        Of a share: which of those that take part it is a share of.
    """

    name: str
    used: NDArray[np.bool_]
    statistic: Statistic
    values: Array | None = None
    share_of: NDArray[np.bool_] | None = None

    def on(self, draws: Array) -> Array:
        return self.statistic(draws[:, self.used])


def _metric(figure: _Figure, value: float, resampled: Array, groups: NDArray[np.str_]) -> Metric:
    ends = None
    if len(np.unique(groups)) > 1 and figure.share_of is None:
        ends = interval(value, resampled)
    elif len(np.unique(groups)) > 1:
        ends = share_interval(value, resampled, len(np.unique(groups[figure.share_of])))
    low, high = ends or (None, None)
    return Metric(value=value, low=low, high=high, n=len(groups))


def _mean(name: str, values: Array) -> _Figure:
    """Mean over the images whose value is not NaN."""
    used = np.isfinite(values)
    return _Figure(name, used, partial(drawn_mean, values=values[used]), values)


def _figures(scores: Sequence[ImageScores], task: Task) -> Iterator[_Figure]:
    masks = [s.mask for s in scores if s.mask is not None]
    annotated = np.array([s.mask is not None for s in scores])
    labelled = np.array([s.label is not None for s in scores])
    if masks:
        yield from _structure_figures(masks, annotated, task)
    if labelled.any():
        yield from _class_figures([s for s in scores if s.label is not None], labelled, task)
    if masks:
        histograms = np.stack([m.histograms for m in masks]).astype(np.float64)
        yield _Figure("auroc_pixel_error", annotated, partial(uncertainty.pixel_auroc, histograms=histograms))
        yield _Figure("ueo", annotated, partial(uncertainty.error_overlap, histograms=histograms))
        yield from _counted_figures("auroc_pixel_error_p", [s.mask.by_doubt if s.mask else None for s in scores])
        yield from _counted_figures("auroc_experts", [s.mask.disagreement if s.mask else None for s in scores])
    yield _mean("u_image", np.array([s.class_uncertainty for s in scores]))
    yield _mean("u_pixel", np.array([s.pixel_uncertainty for s in scores]))


def _structure_figures(masks: Sequence[MaskScores], annotated: NDArray[np.bool_], task: Task) -> Iterator[_Figure]:
    def over_all(values: Array) -> Array:
        spread = np.full(len(annotated), np.nan)
        spread[annotated] = values
        return spread

    confusion = np.stack([m.confusion for m in masks])
    for structure in task.structures:
        members = task.members(structure)
        dice = segmentation.dice(confusion, members)
        present = segmentation.true_pixels(confusion, members) > 0
        yield _mean(f"dice/{structure}", over_all(dice))
        yield _mean(f"dice_present/{structure}", over_all(np.where(present, dice, np.nan)))
        yield _mean(f"iou/{structure}", over_all(segmentation.iou(dice)))
        for name in ("assd", "hd95", "surface_dice"):
            values = [getattr(m.surfaces.get(structure), name, None) for m in masks]
            spread = over_all(np.array([np.nan if value is None else value for value in values]))
            yield _mean(f"{'nsd' if name == 'surface_dice' else name}/{structure}", spread)
    errors = [np.nan if m.ratio_error is None else m.ratio_error for m in masks]
    yield _mean("vcdr_mae", over_all(np.array(errors)))


def _counted_figures(name: str, counted: Sequence[NDArray[np.int64] | None]) -> Iterator[_Figure]:
    """An AUROC of pixels on the images that have its histogram."""
    used = np.array([histogram is not None for histogram in counted])
    if used.any():
        histograms = np.stack([histogram for histogram in counted if histogram is not None]).astype(np.float64)
        yield _Figure(name, used, partial(uncertainty.pixel_auroc, histograms=histograms))


def _class_figures(scores: Sequence[ImageScores], labelled: NDArray[np.bool_], task: Task) -> Iterator[_Figure]:
    figure = partial(_Figure, used=labelled)
    label = np.array([s.label for s in scores], dtype=np.intp)
    p = np.stack([s.class_probability for s in scores])
    u = np.array([s.class_uncertainty for s in scores])
    predicted = p.argmax(axis=1)
    wrong = predicted != label
    chosen = {"label": label, "predicted": predicted}
    everyone = np.ones(len(label), dtype=bool)
    yield figure("acc", statistic=partial(classification.accuracy, **chosen), share_of=everyone)
    yield figure("balanced_acc", statistic=partial(classification.balanced_accuracy, **chosen))
    yield figure("f1_weighted", statistic=partial(classification.f1_weighted, **chosen))
    yield figure("auc", statistic=partial(classification.macro_auroc, label=label, probability=p))
    for k, name in enumerate(task.cls_classes):
        against_rest = {"score": p[:, k], "positive": label == k}
        yield figure(f"auc/{name}", statistic=partial(classification.auroc, **against_rest))
        at_85 = partial(classification.sensitivity_at_specificity, **against_rest, specificity=0.85)
        yield figure(f"sens_at_85_spec/{name}", statistic=at_85, share_of=label == k)
    ece = partial(uncertainty.calibration_error, confidence=p.max(axis=1), correct=~wrong)
    yield figure("ece", statistic=ece)
    adaptive = partial(uncertainty.adaptive_calibration_error, confidence=p.max(axis=1), correct=~wrong)
    yield figure("ece_adaptive", statistic=adaptive)
    nll, brier = uncertainty.negative_log_likelihood(p, label), uncertainty.brier(p, label)
    yield figure("nll", statistic=partial(drawn_mean, values=nll))
    yield figure("brier", statistic=partial(drawn_mean, values=brier))
    yield figure("aurc", statistic=partial(uncertainty.risk_coverage_area, uncertainty=u, wrong=wrong))
    at_80 = partial(uncertainty.risk_at_coverage, uncertainty=u, wrong=wrong)
    yield figure("risk_at_80", statistic=at_80, share_of=uncertainty.kept_at_coverage(u))
    yield figure("auroc_misclassified", statistic=partial(classification.auroc, score=u, positive=wrong))
