"""Which axes are what, and back again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from napari_uml.data.reading import read_image
from napari_uml.errors import ImageError
from napari_uml.results import Box
from napari_uml.widgets.reading_modes import Reading, guess_reading, possible_readings, put, take

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("shape", "rgb", "expected"),
    [
        ((40, 50), False, Reading("none")),
        ((40, 50, 3), True, Reading("all", 2)),
        ((40, 50, 4), True, Reading("all", 2, opacity=True)),
        ((40, 50, 4), False, Reading("all", 2)),
        ((40, 50, 3), False, Reading("all", 2)),
        ((3, 40, 50), False, Reading("none", None, 0)),
        ((20, 40, 50), False, Reading("none", None, 0)),
        ((40, 50, 12), False, Reading("none", None, 2)),
        ((40, 50, 45), False, Reading("none", None, 0)),
        ((20, 40, 50, 3), True, Reading("all", 3, 0)),
    ],
)
def test_the_likeliest_reading_comes_first(shape: tuple[int, ...], rgb: bool, expected: Reading) -> None:
    assert guess_reading(shape, rgb) == expected


def test_three_planes_can_be_read_as_colours_too() -> None:
    assert Reading("all", 0) in possible_readings((3, 40, 50), False)


@pytest.mark.parametrize(
    ("shape", "rgb"), [((7, 8), False), ((7, 8, 3), True), ((4, 7, 8, 3), True), ((3, 7, 8), False)]
)
def test_every_reading_has_a_title_of_its_own(shape: tuple[int, ...], rgb: bool) -> None:
    titles = [reading.title for reading in possible_readings(shape, rgb)]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_along_any_axis(axis: int) -> None:
    volume = np.arange(4 * 5 * 6).reshape(4, 5, 6)
    reading = Reading("none", None, axis)
    np.testing.assert_array_equal(take(volume, reading, (1, 1, 1), True), np.moveaxis(volume, axis, 0))
    np.testing.assert_array_equal(take(volume, reading, (1, 1, 1), False), volume.take(1, axis))


def test_axes_that_are_not_read_stay_at_the_slider() -> None:
    movie = np.arange(2 * 4 * 5 * 6).reshape(2, 4, 5, 6)
    np.testing.assert_array_equal(take(movie, Reading("none", None, 1), (1, 0, 0, 0), True), movie[1])


def test_colours_come_last() -> None:
    planes = np.arange(3 * 4 * 5).reshape(3, 4, 5)
    np.testing.assert_array_equal(take(planes, Reading("all", 0), (0, 0, 0), False), np.moveaxis(planes, 0, -1))


def test_transparent_colours_are_taken_as_a_file_with_them_is_read(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 4), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    reading = guess_reading(pixels.shape, rgb=True)
    np.testing.assert_array_equal(take(pixels, reading, (0, 0, 0), False), read_image(tmp_path / "a.png").pixels)
    np.testing.assert_array_equal(take(pixels, Reading("all", 2), (0, 0, 0), False), pixels[..., :3])


@pytest.mark.parametrize(("dtype", "opaque"), [("uint8", 255), ("uint16", 65535), ("float32", 1), ("float64", 1)])
def test_opacity_whose_scale_is_known_counts(dtype: str, opaque: int) -> None:
    pixels = (np.random.default_rng(0).random((4, 5, 4)) * opaque).astype(dtype)
    pixels[..., 3] = opaque
    pixels[0, 0, 3] = 0
    taken = take(pixels, guess_reading(pixels.shape, rgb=True), (0, 0, 0), False)
    assert taken[0, 0].max() == 0
    np.testing.assert_allclose(taken[1:], pixels[1:, :, :3] / opaque, atol=1e-3)


@pytest.mark.parametrize(("dtype", "top"), [("uint16", 4095), ("int64", 255), ("int16", 255), ("bool", 1)])
def test_a_fourth_channel_on_an_unknown_scale_is_left_out(dtype: str, top: int) -> None:
    pixels = np.random.default_rng(0).integers(0, top + 1, (4, 5, 4)).astype(dtype)
    taken = take(pixels, guess_reading(pixels.shape, rgb=True), (0, 0, 0), False)
    np.testing.assert_array_equal(taken, pixels[..., :3])


def test_what_is_too_large_is_refused_before_it_is_read() -> None:
    class Slide:
        shape = (80_000, 100_000, 3)

    with pytest.raises(ImageError, match="at most 100 million pixels, got 80000 x 100000"):
        take(Slide(), Reading("all", 2), (0, 0, 0), False)


def test_one_channel_and_brightness_of_a_colour_image() -> None:
    image = np.random.default_rng(0).integers(0, 255, (4, 5, 3), dtype=np.uint8)
    np.testing.assert_array_equal(take(image, Reading("green", 2), (0, 0, 0), False), image[..., 1])
    expected = image / 255 @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(take(image, Reading("grey", 2), (0, 0, 0), False), expected, atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_stack_of_results_goes_back_to_where_it_came_from(axis: int) -> None:
    volume = np.random.default_rng(0).random((4, 5, 6))
    reading = Reading("none", None, axis)
    placed, offset = put(take(volume, reading, (2, 2, 2), True), reading, (2, 2, 2), volume.shape, False, None)
    np.testing.assert_array_equal(placed, volume)
    assert offset.tolist() == [0, 0, 0]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_in_a_rectangle_keeps_all_axes_and_its_place(axis: int) -> None:
    volume = np.random.default_rng(0).random((8, 9, 10))
    reading, at, box = Reading("none", None, axis), (2, 3, 4), Box(1, 2, 5, 7)
    placed, offset = put(take(volume, reading, at, False), reading, at, volume.shape, False, box)
    index = tuple(slice(o, o + n) for o, n in zip(offset, placed.shape, strict=True))
    np.testing.assert_array_equal(placed, volume[index])
    assert placed.shape[axis] == 1
    assert offset[axis] == at[axis]


def test_an_rgb_result_has_no_colour_axis() -> None:
    placed, offset = put(np.ones((4, 5)), Reading("all", 2), (0, 0, 0), (4, 5, 3), True, None)
    assert placed.shape == (4, 5)
    assert offset.tolist() == [0, 0]


def test_a_result_is_seen_at_every_position_of_a_colour_axis_that_napari_shows_as_a_slider() -> None:
    placed, offset = put(np.ones((4, 5)), Reading("all", 0), (2, 0, 0), (3, 4, 5), False, None)
    assert placed.shape == (3, 4, 5)
    assert offset.tolist() == [0, 0, 0]


def test_an_unfinished_stack_starts_at_the_first_slice() -> None:
    placed, offset = put(np.ones((2, 5, 6)), Reading("none", None, 0), (3, 0, 0), (4, 5, 6), False, None)
    assert placed.shape == (2, 5, 6)
    assert offset.tolist() == [0, 0, 0]
