"""Moving a viewer to an element of a layer, by its sliders and its camera."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import napari.viewer
    from napari.layers import Layer

SHOWN_SIDE = 200
"""Pixels of the screen that a place takes at least when the camera moves there."""


def move_sliders(viewer: napari.viewer.Viewer, layer: Layer, element: Sequence[float]) -> None:
    """Set the sliders so that an element of a layer is shown.

    Parameters
    ----------
    viewer
        A viewer with the layer in it.
    layer
        Its transform is followed.
    element
        Index along every axis of the layer (colours excluded); may be fractional.
    """
    world, dims = layer.data_to_world(element), viewer.dims
    first = dims.ndim - layer.ndim
    hidden = [axis for axis in dims.not_displayed if axis >= first]
    if hidden:
        dims.set_point(hidden, [float(world[axis - first]) for axis in hidden])


def centre_on(viewer: napari.viewer.Viewer, layer: Layer, element: Sequence[float], side: float) -> None:
    """Show an element in the middle of the canvas, and zoom in where `side` pixels of the layer are small there."""
    move_sliders(viewer, layer, element)
    first = viewer.dims.ndim - layer.ndim
    world = np.concatenate([np.zeros(first), layer.data_to_world(element)])
    shown = list(viewer.dims.displayed)
    centre = world[shown]
    camera = getattr(viewer, "scene", viewer).camera  # napari 0.9 moved it
    camera.center = (*np.zeros(3 - len(centre)), *centre)
    step = np.array(element, dtype=float)
    step[shown[-1] - first] += side
    length = np.linalg.norm(np.array(layer.data_to_world(step))[[axis - first for axis in shown]] - centre)
    camera.zoom = max(camera.zoom, SHOWN_SIDE / float(length))
