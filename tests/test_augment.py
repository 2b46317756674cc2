"""Augmentation: the same change for the same place, image and mask together, nothing out of range."""

import numpy as np
import pytest
import torch

from napari_uml.config import IGNORE
from napari_uml.data.augment import QUALITY, Augmentation, _blurred, _coded, as_input
from napari_uml.data.samples import Sample


def sample(channels=3, size=64) -> Sample:
    """Return a bright disc on dark noise, and its mask."""
    rows, columns = np.mgrid[:size, :size]
    disc = (rows - 0.4 * size) ** 2 + (columns - 0.5 * size) ** 2 < (0.2 * size) ** 2
    noise = np.random.default_rng(0).integers(0, 40, (channels, size, size))
    image = torch.from_numpy((noise + 180 * disc).astype(np.uint8))
    return Sample(image, torch.from_numpy(disc.astype(np.uint8)), 1, 0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [32, 64, 96])
def test_image_and_mask_have_the_size_asked_for_and_stay_in_range(channels, size):
    augment = Augmentation(0, size, vertical_flip=True)
    for place in range(20):
        image, mask = augment(sample(channels), 0, place)
        assert (image.shape, image.dtype) == ((3, size, size), torch.float32)
        assert (mask.shape, mask.dtype) == ((size, size), torch.uint8)
        assert 0 <= image.min() <= image.max() <= 1
        assert set(mask.unique().tolist()) <= {0, 1}
        assert type(image) is type(mask) is torch.Tensor


def test_a_place_is_always_changed_the_same_and_others_differently():
    one, other = Augmentation(3, 64, vertical_flip=True), Augmentation(3, 64, vertical_flip=True)
    for place in (5, 2):
        other(sample(), 1, place)  # what went before has no influence
    for a, b in zip(one(sample(), 1, 7), other(sample(), 1, 7), strict=True):
        assert torch.equal(a, b)
    images = [one(sample(), e, i)[0] for e, i in ((1, 7), (1, 8), (2, 7))]
    images.append(Augmentation(4, 64, vertical_flip=True)(sample(), 1, 7)[0])
    for i, a in enumerate(images):
        for b in images[:i]:
            assert not torch.equal(a, b)


def test_image_and_mask_move_together():
    augment = Augmentation(0, 64, vertical_flip=True)
    for place in range(30):
        image, mask = augment(sample(), 0, place)
        inside, outside = image.mean(0)[mask == 1], image.mean(0)[mask == 0]
        assert inside.median() > outside.median() + 0.2


def test_blur_leaves_the_border_as_bright_as_it_is():
    flat = np.full((3, 32, 32), 0.5, np.float32)
    np.testing.assert_allclose(_blurred(flat, 2), flat, atol=1e-5)
    flat[:, 16, 16] = 1
    assert _blurred(flat, 2).max() < 0.95


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_of_a_lower_quality_leaves_less(channels):
    image = sample(channels).image.numpy().astype(np.float32) / 255 * 1.2  # brighter than white
    low, high = (np.abs(_coded(image, quality) - image.clip(0, 1)).mean() for quality in QUALITY)
    assert _coded(image, 50).shape == image.shape
    assert 0 < 1.2 * high < low < 0.2


def test_grey_stays_grey():
    augment = Augmentation(0, 64, vertical_flip=True)
    for place in range(20):
        image, _ = augment(sample(channels=1), 0, place)
        assert torch.equal(image[0], image[1])
        assert torch.equal(image[0], image[2])


def test_colour_changes_its_white_balance():
    image, _ = Augmentation(0, 64, vertical_flip=True)(sample(channels=1), 0, 0)
    grey = sample(channels=1)
    tinted = Augmentation(0, 64, vertical_flip=True)
    coloured = Sample(grey.image.contiguous(), grey.mask, 1, 0)
    assert any(not torch.allclose(*tinted(coloured, 0, place)[0][:2], atol=0.01) for place in range(10))
    assert image.shape == (3, 64, 64)


@pytest.mark.parametrize(("vertical", "expected"), [(True, {0, 1}), (False, {0})])
def test_images_are_turned_upside_down_only_when_told(vertical, expected):
    augment = Augmentation(0, 64, vertical)
    rows = torch.arange(64.0)[:, None]
    found = set()
    for place in range(40):
        _, mask = augment(sample(), 0, place)
        found.add(int(((mask * rows).sum() / mask.sum()) > 36))  # the disc is above the middle, at row 26
    assert found == expected


def test_what_nobody_annotated_moves_with_the_mask_and_gets_no_other_number():
    marked = sample()
    marked.mask[50:] = IGNORE
    augment = Augmentation(0, 64, vertical_flip=False)
    numbers = {n for place in range(20) for n in augment(marked, 0, place)[1].unique().tolist()}
    assert numbers == {0, 1, IGNORE}


def test_shifts_are_a_share_of_the_image_whatever_its_size():
    for size in (32, 128):
        augment = Augmentation(0, size, vertical_flip=False)
        columns, found = torch.arange(float(size)), []
        for place in range(60):
            _, mask = augment(sample(size=size), 0, place)
            found.append(((mask * columns).sum() / mask.sum() / size - 0.5).abs().item())
        assert 0.05 < max(found) < 0.25


def test_the_global_random_state_is_left_alone():
    torch.manual_seed(0)
    np.random.seed(0)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    Augmentation(0, 64, vertical_flip=True)(sample(), 0, 0)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])


def test_the_sample_itself_is_not_changed():
    original = sample()
    image, mask = original.pixels.clone(), original.mask.clone()
    for place in range(10):
        Augmentation(0, 64, vertical_flip=True)(original, 0, place)
    assert torch.equal(original.pixels, image)
    assert torch.equal(original.mask, mask)


@pytest.mark.parametrize("size", [64, 48])
def test_as_input_changes_nothing_but_the_size(size):
    image, mask = as_input(sample(), size)
    assert (image.shape, mask.shape) == ((3, size, size), (size, size))
    if size == 64:
        assert torch.equal(image, sample().image / 255)
        assert torch.equal(mask, sample().mask)
    assert image.mean().item() == pytest.approx((sample().image / 255).mean().item(), abs=0.01)
