"""Where a result lies in the world: where its image does, even if it is a part of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.transforms import Affine

from napari_uml.results import Box

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Layer, Shapes
    from numpy.typing import ArrayLike

    from napari_uml.widgets.reading_modes import Reading


def placement(layer: Layer, offset: ArrayLike) -> dict[str, Any]:
    """Settings of a layer whose first element lies on the element `offset` of another layer with the same axes.

    Parameters
    ----------
    layer
        Where the result came from; the colour axis of an RGB image does not count.
    offset
        Index along every axis; may be fractional or negative.

    Returns
    -------
    scale, translate, rotate, shear, affine, units and axis_labels, as every layer takes them. World = affine (rotate
    shear scale data + translate), so an offset moves the translation by rotate shear scale offset.
    """
    linear = Affine(scale=layer.scale, rotate=layer.rotate, shear=layer.shear, ndim=layer.ndim).linear_matrix
    return {
        "scale": layer.scale,
        "translate": layer.translate + linear @ np.asarray(offset, dtype=float),
        "rotate": layer.rotate,
        "shear": layer.shear,
        "affine": layer.affine.affine_matrix,
        "units": layer.units,
        "axis_labels": layer.axis_labels,
    }


def pixel_size(layer: Layer, reading: Reading, ndim: int) -> tuple[tuple[float, float], str] | None:
    """Height and width of a pixel in the world, and their unit.

    Parameters
    ----------
    layer
        The image.
    reading
        Which of its axes are rows and columns.
    ndim
        Axes of its array, colours included.

    Returns
    -------
    The product of both is the area of a pixel, sheared or not. None when the layer has no unit of length, or two.
    """
    axes = reading.plane_axes(ndim)
    names = {f"{layer.units[axis]:~P}" for axis in axes}
    if len(names) != 1 or any(not layer.units[axis].is_compatible_with("m") for axis in axes):
        return None
    origin = np.array(layer.data_to_world(np.zeros(layer.ndim)))
    down, across = (np.array(layer.data_to_world(np.eye(layer.ndim)[axis])) - origin for axis in axes)
    height = float(np.linalg.norm(down))
    area = float(np.sqrt(max((down @ down) * (across @ across) - (down @ across) ** 2, 0.0)))
    return (height, area / height), names.pop()


def rectangle(shapes: Shapes, image: Layer, reading: Reading, shape: Sequence[int]) -> Box | None:
    """The selected rectangle of a Shapes layer (else the last one drawn) in pixels of an image.

    Parameters
    ----------
    shapes, image
        The two layers; they may have different transforms.
    reading
        Which axes of the image are rows and columns.
    shape
        Of the image's array.

    Returns
    -------
    The smallest box around the shape inside the image; None when there is no shape or it lies outside.
    """
    if not len(shapes.data):
        return None
    chosen = max(shapes.selected_data, default=len(shapes.data) - 1)
    corners = np.array([image.world_to_data(shapes.data_to_world(corner)) for corner in shapes.data[chosen]])
    axes = list(reading.plane_axes(len(shape)))
    size = [shape[axis] for axis in axes]
    # pixel i spans i - 0.5 .. i + 0.5
    low = np.clip(np.floor(corners[:, axes].min(axis=0) + 0.5), 0, size).astype(int)
    high = np.clip(np.ceil(corners[:, axes].max(axis=0) + 0.5), 0, size).astype(int)
    return Box(*map(int, (*low, *high))) if (low < high).all() else None
