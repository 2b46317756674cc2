"""The mutual feature decoder and the Uncertainty Navigator (paper §2.2, Eq. 4 and 5).

MutualDecoder   mixed features f^m_1..4                    ->  mutual logits (B, Q, h1, w1)
Navigator       mask features f^s_1..4, f^m_4, M, U        ->  s_1..s_4, M^r_1, M^r_4, r^s
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class DoubleConv(nn.Sequential):
    """DC: twice [3 x 3 convolution, batch normalisation, ReLU, Dropout2d]; (B, a, h, w) -> (B, b, h, w)."""

    def __init__(self, a: int, b: int, dropout: float) -> None:
        layers: list[nn.Module] = []
        for channels in (a, b):
            layers += [
                nn.Conv2d(channels, b, 3, padding=1),
                nn.BatchNorm2d(b),
                nn.ReLU(inplace=True),
                nn.Dropout2d(dropout),
            ]
        super().__init__(*layers)


class UpStages(nn.Module):
    """Three times x = skip || DC(up(x)), coarse to fine.

    Parameters
    ----------
    bottom
        Channels of the coarsest features.
    skips
        Channels of the three finer skip connections, finest first.
    widths
        Channels of the three DC blocks, finest first.
    """

    def __init__(self, bottom: int, skips: Sequence[int], widths: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        self.channels: list[int] = []  # of the three results, coarse to fine
        for skip, width in zip(reversed(skips), reversed(widths), strict=True):
            self.blocks.append(DoubleConv(bottom, width, dropout))
            bottom = skip + width
            self.channels.append(bottom)

    def forward(self, x: Tensor, skips: Sequence[Tensor]) -> list[Tensor]:
        """Coarsest features and three skips, finest first -> three results, coarse to fine."""
        results = []
        for block, skip in zip(self.blocks, reversed(skips), strict=True):
            x = torch.cat([skip, block(upsample(x, skip.shape[2:]))], dim=1)
            results.append(x)
        return results


class MutualDecoder(nn.Module):
    """Psi: logits of the mutual evidence e^s from the mixed features."""

    def __init__(
        self, mixed: Sequence[int], widths: Sequence[int], head_width: int, num_structures: int, dropout: float
    ) -> None:
        super().__init__()
        self.stages = UpStages(mixed[3], mixed[:3], widths, dropout)
        self.head = nn.Sequential(
            nn.Conv2d(self.stages.channels[-1], head_width, 1, bias=False),
            nn.Conv2d(head_width, num_structures, 1, bias=False),
        )

    def forward(self, mixed: Sequence[Tensor]) -> Tensor:
        """f^m_1..4 -> logits (B, Q, h1, w1)."""
        logits: Tensor = self.head(self.stages(mixed[3], mixed[:3])[-1])
        return logits


class Navigation(NamedTuple):
    """What the mask decoder found; `reliable_*` are None without the navigator."""

    logits: list[Tensor]  # s_1..s_4, finest first, each (B, Q, h_i, w_i)
    features: Tensor  # r^s (B, C, h1, w1)
    reliable_top: Tensor | None  # M^r_1 (B, Q, h1, w1)
    reliable_bottom: Tensor | None  # M^r_4 (B, Q, h4, w4)


class Navigator(nn.Module):
    """The mask decoder, guided by the mutual mask M where its uncertainty U is low (Eq. 4, 5).

    Parameters
    ----------
    mask_channels
        Channels of f^s_1..4.
    mixed_channels
        Channels of f^m_4.
    widths, bottom_width
        Channels of the three DC blocks, finest first, and of the coarsest features.
    guided
        False is the plain U-shaped decoder of the ablation: no U and no reliable mask.
    """

    def __init__(
        self,
        mask_channels: Sequence[int],
        mixed_channels: int,
        widths: Sequence[int],
        bottom_width: int,
        num_structures: int,
        dropout: float,
        guided: bool = True,
    ) -> None:
        super().__init__()
        self.guided = guided
        self.bottom = nn.Conv2d(mask_channels[3] + mixed_channels, bottom_width, 1, bias=False)
        self.stages = UpStages(bottom_width, mask_channels[:3], widths, dropout)
        levels = [*reversed(self.stages.channels), bottom_width]  # channels at s_1..s_4
        self.heads = nn.ModuleList(nn.Conv2d(c, num_structures, 1, bias=False) for c in levels)
        self.channels = levels[0]
        if guided:
            self.guide_bottom = Guide(num_structures, bottom_width)
            self.guide_top = Guide(num_structures, self.channels)

    def forward(
        self, mask_features: Sequence[Tensor], mixed: Tensor, mutual_mask: Tensor, uncertainty: Tensor
    ) -> Navigation:
        """f^s_1..4, f^m_4, M (B, Q, h1, w1) and U (B, 1, h1, w1) -> `Navigation`."""
        x = torch.cat([mask_features[3], mixed], dim=1)
        coarse_trust = torch.exp(-shrink(uncertainty, x)) if self.guided else None
        x = self.bottom(x if coarse_trust is None else x * coarse_trust)
        logits = [self.heads[3](x)]  # s_4
        reliable_bottom = reliable_top = None
        if coarse_trust is not None:
            reliable_bottom = (logits[0] + shrink(mutual_mask, x)) * coarse_trust
            x = self.guide_bottom(x, reliable_bottom)
        results = self.stages(x, mask_features[:3])
        logits += [head(y) for head, y in zip(reversed(self.heads[:3]), results, strict=True)]
        top = results[-1]
        if self.guided:
            reliable_top = (logits[-1] + mutual_mask) * torch.exp(-uncertainty)
            top = self.guide_top(top, reliable_top)
        return Navigation(logits[::-1], top, reliable_top, reliable_bottom)


class Guide(nn.Module):
    """Features joined with a reliable mask: 1 x 1 (x || ReLU(BN(1 x 1 M^r)))."""

    def __init__(self, num_structures: int, channels: int) -> None:
        super().__init__()
        self.embed = nn.Sequential(
            nn.Conv2d(num_structures, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
        )
        self.join = nn.Conv2d(2 * channels, channels, 1, bias=False)

    def forward(self, x: Tensor, reliable_mask: Tensor) -> Tensor:
        """(B, C, h, w), (B, Q, h, w) -> (B, C, h, w)."""
        return self.join(torch.cat([x, self.embed(reliable_mask)], dim=1))  # type: ignore[no-any-return]


def upsample(x: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear resize of (B, C, h, w) to a larger (H, W)."""
    if tuple(x.shape[2:]) == tuple(size):
        return x
    return functional.interpolate(x, size=list(size), mode="bilinear", align_corners=False)


def shrink(x: Tensor, like: Tensor) -> Tensor:
    """Mean over areas of (B, C, H, W), down to the grid of `like` (B, C', h, w)."""
    return functional.adaptive_avg_pool2d(x, (like.shape[2], like.shape[3]))
