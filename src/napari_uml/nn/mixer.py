"""The mixer f^m: projects, shuffles and attends to the features of both encoders at one level (paper §2.1).

class features (B, C_c, h, w), mask features (B, C_s, h, w)  ->  mixed features (B, width, h, w)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class Mixer(nn.Module):
    """Mixed features of one level.

    Parameters
    ----------
    class_channels, mask_channels
        Channels of the two encoders at this level.
    project
        Channels to which each of them is projected.
    width
        Channels of the result; None keeps 2 * project and has no last convolution.
    groups
        Groups of the channel shuffle.
    """

    def __init__(self, class_channels: int, mask_channels: int, project: int, width: int | None, groups: int) -> None:
        super().__init__()
        self.project_class = nn.Conv2d(class_channels, project, 1, bias=False)
        self.project_mask = nn.Conv2d(mask_channels, project, 1, bias=False)
        self.shuffle = nn.ChannelShuffle(2 * project // groups)
        self.attention = PolarisedAttention(2 * project)
        self.reduce = nn.Identity() if width is None else nn.Conv2d(2 * project, width, 1, bias=False)
        self.width = 2 * project if width is None else width

    def forward(self, class_features: Tensor, mask_features: Tensor) -> Tensor:
        """(B, C_c, h, w), (B, C_s, h, w) -> (B, width, h, w)."""
        joined = torch.cat([self.project_class(class_features), self.project_mask(mask_features)], dim=1)
        return self.reduce(self.attention(self.shuffle(joined)))  # type: ignore[no-any-return]


class PolarisedAttention(nn.Module):
    """Polarised self-attention: channel weights z, then spatial weights g; A = g * y + y with y = z * x.

    All projections are linear, so pooling comes before projecting: W_v(x) . softmax(W_q x) = W_v(x . softmax(W_q x))
    and mean(V_q y) . V_v y = (V_v^T mean(V_q y)) . y + const, the same function for O(C H W) instead of O(C^2 H W).
    Nor is y needed before the end: mean(y) = z * mean(x), and w . y = (w * z) . x. Products are of pixels (B, hw, C),
    which lie so in memory in the layout that networks answer in.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.channel_query = nn.Conv2d(channels, 1, 1)
        self.channel_value = nn.Linear(channels, half)
        self.channel_out = nn.Linear(half, channels)
        self.norm = nn.LayerNorm(channels)
        self.spatial_query = nn.Linear(channels, half)
        self.spatial_value = nn.Linear(channels, half)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2)  # (B, hw, C)
        query = self.channel_query(x).flatten(2).softmax(dim=2)  # (B, 1, hw)
        sums = torch.matmul(torch.cat([query, torch.ones_like(query)], dim=1), pixels)  # (B, 2, C), in one pass
        pooled, mean = sums[:, 0], sums[:, 1] / pixels.shape[1]
        z = torch.sigmoid(self.norm(self.channel_out(self.channel_value(pooled))))
        q = self.spatial_query(z * mean)  # (B, C/2)
        weight = (q @ self.spatial_value.weight * z)[:, :, None]  # (B, C, 1)
        score = torch.matmul(pixels, weight).view(-1, 1, *x.shape[2:])  # (B, 1, h, w)
        g = torch.sigmoid(score + (q @ self.spatial_value.bias)[:, None, None, None])
        return x * z[:, :, None, None] * (1 + g)
