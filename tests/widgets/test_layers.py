"""Results in a viewer: names and colours, in place, and never a correction lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_uml.widgets.jobs import analyse
from napari_uml.widgets.layer_arrays import position_in, source_of
from napari_uml.widgets.layers import ResultLayers, is_result
from napari_uml.widgets.session import Result, Session

if TYPE_CHECKING:
    from napari.layers import Image

    from conftest import FakePredictor

RNG = np.random.default_rng(0)


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def layers(viewer: ViewerModel) -> ResultLayers:
    return ResultLayers(viewer)


def answer(image: Image, predictor: FakePredictor, slices: str = "current") -> Result:
    session = Session(model="fake", slices=slices, models=())
    session.choose(source_of(image))
    session.position = position_in(image, (1,) * image.ndim)
    *_, result = analyse(session.request(), image.data)(predictor, lambda: False)
    assert isinstance(result, Result)
    return result


def test_structures_have_names_and_colours(viewer: ViewerModel, layers: ResultLayers, predictor: FakePredictor) -> None:
    image = viewer.add_image(RNG.random((8, 9)), name="scan")
    layers.show(image, answer(image, predictor))
    mask = viewer.layers["scan structures"]
    assert mask.data.dtype == np.uint8
    assert "lesion" in mask.get_status(tuple(np.argwhere(mask.data == 1)[0]))["value"]
    np.testing.assert_array_equal(mask.get_color(1), mask.colormap.map(1))
    assert mask.colormap.map(0)[3] == 0


def test_uncertainty_is_always_shown_from_0_to_1(
    viewer: ViewerModel, layers: ResultLayers, predictor: FakePredictor
) -> None:
    image = viewer.add_image(RNG.random((8, 9)), name="scan")
    layers.show(image, answer(image, predictor))
    layer = viewer.layers["scan uncertainty"]
    assert layer.contrast_limits == [0, 1]
    assert layer.data.dtype == np.float32


def test_a_second_answer_updates_in_place_whatever_the_names(
    viewer: ViewerModel, layers: ResultLayers, predictor: FakePredictor
) -> None:
    image = viewer.add_image(RNG.random((8, 9)), name="scan")
    layers.show(image, answer(image, predictor))
    before = list(viewer.layers)
    viewer.layers["scan structures"].name = "mine"
    image.name = "other"
    image.data = RNG.random((6, 7))
    image.scale = (2, 3)
    layers.show(image, answer(image, predictor))
    assert list(viewer.layers) == before
    assert viewer.layers["mine"].data.shape == (6, 7)
    np.testing.assert_array_equal(viewer.layers["mine"].scale, (2, 3))


def test_a_deleted_layer_is_made_anew(viewer: ViewerModel, layers: ResultLayers, predictor: FakePredictor) -> None:
    image = viewer.add_image(RNG.random((8, 9)), name="scan")
    layers.show(image, answer(image, predictor))
    viewer.layers.remove("scan structures")
    layers.show(image, answer(image, predictor))
    assert sorted(layer.name for layer in viewer.layers) == ["scan", "scan structures", "scan uncertainty"]


def test_a_painted_layer_is_the_users(viewer: ViewerModel, layers: ResultLayers, predictor: FakePredictor) -> None:
    image = viewer.add_image(RNG.random((8, 9)), name="scan")
    result = answer(image, predictor)
    layers.show(image, result)
    painted = viewer.layers["scan structures"]
    painted.paint((4, 4), 1)
    corrected = painted.data.copy()
    layers.show(image, answer(image, predictor))
    np.testing.assert_array_equal(painted.data, corrected)
    assert sum(layer.name.startswith("scan structures") for layer in viewer.layers) == 2


@pytest.mark.parametrize("replaced", [True, False])
def test_a_layer_that_a_program_corrected_is_the_users(
    viewer: ViewerModel, layers: ResultLayers, predictor: FakePredictor, replaced: bool
) -> None:
    image = viewer.add_image(RNG.random((8, 9)), name="scan")
    layers.show(image, answer(image, predictor))
    corrected = viewer.layers["scan structures"]
    if replaced:
        corrected.data = 1 - corrected.data
    else:
        corrected.data[2, 3] = 1 - corrected.data[2, 3]
        corrected.refresh()
    expected = corrected.data.copy()
    layers.show(image, answer(image, predictor))
    np.testing.assert_array_equal(corrected.data, expected)
    assert not is_result(corrected)
    assert sum(layer.name.startswith("scan structures") for layer in viewer.layers) == 2


def test_painting_does_not_change_the_result(
    viewer: ViewerModel, layers: ResultLayers, predictor: FakePredictor
) -> None:
    image = viewer.add_image(RNG.random((8, 9)), name="scan")
    result = answer(image, predictor)
    before = result.prediction.mask.copy()
    layers.show(image, result)
    viewer.layers["scan structures"].fill((0, 0), 1)
    np.testing.assert_array_equal(result.prediction.mask, before)


def test_two_images_have_layers_of_their_own(
    viewer: ViewerModel, layers: ResultLayers, predictor: FakePredictor
) -> None:
    first = viewer.add_image(RNG.random((8, 9)), name="first")
    second = viewer.add_image(RNG.random((4, 5)), name="second")
    layers.show(first, answer(first, predictor))
    layers.show(second, answer(second, predictor))
    assert viewer.layers["first structures"].data.shape == (8, 9)
    assert viewer.layers["second structures"].data.shape == (4, 5)


def test_a_reopened_dock_finds_its_layers(viewer: ViewerModel, layers: ResultLayers, predictor: FakePredictor) -> None:
    image = viewer.add_image(RNG.random((8, 9)), name="scan")
    layers.show(image, answer(image, predictor))
    ResultLayers(viewer).show(image, answer(image, predictor))
    assert len(viewer.layers) == 3


@pytest.mark.parametrize("first_is_gone", [False, True])
@pytest.mark.parametrize("runs_again", [False, True])
def test_a_layer_that_is_painted_on_after_the_dock_was_closed_is_the_users(
    viewer: ViewerModel, predictor: FakePredictor, runs_again: bool, first_is_gone: bool
) -> None:
    image, first = viewer.add_image(RNG.random((8, 9)), name="scan"), ResultLayers(viewer)
    first.show(image, answer(image, predictor))
    kept = None if first_is_gone else first
    del first
    again = ResultLayers(viewer)
    if runs_again:
        again.show(image, answer(image, predictor))
    painted = viewer.layers["scan structures"]
    painted.paint((4, 4), 1)
    corrected = painted.data.copy()
    assert again.get(image, "structures") is None
    for layers in (again, again, kept or again):
        layers.show(image, answer(image, predictor))
        np.testing.assert_array_equal(painted.data, corrected)
    assert sum(layer.name.startswith("scan structures") for layer in viewer.layers) == 2


def test_new_layers_come_one_after_another_and_hidden_until_they_are_there(
    viewer: ViewerModel, predictor: FakePredictor
) -> None:
    image, asked = viewer.add_image(RNG.random((8, 9)), name="scan"), []
    layers = ResultLayers(viewer, lambda: asked.append("soon"))
    layers.show(image, answer(image, predictor))
    layers.show(image, answer(image, predictor))
    assert asked
    assert layers.waiting
    seen = []
    while layers.waiting:
        seen.append([layer.name for layer in viewer.layers if layer.visible])
        layers.add_next()
    everything = ["scan", "scan uncertainty", "scan structures"]
    assert seen[0] == everything[:1]
    assert everything[:2] in seen
    assert [layer.name for layer in viewer.layers if layer.visible] == everything


@pytest.mark.parametrize("steps", [0, 1, 2, 4])
def test_nothing_more_is_added_about_a_layer_that_went_meanwhile(
    viewer: ViewerModel, predictor: FakePredictor, steps: int
) -> None:
    image = viewer.add_image(RNG.random((8, 9)), name="scan")
    layers = ResultLayers(viewer, lambda: None)
    layers.show(image, answer(image, predictor))
    for _ in range(steps):
        layers.add_next()
    before = [layer.name for layer in viewer.layers]
    layers.forget(str(image.unique_id))
    while layers.waiting:
        layers.add_next()
    assert [layer.name for layer in viewer.layers] == before
    assert all(layer.visible for layer in viewer.layers)


def test_a_map_that_is_unticked_while_it_waits_never_comes(viewer: ViewerModel, predictor: FakePredictor) -> None:
    image = viewer.add_image(RNG.random((8, 9)), name="scan")
    layers = ResultLayers(viewer, lambda: None)
    layers.show_extra(image, answer(image, predictor), "belief", np.zeros((8, 9), np.float32), {})
    layers.hide_extra("belief")
    assert not layers.waiting
    assert [layer.name for layer in viewer.layers] == ["scan"]


def test_a_stack_stays_a_stack_and_a_slice_lies_in_it(
    viewer: ViewerModel, layers: ResultLayers, predictor: FakePredictor
) -> None:
    image = viewer.add_image(RNG.random((5, 8, 9)), name="scan", scale=(3, 1, 1), translate=(10, 0, 0))
    layers.show(image, answer(image, predictor, "all"))
    mask = viewer.layers["scan structures"]
    assert mask.data.shape == (5, 8, 9)
    layers.show(image, answer(image, predictor))
    assert viewer.layers["scan structures"] is mask
    assert mask.data.shape == (1, 8, 9)
    assert mask.translate[0] == 10


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing:UserWarning")
@pytest.mark.parametrize("scale", [(3, 0.5, 0.4), (3, -0.5, 0.4), (-3, -0.5, 0.4)])
def test_layers_follow_an_image_that_is_moved_turned_and_flipped(
    viewer: ViewerModel, layers: ResultLayers, predictor: FakePredictor, scale: tuple[float, ...]
) -> None:
    image = viewer.add_image(RNG.random((5, 8, 9)), name="scan", rotate=(5, 6, 7), shear=(0, 0.1, 0))
    layers.show(image, answer(image, predictor, "all"))
    image.scale, image.rotate, image.shear, image.translate = scale, (20, 30, 40), (0.1, 0.2, 0.3), (1, 2, 3)
    layers.show(image, answer(image, predictor, "all"))
    for corner in ((0, 0, 0), (4, 7, 8)):
        place = viewer.layers["scan structures"].data_to_world(corner)
        np.testing.assert_allclose(place, image.data_to_world(corner), atol=1e-9)
