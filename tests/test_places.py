"""The most uncertain places: the right ones, in order, apart."""

from __future__ import annotations

import numpy as np
import pytest

from napari_uml.evaluation.places import uncertain_places


@pytest.mark.parametrize("side", [1, 3, 4, 5, 8, 13])
def test_the_first_place_is_the_window_with_the_highest_mean(side: int) -> None:
    u = np.full((40, 50), 0.1)
    cell = max(1, side // 4)
    top, left, width = 4 * cell, 6 * cell, side // cell * cell
    u[top : top + width, left : left + width] = 0.8
    best = uncertain_places(u, 1, side)[0]
    assert (best.row, best.column) == (top + width / 2 - 0.5, left + width / 2 - 0.5)
    assert best.uncertainty == pytest.approx(0.8)
    assert best.side == width


def test_one_pixel_does_not_outweigh_a_region() -> None:
    u = np.full((64, 64), 0.1)
    u[10, 10] = 1.0
    u[40:48, 40:48] = 0.5
    best = uncertain_places(u, 1, 8)[0]
    assert (best.row, best.column) == (43.5, 43.5)


def test_places_are_ranked_and_never_overlap() -> None:
    places = uncertain_places(np.random.default_rng(0).random((90, 70)), 10, 16)
    values = [place.uncertainty for place in places]
    assert len(places) == 10
    assert values == sorted(values, reverse=True)
    for number, one in enumerate(places):
        for other in places[:number]:
            assert max(abs(one.row - other.row), abs(one.column - other.column)) >= one.side


def test_every_mean_is_that_of_the_pixels_in_the_window() -> None:
    u = np.random.default_rng(1).random((3, 61, 47))
    for place in uncertain_places(u, 6, 12):
        top, left = round(place.row - place.side / 2 + 0.5), round(place.column - place.side / 2 + 0.5)
        window = u[place.slice_number, top : top + place.side, left : left + place.side]
        assert window.shape == (12, 12)
        assert place.uncertainty == pytest.approx(window.mean())


def test_the_same_spot_of_a_stack_is_not_named_slice_after_slice() -> None:
    u = np.full((9, 40, 40), 0.1)
    u[:, 8:16, 8:16] = 0.9
    u[4, 24:32, 24:32] = 0.5
    first, second = uncertain_places(u, 2, 8)
    assert abs(first.slice_number - second.slice_number) > 2


def test_a_small_image_has_fewer_places_than_asked_for() -> None:
    assert len(uncertain_places(np.ones((8, 8)), 10, 8)) == 1


@pytest.mark.parametrize(("shape", "side"), [((4,), 1), ((8, 8), 9), ((8, 8), 0)])
def test_bad_input_is_refused(shape: tuple[int, ...], side: int) -> None:
    with pytest.raises(ValueError, match="Expected"):
        uncertain_places(np.ones(shape), 1, side)
