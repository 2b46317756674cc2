"""A result lies where its image does."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Labels, Shapes

from napari_uml.results import Box
from napari_uml.widgets.geometry import placement, rectangle
from napari_uml.widgets.reading_modes import Reading

pytestmark = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing:UserWarning")  # napari's, for any oblique layer

OBLIQUE = np.array([[0.9, 0.3, -0.1, 5], [-0.2, 1.1, 0.4, -3], [0.1, 0.2, 0.8, 7], [0, 0, 0, 1]])


def oblique_image(shape: tuple[int, ...] = (6, 20, 30)) -> Image:
    return Image(
        np.zeros(shape), scale=(3, 0.5, 0.4), translate=(1, 2, 3), rotate=(20, 30, 40), shear=(0.1, 0.2, 0.3),
        affine=OBLIQUE, units=("mm", "mm", "um"), axis_labels=("z", "y", "x"),
    )  # fmt: skip


@pytest.mark.parametrize("offset", [(0, 0, 0), (2, 5, 7), (0.5, -1, 3)])
def test_a_part_lies_on_the_part_it_came_from(offset: tuple[float, ...]) -> None:
    image = oblique_image()
    part = Labels(np.zeros((2, 3, 4), dtype=np.uint8), **placement(image, offset))
    for corner in ((0, 0, 0), (1, 2, 3)):
        expected = image.data_to_world(np.add(corner, offset))
        np.testing.assert_allclose(part.data_to_world(corner), expected, atol=1e-9)


def test_units_and_axis_names_follow() -> None:
    image = oblique_image()
    part = Labels(np.zeros((1, 3, 4), dtype=np.uint8), **placement(image, (1, 0, 0)))
    assert part.units == image.units
    assert part.axis_labels == ("z", "y", "x")


def test_an_rgb_image_passes_on_two_axes() -> None:
    image = Image(np.zeros((20, 30, 3)), rgb=True, scale=(2, 3), rotate=30)
    part = Labels(np.zeros((5, 5), dtype=np.uint8), **placement(image, (4, 6)))
    np.testing.assert_allclose(part.data_to_world((0, 0)), image.data_to_world((4, 6)))


def test_a_rectangle_is_read_in_the_pixels_of_the_image() -> None:
    image = Image(np.zeros((20, 30)), scale=(0.5, 0.5), translate=(10, 20))
    shapes = Shapes([np.array([[11, 21], [11, 26], [14, 26], [14, 21]])])
    assert rectangle(shapes, image, Reading("none"), (20, 30)) == Box(2, 2, 9, 13)


def test_the_selected_rectangle_counts_else_the_last() -> None:
    image = Image(np.zeros((20, 30)))
    shapes = Shapes([np.array([[0, 0], [4, 4]]), np.array([[10, 10], [14, 14]])], shape_type="rectangle")
    shapes.selected_data = set()
    assert rectangle(shapes, image, Reading("none"), (20, 30)) == Box(10, 10, 15, 15)
    shapes.selected_data = {0}
    assert rectangle(shapes, image, Reading("none"), (20, 30)) == Box(0, 0, 5, 5)


def test_a_rectangle_ends_at_the_border_and_outside_there_is_none() -> None:
    image = Image(np.zeros((20, 30)))
    over = Shapes([np.array([[-5, 10], [100, 12]])], shape_type="rectangle")
    assert rectangle(over, image, Reading("none"), (20, 30)) == Box(0, 10, 20, 13)
    assert rectangle(Shapes([np.array([[50, 50], [60, 60]])]), image, Reading("none"), (20, 30)) is None
    assert rectangle(Shapes(ndim=2), image, Reading("none"), (20, 30)) is None
