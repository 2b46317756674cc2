"""One rule that brings any pixel values to [0, 1], and the checks that every image passes first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_uml.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MAX_PIXELS = 100_000_000
"""Most pixels of one image or slice."""
MAX_STACK_PIXELS = 1_000_000_000
"""Most pixels of all slices of a stack together."""

DEPTHS = (8, 10, 12, 14, 16)
"""Bits of the cameras and scanners that whole numbers are taken for."""
LOW, HIGH = 0.1, 99.9
"""Percentiles that stand for the darkest and the brightest pixel; a few stray pixels move neither."""


@np.errstate(over="ignore")
def scale_to_unit(
    pixels: NDArray[Any], bits: int | None = None, name: str = "The image"
) -> tuple[NDArray[np.float32], str]:
    """Bring pixel values to [0, 1] by a rule that no single bright or dark pixel decides; what lies outside is clipped.

    The first row that fits is the rule; LOW and HIGH are the 0.1st and the 99.9th percentile of all pixels.

    =============================  ====================================================================
    values                         become
    =============================  ====================================================================
    true and false                 1 and 0
    uint8                          value / 255
    integers of known depth        value / (2^bits - 1)
    fractions, LOW >= 0, HIGH <= 1 themselves
    whole numbers, LOW >= 0        value / (2^b - 1), b the smallest of 8, 10, 12, 14, 16 that holds HIGH
    anything else                  (value - LOW) / (HIGH - LOW)
    =============================  ====================================================================

    A stack is scaled as a whole, so its slices stay comparable.

    Parameters
    ----------
    pixels
        Finite numbers of any shape; `check_pixels` makes sure.
    bits
        Depth of the integers, where a file states it.
    name
        What an error calls the image.

    Returns
    -------
    The pixels, float32 in [0, 1], and the rule in words.

    Raises
    ------
    ImageError
        When nearly all pixels have one value, so that the last rule has nothing to stretch.
    """
    if pixels.dtype == bool:
        return pixels.astype(np.float32), "true = 1"
    if pixels.dtype == np.uint8 and bits is None:
        return _divide(pixels, 8)
    if bits is not None and pixels.dtype.kind in "ui":
        return _divide(pixels, bits)
    low, high = (float(value) for value in np.percentile(pixels, (LOW, HIGH)))
    if pixels.dtype.kind == "f" and low >= 0 and high <= 1:
        return np.clip(pixels, 0, 1).astype(np.float32), "as stored, in [0, 1]"
    if low >= 0 and high < 2 ** DEPTHS[-1] and _is_whole(pixels):
        return _divide(pixels, next(depth for depth in DEPTHS if high < 2**depth))
    if not low < high:
        raise ImageError(f"{name}: expected contrast, nearly all pixels are {low:g}. Choose another.")
    scaled = np.subtract(pixels, low, dtype=np.float32 if pixels.itemsize < 8 else np.float64)
    scaled /= high - low
    return np.clip(scaled, 0, 1, out=scaled).astype(
        np.float32, copy=False
    ), f"{low:g} to {high:g} ({LOW}st to {HIGH}th percentile)"


def check_pixels(pixels: NDArray[Any], *, stack: bool = False, name: str = "The image") -> None:
    """Refuse what cannot be analysed.

    Parameters
    ----------
    pixels
        (H, W) or (H, W, 3); for a stack (D, H, W) or (D, H, W, 3).
    stack
        Whether the first axis counts slices.
    name
        What an error calls the image.

    Raises
    ------
    ValueError
        When the array has another shape.
    ImageError
        When it is empty, too large, not made of real numbers, holds NaN or infinity, or has one value everywhere.
    """
    axes = pixels.ndim - stack
    if axes not in (2, 3) or (axes == 3 and pixels.shape[-1] != 3):
        wanted = "(D, H, W) or (D, H, W, 3)" if stack else "(H, W) or (H, W, 3)"
        raise ValueError(f"{name}: expected the shape {wanted}, got {pixels.shape}. Pick one slice or channel first.")
    check_size(pixels.shape[: 2 + stack], name)
    if pixels.dtype.kind not in "buif":
        raise ImageError(f"{name}: expected real numbers, got {pixels.dtype}. Take the magnitude or one component.")
    low, high = pixels.min(), pixels.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        broken = int((~np.isfinite(pixels)).sum())
        raise ImageError(
            f"{name}: expected finite numbers, {broken} of {pixels.size} are NaN or infinite. Replace them, say by 0."
        )
    if low == high:
        raise ImageError(f"{name}: expected contrast, every pixel is {low:g}. Choose another.")


def check_size(shape: Sequence[int], name: str) -> None:
    """Refuse an image (H, W) or stack (D, H, W) without pixels or with too many; the header's shape is enough.

    Raises
    ------
    ImageError
        When an axis is 0, a slice has over `MAX_PIXELS` or the stack over `MAX_STACK_PIXELS`.
    """
    size = " x ".join(map(str, shape))
    height, width = shape[-2:]
    if 0 in shape:
        raise ImageError(f"{name}: expected at least one pixel, got {size}. Choose another.")
    if height * width > MAX_PIXELS:
        raise ImageError(
            f"{name}: expected at most {MAX_PIXELS // 10**6} million pixels, got {size}. Crop it or save it smaller."
        )
    if np.prod(shape, dtype=np.int64) > MAX_STACK_PIXELS:
        raise ImageError(
            f"{name}: expected a stack of at most {MAX_STACK_PIXELS // 10**6} million pixels, got {size}. "
            "Save fewer slices."
        )


def _divide(pixels: NDArray[Any], bits: int) -> tuple[NDArray[np.float32], str]:
    white = 2**bits - 1
    scaled = np.divide(pixels, np.float32(white), dtype=np.float32, casting="unsafe")
    if pixels.dtype != np.uint8 or bits < 8:
        np.clip(scaled, 0, 1, out=scaled)
    return scaled, f"value / {white} ({bits} bits)"


def _is_whole(pixels: NDArray[Any]) -> bool:
    return pixels.dtype.kind in "ui" or bool(np.array_equal(pixels, np.rint(pixels)))
