"""The UML network (paper Fig. 2).

image (B, 1 or 3, H, W) in [0, 1]
encoders    f^c_1..4, f^s_1..4       finest first
mixers      f^m_1..4
Psi         mutual evidence e^s      (B, Q, H, W)  ->  M, U
navigator   s_1..s_4, r^s            mask logits, s_1 the final mask's
instructor  class evidence e^c       (B, K)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from napari_uml.nn.decoders import MutualDecoder, Navigator, upsample
from napari_uml.nn.encoders import Encoder
from napari_uml.nn.evidence import dirichlet, evidence_from_logits, full_precision, uncertainty
from napari_uml.nn.instructor import Instructor
from napari_uml.nn.mixer import Mixer

if TYPE_CHECKING:
    from torch import Tensor

    from napari_uml.config import UMLConfig

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Intermediates:
    """Feature maps for the figures of the paper (Fig. 3, S2); those of a part that is switched off are None.

    Attributes
    ----------
    class_features, mixed
        f^c_1..4 and f^m_1..4, finest first.
    reliable_top, reliable_bottom
        Reliable masks M^r_1 and M^r_4, (B, Q, h, w).
    mask_features, guidance, head_features, instructed
        r^s, eta, F and r^c, (B, C, h, w).
    """

    class_features: tuple[Tensor, ...]
    mixed: tuple[Tensor, ...]
    reliable_top: Tensor | None
    reliable_bottom: Tensor | None
    mask_features: Tensor
    guidance: Tensor | None
    head_features: Tensor
    instructed: Tensor


@dataclass(frozen=True, slots=True)
class UMLOutput:
    """What the network says of a batch.

    Attributes
    ----------
    class_evidence
        e^c (B, K), non-negative, float32.
    mutual_evidence
        e^s (B, Q, H, W), non-negative, float32: evidence of the mutual mask M.
    mask_logits
        s_1..s_4, finest first, each (B, Q, H, W) float32 on the input's grid; the final mask is argmax s_1.
    evidential_mask
        Whether softplus(s_1) is trained as evidence, too.
    intermediates
        On request only.
    """

    class_evidence: Tensor
    mutual_evidence: Tensor
    mask_logits: tuple[Tensor, ...]
    evidential_mask: bool
    intermediates: Intermediates | None = None

    @property
    def mask_evidence(self) -> Tensor:
        """(B, Q, H, W) the evidence shown beside the mask: that of s_1 when it is evidential, else the mutual one."""
        return evidence_from_logits(self.mask_logits[0]) if self.evidential_mask else self.mutual_evidence


class UMLNetwork(nn.Module):
    """Uncertainty-informed mutual learning of a class and a mask.

    Parameters
    ----------
    config
        Every number of it; see `napari_uml.config.preset`.
    download
        False builds pretrained encoders without their weights, to be filled from a weights file.

    Raises
    ------
    ValueError
        When an encoder does not exist or does not fit, or the two have different strides.
    WeightsError
        When pretrained weights cannot be had.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: UMLConfig, download: bool = True) -> None:
        super().__init__()
        self.config = config
        self.class_encoder = Encoder(config.class_encoder, download)
        self.mask_encoder = Encoder(config.seg_encoder, download)
        if self.class_encoder.strides != self.mask_encoder.strides:
            raise ValueError(
                f"Expected encoders with the same strides, got {self.class_encoder.strides} of "
                f"{config.class_encoder.name} and {self.mask_encoder.strides} of {config.seg_encoder.name}."
            )
        levels = zip(self.class_encoder.channels, self.mask_encoder.channels, config.mixer_widths, strict=True)
        mixers = [Mixer(c, s, config.mixer_project, w, config.mixer_groups) for c, s, w in levels]
        self.mixers = nn.ModuleList(mixers)
        mixed = [mixer.width for mixer in mixers]
        q, dropout = config.num_structures, config.dropout
        self.mutual = MutualDecoder(mixed, config.decoder_widths, config.mutual_head_width, q, dropout)
        self.navigator = Navigator(
            self.mask_encoder.channels, mixed[3], config.decoder_widths, config.bottom_width, q, dropout,
            config.navigator,
        )  # fmt: skip
        self.instructor = Instructor(
            self.class_encoder.channels[3] + mixed[3], config.head, config.head_widths, self.navigator.channels,
            config.num_classes, dropout, config.instructor,
        )  # fmt: skip
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None], persistent=False)
        self.apply_initialisation()

    @property
    def stride(self) -> int:
        """Stride of the coarsest features; the input is padded to a multiple of it inside."""
        return self.class_encoder.strides[3]

    def apply_initialisation(self) -> None:
        """Kaiming-normal (fan-out) convolutions outside the encoders."""
        for part in (self.mixers, self.mutual, self.navigator, self.instructor):
            for module in part.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Tensor, intermediates: bool = False) -> UMLOutput:
        """Classes and structures of a batch.

        Parameters
        ----------
        image
            (B, 1, H, W) or (B, 3, H, W) in [0, 1], any H and W.
        intermediates
            Also return the feature maps in between.

        Raises
        ------
        ValueError
            When the image has another shape.
        """
        if image.ndim != 4 or image.shape[1] not in (1, 3):
            raise ValueError(f"Expected images of shape (B, 1 or 3, H, W), got {tuple(image.shape)}.")
        x, size = self._prepare(image), image.shape[2:]
        class_features, mask_features = self.class_encoder(x), self.mask_encoder(x)
        mixed = [mix(c, s) for mix, c, s in zip(self.mixers, class_features, mask_features, strict=True)]
        mutual_logits, _ = self.mutual(mixed)
        evidence = evidence_from_logits(mutual_logits)
        mutual_mask = dirichlet(evidence) if self.config.mask_source == "alpha" else evidence
        navigation = self.navigator(mask_features, mixed[3], mutual_mask, uncertainty(evidence))
        instruction = self.instructor(class_features[3], mixed[3], navigation.features)

        def to_input(logits: Tensor) -> Tensor:  # few channels: the plain layout is the faster one
            return upsample(full_precision(logits).contiguous(), x.shape[2:])[:, :, : size[0], : size[1]]

        return UMLOutput(
            class_evidence=evidence_from_logits(instruction.logits),
            mutual_evidence=evidence_from_logits(to_input(mutual_logits)),
            mask_logits=tuple(to_input(s) for s in navigation.logits),
            evidential_mask=self.config.evidential_mask,
            intermediates=Intermediates(
                tuple(class_features), tuple(mixed), navigation.reliable_top, navigation.reliable_bottom,
                navigation.features, instruction.guidance, instruction.features, instruction.instructed,
            ) if intermediates else None,
        )  # fmt: skip

    def _prepare(self, image: Tensor) -> Tensor:
        """Three channels, ImageNet statistics subtracted, padded to the stride by repeating the border."""
        image = image.expand(-1, 3, -1, -1)
        if self.config.normalise:
            image = (image - self.mean) / self.std
        height, width = image.shape[2:]
        pad = (0, -width % self.stride, 0, -height % self.stride)
        return functional.pad(image, pad, mode="replicate") if any(pad) else image
