"""The array behind a layer, and places in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_uml.widgets.session import Source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Layer


def array_of(layer: Layer) -> Any:
    """The array of a layer, at full resolution."""
    return layer.data[0] if layer.multiscale else layer.data


def source_of(layer: Layer) -> Source:
    """An image layer as plain values."""
    shape = tuple(int(length) for length in array_of(layer).shape)
    return Source(str(layer.unique_id), layer.name, shape, bool(layer.rgb))


def position_in(layer: Layer, point: Sequence[float]) -> tuple[int, ...]:
    """The element of a layer's array at a point of the world; the nearest one when it lies outside."""
    shape = array_of(layer).shape
    index = np.zeros(len(shape), dtype=int)
    index[: layer.ndim] = np.rint(layer.world_to_data(point)).astype(int)
    return tuple(int(i) for i in np.clip(index, 0, np.array(shape) - 1))


def element_at(layer: Layer, point: Sequence[float]) -> tuple[int, ...] | None:
    """The element of a layer's array at a point of the world; None when it lies outside."""
    shape = array_of(layer).shape
    index = np.rint(layer.world_to_data(point)).astype(int)
    if (index < 0).any() or (index >= shape[: layer.ndim]).any():
        return None
    return (*(int(i) for i in index), *(0,) * (len(shape) - layer.ndim))
