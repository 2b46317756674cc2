"""From the image's grid to the network's and back, and the square to look at again."""

import numpy as np
import pytest
import torch

from napari_uml.config import Focus, Task
from napari_uml.data.resize import as_channels, find_focus, mask_to_input, squash, to_image, to_input
from napari_uml.results import Box

TASK = Task(
    seg_classes=("background", "rim", "cup"), cls_classes=("normal", "glaucoma"), unions={"disc": ("rim", "cup")}
)
DISC = Focus(structures=("disc",), crop_factor=2.0, trigger=0.3)


def with_block(shape, rows, columns, number=1):
    mask = np.zeros(shape, np.uint8)
    mask[slice(*rows), slice(*columns)] = number
    return mask


@pytest.mark.parametrize("shape", [(40, 60), (40, 60, 3), (7, 300), (64, 64), (1, 1)])
def test_an_image_becomes_a_square_of_three_channels_in_unit_range(shape):
    pixels = np.random.default_rng(0).random(shape, dtype=np.float32)
    found = to_input(pixels, 64)
    assert found.shape == (3, 64, 64)
    assert found.dtype == torch.float32
    assert 0 <= found.min() <= found.max() <= 1
    assert squash(pixels, 64).shape[0] == (1 if len(shape) == 2 else 3)


def test_grey_is_repeated_and_colours_keep_their_place():
    grey = np.random.default_rng(0).random((50, 50), dtype=np.float32)
    assert torch.equal(to_input(grey, 32)[0], to_input(grey, 32)[2])
    red = np.zeros((50, 50, 3), np.float32)
    red[..., 0] = 1
    assert to_input(red, 32).mean((1, 2)).tolist() == [1, 0, 0]


def test_shrinking_is_antialiased():
    noise = np.random.default_rng(0).random((256, 256), dtype=np.float32)  # standard deviation 0.29
    assert to_input(noise, 32).std() < 0.05  # means over a few neighbours only would keep 0.14


def test_a_view_that_is_not_contiguous_is_read():
    pixels = np.random.default_rng(0).random((40, 60, 3), dtype=np.float32)
    assert torch.equal(to_input(pixels[::-1, ::-1], 32), to_input(pixels[::-1, ::-1].copy(), 32))


def test_one_channel_means_grey():
    pixels = np.random.default_rng(0).random((4, 5, 3), dtype=np.float32)
    assert np.allclose(as_channels(pixels, 1), pixels @ [0.299, 0.587, 0.114])
    assert as_channels(pixels, 1).dtype == np.float32
    assert as_channels(pixels, 3) is pixels
    assert as_channels(pixels[..., 0], 1).shape == as_channels(pixels[..., 0], 3).shape == (4, 5)


def test_mask_takes_the_nearest_number_and_invents_none():
    mask = with_block((40, 60), (10, 30), (20, 40), number=2)
    mask[:3] = 255
    found = mask_to_input(mask, 64)
    assert found.dtype == torch.uint8
    assert set(found.unique().tolist()) == {0, 2, 255}
    assert (found == 2).float().mean().item() == pytest.approx((mask == 2).mean(), abs=0.02)
    assert torch.equal(mask_to_input(mask[:, :40], 40), torch.from_numpy(mask[:, :40]))


def test_there_and_back_again_keeps_the_place():
    mask = with_block((50, 80), (10, 30), (20, 40))
    one_hot = torch.nn.functional.one_hot(mask_to_input(mask, 64).long(), 2).permute(2, 0, 1)[None].float()
    back = to_image(one_hot, (50, 80))
    assert back.shape == (1, 2, 50, 80)
    found = back.argmax(1)[0].numpy()
    assert 2 * (found & mask).sum() / (found.sum() + mask.sum()) > 0.93


# ---- the second look


def test_the_square_is_centred_and_crop_factor_times_the_extent():
    box = find_focus(with_block((200, 300), (90, 100), (150, 170)), TASK, DISC)
    assert box == Box(75, 140, 115, 180)  # extent 20, side 40, centre (95, 160)


@pytest.mark.parametrize(("rows", "columns"), [((0, 10), (0, 10)), ((190, 200), (290, 300)), ((0, 4), (140, 160))])
def test_the_square_is_moved_inside_the_image(rows, columns):
    mask = with_block((200, 300), rows, columns)
    box = find_focus(mask, TASK, DISC)
    assert box.shape[0] == box.shape[1]
    assert box.bottom <= 200
    assert box.right <= 300
    assert mask[box.slices].sum() == mask.sum()


def test_the_square_is_no_larger_than_the_image():
    focus = Focus(structures=("disc",), crop_factor=50, trigger=0.9)
    assert find_focus(with_block((60, 100), (20, 40), (30, 50)), TASK, focus).shape == (60, 60)


def test_large_or_missing_structures_need_no_second_look():
    assert find_focus(with_block((100, 200), (10, 40), (10, 20)), TASK, DISC) is None  # 30 of 100 pixels
    assert find_focus(with_block((100, 200), (10, 39), (10, 20)), TASK, DISC) is not None
    assert find_focus(np.zeros((100, 200), np.uint8), TASK, DISC) is None


def test_strays_do_not_count_but_parts_of_like_size_do():
    disc = with_block((200, 300), (90, 100), (150, 170))
    alone = find_focus(disc, TASK, DISC)
    assert find_focus(disc + with_block((200, 300), (10, 14), (280, 290)), TASK, DISC) == alone  # 40 of 200 pixels
    both = find_focus(disc + with_block((200, 300), (120, 130), (150, 155)), TASK, DISC)  # 50 of 200
    assert both == Box(70, 120, 150, 200)  # extent 40, centre (110, 160)


def test_only_the_named_structures_count():
    mask = with_block((100, 100), (50, 60), (50, 60), number=2) + with_block((100, 100), (0, 90), (0, 40))
    assert find_focus(mask, TASK, Focus(structures=("cup",))) is not None
    assert find_focus(mask, TASK, DISC) is None


def test_pixels_that_nobody_annotated_are_no_structure():
    mask = with_block((100, 100), (50, 60), (50, 60)) + with_block((100, 100), (0, 40), (0, 90), number=255)
    assert find_focus(mask, TASK, DISC).shape == (20, 20)
