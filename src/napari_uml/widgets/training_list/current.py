"""What "Add current" takes from the viewer: an image layer, the slice in view, and the labels that lie on it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels

from napari_uml.config import IGNORE
from napari_uml.widgets.layer_arrays import array_of, position_in, source_of
from napari_uml.widgets.layers import CORRECTED, MARK, READING, is_result
from napari_uml.widgets.reading_modes import possible_readings, take

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import napari.viewer
    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_uml.widgets.reading_modes import Reading

ROUNDING = 1e-6
"""Of places between layers that are turned or scaled, pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Current:
    """One picture of the viewer.

    Attributes
    ----------
    name, group
        What to call it, and what keeps the slices of a stack together (empty for a single image).
    read
        Gives the pixels; may be slow.
    labels
        A copy of the labels (H, W), `IGNORE` where there are none; None without a labels layer.
    """

    name: str
    group: str
    read: Callable[[], NDArray[Any]]
    labels: NDArray[Any] | None


def image_layers(viewer: napari.viewer.Viewer) -> list[Layer]:
    """The images of the viewer that are no results, the active one first, then the topmost."""
    found = [layer for layer in reversed(viewer.layers) if isinstance(layer, Image) and not is_result(layer)]
    return sorted(found, key=lambda layer: layer != viewer.layers.selection.active)


def labels_layers(viewer: napari.viewer.Viewer, image: Layer) -> list[Layer]:
    """The labels layers that lie on the picture in view of an image, the likeliest first.

    They are of its size, or results of it, which may be of one slice, of some or of a rectangle. A result that the user
    corrected goes before the result itself, then come others that are visible, then hidden ones.
    """
    shape, mark = array_of(image).shape[: image.ndim], _mark(image)

    def fits(layer: Layer) -> bool:
        known = layer.metadata.get(MARK) or layer.metadata.get(CORRECTED) or {}
        is_about = known.get("of") == mark["of"] or _is_corrected(layer, image) or array_of(layer).shape == shape
        return is_about and bool(_below(viewer, image, layer)[1].any())

    def rank(layer: Layer) -> tuple[bool, ...]:
        return not _is_corrected(layer, image), layer.metadata.get(MARK) != mark, not layer.visible

    found = [layer for layer in reversed(viewer.layers) if isinstance(layer, Labels) and fits(layer)]
    return sorted(found, key=rank)


def take_current(viewer: napari.viewer.Viewer, image: Layer, labels: Layer | None) -> Current:
    """The picture in view of an image layer, with the labels that lie on it."""
    reading, position = reading_in_view(viewer, image, labels), position_in(image, viewer.dims.point)
    stacked = reading.stack_axis is not None
    name = f"{image.name} {position[reading.stack_axis]}" if reading.stack_axis is not None else image.name
    return Current(
        name=name,
        group=image.name if stacked else "",
        read=partial(take, array_of(image), reading, position, False),
        labels=None if labels is None else labels_in_view(viewer, image, labels),
    )


def reading_in_view(viewer: napari.viewer.Viewer, image: Layer, labels: Layer | None) -> Reading:
    """How the picture in view of an image layer is read: as the labels' result was, else as is likeliest.

    Slices are counted along the axis that is not on the screen, whatever was analysed.
    """
    source = source_of(image)
    readings = possible_readings(source.shape, source.rgb)
    analysed = None if labels is None else labels.metadata.get(READING)
    likeliest = analysed if analysed in readings else readings[0]
    shown = tuple(sorted(axis + image.ndim - viewer.dims.ndim for axis in viewer.dims.order[-2:]))
    if likeliest.colour_axis in shown:  # napari shows colours as rows or columns, which is no picture
        return likeliest
    return next((one for one in (likeliest, *readings) if one.plane_axes(len(source.shape)) == shown), likeliest)


def labels_in_view(viewer: napari.viewer.Viewer, image: Layer, labels: Layer) -> NDArray[Any]:
    """A copy (H, W) of the labels that lie on the picture in view of an image layer, `IGNORE` where there are none."""
    array = array_of(labels)
    elements, inside = _below(viewer, image, labels)
    if not inside.any():
        return np.full(inside.shape, IGNORE, dtype=np.uint8)
    clipped = [np.clip(along, 0, length - 1) for along, length in zip(elements, array.shape, strict=True)]
    block = np.asarray(array[tuple(slice(along.min(), along.max() + 1) for along in clipped)])
    found = block[tuple(along - along.min() for along in clipped)]
    return np.where(inside, found, np.uint8(IGNORE))


def named_numbers(labels: Layer) -> dict[int, str]:
    """The structures that a labels layer names, as those of results do; empty for a layer of the user's own."""
    if not {"index", "structure"} <= {*labels.features}:
        return {}
    known = labels.features[["index", "structure"]].dropna()
    return {int(number): str(name) for number, name in zip(known["index"], known["structure"], strict=True)}


def renumbered(labels: NDArray[Any], numbers: Mapping[int, int]) -> NDArray[np.uint8]:
    """Labels in other numbers, up to 255; every number that they have must be among those given."""
    found, where = np.unique(labels, return_inverse=True)
    return np.array([numbers[int(number)] for number in found], dtype=np.uint8)[where].reshape(labels.shape)


def _mark(image: Layer) -> dict[str, str]:
    return {"of": str(image.unique_id), "role": "structures"}


def _is_corrected(layer: Layer, image: Layer) -> bool:
    """Whether the user painted on a result of an image; one without any mark is known by its name."""
    known = layer.metadata.get(CORRECTED)
    named = known is None and layer.name.startswith(f"{image.name} structures")
    return MARK not in layer.metadata and (known == _mark(image) or named)


def _below(
    viewer: napari.viewer.Viewer, image: Layer, labels: Layer
) -> tuple[list[NDArray[np.intp]], NDArray[np.bool_]]:
    """Which element of a labels layer lies on each pixel of the picture in view, by its place in the world.

    Returns
    -------
    The index along every axis of the labels, in arrays that broadcast to (H, W), and where there is such an element,
    (H, W).
    """
    shape = array_of(image).shape
    plane = reading_in_view(viewer, image, labels).plane_axes(len(shape))
    element = np.array(position_in(image, viewer.dims.point)[: image.ndim], dtype=float)
    world = np.array(viewer.dims.point, dtype=float)

    def place(row: int, column: int) -> NDArray[np.float64]:
        element[list(plane)] = row, column
        world[-image.ndim :] = image.data_to_world(element)
        return np.array(labels.world_to_data(world))

    first = place(0, 0)
    down, across = place(1, 0) - first, place(0, 1) - first  # every transform is affine
    rows, columns = np.ogrid[: shape[plane[0]], : shape[plane[1]]]
    elements = [_nearest(first[axis], (down[axis], rows), (across[axis], columns)) for axis in range(labels.ndim)]
    inside = np.ones((rows.size, columns.size), dtype=bool)
    for along, length in zip(elements, array_of(labels).shape, strict=True):
        inside &= (along >= 0) & (along < length)
    return elements, inside


def _nearest(first: float, *steps: tuple[float, NDArray[np.intp]]) -> NDArray[np.intp]:
    """The element nearest to `first` and so many steps; what does not change along an axis has no such axis (1)."""
    places = np.full((1, 1), first)
    for step, counts in steps:
        if abs(step) > ROUNDING:
            places = places + step * counts
    return np.floor(places + 0.5 + ROUNDING).astype(np.intp)
