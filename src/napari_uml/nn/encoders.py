"""Image encoders: a timm backbone cut after its fourth tap.

    input (B, 3, H, W)  ->  four feature maps, finest first, `channels[i]` at stride `strides[i]`
    res2net50d, stem stride 1:   64 @ 1,  256 @ 2,  512 @ 4,  1024 @ 8
    vgg16_bn:                    64 @ 1,  128 @ 2,  256 @ 4,   512 @ 8
    resnet18d:                   64 @ 2,   64 @ 4,  128 @ 8,   256 @ 16
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import timm
from timm.utils.model import freeze_batch_norm_2d
from torch import nn

from napari_uml.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

    from napari_uml.config import EncoderConfig

TAPS = (0, 1, 2, 3)


class Encoder(nn.Module):
    """Four feature maps of an image, finest first.

    Parameters
    ----------
    config
        Which backbone, and whether it starts from timm's pretrained weights, whose batch normalisation is then frozen.
    download
        False builds a pretrained backbone without its weights, to be filled from a weights file.

    Raises
    ------
    ValueError
        When timm has no such backbone, or it does not halve the resolution from tap to tap.
    WeightsError
        When the pretrained weights cannot be had.
    """

    def __init__(self, config: EncoderConfig, download: bool = True) -> None:
        super().__init__()
        backbone = _create(config, download)
        stem = getattr(backbone, "conv1", None)
        stride = 1
        if config.stem_stride is not None:
            first = stem[0] if isinstance(stem, nn.Sequential) else stem
            if not isinstance(first, nn.Conv2d):
                raise ValueError(f"Expected a backbone with a stem convolution for stem_stride, got {config.name}.")
            stride = first.stride[0] // config.stem_stride
            first.stride = (config.stem_stride, config.stem_stride)
        self.channels: tuple[int, ...] = tuple(backbone.feature_info.channels())
        self.strides: tuple[int, ...] = tuple(r // stride for r in backbone.feature_info.reduction())
        if any(b != 2 * a for a, b in zip(self.strides, self.strides[1:], strict=False)):
            raise ValueError(f"Expected taps that halve the resolution, got strides {self.strides} of {config.name}.")
        self.backbone = freeze_batch_norm_2d(backbone) if config.pretrained else backbone

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) normalised -> (B, channels[i], H / strides[i], W / strides[i]) for the four taps."""
        return list(self.backbone(image))


def _create(config: EncoderConfig, download: bool) -> nn.Module:
    if not timm.is_model(config.name):
        raise ValueError(f"Expected a timm backbone such as resnet18d, got {config.name!r}; timm.list_models() has all.")
    pretrained = config.pretrained and download
    try:
        return timm.create_model(config.name, pretrained=pretrained, features_only=True, out_indices=TAPS)
    except (OSError, ValueError) as error:  # huggingface_hub raises either when it cannot reach its server
        if not pretrained:
            raise
        raise WeightsError(
            f"Expected to download timm's weights for {config.name}, got no answer ({error}); connect to the internet "
            "or train with pretrained=False."
        ) from error
