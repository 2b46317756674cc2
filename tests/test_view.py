"""The picture of the network's input is the network's input, and says when it looks unlike the training images."""

from __future__ import annotations

import numpy as np
import pytest

from napari_uml.config import Task, preset
from napari_uml.data.resize import to_input
from napari_uml.data.scaling import scale_to_unit
from napari_uml.data.view import in_unit, network_view
from napari_uml.errors import ImageError
from napari_uml.inference.likeness import unlike_training
from napari_uml.weights import WeightsInfo

RNG = np.random.default_rng(0)


def info(channels: int = 1, mean: float = 0.5, std: float = 0.29, size: int = 64) -> WeightsInfo:
    task = Task(channels=channels, seg_classes=("background", "lesion"), cls_classes=("benign", "malignant"))
    return WeightsInfo(
        name="m", title="M", version="1", config=preset("compact", 2, 2), task=task, image_size=size, training={},
        validation={}, intensity={"mean": (mean,) * channels, "std": (std,) * channels}, licence="", not_for="",
        written_by="",
    )  # fmt: skip


@pytest.mark.parametrize("shape", [(97, 130), (40, 30), (130, 97, 3)])
def test_the_view_is_the_networks_input(shape: tuple[int, ...]) -> None:
    pixels = RNG.random(shape, dtype=np.float32)
    expected = to_input(pixels, 64).permute(1, 2, 0).numpy()
    np.testing.assert_allclose(network_view(pixels, 64, 3), expected, atol=1e-5)


def test_a_grey_model_sees_the_brightness() -> None:
    pixels = RNG.random((64, 64, 3), dtype=np.float32)
    brightness = pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    np.testing.assert_allclose(network_view(pixels, 64, 1)[..., 2], brightness, atol=1e-6)


def test_pixels_are_scaled_as_the_predictor_does() -> None:
    counts = RNG.integers(0, 4000, (20, 30)).astype(np.uint16)
    np.testing.assert_array_equal(in_unit(counts), scale_to_unit(counts)[0])
    ready = RNG.random((20, 30), dtype=np.float32)
    assert in_unit(ready) is ready
    with pytest.raises(ImageError, match="contrast"):
        in_unit(np.zeros((8, 8)))


def test_an_image_like_the_training_images_gets_no_warning() -> None:
    assert unlike_training(RNG.random((64, 64), dtype=np.float32), info()) == ()
    assert unlike_training(RNG.random((64, 80, 3), dtype=np.float32), info(3)) == ()


@pytest.mark.parametrize(
    ("pixels", "model", "words"),
    [
        (RNG.random((64, 64), dtype=np.float32), info(3), "is grey"),
        (RNG.random((64, 64, 3), dtype=np.float32), info(1, std=0.2), "is in colour"),
        (RNG.random((64, 200), dtype=np.float32), info(), "3.1 times as long"),
        (RNG.random((30, 28), dtype=np.float32), info(std=0.25), "28 x 30 pixels"),
        (RNG.random((64, 64), dtype=np.float32), info(mean=0.05), "brighter"),
        (RNG.random((64, 64), dtype=np.float32), info(mean=0.95), "darker"),
        (0.5 + 0.01 * RNG.random((64, 64), dtype=np.float32), info(), "less contrast"),
        (RNG.random((64, 64), dtype=np.float32), info(std=0.1), "more contrast"),
    ],
)
def test_what_is_unusual_is_said(pixels: np.ndarray, model: WeightsInfo, words: str) -> None:
    said = unlike_training(pixels, model)
    assert any(words in sentence for sentence in said), said
