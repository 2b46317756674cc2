"""Which file an analysed image came from, so that a result can be repeated outside napari; no Qt, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_uml.data.reading import read_image
from napari_uml.data.view import in_unit
from napari_uml.errors import ImageError
from napari_uml.files import replacing
from napari_uml.inference.analysis import pick_slice
from napari_uml.widgets.reading_modes import take

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_uml.data.reading import LoadedImage
    from napari_uml.widgets.session import Request, Result

PATH = "path"
"""Key of a layer's metadata that names the file it was read from."""


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """A file that holds exactly the analysed pixels.

    Attributes
    ----------
    image
        The pixels, with the file that they come from.
    slice_number
        The slice of the file's stack that they are; None: all of it.
    """

    image: LoadedImage
    slice_number: int | None = None


def files_of(layer: Layer) -> tuple[Path, ...]:
    """The files that a layer may have been read from, as it says itself."""
    named = (layer.metadata.get(PATH), layer.source.path)
    return tuple(dict.fromkeys(Path(path) for path in named if path))


def analysed_pixels(result: Result, data: Any) -> NDArray[np.float32]:
    """What a result is about, in [0, 1]; of a cancelled stack the slices that are done.

    Parameters
    ----------
    result
        The answer.
    data
        The layer's array.
    """
    request = result.request
    pixels = in_unit(take(data, request.reading, request.position, request.all_slices), stack=request.all_slices)
    return pixels[: result.done] if request.all_slices else pixels


def find_origin(files: Sequence[Path], pixels: NDArray[np.float32], request: Request) -> Origin | None:
    """The first of some files that gives exactly these pixels when it is read by itself; None when none does.

    It differs, for instance, when the layer was changed, or is read as one of its channels.
    """
    for file in files:
        try:
            image = read_image(file)
        except ImageError:
            continue
        number = _slice_in(image, request)
        if request.all_slices != (image.is_stack and number is None):
            continue
        if number is not None and not number < len(image.pixels):
            continue
        picked = pick_slice(image, number)
        if np.array_equal(picked.pixels, pixels):
            return Origin(picked, number)
    return None


def write_input(path: Path, pixels: NDArray[np.float32], *, is_stack: bool) -> LoadedImage:
    """Write pixels as a TIFF that `read_image` reads to the last bit, and read it.

    Parameters
    ----------
    path
        A .tif file; one that is there is replaced.
    pixels
        In [0, 1]: (H, W) or (H, W, 3), a stack (D, H, W) or (D, H, W, 3).
    is_stack
        Whether the first axis counts slices.

    Raises
    ------
    UMLError
        When the file cannot be written.
    """
    rgb = pixels.ndim - is_stack == 3
    axes = ("Z" if is_stack else "") + "YX" + ("S" if rgb else "")
    with replacing(path) as part:
        tifffile.imwrite(
            part, pixels, photometric="rgb" if rgb else "minisblack", metadata={"axes": axes}, compression="zlib"
        )
    return read_image(path)


def _slice_in(image: LoadedImage, request: Request) -> int | None:
    axis = request.reading.stack_axis
    return None if request.all_slices or axis is None or not image.is_stack else request.position[axis]
