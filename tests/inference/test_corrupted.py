"""The predictor with a corrupted input, and what it says that the network saw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_uml.inference.corruptions import KINDS, corrupt, parse_corruption
from napari_uml.inference.run_record import RunSettings
from napari_uml.results import Box, Corruption

if TYPE_CHECKING:
    from napari_uml.inference.predictor import UMLPredictor

BLUR = Corruption("blur", 2.0)


def random_image(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).random(shape, dtype=np.float32)


def test_a_corruption_changes_the_answer_which_records_it(predictor: UMLPredictor) -> None:
    image = random_image(50, 60, 3)
    clean, blurred = predictor.predict(image), predictor.predict(image, corruption=BLUR)
    assert (clean.corruption, blurred.corruption) == (None, BLUR)
    assert not np.array_equal(clean.pixel_belief, blurred.pixel_belief)


@pytest.mark.parametrize("kind", KINDS)
def test_the_input_is_corrupted_first_and_then_noisy(predictor: UMLPredictor, kind: str) -> None:
    image, corruption = random_image(50, 60, 3), Corruption(kind, KINDS[kind].steps[-1])
    clean = predictor.network_input(image).numpy()
    np.testing.assert_array_equal(predictor.network_input(image, corruption=corruption), corrupt(clean, corruption))
    both = predictor.network_input(image, 0.1, 3, corruption).numpy()
    added = both - corrupt(clean, corruption)
    assert 0 < np.abs(added[(both > 0) & (both < 1)]).mean() < 0.2


@pytest.mark.parametrize("kind", KINDS)
def test_a_grey_image_stays_grey(predictor: UMLPredictor, kind: str) -> None:
    corruption = Corruption(kind, KINDS[kind].steps[-1])
    channels = predictor.network_input(random_image(50, 60), 0.1, 3, corruption).numpy()
    np.testing.assert_array_equal(channels[0], channels[1])
    np.testing.assert_array_equal(channels[0], channels[2])


@pytest.mark.parametrize("shape", [(50, 60), (50, 60, 3)])
def test_what_was_seen_is_the_input_of_the_network(predictor: UMLPredictor, shape: tuple[int, ...]) -> None:
    image, box = random_image(*shape), Box(5, 10, 45, 50)
    prediction = predictor.predict(image, sigma=0.1, seed=4, roi=box, corruption=BLUR)
    batch = predictor.network_input(image[box.slices], 0.1, 4, BLUR).numpy()
    expected = batch[0] if len(shape) == 2 else batch.transpose(1, 2, 0)
    np.testing.assert_array_equal(predictor.seen(image, prediction), expected)


def test_a_corruption_that_there_is_not_is_refused(predictor: UMLPredictor) -> None:
    with pytest.raises(ValueError, match="got 'fog'"):
        predictor.predict(random_image(50, 60), corruption=Corruption("fog", 1))


def test_a_corruption_survives_the_record_and_the_command_line() -> None:
    odd = Corruption("contrast", 0.1 + 0.2)
    settings = RunSettings(corruption=odd)
    assert RunSettings.model_validate_json(settings.model_dump_json()) == settings
    assert RunSettings.model_validate_json("{}").corruption is None
    assert parse_corruption(str(odd)) == odd


@pytest.mark.parametrize("text", ["blur", "blur=", "=2", "2", "blur=much", "fog=1", "blur=99"])
def test_text_that_is_no_corruption_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Expected a"):
        parse_corruption(text)
