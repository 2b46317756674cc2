"""TransUNet (Chen et al. 2021): convolutions, a transformer at the bottom, a cascaded up-sampler; no class.

image (B, 3, H, W)
encoder     f_1..4
tokens      one for every 16 x 16 pixels, width D, with a learnt position      (B, N, D)
trunk       transformer blocks (timm's)                                        (B, N, D)
decoder     x_4 = up(trunk), three times x = f_i || DC(up(x))                  mask logits (B, Q, H, W)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

import torch
from timm.models.vision_transformer import Block
from torch import nn
from torch.nn import functional

from napari_uml.baselines.parts import UDecoder
from napari_uml.nn.base import LastLayers, Network, initialise
from napari_uml.nn.decoders import upsample
from napari_uml.nn.encoders import Encoder
from napari_uml.nn.output import UMLOutput, summed_up

if TYPE_CHECKING:
    from torch import Tensor

    from napari_uml.config import UMLConfig

PATCH: Final = 16
"""Side of what a token stands for, pixels; ViT-B/16's."""
DEPTH: Final = 6
"""Transformer blocks; ViT-B has 12 and twice to three times the width."""
HEAD_WIDTH: Final = 64
"""Channels of an attention head, as in every ViT."""
POSITIONS: Final = 16
"""Side of the grid of learnt positions, interpolated to that of the tokens."""


class TransUNet(Network):
    """A U-Net with a transformer at its bottom, cross-entropy + Dice; parameters as `UMLNetwork`."""

    last_layers: ClassVar[LastLayers] = LastLayers(modules=("decoder.head",), structures=("decoder.head.weight",))

    def __init__(self, config: UMLConfig, download: bool = True) -> None:
        super().__init__(config)
        self.encoder = Encoder(config.seg_encoder, download)
        channels = self.encoder.channels
        self.trunk = Trunk(channels[3], config.bottom_width, max(1, PATCH // self.encoder.strides[3]))
        self.decoder = UDecoder((*channels[:3], config.bottom_width), config)
        initialise((self.decoder,))

    def forward(self, image: Tensor, intermediates: bool = False) -> UMLOutput:
        """Structures of a batch; see `Network.forward`."""
        features = self.encoder(self.prepare(image))
        logits = self.decoder([*features[:3], self.trunk(features[3])])
        logits = self.to_input(logits, image.shape[2:])
        seen = summed_up(features[3])
        return UMLOutput(None, mutual_evidence=None, mask_logits=(logits,), evidential_mask=False, features=seen)


class Trunk(nn.Module):
    """Attention between all places of a feature map: (B, C, h, w) -> (B, D, h, w).

    Parameters
    ----------
    channels, width
        C and D.
    patch
        Side of a token on the feature map.
    """

    def __init__(self, channels: int, width: int, patch: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(channels, width, patch, stride=patch)
        self.position = nn.Parameter(torch.zeros(1, width, POSITIONS, POSITIONS))
        nn.init.trunc_normal_(self.position, std=0.02)
        heads = max(1, width // HEAD_WIDTH)
        self.blocks = nn.Sequential(*(Block(width, heads, qkv_bias=True) for _ in range(DEPTH)))
        self.norm = nn.LayerNorm(width)
        self.patch = patch

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, D, h, w)."""
        height, width = x.shape[2:]
        padded = functional.pad(x, (0, -width % self.patch, 0, -height % self.patch), mode="replicate")
        tokens = self.embed(padded)
        position = functional.interpolate(self.position, tokens.shape[2:], mode="bilinear", align_corners=False)
        flat = (tokens + position).flatten(2).transpose(1, 2)  # (B, N, D)
        seen = self.norm(self.blocks(flat)).transpose(1, 2).unflatten(2, tokens.shape[2:])
        return upsample(seen, padded.shape[2:])[:, :, :height, :width]
