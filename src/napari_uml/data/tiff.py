"""TIFF files: grey, RGB, palette, with or without alpha; several pages are a stack."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from tifffile import (
    COMPRESSION,
    EXTRASAMPLE,
    PHOTOMETRIC,
    RESUNIT,
    SAMPLEFORMAT,
    TIFF,
    TiffFile,
    TiffFileError,
    TiffPage,
)

from napari_uml.data import photos
from napari_uml.data.decoded import Decoded, decoding, split_alpha
from napari_uml.data.scaling import check_size
from napari_uml.errors import ImageError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from tifffile import TiffPageSeries

ERRORS = (
    TiffFileError, OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, NotImplementedError, EOFError,
    RuntimeError, AssertionError, ZeroDivisionError, OverflowError, struct.error, zlib.error,
)  # fmt: skip
"""What tifffile raises for a broken file, depending on where it breaks."""

PLAIN = (COMPRESSION.NONE, COMPRESSION.ADOBE_DEFLATE, COMPRESSION.DEFLATE)
"""Compressions that every program decodes to the same numbers."""
LENGTHS = {"nm": 1e-6, "um": 1e-3, "µm": 1e-3, "\\u00b5m": 1e-3, "micron": 1e-3, "microns": 1e-3, "mm": 1, "cm": 10}
"""Millimetres of the units that ImageJ writes."""
PRINTER_DPI = (72, 96, 100, 120, 150, 180, 200, 240, 300, 350, 360, 400, 600, 720, 800, 1200)
"""Resolutions that image editors write by themselves; they say nothing about the object."""


def decode(path: Path) -> Decoded:
    """Read a TIFF file.

    Raises
    ------
    ImageError
        When it cannot be decoded, is too large, or its axes are neither one image nor one stack, grey or RGB.
    """
    with decoding(path, "TIFF", ERRORS), TiffFile(path) as tif:
        series = _only_series(tif, path)
        axes, shape = _axes(series, path)
        is_stack = len(axes.replace("S", "")) == 3
        check_size([n for axis, n in zip(axes, shape, strict=True) if axis != "S"], path.name)
        page = series.keyframe
        if not _can_decode(page):
            return photos.decode_tiff(path)
        pixels = series.asarray().reshape(shape)
        if "S" in axes:
            pixels = np.moveaxis(pixels, axes.index("S"), -1)
        pixels, alpha = _colours(pixels, page, path, is_stack=is_stack)
        spacing, distance = _spacing(tif, page)
        return Decoded(
            pixels,
            is_stack,
            (path,),
            bits=_bits(page),
            inverted=page.photometric == PHOTOMETRIC.MINISWHITE,
            alpha=alpha,
            spacing=spacing,
            slice_distance=distance,
        )


def stored_numbers(path: Path) -> NDArray[Any]:
    """The numbers of a mask as the file stores them, whatever it calls white, as ImageJ and tifffile do.

    Raises
    ------
    ImageError
        As `decode` does, and for a compressed file that calls 0 white: programs disagree about what it stores.
    """
    with decoding(path, "TIFF", ERRORS), TiffFile(path) as tif:
        page = tif.pages.first
        if page.photometric == PHOTOMETRIC.MINISWHITE and page.compression not in PLAIN:
            raise ImageError(
                f"{path.name}: expected a mask whose number 0 is black, got a compressed TIFF whose 0 is white. "
                "Save it as PNG."
            )
    return decode(path).pixels


def _only_series(tif: TiffFile, path: Path) -> TiffPageSeries:
    found = [series for series in tif.series if series.ndim > 1 and not series.keyframe.is_reduced]
    if len(found) != 1:
        sizes = ", ".join(str(series.shape) for series in found[:5])
        raise ImageError(f"{path.name}: expected pages of one size, got {sizes or 'none'}. Save one page by itself.")
    return found[0]


def _axes(series: TiffPageSeries, path: Path) -> tuple[str, tuple[int, ...]]:
    """Axes without those of length 1, checked: rows Y, columns X, samples S and one other for slices."""
    axes, shape = series.get_axes(squeeze=False), series.get_shape(squeeze=False)
    kept = [(a, n) for a, n in zip(axes, shape, strict=True) if n != 1 or a in "YX"]
    axes, shape = "".join(a for a, _ in kept), tuple(n for _, n in kept)
    samples = dict(kept).get("S", 1)
    if axes.replace("S", "")[-2:] != "YX" or len(axes.replace("S", "")) > 3 or "C" in axes or samples > 4:
        raise ImageError(
            f"{path.name}: expected a grey or RGB image or one stack of them, got axes {axes} of shape {shape}. "
            "Save one channel, or an RGB copy."
        )
    return axes, shape


def _can_decode(page: TiffPage) -> bool:
    """Whether tifffile can by itself: without imagecodecs it lacks LZW, JPEG and a few more."""
    known = page.compression in TIFF.DECOMPRESSORS and page.predictor in TIFF.UNPREDICTORS
    return known and page.photometric != PHOTOMETRIC.YCBCR


def _colours(
    pixels: NDArray[Any], page: TiffPage, path: Path, *, is_stack: bool
) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
    """Grey or RGB, and the opacity that has not been multiplied into it yet."""
    channels = pixels.shape[-1] if pixels.ndim == 3 + is_stack else 1
    if page.photometric == PHOTOMETRIC.PALETTE and channels == 1:
        return _apply_palette(pixels, page), None
    if _has_alpha(page, channels):
        colours, alpha = split_alpha(pixels)
        return colours, None if page.extrasamples[-1] == EXTRASAMPLE.ASSOCALPHA else alpha
    if not _is_plain(page, channels):
        kind = getattr(page.photometric, "name", page.photometric)
        raise ImageError(
            f"{path.name}: expected grey or RGB, with or without alpha, got {channels} channels of kind {kind}. "
            "Save one channel, or an RGB copy."
        )
    return pixels, None


def _is_plain(page: TiffPage, channels: int) -> bool:
    if channels == 1:
        return page.photometric in (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE)
    return channels == 3 and page.photometric == PHOTOMETRIC.RGB


def _has_alpha(page: TiffPage, channels: int) -> bool:
    kind = {2: PHOTOMETRIC.MINISBLACK, 4: PHOTOMETRIC.RGB}.get(channels)
    return page.photometric == kind and page.extrasamples[-1:] in (
        (EXTRASAMPLE.ASSOCALPHA,),
        (EXTRASAMPLE.UNASSALPHA,),
    )


def _bits(page: TiffPage) -> int | None:
    """Depth of odd integers; 16 says nothing, cameras of 12 bits write it too."""
    bits = page.bitspersample
    odd = page.sampleformat == SAMPLEFORMAT.UINT and page.photometric != PHOTOMETRIC.PALETTE and bits not in (8, 16)
    return bits if odd and bits < 16 else None


def _apply_palette(pixels: NDArray[Any], page: TiffPage) -> NDArray[np.uint8]:
    colormap = np.asarray(page.colormap)
    if colormap.max() > 255:
        colormap = colormap >> 8
    colours: NDArray[np.uint8] = colormap.astype(np.uint8).T[pixels]
    return colours


def _spacing(tif: TiffFile, page: TiffPage) -> tuple[tuple[float, float] | None, float | None]:
    """Millimetres (row, column) and between slices, from ImageJ or pixels per centimetre; inches are a printer's."""
    imagej = tif.imagej_metadata or {}
    unit = LENGTHS.get(str(imagej.get("unit", "")).lower())
    across, down = page.resolution
    if unit is None and page.resolutionunit == RESUNIT.CENTIMETER and not _is_printer(across * 2.54):
        unit = 10
    if unit is None or not (1e-3 < across / unit < 1e6 and 1e-3 < down / unit < 1e6):
        return None, None
    step = imagej.get("spacing")
    return (unit / down, unit / across), None if step is None else float(step) * unit


def _is_printer(dpi: float) -> bool:
    return any(abs(dpi - usual) < 0.5 for usual in PRINTER_DPI)
