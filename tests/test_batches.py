"""The batches of an epoch, and how processes share them."""

import pytest
import torch
from tests.tiny import tiny_settings

from napari_uml.data.samples import Sample, epoch_order
from napari_uml.training.batches import epoch_batches, steps_per_epoch


def samples(count: int) -> list[Sample]:
    """Return samples whose label is their number."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.zeros(32, 32, dtype=torch.uint8)
    pixels = torch.randint(0, 256, (count, 1, 32, 32), generator=generator, dtype=torch.uint8)
    return [Sample(image, mask, number, 0) for number, image in enumerate(pixels)]


def settings(**changes: object):
    return tiny_settings(**{"image_size": 32, "balanced": 0.0, **changes})


def labels(batches) -> list[list[int]]:
    return [batch[2].tolist() for batch in batches]


@pytest.mark.parametrize(("count", "batch", "steps"), [(12, 4, 3), (11, 4, 2), (3, 4, 1), (1, 4, 1)])
def test_only_full_batches_unless_there_is_no_other(count, batch, steps):
    config = settings(batch_size=batch)
    assert steps_per_epoch(samples(count), config) == steps
    found = labels(epoch_batches(samples(count), config, 0, vertical_flip=False))
    assert [len(b) for b in found] == [min(count, batch)] * steps


def test_order_is_that_of_the_epoch():
    config, all_samples = settings(), samples(12)
    for epoch in (0, 3):
        found = labels(epoch_batches(all_samples, config, epoch, vertical_flip=False))
        assert [n for batch in found for n in batch] == epoch_order(all_samples, 0.0, config.seed, epoch)


@pytest.mark.parametrize("recipe", ["modern", "paper"])
@pytest.mark.parametrize("world", [2, 4])
def test_processes_share_each_batch_and_see_the_same_changes(recipe, world):
    config, all_samples = settings(recipe=recipe), samples(11)
    whole = list(epoch_batches(all_samples, config, 1, vertical_flip=True))
    parts = [
        list(epoch_batches(all_samples, config, 1, vertical_flip=True, rank=rank, world=world)) for rank in range(world)
    ]
    for step, (images, _, numbers) in enumerate(whole):
        shared = {int(n): image for part in parts for image, n in zip(part[step][0], part[step][2], strict=True)}
        assert sorted(shared) == sorted(numbers.tolist())
        for image, number in zip(images, numbers.tolist(), strict=True):
            assert torch.equal(shared[number], image)


def test_the_paper_recipe_changes_no_image():
    all_samples = samples(4)
    ((images, masks, numbers),) = epoch_batches(all_samples, settings(recipe="paper"), 0, vertical_flip=True)
    for image, number in zip(images, numbers.tolist(), strict=True):
        assert torch.equal(image, all_samples[number].image / 255)
    assert masks.dtype == torch.uint8


def test_images_grow_with_the_epochs():
    config = settings(start_size=32, image_size=96, epochs=10)
    for epoch, size in ((0, 32), (4, 64), (9, 96)):
        ((images, masks, _),) = epoch_batches(samples(4), config, epoch, vertical_flip=False)
        assert images.shape == (4, 3, size, size)
        assert masks.shape == (4, size, size)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_loading_in_another_process_gives_the_same_batches():
    all_samples = samples(8)
    here, there = (list(epoch_batches(all_samples, settings(num_workers=n), 0, vertical_flip=True)) for n in (0, 1))
    for a, b in zip(here, there, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
