"""BCS, two tasks on shared features (Yang et al. 2017): a class and a mask by softmax, without guidance between them.

image (B, 3, H, W)
encoders    f^c_1..4, f^s_1..4
shared      h_i = 1 x 1 (f^c_i || f^s_i)      read by both tasks
decoder     mask logits (B, Q, H, W)
head        class logits (B, K)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn

from napari_uml.baselines.parts import ClassHead, UDecoder
from napari_uml.nn.base import LastLayers, Network, initialise
from napari_uml.nn.encoders import Encoder
from napari_uml.nn.evidence import full_precision
from napari_uml.nn.output import UMLOutput, summed_up

if TYPE_CHECKING:
    from torch import Tensor

    from napari_uml.config import UMLConfig


class BCS(Network):
    """Two encoders whose features both tasks share, softmax heads, cross-entropy + Dice; parameters as `UMLNetwork`."""

    last_layers: ClassVar[LastLayers] = LastLayers(
        modules=("decoder.head", "head.classify"),
        classes=("head.classify.weight",),
        class_head="head",
        structures=("decoder.head.weight",),
    )

    def __init__(self, config: UMLConfig, download: bool = True) -> None:
        super().__init__(config)
        self.class_encoder = Encoder(config.class_encoder, download)
        self.mask_encoder = Encoder(config.seg_encoder, download)
        pairs = zip(self.class_encoder.channels, self.mask_encoder.channels, strict=True)
        widths = self.mask_encoder.channels
        self.shared = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c + s, w, 1, bias=False), nn.BatchNorm2d(w), nn.ReLU(inplace=True))
            for (c, s), w in zip(pairs, widths, strict=True)
        )
        self.decoder = UDecoder(widths, config)
        self.head = ClassHead(widths[3], config)
        initialise((self.shared, self.decoder, self.head))

    def forward(self, image: Tensor, intermediates: bool = False) -> UMLOutput:
        """Classes and structures of a batch; see `Network.forward`."""
        x = self.prepare(image)
        class_features = self.class_encoder(x)
        levels = zip(self.shared, class_features, self.mask_encoder(x), strict=True)
        shared = [join(torch.cat([c, s], dim=1)) for join, c, s in levels]
        logits = self.to_input(self.decoder(shared), image.shape[2:])
        return UMLOutput(
            None, mutual_evidence=None, mask_logits=(logits,), evidential_mask=False,
            class_logits=full_precision(self.head(shared[3])), features=summed_up(class_features[3]),
        )  # fmt: skip
