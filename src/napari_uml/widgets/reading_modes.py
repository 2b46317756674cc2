"""How the axes of a layer's array are read: which are the picture, which counts slices, which holds the colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_uml.data.scaling import check_pixels, check_size, scale_to_unit
from napari_uml.data.view import LUMINANCE, over_black

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from napari_uml.results import Box

Colours = Literal["none", "all", "grey", "red", "green", "blue"]

_TITLES: dict[Colours, str] = {
    "none": "Grey",
    "all": "Colour (RGB)",
    "grey": "Grey (brightness of RGB)",
    "red": "Red channel",
    "green": "Green channel",
    "blue": "Blue channel",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read an array.

    Attributes
    ----------
    colours
        `none`: there is no axis of colours; `all`: red, green and blue; `grey`: their brightness; or one of the three.
    colour_axis
        Axis of the colours, red first; None without colours.
    stack_axis
        Axis that counts slices; None for a single image.
    opacity
        Whether a fourth colour is opacity, as napari shows it; else it is left out.
    """

    colours: Colours
    colour_axis: int | None = None
    stack_axis: int | None = None
    opacity: bool = False

    @property
    def title(self) -> str:
        """For a list to choose from."""
        title = _TITLES[self.colours]
        return title if self.stack_axis is None else f"{title}, slices along axis {self.stack_axis}"

    def plane_axes(self, ndim: int) -> tuple[int, int]:
        """Axes of the rows and columns of the picture, in an array of `ndim` axes."""
        taken = (self.colour_axis, self.stack_axis)
        rows, columns = [axis for axis in range(ndim) if axis not in taken][-2:]
        return rows, columns


def possible_readings(shape: Sequence[int], rgb: bool) -> tuple[Reading, ...]:
    """Every way to read an array, the likeliest first.

    Parameters
    ----------
    shape
        Of the array, at least two axes besides the colours.
    rgb
        Whether napari shows the last axis as colours.
    """
    ndim = len(shape)
    if rgb:
        modes: tuple[Colours, ...] = ("all", "grey", "red", "green", "blue")
        opacity, stacks = shape[-1] == 4, _stack_axes(shape, ndim - 1)
        return tuple(Reading(mode, ndim - 1, axis, opacity) for mode in modes for axis in stacks)
    grey = tuple(Reading("none", None, axis) for axis in _stack_axes(shape, None))
    in_colour = [axis for axis in (ndim - 1, 0) if ndim > 2 and shape[axis] in (3, 4)]
    colour = tuple(Reading("all", axis, stack) for axis in in_colour for stack in _stack_axes(shape, axis))
    return (*colour, *grey) if in_colour and in_colour[0] == ndim - 1 else (*grey, *colour)


def guess_reading(shape: Sequence[int], rgb: bool) -> Reading:
    """The likeliest reading: napari's own colours, else slices along the axis that is clearly the shortest."""
    return possible_readings(shape, rgb)[0]


def reading_of_plane(shape: Sequence[int], rgb: bool, colours: Colours, plane: Collection[int]) -> Reading | None:
    """The reading with these colours whose picture has these two axes, in whatever order; None when there is none."""
    readings = (reading for reading in possible_readings(shape, rgb) if reading.colours == colours)
    return next((reading for reading in readings if {*reading.plane_axes(len(shape))} == {*plane}), None)


def take(data: Any, reading: Reading, position: Sequence[int], all_slices: bool) -> NDArray[Any]:
    """The pixels to analyse, read from an array that may lie on disk.

    Parameters
    ----------
    data
        An array, or something that becomes one slice by slice (dask, zarr).
    reading
        How to read it.
    position
        Index along every axis, used for the axes that are not read as a whole.
    all_slices
        Whether to take every slice of a stack rather than the one at `position`.

    Returns
    -------
    (H, W) or (H, W, 3); with all slices of a stack (D, H, W) or (D, H, W, 3). Transparent pixels are laid over black.

    Raises
    ------
    ValueError, ImageError
        When the array holds nothing that can be scaled to [0, 1], for one of its colours.
    """
    ndim = len(data.shape)
    stack = reading.stack_axis if all_slices else None
    kept = [*([] if stack is None else [stack]), *reading.plane_axes(ndim)]
    if reading.colour_axis is not None:
        kept.append(reading.colour_axis)
    check_size([data.shape[axis] for axis in kept if axis != reading.colour_axis], "The image")  # before it is read
    index = tuple(slice(None) if axis in kept else position[axis] for axis in range(ndim))
    pixels = np.asarray(data[index])
    pixels = pixels.transpose([sorted(kept).index(axis) for axis in kept])
    if reading.opacity:
        pixels = over_black(pixels)
    return pixels if reading.colours == "none" else _mix(pixels[..., :3], reading.colours, stack is not None)


def put(
    result: NDArray[Any], reading: Reading, position: Sequence[int], shape: Sequence[int], rgb: bool, box: Box | None
) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """A result in the axes of the layer it came from, and where it begins there.

    Parameters
    ----------
    result
        (H, W), or (D, H, W) for the first D slices of a stack, on the grid of the whole picture.
    reading, position
        As given to `take`.
    shape, rgb
        Of the layer's array, and whether napari shows its last axis as colours.
    box
        Keep this rectangle alone.

    Returns
    -------
    An array with the axes of the layer (without napari's colour axis; colours along another axis all get the same),
    and the index of its first element in the layer's array.
    """
    ndim = len(shape) - rgb
    plane = reading.plane_axes(len(shape))
    offset = np.array(position[:ndim], dtype=np.intp)
    offset[list(plane)] = (0, 0) if box is None else (box.top, box.left)
    kept = list(plane)
    if result.ndim == 3 and reading.stack_axis is not None:
        kept.insert(0, reading.stack_axis)
        offset[reading.stack_axis] = 0
    cropped = result if box is None else result[..., box.slices[0], box.slices[1]]
    placed = np.expand_dims(
        cropped.transpose(np.argsort(kept)), tuple(axis for axis in range(ndim) if axis not in kept)
    )
    if reading.colour_axis is not None and reading.colour_axis < ndim:
        placed = np.repeat(placed, shape[reading.colour_axis], axis=reading.colour_axis)
        offset[reading.colour_axis] = 0
    return placed, offset


def _stack_axes(shape: Sequence[int], colour_axis: int | None) -> list[int | None]:
    """Axes that may count slices, the likeliest first: the one clearly the shortest, else the first."""
    axes = [axis for axis in range(len(shape)) if axis != colour_axis]
    if len(axes) == 2:
        return [None]
    lengths = sorted(shape[axis] for axis in axes)
    shortest = next(axis for axis in axes if shape[axis] == lengths[0])
    first = shortest if 2 * lengths[0] < lengths[1] else axes[0]
    return [first, *(axis for axis in axes if axis != first)]


def _mix(pixels: NDArray[Any], colours: Colours, stack: bool) -> NDArray[Any]:
    if colours == "all":
        return pixels
    if colours == "grey":
        check_pixels(pixels, stack=stack)
        return scale_to_unit(pixels)[0] @ LUMINANCE
    channel: NDArray[Any] = pixels[..., ("red", "green", "blue").index(colours)]
    return channel
