"""The dock shows what the network will see, follows every choice, and warns without refusing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.components import ViewerModel
from safetensors.numpy import save_file

from napari_uml.data.view import network_view
from napari_uml.results import Box
from napari_uml.weights.info import METADATA_KEY
from napari_uml.widgets.analyse import AnalyseWidget
from napari_uml.widgets.preview_panel import PreviewPanel, Question, look
from napari_uml.widgets.reading_modes import Reading
from napari_uml.widgets.run_panel import RunPanel

if TYPE_CHECKING:
    from pathlib import Path

    from pytestqt.qtbot import QtBot

    from napari_uml.weights import ModelEntry
    from napari_uml.widgets.preview_panel import Preview

RNG = np.random.default_rng(0)


@pytest.fixture
def weights(models: tuple[ModelEntry, ...], predictor: Any) -> Path:
    """Return the file of the first model; it has a header alone."""
    path = models[0].path
    save_file({"a": np.zeros(1, dtype=np.float32)}, path, {METADATA_KEY: predictor.info.model_dump_json()})
    return path


def seen(data: np.ndarray, weights: Path, reading: Reading, position: tuple[int, ...], **changes: Any) -> Preview:
    values = {"all_slices": False, "box": None, **changes}
    (preview,) = look(Question(data, reading, position, weights=weights, **values))(lambda: False)
    return preview


def test_the_rectangle_of_the_slice_in_view_is_seen(weights: Path) -> None:
    stack = RNG.random((5, 32, 40), dtype=np.float32)
    preview = seen(stack, weights, Reading("none", None, 0), (3, 0, 0), box=Box(2, 4, 20, 30))
    np.testing.assert_array_equal(preview.view, network_view(stack[3, 2:20, 4:30], 64, 3))
    assert "the rectangle of 26 x 18" in preview.caption
    assert "given as red, green and blue" in preview.caption
    assert any("is grey" in text for text in preview.warnings)


def test_a_slice_of_a_stack_that_is_analysed_whole_is_scaled_with_the_stack(weights: Path) -> None:
    stack = np.stack([RNG.integers(0, top, (32, 40)) for top in (100, 4000)]).astype(np.uint16)
    one, all_slices = (
        seen(stack, weights, Reading("none", None, 0), (0, 0, 0), all_slices=every) for every in (False, True)
    )
    assert one.view.mean() > 5 * all_slices.view.mean()


def test_the_picture_follows_the_choices(qtbot: QtBot, load: Any, weights: Path) -> None:
    viewer = ViewerModel()
    dock = AnalyseWidget(viewer, load=load)
    qtbot.addWidget(dock)
    panel = dock.panels[PreviewPanel]
    qtbot.waitUntil(lambda: "Open an image" in panel.caption.text())
    viewer.add_image(RNG.random((32, 40, 3)), rgb=True, name="colours")
    qtbot.waitUntil(lambda: "Colour" in panel.caption.text())
    assert not panel.picture.pixmap().isNull()
    assert "data:image/png;base64," in panel.picture.toolTip()
    dock.session.reading = Reading("green", 2)
    qtbot.waitUntil(lambda: "Grey" in panel.caption.text())
    assert "⚠ The image is grey" in panel.warning.text()
    assert dock.panels[RunPanel].run.isEnabled()


def test_an_image_that_cannot_be_seen_says_why(qtbot: QtBot, load: Any, weights: Path) -> None:
    viewer = ViewerModel()
    dock = AnalyseWidget(viewer, load=load)
    qtbot.addWidget(dock)
    viewer.add_image(np.zeros((32, 40)), name="black", contrast_limits=(0, 1))
    qtbot.waitUntil(lambda: "expected contrast" in dock.panels[PreviewPanel].caption.text())
