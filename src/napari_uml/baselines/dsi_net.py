"""DSI-Net (Zhu et al. 2021): a coarse mask tells the classifier where to look, its classes guide the fine mask.

image (B, 3, H, W)
encoders    f^c_1..4, f^s_1..4
coarse      s_4 = 1 x 1 f^s_4                           mask logits, where the foreground is
classifier  F = head(f^c_4), G = F + F * location       class logits (B, K)
guidance    f^s_4 towards the expected class prototype  where the features agree with it
decoder     s_1                                         mask logits (B, Q, H, W)
interaction the class that the fine mask's pixels vote for, against the classifier's     (B,)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn
from torch.nn import functional

from napari_uml.baselines.parts import UDecoder
from napari_uml.nn.base import LastLayers, Network, initialise
from napari_uml.nn.decoders import shrink
from napari_uml.nn.encoders import Encoder
from napari_uml.nn.evidence import full_precision
from napari_uml.nn.instructor import class_head
from napari_uml.nn.output import UMLOutput, summed_up

if TYPE_CHECKING:
    from torch import Tensor

    from napari_uml.config import UMLConfig

EPSILON = 1e-6


class DSINet(Network):
    """Lesion location and class prototypes, cross-entropy + Dice + 0.05 interaction; parameters as `UMLNetwork`."""

    last_layers: ClassVar[LastLayers] = LastLayers(
        modules=("coarse", "classify", "decoder.head"),
        classes=("classify.weight",),
        structures=("coarse.weight", "decoder.head.weight"),
    )

    def __init__(self, config: UMLConfig, download: bool = True) -> None:
        super().__init__(config)
        self.class_encoder = Encoder(config.class_encoder, download)
        self.mask_encoder = Encoder(config.seg_encoder, download)
        bottom, width = self.mask_encoder.channels[3], config.head_widths[-1]
        self.coarse = nn.Conv2d(bottom, config.num_structures, 1, bias=False)
        self.head = class_head(self.class_encoder.channels[3], config.head, config.head_widths)
        self.dropout = nn.Dropout(config.dropout)
        self.classify = nn.Linear(width, config.num_classes, bias=False)
        self.guide = CategoryGuide(bottom, width)
        self.decoder = UDecoder(self.mask_encoder.channels, config)
        initialise((self.coarse, self.head, self.guide, self.decoder))

    def forward(self, image: Tensor, intermediates: bool = False) -> UMLOutput:
        """Classes and structures of a batch; see `Network.forward`."""
        x, size = self.prepare(image), image.shape[2:]
        masked = self.mask_encoder(x)
        coarse = self.coarse(masked[3])
        class_features = self.class_encoder(x)[3]
        features = self.head(class_features)
        located = features + features * mined_location(features, foreground(coarse))
        class_logits = full_precision(self.classify(self.dropout(located.mean(dim=(2, 3)))))
        prototype = class_logits.softmax(1) @ self.classify.weight  # (B, C)
        fine = self.decoder([*masked[:3], self.guide(masked[3], prototype)])
        votes = self.classify(pooled(located, shrink(foreground(fine), located)))
        return UMLOutput(
            None, mutual_evidence=None, mask_logits=(self.to_input(fine, size), self.to_input(coarse, size)),
            evidential_mask=False, class_logits=class_logits,
            interaction=task_interaction(class_logits, full_precision(votes)), features=summed_up(class_features),
        )  # fmt: skip


class CategoryGuide(nn.Module):
    """Mask features joined with the class prototype where they agree with it; (B, C, h, w) -> the same shape.

    x + x * a + 1 x 1 (prototype) * a, with a = sigmoid(<1 x 1 x, prototype> / sqrt(C')) the agreement of a place.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, width, 1, bias=False)
        self.value = nn.Linear(width, channels, bias=False)
        self.scale = width**-0.5

    def forward(self, x: Tensor, prototype: Tensor) -> Tensor:
        """Features (B, C, h, w) and prototype (B, C')."""
        similarity = (self.query(x) * prototype[:, :, None, None]).sum(1, keepdim=True)
        agreement = torch.sigmoid(similarity * self.scale)  # (B, 1, h, w)
        guided: Tensor = agreement * (x + self.value(prototype)[:, :, None, None])
        return x + guided


def foreground(logits: Tensor) -> Tensor:
    """Probability of any structure but the background, (B, Q, h, w) -> (B, 1, h, w)."""
    return 1 - full_precision(logits).softmax(1)[:, :1]


def pooled(features: Tensor, weight: Tensor) -> Tensor:
    """Mean of features (B, C, h, w) weighted by (B, 1, h, w) -> (B, C)."""
    features = full_precision(features)  # half types have no room for small weights
    return (features * weight).sum(dim=(2, 3)) / (weight.sum(dim=(2, 3)) + EPSILON)


def mined_location(features: Tensor, seeds: Tensor) -> Tensor:
    """Where the lesion is: the seeds, and places that look like them although the coarse mask missed them.

    Parameters
    ----------
    features
        (B, C, h, w).
    seeds
        (B, 1, h', w') probability of the foreground.

    Returns
    -------
    (B, 1, h, w) in [0, 1]: the larger of the seeds and of the cosine with the mean feature of the seeds.
    """
    features = full_precision(features)
    seeds = shrink(seeds, features)
    lesion = pooled(features, seeds)[:, :, None, None]
    alike = functional.cosine_similarity(features, lesion, dim=1).clamp(min=0)[:, None]
    return torch.maximum(seeds, alike)


def task_interaction(class_logits: Tensor, votes: Tensor) -> Tensor:
    """Disagreement (KL(p || q) + KL(q || p)) / 2 of p = softmax(class_logits) and q = softmax(votes).

    Parameters
    ----------
    class_logits, votes
        (B, K) of the classifier, and of the pixels in the mask.

    Returns
    -------
    (B,) in nats, >= 0; 0 when both tasks see the same classes.
    """
    p, q = class_logits.log_softmax(1), votes.log_softmax(1)
    return ((p.exp() - q.exp()) * (p - q)).sum(1) / 2
