"""Several looks at one batch become one answer: their mean probabilities, whose entropy is the uncertainty."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_uml.nn.output import UMLOutput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from napari_uml.nn.output import Answer

SMALLEST = 1e-12
"""Probabilities are held at this or above, so that they have a logarithm."""


def combine(outputs: Sequence[UMLOutput]) -> UMLOutput:
    """The output whose softmax is the mean of the expected probabilities of several outputs about the same images.

    Raises
    ------
    ValueError
        When there is none, or they do not answer the same parts.
    """
    if len({output.answers for output in outputs}) != 1:
        raise ValueError("Expected one or more outputs that answer the same, got none or different ones.")
    classes = _mean([output.class_answer for output in outputs])
    masks = _mean([output.mask_answer for output in outputs])
    return UMLOutput(
        None, mutual_evidence=None, mask_logits=() if masks is None else (masks,), evidential_mask=False,
        class_logits=classes,
    )  # fmt: skip


def _mean(answers: Sequence[Answer | None]) -> Tensor | None:
    """Logarithm of the mean probabilities; None where there is no answer."""
    known = [answer.probability for answer in answers if answer is not None]
    return torch.stack(known).mean(0).clamp(min=SMALLEST).log() if known else None
