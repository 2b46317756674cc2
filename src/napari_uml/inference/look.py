"""What one look of a network saw, on the grid of the image, and how a look at a rectangle lies on the whole image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_uml.data.resize import to_image
from napari_uml.nn.evidence import full_precision
from napari_uml.nn.output import Answer
from napari_uml.results import Opinion, PredictionDetails

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_uml.config import Task
    from napari_uml.nn.output import UMLOutput
    from napari_uml.results import Box, Measure, Part


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What one look saw: mask (H, W), u and the Q beliefs (1 + Q, H, W), opinion, details, features (C,)."""

    mask: NDArray[np.uint8]
    maps: NDArray[np.float32]
    opinion: Opinion
    details: PredictionDetails | None
    mask_map: str
    answers: tuple[Part, ...]
    measure: Measure
    features: NDArray[np.float64] | None


def read_look(
    output: UMLOutput, task: Task, shape: tuple[int, int], evidence_scales: tuple[float, float], details: bool
) -> Look:
    """What a network's output says of its first image on a grid (H, W); maps are interpolated, so they still sum to 1.

    Parameters
    ----------
    output
        Of a batch of one image.
    task
        Names of classes and structures.
    shape
        Height and width of the grid.
    evidence_scales
        What the evidence of the class and of the pixels is multiplied by.
    details
        Whether to have the masks in between; reliable ones need the output's intermediates.
    """
    of_class, of_pixels = evidence_scales
    return Look(
        *_mask_and_maps(output, len(task.seg_classes), shape, of_pixels),
        opinion=_opinion(output, task.cls_classes, of_class),
        details=_details(output, shape) if details else None,
        mask_map="mask" if output.evidential_mask or output.mutual_evidence is None else "mutual",
        answers=output.answers,
        measure="vacuity" if output.mask_answer is None else output.mask_answer.measure,
        features=features_of(output),
    )


def features_of(output: UMLOutput) -> NDArray[np.float64] | None:
    """The features (C,) of the first image; None of a network that gives none."""
    return None if output.features is None else output.features[0].cpu().double().numpy()


def placed(look: Look, box: Box | None, shape: tuple[int, ...], first: NDArray[np.float32] | None) -> Look:
    """A look at a rectangle laid on the whole image; around it the mask is background.

    Around it, u is that of a first look with the maps `first` (1 + Q, H, W), and the rest is belief in background;
    probabilities, which sum to 1 without u, are those of the first look. Where nobody looked u is 1, no structure has
    belief, and probabilities are even.
    """
    if box is None:
        return look
    mask = np.zeros(shape[:2], dtype=np.uint8)
    mask[box.slices] = look.mask
    if first is None:
        maps = np.zeros((look.maps.shape[0], *shape[:2]), dtype=np.float32)
        maps[0] = 1.0
        if look.measure != "vacuity":
            maps[1:] = 1.0 / len(maps[1:])
    else:
        maps = first.copy()
        if look.measure == "vacuity":
            maps[1], maps[2:] = 1.0 - maps[0], 0.0
    maps[:, *box.slices] = look.maps
    details = look.details and _placed_details(look.details, box, shape)
    return replace(look, mask=mask, maps=maps, details=details)


def _placed_details(details: PredictionDetails, box: Box, shape: tuple[int, ...]) -> PredictionDetails:
    """Details of a rectangle on the whole image; around it background, and 0."""
    mutual = np.zeros(shape[:2], dtype=np.uint8)
    mutual[box.slices] = details.mutual_mask
    if details.reliable_mask is None:
        return PredictionDetails(mutual, None)
    reliable = np.zeros((len(details.reliable_mask), *shape[:2]), dtype=np.float32)
    reliable[:, *box.slices] = details.reliable_mask
    return PredictionDetails(mutual, reliable)


def _mask_and_maps(
    output: UMLOutput, structures: int, shape: tuple[int, int], scale: float
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The mask (H, W) and the maps (1 + Q, H, W): u, then the beliefs; without an answer u = 1 and no belief."""
    evidence = output.mask_evidence
    answer = output.mask_answer if evidence is None else Answer.from_evidence(scale * full_precision(evidence))
    if answer is None:
        maps = np.zeros((1 + structures, *shape), dtype=np.float32)
        maps[0] = 1
        return np.zeros(shape, dtype=np.uint8), maps
    joined = to_image(torch.cat([answer.uncertainty, answer.belief], dim=1).float(), shape)[0]
    scores = joined[1:] if output.evidential_mask else to_image(output.mask_logits[0].float(), shape)[0]
    return scores.argmax(0).to(torch.uint8).cpu().numpy(), joined.cpu().numpy()


def _opinion(output: UMLOutput, names: tuple[str, ...], scale: float) -> Opinion:
    """About the class; without an answer the opinion that no evidence holds, u = 1."""
    if output.class_evidence is not None:
        return Opinion.from_evidence(names, scale * output.class_evidence[0].float().cpu().numpy())
    if output.class_logits is not None:
        return Opinion.from_probability(names, output.class_logits[0].cpu().double().softmax(0).numpy())
    return Opinion.from_evidence(names, np.zeros(len(names)))


def _details(output: UMLOutput, shape: tuple[int, int]) -> PredictionDetails | None:
    """The masks in between on a grid (H, W); None of a system that has no mutual mask."""
    if output.mutual_evidence is None:
        return None
    mutual = to_image(output.mutual_evidence.float(), shape)[0].argmax(0).to(torch.uint8).cpu().numpy()
    reliable = None if output.intermediates is None else output.intermediates.reliable_top
    if reliable is None:
        return PredictionDetails(mutual, None)
    return PredictionDetails(mutual, to_image(reliable.float(), shape)[0].cpu().numpy())
