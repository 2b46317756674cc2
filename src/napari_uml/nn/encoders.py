"""Image encoders: a timm backbone cut after its fourth tap.

input (B, 3, H, W)  ->  four feature maps, finest first, `channels[i]` at stride `strides[i]`
res2net50d, stem stride 1:   64 @ 1,  256 @ 2,  512 @ 4,  1024 @ 8
vgg16_bn:                    64 @ 1,  128 @ 2,  256 @ 4,   512 @ 8
resnet18d:                   64 @ 2,   64 @ 4,  128 @ 8,   256 @ 16
tf_efficientnet_lite0:       16 @ 2,   24 @ 4,   40 @ 8,   112 @ 16
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import timm
from huggingface_hub.errors import HfHubHTTPError
from timm.utils.model import freeze_batch_norm_2d
from torch import nn

from napari_uml.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

    from napari_uml.config import EncoderConfig

TAPS = (0, 1, 2, 3)

DOWNLOAD_ERRORS: tuple[type[Exception], ...] = (OSError, RuntimeError, *HfHubHTTPError.__bases__)
"""What timm's downloads raise: the system, the transfer library, and the HTTP library (its name differs by version)."""


class Encoder(nn.Module):
    """Four feature maps of an image, finest first.

    Parameters
    ----------
    config
        Which backbone, and whether it starts from timm's pretrained weights, whose batch normalisation can be frozen.
    download
        False builds a pretrained backbone without its weights, to be filled from a weights file.

    Attributes
    ----------
    channels, strides
        Of the four feature maps; every stride is twice the one before.

    Raises
    ------
    ValueError
        When timm has no such backbone or no weights for it, or it does not halve the resolution from tap to tap.
    WeightsError
        When the pretrained weights cannot be had.
    """

    def __init__(self, config: EncoderConfig, download: bool = True) -> None:
        super().__init__()
        _check(config)
        backbone = _create(config.name, config.pretrained and download)
        before, after = (1, 1) if config.stem_stride is None else _change_stem(backbone, config)
        self.channels: tuple[int, ...] = tuple(backbone.feature_info.channels())
        self.strides: tuple[int, ...] = tuple(r * after // before for r in backbone.feature_info.reduction())
        if any(fine * 2 != coarse for fine, coarse in zip(self.strides, self.strides[1:], strict=False)):
            raise ValueError(f"Expected taps that halve the resolution, got strides {self.strides} of {config.name}.")
        self.backbone = backbone if config.learns_norm else freeze_batch_norm_2d(backbone)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) normalised -> (B, channels[i], H / strides[i], W / strides[i]) for the four taps."""
        return list(self.backbone(image))


def _check(config: EncoderConfig) -> None:
    name = config.name
    if not timm.is_model(name):
        raise ValueError(f"Expected a timm backbone such as resnet18d, got {name!r}; timm.list_models() has all.")
    try:
        known = timm.models.get_pretrained_cfg(name)
    except RuntimeError as error:
        raise ValueError(f"Expected one of timm's names such as resnet18d.ra2_in1k, got {name!r} ({error}).") from error
    if known is not None and known.fixed_input_size:
        raise ValueError(f"Expected a backbone for images of any size, {name} takes one size only.")
    if config.pretrained and (known is None or not known.has_weights):
        raise ValueError(f"Expected a backbone with pretrained weights, timm has none for {name}; leave them out.")


def _create(name: str, download: bool) -> Any:
    try:
        return timm.create_model(name, pretrained=download, features_only=True, out_indices=TAPS)
    except DOWNLOAD_ERRORS as error:
        if not download:
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise WeightsError(
            f"Expected to download timm's weights for {name}, got: {reason} Connect to the internet or train with "
            "pretrained=False."
        ) from error


def _change_stem(backbone: Any, config: EncoderConfig) -> tuple[int, int]:
    """Set the stride of the first convolution; returns the old one and the new one."""
    stem = getattr(backbone, "conv1", None)
    first = stem[0] if isinstance(stem, nn.Sequential) else stem
    if not isinstance(first, nn.Conv2d):
        raise ValueError(f"Expected a backbone with a stem convolution for stem_stride, got {config.name}.")
    before, after = first.stride[0], cast("int", config.stem_stride)
    first.stride = (after, after)
    return before, after
