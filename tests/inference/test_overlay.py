"""The overlay: legible at every size, with the colours that its legend names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from napari_uml.errors import UMLError
from napari_uml.inference import overlay, page
from napari_uml.inference.overlay import draw_overlay, shown_slice, write_overlay
from napari_uml.inference.page import fitted, shade, tint
from napari_uml.results import Box, Opinion

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_uml.config import Task
    from napari_uml.results import Prediction


def mask_with_disc(*shape: int) -> np.ndarray:
    mask = np.zeros(shape, dtype=np.uint8)
    height, width = shape[-2:]
    mask[..., height // 4 : height // 2, width // 4 : width // 2 + 1] = 1
    return mask


def count(picture: np.ndarray, color: str) -> int:
    rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])
    return int((np.abs(picture[..., :3].astype(int) - rgb) <= 2).all(-1).sum())


@pytest.mark.parametrize("shape", [(16, 16), (30, 200, 3), (300, 20), (480, 640, 3), (1, 900), (2100, 2000)])
def test_page_has_a_readable_size_and_the_structures_color_whatever_the_images_size(
    tmp_path: Path, make_prediction: Callable[..., Prediction], task: Task, shape: tuple[int, ...]
) -> None:
    path = tmp_path / "overlay.png"
    write_overlay(path, np.full(shape, 0.5, dtype=np.float32), make_prediction(mask_with_disc(*shape[:2])), task)
    picture = np.asarray(Image.open(path))
    height, width = picture.shape[:2]
    assert 900 <= width <= 1700
    assert 400 <= height <= 2600
    assert count(picture, task.colors[1]) > 22 * 20  # the square in the legend


def test_structure_that_was_not_found_is_in_the_legend_alone(
    tmp_path: Path, make_prediction: Callable[..., Prediction], task: Task
) -> None:
    pixels = np.full((64, 64), 0.5, dtype=np.float32)
    pages = {}
    for name, mask in (("found", mask_with_disc(64, 64)), ("none", np.zeros((64, 64), dtype=np.uint8))):
        write_overlay(tmp_path / f"{name}.png", pixels, make_prediction(mask), task)
        pages[name] = np.asarray(Image.open(tmp_path / f"{name}.png"))
    assert count(pages["none"], task.colors[1]) < 25 * 25 < count(pages["found"], task.colors[1])


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list that every text of a page is appended to."""
    texts: list[str] = []
    write = page.Page.text

    def text(self: page.Page, left: float, middle: float, text: str, **style: object) -> None:
        texts.append(text)
        write(self, left, middle, text, **style)

    monkeypatch.setattr(overlay.Page, "text", text)
    return texts


def test_page_says_what_it_is_in_words(make_prediction: Callable[..., Prediction], task: Task, said: list[str]) -> None:
    prediction = make_prediction(mask_with_disc(40, 40), sigma=0.05, seed=3, looked_at=(Box(5, 5, 30, 30),))
    draw_overlay(np.zeros((40, 40), dtype=np.float32), prediction, task, "scan $1$.png")
    text = "\n".join(said)
    for words in (
        "scan $1$.png", "Most belief: glaucoma (0.62)", "normal", "0.12", "uncertainty", "0.25", "rim", "not found",
        "6.9% of the image, mean u 0.25", "u = 1: knows nothing", "dashed: the part that was looked at",
        "Research use only, not a medical device. Model tiny, noise sigma 0.05 (seed 3).", "Uncertainty u of the mask",
    ):  # fmt: skip
        assert words in text


def test_uncertainty_of_the_mutual_mask_is_called_so(
    make_prediction: Callable[..., Prediction], task: Task, said: list[str]
) -> None:
    prediction = make_prediction(mask_with_disc(40, 40), mask_map="mutual")
    draw_overlay(np.zeros((40, 40), dtype=np.float32), prediction, task)
    assert "Uncertainty u of the mutual mask" in said


def test_stack_shows_the_slice_with_most_structure_and_says_which(
    make_prediction: Callable[..., Prediction], task: Task, said: list[str]
) -> None:
    mask = np.zeros((5, 30, 30), dtype=np.uint8)
    mask[3, 5:20, 5:20] = 2
    mask[1, 5:10, 5:10] = 2
    prediction = make_prediction(mask)
    assert shown_slice(prediction) == 3
    draw_overlay(np.zeros((5, 30, 30, 3), dtype=np.float32), prediction, task, "stack")
    assert "stack, slice 3 (0 to 4)" in said
    assert any(text.startswith("Whole stack, most belief: glaucoma") for text in said)


def test_stack_without_structures_shows_its_middle(make_prediction: Callable[..., Prediction]) -> None:
    assert shown_slice(make_prediction(np.zeros((5, 8, 8), dtype=np.uint8))) == 2


def test_long_names_and_many_classes_stay_on_the_page(
    tmp_path: Path, make_prediction: Callable[..., Prediction], task: Task
) -> None:
    names = tuple(f"a class with quite a long name {number}" for number in range(12))
    opinion = Opinion.from_evidence(names, np.arange(12.0))
    many = task.model_copy(update={"cls_classes": names})
    prediction = make_prediction(mask_with_disc(64, 64), opinions=(opinion,))
    title = "a title that is far too long for one line " * 5
    write_overlay(tmp_path / "page.png", np.zeros((64, 64), dtype=np.float32), prediction, many, title=title)
    picture = np.asarray(Image.open(tmp_path / "page.png"))
    margin = page.MARGIN // 2
    assert (picture[:, -margin:, :3] == 255).all()
    assert (picture[-margin:, :, :3] == 255).all()


def test_letters_that_the_font_lacks_are_no_error(
    tmp_path: Path, make_prediction: Callable[..., Prediction], task: Task
) -> None:
    prediction = make_prediction(mask_with_disc(8, 8))
    write_overlay(tmp_path / "page.png", np.zeros((8, 8), dtype=np.float32), prediction, task, title="患者.png")
    assert (tmp_path / "page.png").exists()


def test_outline_has_the_color_of_its_structure_at_corners_and_borders() -> None:
    mask = np.zeros((12, 12), dtype=np.uint8)
    mask[:4, 4:8] = 1
    mask[8:, 8:] = 2
    picture = tint(np.ones((12, 12, 3), dtype=np.float32), mask, ("#000000", "#ff0000", "#00ff00"))
    np.testing.assert_allclose(picture[4, 3], (1, 0, 0), atol=1e-6)
    np.testing.assert_allclose(picture[7, 7], (0, 1, 0), atol=1e-6)
    np.testing.assert_allclose(picture[11, 5], 1, atol=1e-6)


def test_page_that_is_there_is_kept(tmp_path: Path, make_prediction: Callable[..., Prediction], task: Task) -> None:
    path = tmp_path / "overlay.png"
    path.write_text("mine")
    with pytest.raises(UMLError, match="is there already"):
        write_overlay(path, np.zeros((8, 8), dtype=np.float32), make_prediction(mask_with_disc(8, 8)), task)
    assert path.read_text() == "mine"


def test_colors_of_u_get_brighter_with_u_and_grey_where_nobody_looked() -> None:
    picture = shade(np.array([[0.0, 0.25, 0.5, 0.75, 0.99, 1.0]], dtype=np.float32))
    brightness = picture[0].mean(-1)
    assert (np.diff(brightness[:5]) > 0.05).all()
    np.testing.assert_allclose(picture[0, 5], page.NOT_LOOKED_AT)


def test_tint_leaves_the_background_as_it_is_but_for_the_outline() -> None:
    image = np.random.default_rng(0).random((20, 20, 3), dtype=np.float32)
    mask = np.zeros((20, 20), dtype=np.uint8)
    mask[8:12, 8:12] = 1
    picture = tint(image, mask, ("#000000", "#ff0000"))
    np.testing.assert_array_equal(picture[:6], image[:6])
    np.testing.assert_allclose(picture[7, 9], (1, 0, 0), atol=1e-6)  # the outline, on the side of the background
    np.testing.assert_allclose(picture[9, 9], 0.7 * image[9, 9] + 0.3 * np.array([1, 0, 0]), atol=1e-6)


def test_mask_is_never_interpolated() -> None:
    mask = np.zeros((9, 9), dtype=np.uint8)
    mask[:, 5:] = 2
    assert set(np.unique(fitted(mask, (90, 70)))) == {0, 2}
