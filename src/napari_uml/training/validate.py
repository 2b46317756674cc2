"""Validation figures during training, on the network's input grid; `evaluation` has those on the images' own grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from napari_uml.data.augment import as_input
from napari_uml.data.dataset import IGNORE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_uml.config import Task
    from napari_uml.data.samples import Sample
    from napari_uml.nn.output import UMLOutput


def validate(
    forward: Callable[[Tensor], UMLOutput],
    samples: Sequence[Sample],
    task: Task,
    size: int,
    batch: int,
    device: torch.device,
) -> dict[str, float]:
    """Figures by name: `dice_present/STRUCTURE`, `acc`, `auc`, `u_image`, `u_pixel`; absent where not known or said.

    Parameters
    ----------
    forward
        (B, 3, S, S) -> output, without gradients.
    samples
        To validate on; one at least.
    task, size, batch, device
        Names of the structures, side of the input, images at a time, and where.
    """
    overlaps: dict[str, list[float]] = {name: [] for name in task.structures}
    probabilities, doubts, pixel_doubts = [], [], []
    for start in range(0, len(samples), batch):
        images, masks = zip(*(as_input(sample, size) for sample in samples[start : start + batch]), strict=True)
        output = forward(torch.stack(images).to(device))
        if (answer := output.class_answer) is not None:
            probabilities.append(answer.probability.cpu().numpy())
            doubts.append(answer.uncertainty.cpu().numpy())
        if (answer := output.mask_answer) is not None:
            pixel_doubts.append(answer.uncertainty.mean(dim=(1, 2, 3)).cpu().numpy())
            for found, truth in zip(output.mask_logits[0].argmax(1).cpu().numpy(), masks, strict=True):
                _add_overlaps(overlaps, found, truth.numpy(), task)
    metrics = {f"dice_present/{name}": float(np.mean(values)) for name, values in overlaps.items() if values}
    if probabilities:
        metrics |= _class_metrics(np.concatenate(probabilities), np.array([sample.label for sample in samples]))
    means = {"u_image": doubts, "u_pixel": pixel_doubts}
    return metrics | {name: float(np.mean(np.concatenate(values))) for name, values in means.items() if values}


def score(metrics: dict[str, float]) -> float | None:
    """What the best epoch is chosen by: the mean Dice of the structures, averaged with the AUC; None without either."""
    dice = [value for name, value in metrics.items() if name.startswith("dice_present/")]
    parts = ([float(np.mean(dice))] if dice else []) + [metrics[name] for name in ("auc",) if name in metrics]
    return float(np.mean(parts)) if parts else None


def _add_overlaps(
    overlaps: dict[str, list[float]], found: NDArray[np.integer], truth: NDArray[np.uint8], task: Task
) -> None:
    """Add the Dice of every structure that the truth has."""
    known = truth != IGNORE
    for name, values in overlaps.items():
        members = task.members(name)
        a, b = np.isin(found, members) & known, np.isin(truth, members)
        if b.any():
            values.append(2 * float((a & b).sum()) / float(a.sum() + b.sum()))


def _class_metrics(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> dict[str, float]:
    known = labels >= 0
    p, y = probabilities[known], labels[known]
    if y.size == 0:
        return {}
    metrics = {"acc": float((p.argmax(1) == y).mean())}
    aucs = [roc_auc_score(y == k, p[:, k]) for k in range(p.shape[1]) if 0 < (y == k).sum() < y.size]
    return metrics | ({"auc": float(np.mean(aucs))} if aucs else {})
