"""Validation figures during training, on the network's input grid; `evaluation` has those on the images' own grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from napari_uml.config import IGNORE
from napari_uml.data.augment import as_input
from napari_uml.evaluation.segmentation import confusion_matrix, dice, true_pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_uml.config import Task
    from napari_uml.data.samples import Sample
    from napari_uml.nn.output import UMLOutput


class Score(NamedTuple):
    """What epochs are compared by, in [0, 1], and its standard error over the images.

    Two looks at one image, whole and at the crop around a small structure, count for one in the error.
    """

    value: float
    error: float


class Validation(NamedTuple):
    """What the validation images tell.

    Attributes
    ----------
    metrics
        Figures by name.
    score
        Made of them; None where neither structures nor classes are known.
    answered
        (N,) how well each image is answered, the mean of its looks: Dice of the structures that it has; where no image
        has one, the probability of its class. NaN where not known.
    """

    metrics: dict[str, float]
    score: Score | None
    answered: NDArray[np.floating] = np.empty(0)


def validate(
    forward: Callable[[Tensor], UMLOutput],
    samples: Sequence[Sample],
    task: Task,
    size: int,
    batch: int,
    device: torch.device,
) -> Validation:
    """Figures by name: `dice_present/STRUCTURE`, `acc`, `auc`, `u_image`, `u_pixel`; absent where not known or said.

    The score is the mean Dice of the structures, averaged with the AUC where there are both.

    Parameters
    ----------
    forward
        (B, 3, S, S) -> output, without gradients.
    samples
        To validate on; one at least. Those of one name are looks at one image.
    task, size, batch, device
        Names of the structures, side of the input, images at a time, and where.
    """
    overlaps: list[dict[str, float]] = []
    probabilities, doubts, pixel_doubts = [], [], []
    for start in range(0, len(samples), batch):
        images, masks = zip(*(as_input(sample, size) for sample in samples[start : start + batch]), strict=True)
        output = forward(torch.stack(images).to(device))
        if (answer := output.class_answer) is not None:
            probabilities.append(answer.probability.cpu().numpy())
            doubts.append(answer.uncertainty.cpu().numpy())
        if (answer := output.mask_answer) is not None:
            pixel_doubts.append(answer.uncertainty.mean(dim=(1, 2, 3)).cpu().numpy())
            found = output.mask_logits[0].argmax(1).cpu().numpy()
            overlaps += [_dice(mask, truth.numpy(), task) for mask, truth in zip(found, masks, strict=True)]
    _, first, image = np.unique([sample.name for sample in samples], return_index=True, return_inverse=True)
    metrics, scores, answered = {}, [], np.full(len(first), np.nan)
    if any(overlaps):
        answered = _means(np.array([np.mean(list(dice.values())) if dice else np.nan for dice in overlaps]), image)
        for name in task.structures:
            if values := [dice[name] for dice in overlaps if name in dice]:
                metrics[f"dice_present/{name}"] = float(np.mean(values))
        scores.append(_dice_score(list(metrics.values()), answered[np.isfinite(answered)]))
    if probabilities:
        labels = np.array([sample.label for sample in samples])
        known, p = labels >= 0, np.concatenate(probabilities)
        if not any(overlaps):
            answered = _means(np.where(known, p[np.arange(labels.size), labels], np.nan), image)
        if known.any():
            metrics["acc"] = float((p.argmax(1) == labels)[known].mean())
        if (auc := _auc_score(p[known], labels[known], labels[first])) is not None:
            metrics["auc"] = auc.value
            scores.append(auc)
    means = {"u_image": doubts, "u_pixel": pixel_doubts}
    metrics |= {name: float(np.mean(np.concatenate(values))) for name, values in means.items() if values}
    return Validation(metrics, _averaged(scores) if scores else None, answered)


def _dice(found: NDArray[np.integer], truth: NDArray[np.uint8], task: Task) -> dict[str, float]:
    """Dice of every structure that the truth has."""
    known = truth != IGNORE
    confusion = confusion_matrix(truth[known], found[known], len(task.seg_classes))
    there = [name for name in task.structures if true_pixels(confusion, task.members(name))]
    return {name: float(dice(confusion, task.members(name))) for name in there}


def _means(values: NDArray[np.floating], image: NDArray[np.integer]) -> NDArray[np.floating]:
    """Means (N,) over the looks (V,) at each image that have a value; NaN where none has."""
    there = np.isfinite(values)
    sums, looks = (np.bincount(image[there], w, minlength=image.max() + 1) for w in (values[there], None))
    return np.where(looks > 0, sums / np.maximum(looks, 1), np.nan)


def _dice_score(means: Sequence[float], images: NDArray[np.floating]) -> Score:
    """Mean of the structures' Dice; a single image has no spread, and [0, 1] has none above 0.5."""
    spread = float(np.std(images, ddof=1)) if len(images) > 1 else 0.5
    return Score(float(np.mean(means)), spread / len(images) ** 0.5)


def _auc_score(p: NDArray[np.floating], labels: NDArray[np.integer], of_images: NDArray[np.integer]) -> Score | None:
    """Mean AUC of one class against the rest, its error from the labels of the images (N,); None with one class."""
    found = []
    for k in range(p.shape[1]):
        positive, negative = int((of_images == k).sum()), int(((of_images >= 0) & (of_images != k)).sum())
        if positive and negative:
            auc = float(roc_auc_score(labels == k, p[:, k]))
            found.append((auc, auc_error(auc, positive, negative)))
    return Score(*np.mean(found, axis=0).tolist()) if found else None


def auc_error(auc: float, positive: int, negative: int) -> float:
    """Standard error of an AUC after Hanley and McNeil (1982), of the AUC moved towards 0.5 as if by two more images.

    Without the move, the AUC of 1 that few images often have would be without error.
    """
    few = min(positive, negative)
    a = (max(auc, 1 - auc) * few + 1) / (few + 2)
    two_positive, two_negative = a / (2 - a), 2 * a**2 / (1 + a)
    variance = a * (1 - a) + (positive - 1) * (two_positive - a**2) + (negative - 1) * (two_negative - a**2)
    return float((variance / (positive * negative)) ** 0.5)


def _averaged(scores: Sequence[Score]) -> Score:
    """The mean, with the error of independent parts."""
    return Score(
        sum(score.value for score in scores) / len(scores),
        sum(score.error**2 for score in scores) ** 0.5 / len(scores),
    )
