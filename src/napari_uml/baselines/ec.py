"""EC, evidential classification (Sensoy et al. 2018): a class with its vacuity, and no mask.

image (B, 3, H, W)  ->  encoder f^c_4  ->  class evidence (B, K)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from napari_uml.baselines.parts import ClassHead
from napari_uml.nn.base import LastLayers, Network, initialise
from napari_uml.nn.encoders import Encoder
from napari_uml.nn.evidence import evidence_from_logits
from napari_uml.nn.output import UMLOutput, summed_up

if TYPE_CHECKING:
    from torch import Tensor

    from napari_uml.config import UMLConfig


class EC(Network):
    """One encoder and an evidential head, trained with L_ace + lambda KL; see `UMLNetwork` for the parameters."""

    last_layers: ClassVar[LastLayers] = LastLayers(
        modules=("head.classify",), classes=("head.classify.weight",), class_head="head"
    )

    def __init__(self, config: UMLConfig, download: bool = True) -> None:
        super().__init__(config)
        self.encoder = Encoder(config.class_encoder, download)
        self.head = ClassHead(self.encoder.channels[3], config)
        initialise((self.head,))

    def forward(self, image: Tensor, intermediates: bool = False) -> UMLOutput:
        """Classes of a batch; see `Network.forward`."""
        features = self.encoder(self.prepare(image))
        evidence = evidence_from_logits(self.head(features[3]))
        seen = summed_up(features[3])
        return UMLOutput(evidence, mutual_evidence=None, mask_logits=(), evidential_mask=False, features=seen)
