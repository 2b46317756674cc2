"""How much of the start a fine-tuned model keeps: as much as the validation images allow."""

import numpy as np
import pytest

from napari_uml.training.shares import SHARES, largest_share

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(0.4, 0.8, 12)


def answered(losses, spread=0.0):
    """Quality of the images by share, each with a mean loss from the best, spread over the images."""
    scatter = np.linspace(-spread, spread, IMAGES.size)
    return {share: IMAGES - loss + (scatter if loss else 0) for share, loss in zip(SHARES, losses, strict=True)}


def test_the_best_share_is_taken_where_the_others_are_worse():
    assert largest_share(answered([0, 0.01, 0.05, 0.2])) == 0
    assert largest_share(answered([0.1, 0, 0.05, 0.2])) == 0.25


def test_the_largest_is_taken_of_those_that_differ_by_chance():
    assert largest_share(answered([0, 0.01, 0.02, 0.2], spread=0.3)) == 0.5
    assert largest_share(answered([0, 0, 0, 0])) == 0.75


def test_images_are_compared_one_by_one():
    easy_and_hard = np.linspace(0.1, 0.9, 12)  # their spread alone says nothing of the difference
    assert largest_share({0.0: easy_and_hard, 0.75: easy_and_hard - np.linspace(0.02, 0.03, 12)}) == 0


@pytest.mark.parametrize("unknown", [np.nan, np.inf])
def test_unknown_images_do_not_count(unknown):
    wrong = {0.0: np.array([0.5, 0.6, unknown]), 0.75: np.array([0.4, 0.5, unknown])}
    assert largest_share(wrong) == 0


def test_a_single_image_tells_nothing():
    assert largest_share({0.0: np.array([0.9, np.nan]), 0.75: np.array([0.1, np.nan])}) is None
