"""What the network gets to see of an image, without torch: the same squash as `napari_uml.data.resize.to_input`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from napari_uml.data.decoded import full_opacity, split_alpha
from napari_uml.data.scaling import check_pixels, scale_to_unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Shares of red, green and blue in the brightness that a grey model sees."""


def in_unit(pixels: NDArray[Any], *, stack: bool = False) -> NDArray[np.float32]:
    """Checked pixels in [0, 1], as the predictor takes them: float32 in [0, 1] as it is, the rest by `scale_to_unit`.

    Raises
    ------
    ValueError, ImageError
        As `check_pixels` and `scale_to_unit` do.
    """
    check_pixels(pixels, stack=stack)
    if pixels.dtype == np.float32 and pixels.min() >= 0 and pixels.max() <= 1:
        return pixels
    return scale_to_unit(pixels)[0]


def over_black(pixels: NDArray[Any]) -> NDArray[Any]:
    """Colours laid over black by their opacity, as napari shows them and as files are read.

    Parameters
    ----------
    pixels
        (..., 3) RGB or (..., 4) RGB and opacity, which counts where its scale is known: that of bytes, or where its
        highest number is the highest of its type (1 of fractions).

    Returns
    -------
    (..., 3): the colours as they are where all are opaque, else float32 in [0, 1]. Whether they can be analysed is for
    `check_pixels` to say.

    Raises
    ------
    ImageError
        As `scale_to_unit` does, of colours that are not all opaque.
    """
    if pixels.shape[-1] < 4 or pixels.dtype.kind not in "uif" or not np.isfinite(pixels).all():
        return pixels[..., :3]
    if pixels.dtype != np.uint8 and pixels[..., 3].max(initial=0) != full_opacity(pixels.dtype):
        return pixels[..., :3]
    colours, alpha = split_alpha(pixels)
    return colours if alpha is None else scale_to_unit(colours)[0] * alpha[..., None]


def network_view(pixels: NDArray[np.float32], size: int, channels: int) -> NDArray[np.float32]:
    """The network's input as a picture.

    It is squashed to a square by a triangle filter (bilinear, antialiased); Pillow's filter and torch's are the same to
    about 1e-6.

    Parameters
    ----------
    pixels
        (H, W) or (H, W, 3) in [0, 1]; the rectangle alone when only a rectangle is analysed.
    size
        Side of the input, pixels.
    channels
        1: colours become brightness; 3: grey is repeated.

    Returns
    -------
    (size, size, 3) in [0, 1], the noise left out.
    """
    if channels == 1 and pixels.ndim == 3:
        pixels = pixels @ LUMINANCE
    planes = [pixels] if pixels.ndim == 2 else [pixels[..., channel] for channel in range(3)]
    small = [_squashed(plane, size) for plane in planes]
    return np.stack(small * (3 // len(small)), axis=-1).clip(0, 1)


def _squashed(plane: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    image = Image.fromarray(np.ascontiguousarray(plane, dtype=np.float32))
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
