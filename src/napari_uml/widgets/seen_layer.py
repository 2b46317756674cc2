"""What the network saw, as a layer that lies where its image does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from napari_uml.widgets.geometry import placement
from napari_uml.widgets.layers import INPUT_ROLE, MARK
from napari_uml.widgets.reading_modes import put

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_uml.widgets.session import Result


def show_seen(viewer: napari.viewer.Viewer, source: Layer, result: Result) -> None:
    """Show the network's input of a result right above its image, in place where it can; nothing without one."""
    if result.seen is None:
        return
    data, where = placed_input(source, result, result.seen)
    rgb = result.seen.ndim == 3
    layer = find_seen(viewer, source)
    if layer is not None and layer.rgb == rgb and layer.ndim == source.ndim:
        layer.data = data
        for name, value in where.items():
            setattr(layer, name, value)
        return
    hide_seen(viewer, source)
    mark = {MARK: {"of": str(source.unique_id), "role": INPUT_ROLE}}
    name = f"{source.name} {INPUT_ROLE}"
    made = Image(data, name=name, rgb=rgb, contrast_limits=(0, 1), colormap="gray", metadata=mark, **where)
    viewer.layers.insert(viewer.layers.index(source) + 1, made)


def hide_seen(viewer: napari.viewer.Viewer, source: Layer) -> None:
    """Take the layer away."""
    layer = find_seen(viewer, source)
    if layer is not None:
        viewer.layers.remove(layer)


def find_seen(viewer: napari.viewer.Viewer, source: Layer) -> Layer | None:
    """The layer with the network's input of an image, if it is shown."""
    mark = {"of": str(source.unique_id), "role": INPUT_ROLE}
    return next((layer for layer in viewer.layers if layer.metadata.get(MARK) == mark), None)


def placed_input(source: Layer, result: Result, seen: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
    """The data of the layer and its place: S x S pixels over the rectangle that was looked at.

    Pixel i of n that span a length L from the edge `low` has its centre at low + (i + 1/2) L / n - 1/2.
    """
    request = result.request
    number = result.slice_at(request.position)
    position = list(request.position)
    if request.all_slices and request.reading.stack_axis is not None:
        position[request.reading.stack_axis] = number
    shape, rgb, reading = request.source.shape, request.source.rgb, request.reading
    channels = [seen] if seen.ndim == 2 else list(np.moveaxis(seen, -1, 0))
    planes = [put(channel, reading, position, shape, rgb, None) for channel in channels]
    data = planes[0][0] if seen.ndim == 2 else np.stack([plane for plane, _ in planes], axis=-1)
    plane = list(reading.plane_axes(len(shape)))
    box = result.prediction.looked_at[number]
    low = np.zeros(2) if box is None else np.array([box.top, box.left])
    length = np.array([shape[axis] for axis in plane] if box is None else box.shape)
    factor = np.ones(len(planes[0][1]))
    factor[plane] = length / np.array(seen.shape[:2])
    offset = planes[0][1].astype(float)
    offset[plane] = low + factor[plane] / 2 - 0.5
    where = placement(source, offset)
    return data, {**where, "scale": where["scale"] * factor}
