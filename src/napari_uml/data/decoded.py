"""What every format's decoder gives back, and how a library's errors become one sentence."""

from __future__ import annotations

import importlib
import logging
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_uml.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

LIBRARIES = ("tifffile", "pydicom", "nibabel.global")
"""Names of their loggers."""


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """An image as its file holds it.

    Attributes
    ----------
    pixels
        (H, W), (H, W, 3), (D, H, W) or (D, H, W, 3) in the file's own numbers; in [0, 1] where `scaling` is given.
    is_stack
        Whether the first axis counts slices.
    files
        The files read, slices in their order.
    scaling
        The rule in words when the file itself says how to show it (a DICOM window); empty otherwise.
    bits
        Depth of the integers, where the file states it.
    inverted
        Whether the file calls its lowest number white.
    alpha
        Opacity in [0, 1], shape of a channel; None where everything is opaque.
    spacing
        Millimetres between rows and between columns.
    slice_distance
        Millimetres between slices.
    affine
        (4, 4): voxel (column, row, slice, 1) to millimetres right, anterior and superior of the patient.
    """

    pixels: NDArray[Any]
    is_stack: bool
    files: tuple[Path, ...]
    scaling: str = ""
    bits: int | None = None
    inverted: bool = False
    alpha: NDArray[np.float32] | None = None
    spacing: tuple[float, float] | None = None
    slice_distance: float | None = None
    affine: NDArray[np.float64] | None = None


@contextmanager
def decoding(
    path: Path, kind: str, errors: tuple[type[Exception], ...], advice: str = "Copy or export it again."
) -> Iterator[None]:
    """Turn the errors that a library raises for a bad file into one `ImageError`; what else it says is not shown."""
    try:
        with warnings.catch_warnings(), _quiet(*LIBRARIES):
            warnings.simplefilter("ignore")
            yield
    except errors as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:160].rstrip(".: ")
        raise ImageError(
            f"{path.name}: expected a complete {kind} file, got one that cannot be decoded ({reason}). {advice}"
        ) from error


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Keep loggers from printing to a terminal that nobody configured."""
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def optional(module: str, path: Path) -> Any:
    """A library that only some formats need.

    Raises
    ------
    ImageError
        When it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        raise ImageError(
            f"{path.name}: expected {package} to read this format, it is not installed. "
            'Run pip install "napari-uml[medical]".'
        ) from error


def full_opacity(dtype: np.dtype[Any]) -> float:
    """The number that means opaque: 1 of fractions, the highest of whole numbers."""
    return 1.0 if dtype.kind == "f" else float(np.iinfo(dtype).max)


def split_alpha(pixels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
    """Take the opacity off the colours.

    Parameters
    ----------
    pixels
        (..., 2) grey and alpha, or (..., 4) RGB and alpha.

    Returns
    -------
    (...) or (..., 3) colours, and (...) opacity in [0, 1]; None for it where everything is opaque.
    """
    colours = pixels[..., 0] if pixels.shape[-1] == 2 else pixels[..., :3]
    opaque, alpha = full_opacity(pixels.dtype), pixels[..., -1]
    if alpha.size == 0 or alpha.min() >= opaque:
        return colours, None
    return colours, np.clip(alpha / np.float32(opaque), 0, 1).astype(np.float32)
