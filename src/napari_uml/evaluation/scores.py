"""What the metrics keep of one image: a few numbers and small counts, never a map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_uml.config import IGNORE
from napari_uml.evaluation.segmentation import confusion_matrix
from napari_uml.evaluation.surface import SurfaceScores, surface_scores
from napari_uml.evaluation.uncertainty import uncertainty_histogram
from napari_uml.inference.measure import class_numbers, extent_ratio
from napari_uml.results import SUM_TOLERANCE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_uml.config import Measurement, Task


@dataclass(frozen=True, slots=True, eq=False)
class MaskScores:
    """A predicted mask compared with the true one.

    Attributes
    ----------
    confusion
        (Q, Q) pixels of true structure i that were called j.
    histograms
        (2, U_BINS) right and wrong pixels by u.
    surfaces
        Borders of each structure or union that is in either mask.
    ratio_error
        Absolute error of the vertical cup/disc ratio; None where it is not declared or the truth has no disc.
    disagreement
        (2, U_BINS) pixels on which the experts agree, and on which they do not, by u; None: a single annotation.
    by_doubt
        (2, U_BINS) right and wrong pixels by the doubt 1 - p; None: not known.
    """

    confusion: NDArray[np.int64]
    histograms: NDArray[np.int64]
    surfaces: Mapping[str, SurfaceScores]
    ratio_error: float | None
    disagreement: NDArray[np.int64] | None = None
    by_doubt: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ImageScores:
    """What the metrics need of one image; made by `image_scores`.

    Attributes
    ----------
    group
        Images of one group (patient, lesion) are drawn together in the bootstrap.
    class_probability
        (K,) p = alpha / T, sums to 1.
    class_uncertainty, pixel_uncertainty
        u of the image; mean u of all its pixels; both in (0, 1].
    label
        True class, 0..K-1; None: not annotated.
    mask
        None: no true mask.
    """

    group: str
    class_probability: NDArray[np.float64]
    class_uncertainty: float
    pixel_uncertainty: float
    label: int | None = None
    mask: MaskScores | None = None


def image_scores(
    task: Task,
    *,
    group: str,
    mask: NDArray[np.integer],
    pixel_uncertainty: NDArray[np.floating],
    class_probability: NDArray[np.floating],
    class_uncertainty: float,
    true_mask: NDArray[np.integer] | None = None,
    label: int | None = None,
    distances: bool = True,
    disputed: NDArray[np.bool_] | None = None,
    pixel_doubt: NDArray[np.floating] | None = None,
) -> ImageScores:
    """Compare the answer for one image with the truth, at the stored image's size.

    Parameters
    ----------
    task
        Names of the structures, unions and measurements.
    group
        What the bootstrap draws together.
    mask, pixel_uncertainty
        (H, W) predicted class numbers; (H, W) u in (0, 1].
    class_probability, class_uncertainty
        (K,) p = alpha / T; u of the image.
    true_mask
        (H, W) class numbers, `IGNORE` where nobody knows (for distances and ratios: background in both masks);
        None, or nothing known: not annotated.
    label
        True class, 0..K-1; None: not annotated.
    distances
        Compute surface distances, about 5 ms a structure at 512 x 512.
    disputed
        (H, W) where several experts do not agree; None: a single annotation.
    pixel_doubt
        (H, W) 1 - p of the structure that `mask` names, in [0, 1]; None: not asked.

    Raises
    ------
    ValueError
        When shapes or numbers do not fit each other and the task.
    """
    _check_class(task, class_probability, label)
    _check_maps(mask, pixel_uncertainty, true_mask)
    if pixel_doubt is not None:
        _check_maps(mask, pixel_doubt, true_mask)
    compared = None
    if true_mask is not None and bool((true_mask != IGNORE).any()):
        compared = _compare(task, true_mask, mask, pixel_uncertainty, distances, disputed, pixel_doubt)
    return ImageScores(
        group=group,
        class_probability=np.asarray(class_probability, dtype=np.float64),
        class_uncertainty=float(class_uncertainty),
        pixel_uncertainty=float(pixel_uncertainty.mean(dtype=np.float64)),
        label=label,
        mask=compared,
    )


def cup_disc_ratio(task: Task) -> Measurement | None:
    """The declared vertical extent ratio of the structure `cup`, if there is one."""
    return next((m for m in task.measurements if m.axis == "vertical" and m.of == ("cup",)), None)


def _compare(
    task: Task,
    true_mask: NDArray[np.integer],
    mask: NDArray[np.integer],
    pixel_uncertainty: NDArray[np.floating],
    distances: bool,
    disputed: NDArray[np.bool_] | None,
    doubt: NDArray[np.floating] | None,
) -> MaskScores:
    known = true_mask != IGNORE
    wrong = (true_mask != mask)[known]
    confusion = confusion_matrix(true_mask[known], mask[known], len(task.seg_classes))
    truth, found = np.where(known, true_mask, 0), np.where(known, mask, 0)
    return MaskScores(
        confusion=confusion,
        histograms=uncertainty_histogram(pixel_uncertainty[known], wrong),
        surfaces=_surfaces(task, truth, found) if distances else {},
        ratio_error=_ratio_error(task, truth, found),
        disagreement=None if disputed is None else uncertainty_histogram(pixel_uncertainty, disputed),
        by_doubt=None if doubt is None else uncertainty_histogram(doubt[known], wrong),
    )


def _surfaces(task: Task, truth: NDArray[np.integer], found: NDArray[np.integer]) -> dict[str, SurfaceScores]:
    surfaces = {}
    for structure in task.structures:
        members = task.members(structure)
        scores = surface_scores(np.isin(truth, members), np.isin(found, members))
        if scores is not None:
            surfaces[structure] = scores
    return surfaces


def _ratio_error(task: Task, truth: NDArray[np.integer], found: NDArray[np.integer]) -> float | None:
    """A disc that was not found counts as ratio 0: leaving it out would reward missing it."""
    declared = cup_disc_ratio(task)
    if declared is None:
        return None
    of, to = class_numbers(task, declared.of), class_numbers(task, declared.to)
    true = extent_ratio(truth, of, to, declared.axis)
    return None if true is None else abs(true - (extent_ratio(found, of, to, declared.axis) or 0.0))


def _check_class(task: Task, probability: NDArray[np.floating], label: int | None) -> None:
    classes = len(task.cls_classes)
    if probability.shape != (classes,) or not abs(float(probability.sum()) - 1) <= SUM_TOLERANCE:
        raise ValueError(f"Expected {classes} class probabilities that sum to 1, got {probability}.")
    if label is not None and not 0 <= label < classes:
        raise ValueError(f"Expected a label from 0 to {classes - 1}, got {label}.")


def _check_maps(
    mask: NDArray[np.integer], uncertainty: NDArray[np.floating], true_mask: NDArray[np.integer] | None
) -> None:
    if mask.ndim != 2 or uncertainty.shape != mask.shape:
        raise ValueError(f"Expected a mask and its uncertainty (H, W), got {mask.shape} and {uncertainty.shape}.")
    if true_mask is not None and true_mask.shape != mask.shape:
        raise ValueError(f"Expected a true mask of shape {mask.shape}, got {true_mask.shape}.")
    if not 0 <= uncertainty.min() <= uncertainty.max() <= 1 + SUM_TOLERANCE:
        raise ValueError(f"Expected uncertainties up to 1, got {uncertainty.min()} to {uncertainty.max()}.")
