"""The dock in a viewer."""

from __future__ import annotations

import os
import re
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from napari.settings import get_settings
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QAbstractButton, QComboBox

from napari_uml.errors import MemoryLimitError
from napari_uml.widgets.analyse import AnalyseWidget
from napari_uml.widgets.input_panel import InputPanel
from napari_uml.widgets.model_panel import ModelPanel
from napari_uml.widgets.opinion_panel import OpinionPanel
from napari_uml.widgets.run_panel import RunPanel, without_names
from napari_uml.widgets.session import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytestqt.qtbot import QtBot

    from conftest import FakePredictor

RNG = np.random.default_rng(0)


@pytest.fixture
def viewer() -> ViewerModel:
    """All that the dock needs of a viewer; a window would only make the tests slow."""
    return ViewerModel()


@pytest.fixture
def dock(qtbot: QtBot, viewer: ViewerModel, load: Any) -> AnalyseWidget:
    dock = AnalyseWidget(viewer, load=load)
    qtbot.addWidget(dock)
    return dock


def run(qtbot: QtBot, dock: AnalyseWidget) -> None:
    with qtbot.waitSignal(dock.bench.finished):
        dock.panels[RunPanel].run.click()


def test_run_shows_layers_bars_and_device(qtbot: QtBot, viewer: ViewerModel, dock: AnalyseWidget) -> None:
    viewer.add_image(RNG.random((32, 40)), name="scan")
    run(qtbot, dock)
    assert [layer.name for layer in viewer.layers] == ["scan", "scan uncertainty", "scan structures"]
    assert "benign 0." in dock.panels[OpinionPanel].bars.accessibleDescription()
    assert dock.panels[OpinionPanel].heading.text() == "Most belief: <b>benign</b>"
    assert dock.panels[ModelPanel].device.text() == "CPU, 1 thread, float32 · No GPU found"
    assert dock.session.state is State.IDLE


@pytest.mark.skipif(os.environ.get("QT_QPA_PLATFORM") == "offscreen", reason="the canvas needs a (virtual) display")
def test_the_dock_works_in_a_window_and_stops_when_it_is_taken_out(
    qtbot: QtBot, make_napari_viewer_proxy: Callable[[], Any], load: Any, predictor: FakePredictor
) -> None:
    reached, go_on = Event(), Event()
    viewer = make_napari_viewer_proxy()
    dock = AnalyseWidget(viewer, load=load)
    viewer.window.add_dock_widget(dock)
    viewer.add_image(RNG.random((32, 40)), name="scan")
    run(qtbot, dock)
    shown = viewer.layers["scan structures"].data
    predictor.before_slice = lambda number: (reached.set(), go_on.wait(5))
    dock.panels[RunPanel].run.click()
    qtbot.waitUntil(reached.is_set)
    with qtbot.waitSignal(dock.bench.finished):
        viewer.window.remove_dock_widget(dock)
        go_on.set()
    assert viewer.layers["scan structures"].data is shown


@pytest.mark.skipif(os.environ.get("QT_QPA_PLATFORM") == "offscreen", reason="the canvas needs a (virtual) display")
def test_small_print_grows_with_the_font_of_napari(
    make_napari_viewer_proxy: Callable[[], Any], load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer, appearance = make_napari_viewer_proxy(), get_settings().appearance
    dock = AnalyseWidget(viewer, load=load)
    viewer.window.add_dock_widget(dock)
    line = dock.panels[OpinionPanel].origin
    before = line.fontInfo().pointSizeF()
    monkeypatch.setattr(appearance, "font_size", appearance.font_size + 6)
    assert line.fontInfo().pointSizeF() == pytest.approx(before + 6, abs=0.5)


def test_run_says_why_it_cannot(viewer: ViewerModel, dock: AnalyseWidget) -> None:
    button = dock.panels[RunPanel].run
    assert not button.isEnabled()
    assert "Open an image" in button.toolTip()
    viewer.add_image(RNG.random((32, 40)))
    assert button.isEnabled()
    dock.session.model = "far"
    assert not button.isEnabled()
    assert "not on this computer" in button.toolTip()


def test_every_input_has_a_tooltip(dock: AnalyseWidget) -> None:
    inputs = [*dock.findChildren(QAbstractButton), *dock.findChildren(QComboBox)]
    without = [w for w in inputs if not (w.toolTip() or w.parentWidget().toolTip() or w.parentWidget() is None)]
    assert without == []


def test_the_list_of_images_follows_the_viewer(qtbot: QtBot, viewer: ViewerModel, dock: AnalyseWidget) -> None:
    combo = dock.panels[InputPanel].image
    first = viewer.add_image(RNG.random((32, 40)), name="first")
    viewer.add_labels(np.zeros((32, 40), dtype=int))
    viewer.add_image(RNG.random((32, 40)), name="second")
    run(qtbot, dock)
    assert [combo.itemText(i) for i in range(combo.count())] == ["second", "first"]
    first.name = "renamed"
    viewer.layers.remove("second")
    assert [combo.itemText(i) for i in range(combo.count())] == ["renamed"]
    assert dock.session.source.name == "renamed"
    viewer.layers.clear()
    assert combo.count() == 0
    assert dock.session.source is None


def test_only_the_rectangle_is_analysed_and_shown(
    qtbot: QtBot, viewer: ViewerModel, dock: AnalyseWidget, predictor: FakePredictor
) -> None:
    image = viewer.add_image(RNG.random((32, 40)), name="scan", scale=(2, 2))
    inputs = dock.panels[InputPanel]
    inputs.rectangle.setChecked(True)
    inputs.draw.click()
    shapes = viewer.layers["rectangle"]
    shapes.add_rectangles(np.array([[4, 8], [4, 20], [20, 20], [20, 8]]))
    run(qtbot, dock)
    mask = viewer.layers["scan structures"]
    box = predictor.asked[-1][3]
    assert (box.top, box.left) == (4, 8)
    assert mask.data.shape == box.shape
    np.testing.assert_allclose(mask.data_to_world((0, 0)), image.data_to_world((4, 8)))


def test_all_slices_or_the_one_in_view(
    qtbot: QtBot, viewer: ViewerModel, dock: AnalyseWidget, predictor: FakePredictor
) -> None:
    stack = RNG.random((5, 32, 40))
    viewer.add_image(stack, name="stack")
    viewer.dims.set_current_step(0, 3)
    run(qtbot, dock)
    np.testing.assert_allclose(predictor.asked[-1][0], stack[3], atol=1e-6)
    dock.panels[InputPanel].all.setChecked(True)
    run(qtbot, dock)
    assert viewer.layers["stack structures"].data.shape == (5, 32, 40)


def test_the_slices_in_view_are_analysed_when_the_axes_are_rolled(
    qtbot: QtBot, viewer: ViewerModel, dock: AnalyseWidget, predictor: FakePredictor
) -> None:
    stack = RNG.random((24, 32, 40))
    viewer.add_image(stack, name="stack")
    viewer.dims.order = (1, 0, 2)
    viewer.dims.set_current_step(1, 7)
    run(qtbot, dock)
    np.testing.assert_allclose(predictor.asked[-1][0], stack[:, 7], atol=1e-6)
    viewer.add_image(other := RNG.random((24, 32, 40)), name="other")
    run(qtbot, dock)
    np.testing.assert_allclose(predictor.asked[-1][0], other[:, 7], atol=1e-6)
    viewer.dims.order = (0, 1, 2)
    viewer.dims.set_current_step(0, 5)
    run(qtbot, dock)
    np.testing.assert_allclose(predictor.asked[-1][0], other[5], atol=1e-6)


def test_an_answer_says_when_something_else_was_chosen_since(
    qtbot: QtBot, viewer: ViewerModel, dock: AnalyseWidget
) -> None:
    viewer.add_image(RNG.random((5, 32, 40)), name="<b>stack")
    run(qtbot, dock)
    line = dock.panels[OpinionPanel].origin
    assert "Chosen since" not in line.text()
    assert "&lt;b&gt;stack" in line.text()
    viewer.dims.set_current_step(0, 3)
    assert "Chosen since: another slice." in line.text()
    run(qtbot, dock)
    assert "Chosen since" not in line.text()


def test_cancel_keeps_what_is_done(
    qtbot: QtBot, viewer: ViewerModel, dock: AnalyseWidget, predictor: FakePredictor
) -> None:
    reached, go_on = Event(), Event()

    def wait_at_the_third(number: int) -> None:
        if number == 2:
            reached.set()
            go_on.wait(5)

    predictor.before_slice = wait_at_the_third
    viewer.add_image(RNG.random((9, 32, 40)), name="stack")
    dock.session.slices = "all"
    dock.panels[RunPanel].run.click()
    qtbot.waitUntil(reached.is_set)
    assert not dock.panels[RunPanel].run.isEnabled()
    with qtbot.waitSignal(dock.bench.finished):
        dock.panels[RunPanel].cancel.click()
        assert dock.session.state is State.CANCELLING
        go_on.set()
    assert viewer.layers["stack structures"].data.shape == (3, 32, 40)
    assert "3 of 9 slices" in dock.panels[OpinionPanel].origin.text()
    assert dock.panels[RunPanel].run.isEnabled()


@pytest.mark.parametrize("what", ["removed", "replaced"])
def test_an_image_that_goes_during_the_run_gets_no_result(
    qtbot: QtBot, viewer: ViewerModel, dock: AnalyseWidget, predictor: FakePredictor, what: str
) -> None:
    reached, go_on = Event(), Event()
    predictor.before_slice = lambda number: (reached.set(), go_on.wait(5))
    image = viewer.add_image(RNG.random((32, 40)), name="scan")
    dock.panels[RunPanel].run.click()
    qtbot.waitUntil(reached.is_set)
    with qtbot.waitSignal(dock.bench.finished):
        if what == "removed":
            viewer.layers.remove("scan")
        else:
            image.data = RNG.random((16, 16))
        go_on.set()
    assert not any(isinstance(layer, Labels) for layer in viewer.layers)
    assert "during the run" in dock.session.message.text
    assert dock.session.state is State.IDLE


def test_run_stays_usable_after_out_of_memory(
    qtbot: QtBot, viewer: ViewerModel, dock: AnalyseWidget, predictor: FakePredictor
) -> None:
    def fail(number: int) -> None:
        raise MemoryLimitError("There is not enough memory.")

    viewer.add_image(RNG.random((32, 40)), name="scan")
    predictor.before_slice = fail
    run(qtbot, dock)
    panel = dock.panels[RunPanel]
    assert panel.message.text() == "There is not enough memory."
    panel.copy.click()
    copied = QGuiApplication.clipboard().text()
    assert "MemoryLimitError" in copied
    assert "napari-uml" in copied
    predictor.before_slice = lambda number: None
    run(qtbot, dock)
    assert panel.message.text() == ""
    assert "scan structures" in viewer.layers


def test_a_report_names_neither_the_image_nor_the_home_folder(
    qtbot: QtBot, viewer: ViewerModel, dock: AnalyseWidget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/anna")
    monkeypatch.setenv("USERPROFILE", "/home/anna")
    file = Path("/home/anna/scans/Doe Jane.dcm")
    viewer.add_image(RNG.random((32, 40)), name="Doe Jane left", metadata={"path": str(file)})
    told = f"{file.name}: {file} and {str(file)!r} cannot be read. Doe Jane left is dark."
    dock.bench.report(ValueError(f"{told} See /home/anna/.cache, not /home/annabel or Doe Janet."))
    dock.panels[RunPanel].copy.click()
    copied = QGuiApplication.clipboard().text()
    assert "<file>: <file> and '<file>' cannot be read. <file> is dark." in copied
    assert "See ~/.cache, not /home/annabel or Doe Janet." in copied
    assert re.findall(r"Doe Jane\b|/home/anna\b", copied) == []
    windows = without_names(r"'C:\\scans\\Doe.tif' C:\scans\Doe.tif", [r"C:\scans\Doe.tif"])
    assert windows == "'<file>' <file>"
    assert "look through it for names of other files" in dock.panels[RunPanel].copy.toolTip()


def test_a_reopened_dock_uses_the_same_layers(
    qtbot: QtBot, viewer: ViewerModel, dock: AnalyseWidget, load: Any
) -> None:
    viewer.add_image(RNG.random((32, 40)), name="scan")
    run(qtbot, dock)
    dock.close()
    again = AnalyseWidget(viewer, load=load)
    qtbot.addWidget(again)
    run(qtbot, again)
    assert len(viewer.layers) == 3


def test_closing_stops_the_worker(
    qtbot: QtBot, viewer: ViewerModel, dock: AnalyseWidget, predictor: FakePredictor
) -> None:
    reached, go_on = Event(), Event()
    predictor.before_slice = lambda number: (reached.set(), go_on.wait(5))
    viewer.add_image(RNG.random((50, 32, 40)), name="stack")
    dock.session.slices = "all"
    dock.panels[RunPanel].run.click()
    qtbot.waitUntil(reached.is_set)
    with qtbot.waitSignal(dock.bench.finished):
        dock.close()
        go_on.set()
    assert len(viewer.layers) == 1


def test_everything_fits_a_small_screen(viewer: ViewerModel, dock: AnalyseWidget) -> None:
    viewer.add_image(RNG.random((5, 32, 40)))
    dock.session.area = "rectangle"
    assert dock.minimumSizeHint().height() <= 560
    assert dock.minimumSizeHint().width() <= 420
