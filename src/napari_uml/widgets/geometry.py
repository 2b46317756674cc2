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
