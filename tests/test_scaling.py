"""The one rule from any pixel values to [0, 1], and the checks before it."""

from __future__ import annotations

import numpy as np
import pytest

from napari_uml.data.scaling import MAX_PIXELS, check_pixels, check_size, scale_to_unit
from napari_uml.errors import ImageError


def ramp(high: float, dtype: str) -> np.ndarray:
    return np.linspace(0, high, 10_000).reshape(100, 100).astype(dtype)


@pytest.mark.parametrize(
    ("pixels", "bits", "white"),
    [
        pytest.param(ramp(100, "uint8"), None, 255, id="uint8 is never stretched"),
        pytest.param(ramp(200, "uint16"), None, 255, id="8 bits in 16"),
        pytest.param(ramp(900, "uint16"), None, 1023, id="10 bits in 16"),
        pytest.param(ramp(4095, "uint16"), None, 4095, id="12 bits in 16"),
        pytest.param(ramp(4096 * 1.01, "uint16"), None, 16383, id="just over 12 bits"),
        pytest.param(ramp(60_000, "uint16"), None, 65535, id="16 bits"),
        pytest.param(ramp(200, "int64"), None, 255, id="bytes in a wide type"),
        pytest.param(ramp(200, "int64").astype("float64"), None, 255, id="whole numbers as float"),
        pytest.param(ramp(900, "uint16"), 12, 4095, id="a depth that the file states"),
        pytest.param(ramp(15, "uint8"), 4, 15, id="4 bits"),
    ],
)
def test_whole_numbers_are_divided_by_the_white_of_their_depth(
    pixels: np.ndarray, bits: int | None, white: int
) -> None:
    scaled, rule = scale_to_unit(pixels, bits)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, pixels / white, rtol=1e-6)
    assert f"value / {white}" in rule


def test_one_bright_pixel_changes_no_other_pixel() -> None:
    pixels = ramp(4000, "uint16")
    spoiled = pixels.copy()
    spoiled[0, 0] = 65535
    scaled, _ = scale_to_unit(pixels)
    clipped, rule = scale_to_unit(spoiled)
    np.testing.assert_array_equal(clipped.ravel()[1:], scaled.ravel()[1:])
    assert clipped[0, 0] == 1
    assert "4095" in rule


def test_fractions_between_0_and_1_stay_as_they_are() -> None:
    pixels = ramp(0.3, "float64")
    scaled, rule = scale_to_unit(pixels)
    np.testing.assert_allclose(scaled, pixels, atol=1e-7)
    assert rule == "as stored, in [0, 1]"


def test_truth_values_become_0_and_1() -> None:
    scaled, _ = scale_to_unit(np.eye(4, dtype=bool))
    np.testing.assert_array_equal(scaled, np.eye(4))


@pytest.mark.parametrize("dtype", ["int16", "float32", "float16"])
def test_other_numbers_are_stretched_between_percentiles(dtype: str) -> None:
    pixels = (ramp(2000, "float64") - 1000).astype(dtype)
    scaled, rule = scale_to_unit(pixels)
    low, high = np.percentile(pixels.astype(float), (0.1, 99.9))
    np.testing.assert_allclose(scaled, np.clip((pixels.astype(float) - low) / (high - low), 0, 1), atol=2e-3)
    assert scaled.min() == 0
    assert scaled.max() == 1
    assert "percentile" in rule


def test_values_beyond_the_percentiles_are_clipped() -> None:
    pixels = np.random.default_rng(0).normal(size=(100, 100))
    pixels[0, 0] = 1e6
    scaled, _ = scale_to_unit(pixels)
    assert scaled.max() == 1
    assert np.median(scaled) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("high", [255, 4000, 60_000, -3.5])
def test_scaling_twice_is_scaling_once(high: float) -> None:
    once, _ = scale_to_unit(ramp(high, "float64") if high < 0 else ramp(high, "uint16"))
    twice, _ = scale_to_unit(once)
    np.testing.assert_array_equal(twice, once)


@pytest.mark.parametrize("scale", [1.0, 1000.0, 1e30])
def test_a_stray_huge_number_raises_no_warning(scale: float) -> None:
    pixels = np.random.default_rng(0).random((100, 100)) * scale
    pixels[0, 0] = 1e300
    scaled, _ = scale_to_unit(pixels)
    assert scaled[0, 0] == 1
    assert np.median(scaled) == pytest.approx(0.5, abs=0.05)


def test_big_endian_numbers_come_out_native() -> None:
    scaled, _ = scale_to_unit(ramp(4000, ">u2"))
    assert scaled.dtype == np.float32
    assert scaled.dtype.isnative


def test_nearly_constant_fractions_cannot_be_stretched() -> None:
    pixels = np.full((200, 200), -3.5)
    pixels[0, 0] = 7
    with pytest.raises(ImageError, match=r"scan: expected contrast, nearly all pixels are -3\.5"):
        scale_to_unit(pixels, name="scan")


@pytest.mark.parametrize(
    ("shape", "stack"), [((8, 9), False), ((8, 9, 3), False), ((5, 8, 9), True), ((5, 8, 9, 3), True)]
)
def test_images_and_stacks_pass(shape: tuple[int, ...], stack: bool) -> None:
    check_pixels(np.arange(np.prod(shape)).reshape(shape), stack=stack)


@pytest.mark.parametrize(
    ("shape", "stack"),
    [((9,), False), ((8, 9, 4), False), ((5, 8, 9), False), ((8, 9), True), ((5, 8, 9, 2), True)],
)
def test_another_shape_is_a_bad_argument(shape: tuple[int, ...], stack: bool) -> None:
    with pytest.raises(ValueError, match=r"expected the shape \([DH], .*got \("):
        check_pixels(np.zeros(shape), stack=stack)


@pytest.mark.parametrize(
    ("pixels", "sentence"),
    [
        pytest.param(np.zeros((0, 5)), "at least one pixel, got 0 x 5", id="empty"),
        pytest.param(np.full((4, 5), 7, np.uint8), "contrast, every pixel is 7", id="constant"),
        pytest.param(np.array([[0, np.nan], [np.inf, 1]]), "finite numbers, 2 of 4 are NaN or infinite", id="NaN"),
        pytest.param(np.array([[0, 1], [-np.inf, 1]]), "finite numbers, 1 of 4", id="infinite"),
        pytest.param(np.array([[0j, 1j]]), "real numbers, got complex128", id="complex"),
        pytest.param(np.array([["a", "b"]]), "real numbers, got <U1", id="text"),
    ],
)
def test_what_cannot_be_analysed_gets_one_sentence(pixels: np.ndarray, sentence: str) -> None:
    with pytest.raises(ImageError, match=f"^lesion: expected {sentence}"):
        check_pixels(pixels, name="lesion")


@pytest.mark.parametrize("shape", [(20_000, 5_001), (2, 20_000, 5_001), (1_001, 1_000, 1_000)])
def test_too_many_pixels_are_refused_by_their_shape_alone(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="million pixels, got"):
        check_size(shape, "slide")


def test_the_largest_image_and_a_usual_ct_are_allowed() -> None:
    check_size((MAX_PIXELS // 10_000, 10_000), "slide")
    check_size((600, 512, 512), "chest")
