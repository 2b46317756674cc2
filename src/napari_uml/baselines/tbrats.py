"""TBraTS (Zou et al. 2022) in two dimensions: a mask with its vacuity, and no class.

image (B, 3, H, W)  ->  U-Net  ->  pixel evidence softplus(s) (B, Q, H, W)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from napari_uml.baselines.parts import UDecoder
from napari_uml.nn.base import LastLayers, Network, initialise
from napari_uml.nn.encoders import Encoder
from napari_uml.nn.output import UMLOutput, summed_up

if TYPE_CHECKING:
    from torch import Tensor

    from napari_uml.config import UMLConfig


class TBraTS(Network):
    """One U-Net with an evidential head, trained with L_ice + lambda KL + L_Dice; parameters as `UMLNetwork`."""

    last_layers: ClassVar[LastLayers] = LastLayers(modules=("decoder.head",), structures=("decoder.head.weight",))

    def __init__(self, config: UMLConfig, download: bool = True) -> None:
        super().__init__(config)
        self.encoder = Encoder(config.seg_encoder, download)
        self.decoder = UDecoder(self.encoder.channels, config)
        initialise((self.decoder,))

    def forward(self, image: Tensor, intermediates: bool = False) -> UMLOutput:
        """Structures of a batch; see `Network.forward`."""
        features = self.encoder(self.prepare(image))
        logits = self.to_input(self.decoder(features), image.shape[2:])
        seen = summed_up(features[3])
        return UMLOutput(None, mutual_evidence=None, mask_logits=(logits,), evidential_mask=True, features=seen)
