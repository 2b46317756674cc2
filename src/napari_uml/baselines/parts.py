"""Blocks that several baselines share, in UML's own widths.

UDecoder    features f_1..4 of an encoder   ->  x_4..x_1 coarse to fine, mask logits (B, Q, h1, w1)
ClassHead   coarsest features f_4           ->  class logits (B, K)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from napari_uml.nn.decoders import UpStages
from napari_uml.nn.instructor import class_head

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from napari_uml.config import UMLConfig


class UDecoder(nn.Module):
    """A U-Net's decoder: UML's navigator without guidance.

    Parameters
    ----------
    channels
        Of the four feature maps, finest first.
    config
        Widths, structures and dropout.
    """

    def __init__(self, channels: Sequence[int], config: UMLConfig) -> None:
        super().__init__()
        self.bottom = nn.Conv2d(channels[3], config.bottom_width, 1, bias=False)
        self.stages = UpStages(config.bottom_width, channels[:3], config.decoder_widths, config.dropout)
        self.head = nn.Conv2d(self.stages.channels[-1], config.num_structures, 1, bias=False)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Four feature maps, finest first -> (B, Q, h1, w1)."""
        return self.head(self.stages(self.bottom(features[3]), features[:3])[-1])  # type: ignore[no-any-return]


class ClassHead(nn.Module):
    """UML's class head without instruction: blocks, mean over the image, dropout, linear.

    The dropout stands in for that of the instructor, so that Monte-Carlo dropout has something to say about the class.
    """

    def __init__(self, channels: int, config: UMLConfig) -> None:
        super().__init__()
        self.head = class_head(channels, config.head, config.head_widths)
        self.dropout = nn.Dropout(config.dropout)
        self.classify = nn.Linear(config.head_widths[-1], config.num_classes, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, K)."""
        return self.classify(self.dropout(self.head(features).mean(dim=(2, 3))))  # type: ignore[no-any-return]
