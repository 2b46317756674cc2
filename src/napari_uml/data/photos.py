"""PNG, JPEG and BMP files, and the compressed TIFF files that tifffile leaves to Pillow."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageFile, ImageOps, ImageSequence

from napari_uml.data.decoded import Decoded, decoding, split_alpha
from napari_uml.data.scaling import HIGH, MAX_PIXELS, check_size
from napari_uml.errors import ImageError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

ERRORS = (
    OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, EOFError, OverflowError,
    struct.error, zlib.error,
)  # fmt: skip
"""What Pillow raises for a broken file, depending on where it breaks."""
PICTURES = ("PNG", "JPEG", "BMP")
"""Names that Pillow has for the formats that `decode` reads."""


def decode(path: Path) -> Decoded:
    """Read a photograph, turned upright as its EXIF orientation says; palettes become RGB.

    Raises
    ------
    ImageError
        When it cannot be decoded, or is too large.
    """
    with decoding(path, "PNG, JPEG or BMP", ERRORS), open_picture(path, PICTURES) as image:
        check_size((image.height, image.width), path.name)
        deep = "16B" in str(image.tile[0].args) and image.mode.startswith("RGB") if image.tile else False
        ImageOps.exif_transpose(image, in_place=True)
        pixels = _to_array(image)
    if deep:
        _check_depth(pixels, path)
    return _decoded(pixels, path, is_stack=False)


def decode_tiff(path: Path) -> Decoded:
    """Read the pages of a TIFF file in a compression such as LZW or JPEG.

    Raises
    ------
    ImageError
        When Pillow cannot decode it either, its pages differ, or it is too large.
    """
    advice = "Save it uncompressed, or run pip install imagecodecs."
    with decoding(path, "TIFF", ERRORS, advice), open_picture(path, ("TIFF",)) as image:
        frames = getattr(image, "n_frames", 1)
        check_size((image.height, image.width) if frames == 1 else (frames, image.height, image.width), path.name)
        pages = [_to_array(page) for page in ImageSequence.Iterator(image)]
    if len({page.shape for page in pages}) > 1:
        raise ImageError(f"{path.name}: expected pages of one size and kind, got several. Save them one by one.")
    return _decoded(np.stack(pages) if len(pages) > 1 else pages[0], path, is_stack=len(pages) > 1)


def open_picture(path: Path, formats: tuple[str, ...]) -> ImageFile.ImageFile:
    """Open a file in one of these formats, whatever it is called.

    Raises
    ------
    ImageError
        When it has far too many pixels.
    OSError
        When it cannot be read, or is in none of them (`UnidentifiedImageError`).
    """
    try:
        return Image.open(path, formats=formats)
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{path.name}: expected at most {MAX_PIXELS // 10**6} million pixels, got far more. "
            "Crop it or save it smaller."
        ) from error


def _to_array(image: Image.Image) -> NDArray[Any]:
    plain = image.mode in ("1", "L", "LA", "RGB", "RGBA", "I", "F") or image.mode.startswith("I;16")
    if not plain:
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    elif image.mode in ("L", "RGB") and "transparency" in image.info:
        image = image.convert("LA" if image.mode == "L" else "RGBA")
    return np.asarray(image)


def _decoded(pixels: NDArray[Any], path: Path, *, is_stack: bool) -> Decoded:
    if pixels.ndim == 3 + is_stack and pixels.shape[-1] in (2, 4):
        pixels, alpha = split_alpha(pixels)
        return Decoded(pixels, is_stack, (path,), alpha=alpha)
    return Decoded(pixels, is_stack, (path,))


def _check_depth(pixels: NDArray[np.uint8], path: Path) -> None:
    """Pillow keeps the upper byte of 16-bit colours, which is little when the lower bits hold the picture."""
    if np.percentile(pixels[..., :3], HIGH) < 64:
        raise ImageError(
            f"{path.name}: expected a colour PNG of 8 bits or with all its 16 bits in use, got a darker one. "
            "Save it as TIFF."
        )
