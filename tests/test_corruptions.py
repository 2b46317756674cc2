"""Known damages to the network's input."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_uml.inference.corruptions import KINDS, corrupt
from napari_uml.results import Corruption

IMAGE = gaussian_filter(np.random.default_rng(0).random((3, 32, 32)).astype(np.float32), (0, 2, 2))
IMAGE = (IMAGE - IMAGE.min()) / np.ptp(IMAGE)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_every_step_stays_in_range_and_is_repeatable(kind: str, channels: int) -> None:
    image = IMAGE[:channels]
    before = image.copy()
    for strength in KINDS[kind].steps:
        once, twice = (corrupt(image, Corruption(kind, strength)) for _ in range(2))
        assert once.shape == image.shape
        assert once.dtype == np.float32
        assert 0 <= once.min() <= once.max() <= 1
        np.testing.assert_array_equal(once, twice)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("kind", KINDS)
def test_more_strength_is_more_damage_and_the_neutral_one_is_none(kind: str) -> None:
    neutral = KINDS[kind].neutral
    steps = [step for step in KINDS[kind].steps if step >= neutral]
    damage = [np.abs(corrupt(IMAGE, Corruption(kind, step)) - IMAGE).mean() for step in steps]
    assert damage[0] == 0
    assert all(np.diff(damage) > 0)


def test_nothing_is_done_without_a_corruption() -> None:
    assert corrupt(IMAGE, None) is IMAGE


def test_exposure_multiplies_and_saturates() -> None:
    grey = np.array([[[0.2, 0.8]]], dtype=np.float32)
    np.testing.assert_allclose(corrupt(grey, Corruption("exposure", 0.5)), [[[0.1, 0.4]]], atol=1e-6)
    np.testing.assert_allclose(corrupt(grey, Corruption("exposure", 1.5)), [[[0.3, 1.0]]], atol=1e-6)


def test_brightness_is_added_and_contrast_shrinks_towards_the_mean() -> None:
    grey = np.array([[[0.2, 0.6]]], dtype=np.float32)
    np.testing.assert_allclose(corrupt(grey, Corruption("brightness", 0.5)), [[[0.7, 1.0]]], atol=1e-6)
    np.testing.assert_allclose(corrupt(grey, Corruption("contrast", 0.5)), [[[0.3, 0.5]]], atol=1e-6)


def test_downsampling_by_2_averages_blocks_of_4_pixels() -> None:
    blocks = np.kron(np.ones((1, 4, 4)), [[0, 1], [1, 0]]).astype(np.float32)
    np.testing.assert_allclose(corrupt(blocks, Corruption("downsampling", 2)), 0.5)


@pytest.mark.parametrize(
    ("corruption", "told"),
    [
        (Corruption("fog", 1), "blur, contrast, brightness, exposure, jpeg, downsampling, got 'fog'"),
        (Corruption("blur", 9), "from 0 to 8, got 9"),
        (Corruption("downsampling", 0), "from 1 to 16, got 0"),
        (Corruption("blur", float("nan")), "got nan"),
    ],
)
def test_what_cannot_be_done_is_refused(corruption: Corruption, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        corrupt(IMAGE, corruption)


def test_strengths_that_count_are_whole() -> None:
    with pytest.raises(ValueError, match=r"whole number for jpeg \(100 minus the JPEG quality.*got 30.5"):
        corrupt(IMAGE, Corruption("jpeg", 30.5))
