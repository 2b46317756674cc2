"""The mixer f^m: projects, shuffles and attends to the features of both encoders at one level (paper §2.1).

class features (B, C_c, h, w), mask features (B, C_s, h, w)  ->  mixed features (B, width, h, w)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


class Mixer(nn.Module):
    """Mixed features of one level: project both encoders' features, shuffle, attend, reduce.

    All of this is linear in a pixel, but for the weights that attention gives to channels and pixels. So the matrices
    are multiplied with one another and the pixels with their product: the same function, without the 2 * project
    channels of every pixel ever being there.

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
        features = torch.cat([class_features, mask_features], dim=1)
        pixels = features.permute(0, 2, 3, 1).flatten(1, 2)  # (B, hw, C), which lies so in memory with channels last
        projection = self.projection()
        of_channels, of_pixels = self.attention(pixels, projection)
        matrix = of_channels[:, :, None] * projection  # (B, 2 * project, C)
        if isinstance(self.reduce, nn.Conv2d):
            matrix = weights(self.reduce) @ matrix  # (B, width, C)
        mixed = (pixels @ matrix.mT) * (1 + of_pixels)  # (B, hw, width)
        return mixed.view(len(mixed), *features.shape[2:], -1).permute(0, 3, 1, 2)  # type: ignore[no-any-return]

    def projection(self) -> Tensor:
        """The matrix (2 * project, C_c + C_s) that projects both encoders' features of a pixel and shuffles them."""
        joined = torch.block_diag(weights(self.project_class), weights(self.project_mask))
        return self.shuffle(joined[None, :, :, None])[0, :, :, 0]  # type: ignore[no-any-return]


class PolarisedAttention(nn.Module):
    """Polarised self-attention: channel weights z, then spatial weights g; A(x) = g * y + y with y = z * x.

    All projections are linear, so pooling comes before projecting: W_v(x) . softmax(W_q x) = W_v(x . softmax(W_q x))
    and mean(V_q y) . V_v y = (V_v^T mean(V_q y)) . y + const, the same function for O(C H W) instead of O(C^2 H W).
    Nor is y needed: mean(y) = z * mean(x), and w . y = (w * z) . x; nor x = P f, since w . x = (P^T w) . f.
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

    def forward(self, pixels: Tensor, projection: Tensor) -> tuple[Tensor, Tensor]:
        """Weights that x = P f gets.

        Parameters
        ----------
        pixels
            f, (B, hw, C_f).
        projection
            P, (C, C_f).

        Returns
        -------
        z, (B, C), and g, (B, hw, 1), both between 0 and 1.
        """
        query = functional.linear(pixels, weights(self.channel_query) @ projection, self.channel_query.bias)
        shares = torch.cat([query.softmax(dim=1), torch.full_like(query, 1 / query.shape[1])], dim=2).mT  # (B, 2, hw)
        means = shares.to(pixels.dtype) @ pixels @ projection.mT  # (B, 2, C), both in one pass over the pixels
        pooled, mean = means.unbind(dim=1)
        z = torch.sigmoid(self.norm(self.channel_out(self.channel_value(pooled))))
        q = self.spatial_query(z * mean)  # (B, C/2)
        weight = (q @ self.spatial_value.weight * z) @ projection  # (B, C_f)
        score = pixels @ weight[:, :, None] + (q @ self.spatial_value.bias)[:, None, None]
        return z, torch.sigmoid(score)


def weights(convolution: nn.Conv2d) -> Tensor:
    """The matrix (b, a) of a 1 x 1 convolution a -> b; its gradient lies in memory as that of the convolution would."""
    return convolution.weight.permute(0, 2, 3, 1).flatten(1)
