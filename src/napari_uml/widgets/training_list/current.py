"""What "Add current" takes from the viewer: an image layer, the slice in view, and the labels that lie on it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels

from napari_uml.widgets.layer_arrays import array_of, position_in, source_of
from napari_uml.widgets.layers import MARK, is_result
from napari_uml.widgets.reading_modes import guess_reading, take

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import napari.viewer
    from napari.layers import Layer
    from numpy.typing import NDArray


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
        A copy of the labels (H, W); None without a labels layer.
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
    """The labels layers of the size of an image, the likeliest first.

    A result that the user corrected goes before the result itself (`layers.ResultLayers` lets go of what is painted
    on, so the correction is known by its name), then come others that are visible, then hidden ones.
    """
    shape = array_of(image).shape[: image.ndim]
    fitting = [layer for layer in reversed(viewer.layers) if isinstance(layer, Labels) and layer.data.shape == shape]
    mark = {"of": str(image.unique_id), "role": "structures"}

    def rank(layer: Layer) -> tuple[bool, ...]:
        corrected = MARK not in layer.metadata and layer.name.startswith(f"{image.name} structures")
        return not corrected, layer.metadata.get(MARK) != mark, not layer.visible

    return sorted(fitting, key=rank)


def take_current(viewer: napari.viewer.Viewer, image: Layer, labels: Layer | None) -> Current:
    """The picture in view of an image layer, with the labels that lie on it."""
    source = source_of(image)
    reading, position = guess_reading(source.shape, source.rgb), position_in(image, viewer.dims.point)
    stacked = reading.stack_axis is not None
    name = f"{image.name} {position[reading.stack_axis]}" if reading.stack_axis is not None else image.name
    return Current(
        name=name,
        group=image.name if stacked else "",
        read=partial(take, array_of(image), reading, position, False),
        labels=None if labels is None else labels_in_view(viewer, image, labels),
    )


def labels_in_view(viewer: napari.viewer.Viewer, image: Layer, labels: Layer) -> NDArray[Any]:
    """A copy (H, W) of the labels that lie on the picture in view of an image layer."""
    source = source_of(image)
    reading, position = guess_reading(source.shape, source.rgb), position_in(image, viewer.dims.point)
    plane = reading.plane_axes(len(source.shape))
    index = tuple(slice(None) if axis in plane else position[axis] for axis in range(image.ndim))
    return np.array(array_of(labels)[index])


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
