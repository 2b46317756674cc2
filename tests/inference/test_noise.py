"""Noise is seeded, clipped and the same in the channels of a grey image."""

import pytest
import torch

from napari_uml.inference.noise import add_noise, check_sigma

HALF = torch.full((3, 64, 64), 0.5)


def test_same_seed_gives_the_same_noise_and_another_seed_does_not() -> None:
    once, again, other = (add_noise(HALF, 0.1, seed, grey=False) for seed in (4, 4, 5))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


def test_noise_has_the_standard_deviation_asked_for() -> None:
    assert float(add_noise(HALF, 0.05, 0, grey=False).std()) == pytest.approx(0.05, rel=0.03)


def test_noise_leaves_no_pixel_outside_zero_to_one() -> None:
    noisy = add_noise(HALF, 1.0, 0, grey=False)
    assert (float(noisy.min()), float(noisy.max())) == (0, 1)


def test_channels_of_a_grey_image_get_the_same_noise_and_those_of_a_colour_image_do_not() -> None:
    grey, colour = (add_noise(HALF, 0.1, 0, grey=is_grey) for is_grey in (True, False))
    assert torch.equal(grey[0], grey[1])
    assert torch.equal(grey[0], grey[2])
    assert not torch.equal(colour[0], colour[1])


def test_no_noise_is_the_image_itself_and_the_global_generator_is_left_alone() -> None:
    assert add_noise(HALF, 0.0, 0, grey=True) is HALF
    state = torch.random.get_rng_state()
    add_noise(HALF, 0.1, 0, grey=True)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("sigma", [-0.01, 1.01, float("nan"), float("inf")])
def test_sigma_outside_its_range_is_refused(sigma: float) -> None:
    with pytest.raises(ValueError, match="sigma from 0 to 1"):
        check_sigma(sigma)
