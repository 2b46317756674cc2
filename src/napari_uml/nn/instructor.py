"""The classification head and the Uncertainty Instructor (paper §2.3, Eq. 6).

class features f^c_4, mixed features f^m_4, r^s  ->  class logits (B, K), r^c, eta, F
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn

from napari_uml.nn.decoders import DoubleConv, shrink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class Instruction(NamedTuple):
    """What the classifier found; `guidance` is None without the instructor."""

    logits: Tensor  # (B, K)
    features: Tensor  # F (B, C, h4, w4)
    guidance: Tensor | None  # eta (B, C', h4, w4)
    instructed: Tensor  # r^c (B, C, h4, w4)


class Instructor(nn.Module):
    """r^c = F + F * DC(eta), eta = r^s brought down to the grid of F; its mean gives the class (Eq. 6).

    Parameters
    ----------
    channels
        Channels of f^c_4 || f^m_4.
    head, head_widths
        "dilated": blocks of a depthwise 3 x 3 convolution of dilation 2 and a 1 x 1 convolution (preset `paper`);
        "conv": 3 x 3 convolutions (`compact`, `light`). One block a width.
    guidance_channels
        Channels of r^s.
    guided
        False pools F directly (ablation).
    """

    def __init__(
        self,
        channels: int,
        head: str,
        head_widths: Sequence[int],
        guidance_channels: int,
        num_classes: int,
        dropout: float,
        guided: bool = True,
    ) -> None:
        super().__init__()
        self.head = class_head(channels, head, head_widths)
        channels = head_widths[-1]
        self.guide = DoubleConv(guidance_channels, channels, dropout) if guided else None
        self.classify = nn.Linear(channels, num_classes, bias=False)

    def forward(self, class_features: Tensor, mixed: Tensor, mask_features: Tensor) -> Instruction:
        """f^c_4, f^m_4 and r^s (B, C', h1, w1) -> `Instruction`."""
        features = self.head(torch.cat([class_features, mixed], dim=1))
        guidance, instructed = None, features
        if self.guide is not None:
            guidance = shrink(mask_features, features)
            instructed = features + features * self.guide(guidance)
        return Instruction(self.classify(instructed.mean(dim=(2, 3))), features, guidance, instructed)


def class_head(channels: int, head: str, widths: Sequence[int]) -> nn.Sequential:
    """Blocks "dilated" or "conv" with batch normalisation and ReLU: (B, C, h, w) -> (B, widths[-1], h, w)."""
    blocks: list[nn.Module] = []
    for width in widths:
        blocks += _dilated(channels, width) if head == "dilated" else _conv(channels, width)
        blocks += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        channels = width
    return nn.Sequential(*blocks)


def _dilated(a: int, b: int) -> list[nn.Module]:
    return [
        nn.Conv2d(a, a, 3, padding=2, dilation=2, groups=a, bias=False),
        nn.Conv2d(a, b, 1, bias=False),
    ]


def _conv(a: int, b: int) -> list[nn.Module]:
    return [nn.Conv2d(a, b, 3, padding=1, bias=False)]
