"""Files of a training list: images stored without loss, masks, and names that nothing has yet."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from PIL import Image

from napari_uml.config import IGNORE
from napari_uml.data.reading import ENDINGS
from napari_uml.data.scaling import check_pixels
from napari_uml.data.view import over_black
from napari_uml.errors import ImageError
from napari_uml.files import replacing, safe_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

IMAGES, MASKS = "images", "masks"


def store_image(folder: Path, name: str, pixels: NDArray[Any]) -> str:
    """Write an array so that reading it gives the same picture: as 8-bit PNG where that is exact, else as TIFF.

    Parameters
    ----------
    folder
        The dataset folder.
    name
        What the file is to be called; made a file name, and numbered where it is taken.
    pixels
        (H, W), (H, W, 3) or, with opacity, (H, W, 4); any numbers that `read_image` takes.

    Returns
    -------
    Path of the file relative to the folder.

    Raises
    ------
    ImageError, ValueError
        When it is no picture that can be analysed; see `check_pixels`.
    UMLError
        When it cannot be written.
    """
    pixels = np.asarray(pixels)
    if pixels.ndim == 3:
        pixels = over_black(pixels)
    check_pixels(pixels, name=name)
    exact = _as_bytes(pixels)
    path = free_path(folder / IMAGES, name, ".tif" if exact is None else ".png")
    with replacing(path) as part:
        if exact is None:
            kind = "rgb" if pixels.ndim == 3 else "minisblack"
            tifffile.imwrite(part, pixels, photometric=kind, compression="zlib")
        else:
            Image.fromarray(exact).save(part)
    return f"{IMAGES}/{path.name}"


def store_mask(folder: Path, name: str, mask: NDArray[np.uint8]) -> str:
    """Write a mask (H, W) as PNG under a name that is not taken; its path relative to the folder."""
    path = free_path(folder / MASKS, name, ".png")
    write_mask(path, mask)
    return f"{MASKS}/{path.name}"


def write_mask(path: Path, mask: NDArray[np.uint8]) -> None:
    """Write a mask (H, W) as PNG in the place of the one that is there."""
    with replacing(path) as part:
        Image.fromarray(mask).save(part)


def copy_in(folder: Path, source: Path) -> str:
    """Copy an image file as it is under a name that is not taken; its path relative to the folder."""
    ending = next((end for end in sorted(ENDINGS, key=len, reverse=True) if source.name.lower().endswith(end)), "")
    path = free_path(folder / IMAGES, source.name[: len(source.name) - len(ending)], ending)
    with replacing(path) as part:
        shutil.copyfile(source, part)
    return f"{IMAGES}/{path.name}"


def free_path(folder: Path, name: str, ending: str) -> Path:
    """A path that does not exist: the name with what no file system minds, numbered from 2 where it is taken."""
    stem = safe_name(name) or "image"
    path, number = folder / f"{stem}{ending}", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}{ending}"
    return path


def as_mask(labels: NDArray[Any], structures: Sequence[str], unlabelled: int | None = None) -> NDArray[np.uint8]:
    """A labels array as a mask.

    Parameters
    ----------
    labels
        (H, W) whole numbers: those of the structures, `unlabelled`, and `IGNORE`.
    structures
        Their names, background first.
    unlabelled
        Number of pixels that nobody annotated; None: every pixel is annotated (those of `IGNORE` apart).

    Returns
    -------
    uint8 (H, W) with `IGNORE` where nobody annotated.

    Raises
    ------
    ImageError
        When it has other axes or numbers.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.dtype.kind not in "uib":
        raise ImageError(f"Expected labels of shape (H, W) with integers, got {labels.shape} {labels.dtype}.")
    found = [int(number) for number in np.unique(labels) if number not in (unlabelled, IGNORE)]
    unknown = [number for number in found if not 0 <= number < len(structures)]
    if unknown:
        names = ", ".join(f"{number} {name}" for number, name in enumerate(structures))
        raise ImageError(
            f"Expected the numbers {names} in the labels, got {', '.join(map(str, unknown[:5]))}; paint them anew, or "
            "add a structure."
        )
    mask = labels.astype(np.uint8)
    if unlabelled is not None:
        mask[labels == unlabelled] = IGNORE
    return mask


def without_white(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A mask in black and white, as many programs write it, with 1 for white; others as they are."""
    return (mask == IGNORE).astype(np.uint8) if set(np.unique(mask)) == {0, IGNORE} else mask


def _as_bytes(pixels: NDArray[Any]) -> NDArray[np.uint8] | None:
    """The array as 8-bit numbers that are read as the same picture; None when there are none."""
    if pixels.dtype == bool:
        return pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype != np.float32 or pixels.min() < 0 or pixels.max() > 1:
        return None
    rounded = np.rint(pixels * 255).astype(np.uint8)
    return rounded if np.array_equal(np.divide(rounded, np.float32(255), dtype=np.float32), pixels) else None
