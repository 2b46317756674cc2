"""The noise panel: live answers, the newest wins, what the network saw, and the sweep."""

from __future__ import annotations

import csv
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QLocale, QPoint, QPointF, Qt
from qtpy.QtGui import QImage, QWheelEvent
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_uml.evaluation.sweep import SIGMAS
from napari_uml.inference.corruptions import KINDS
from napari_uml.results import Box, Corruption
from napari_uml.widgets import slices_panel, sweep_plot
from napari_uml.widgets.amount import Amount
from napari_uml.widgets.analyse import AnalyseWidget
from napari_uml.widgets.noise_panel import NoisePanel
from napari_uml.widgets.run_panel import RunPanel
from napari_uml.widgets.seen_layer import placed_input
from napari_uml.widgets.session import State
from napari_uml.widgets.sweep_panel import SweepPanel, save_csv, save_png

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytestqt.qtbot import QtBot

    from conftest import FakePredictor

RNG = np.random.default_rng(0)


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def dock(qtbot: QtBot, viewer: ViewerModel, load: Any) -> AnalyseWidget:
    dock = AnalyseWidget(viewer, load=load)
    qtbot.addWidget(dock)
    return dock


@pytest.fixture
def panel(dock: AnalyseWidget, viewer: ViewerModel) -> NoisePanel:
    viewer.add_image(RNG.random((32, 40)), name="scan", scale=(2, 3), translate=(5, 6))
    return dock.panels[NoisePanel]


@pytest.fixture
def sweeper(panel: NoisePanel) -> SweepPanel:
    return panel.sweep


def after(qtbot: QtBot, dock: AnalyseWidget, action: Callable[[], object]) -> None:
    """Do something and wait for the worker to finish."""
    with qtbot.waitSignal(dock.bench.finished):
        action()


def test_a_move_of_the_slider_brings_a_new_answer(
    qtbot: QtBot, dock: AnalyseWidget, panel: NoisePanel, predictor: FakePredictor
) -> None:
    after(qtbot, dock, lambda: panel.sigma.slider.setValue(50))
    assert panel.sigma.spin.value() == 0.05
    assert predictor.asked[-1][1] == 0.05
    assert dock.session.result.prediction.sigma == 0.05
    after(qtbot, dock, panel.new_draw.click)
    assert dock.session.result.prediction.seed == 1
    after(qtbot, dock, lambda: panel.sigma.spin.setValue(0.3))
    assert panel.sigma.slider.value() == 300


def test_only_the_last_of_quick_moves_is_looked_at(
    qtbot: QtBot, dock: AnalyseWidget, panel: NoisePanel, predictor: FakePredictor
) -> None:
    def drag() -> None:
        for value in range(10, 100):
            panel.sigma.slider.setValue(value)

    after(qtbot, dock, drag)
    assert [asked[1] for asked in predictor.asked] == [0.099]


def test_the_newest_move_wins_and_the_stale_answer_is_dropped(
    qtbot: QtBot, dock: AnalyseWidget, panel: NoisePanel, predictor: FakePredictor
) -> None:
    reached, go_on, shown = Event(), Event(), []
    predictor.before_slice = lambda number: (reached.set(), go_on.wait(5))
    dock.session.events.result.connect(lambda result: shown.append(result.prediction.sigma))
    panel.sigma.slider.setValue(100)
    qtbot.waitUntil(reached.is_set)
    with qtbot.waitSignal(panel.rest.triggered):
        panel.sigma.slider.setValue(200)
    after(qtbot, dock, go_on.set)
    assert shown == [0.2]
    assert [asked[1] for asked in predictor.asked] == [0.1, 0.2]


def test_a_quick_model_leaves_the_buttons_alone_while_the_slider_moves(
    qtbot: QtBot, dock: AnalyseWidget, panel: NoisePanel
) -> None:
    after(qtbot, dock, dock.bench.run)
    states = []
    dock.session.events.state.connect(states.append)
    after(qtbot, dock, lambda: panel.sigma.slider.setValue(50))
    assert dock.session.result.prediction.sigma == 0.05
    assert states == []


def test_a_move_during_a_run_waits_for_its_end(
    qtbot: QtBot, dock: AnalyseWidget, panel: NoisePanel, predictor: FakePredictor
) -> None:
    reached, go_on = Event(), Event()
    predictor.before_slice = lambda number: (reached.set(), go_on.wait(5))
    dock.panels[RunPanel].run.click()
    qtbot.waitUntil(reached.is_set)
    with qtbot.waitSignal(panel.rest.triggered):
        panel.sigma.slider.setValue(50)
    go_on.set()
    qtbot.waitUntil(lambda: dock.session.result is not None and dock.session.result.prediction.sigma == 0.05)
    assert [asked[1] for asked in predictor.asked] == [0.0, 0.05]


def test_nothing_is_looked_at_when_live_is_off_or_all_slices_are_chosen(
    qtbot: QtBot, dock: AnalyseWidget, viewer: ViewerModel, panel: NoisePanel, predictor: FakePredictor
) -> None:
    panel.live.setChecked(False)
    with qtbot.waitSignal(panel.rest.triggered):
        panel.sigma.slider.setValue(50)
    viewer.add_image(RNG.random((4, 32, 40)), name="stack")
    dock.session.slices = "all"
    with qtbot.waitSignal(panel.rest.triggered):
        panel.live.setChecked(True)
    assert predictor.asked == []
    assert not panel.note.isHidden()


def test_another_corruption_reaches_the_network_and_has_its_own_limits(
    qtbot: QtBot, dock: AnalyseWidget, panel: NoisePanel
) -> None:
    for name, kind in KINDS.items():
        after(qtbot, dock, lambda name=name: panel.kind.setCurrentIndex(panel.kind.findData(name)))
        corruption = dock.session.result.prediction.corruption
        assert corruption.kind == name
        assert corruption.strength != kind.neutral
        assert (panel.strength.spin.minimum(), panel.strength.spin.maximum()) == (kind.lowest, kind.highest)
    after(qtbot, dock, lambda: panel.strength.spin.setValue(8))
    assert dock.session.result.prediction.corruption == Corruption("downsampling", 8)
    after(qtbot, dock, lambda: panel.kind.setCurrentIndex(0))
    assert dock.session.result.prediction.corruption is None


def test_what_the_network_saw_covers_its_image(
    qtbot: QtBot, dock: AnalyseWidget, viewer: ViewerModel, panel: NoisePanel
) -> None:
    after(qtbot, dock, lambda: panel.show_input.setChecked(True))
    image, seen = viewer.layers["scan"], viewer.layers["scan network input"]
    assert seen.data.shape == (64, 64)
    np.testing.assert_allclose(seen.data_to_world((-0.5, -0.5)), image.data_to_world((-0.5, -0.5)))
    np.testing.assert_allclose(seen.data_to_world((63.5, 63.5)), image.data_to_world((31.5, 39.5)))
    assert viewer.layers.index(seen) == viewer.layers.index(image) + 1
    after(qtbot, dock, lambda: panel.sigma.slider.setValue(50))
    assert [layer.name for layer in viewer.layers].count("scan network input") == 1
    panel.show_input.setChecked(False)
    assert "scan network input" not in viewer.layers


def test_what_the_network_saw_of_a_coloured_stack_lies_on_the_slice_in_view(
    qtbot: QtBot, dock: AnalyseWidget, viewer: ViewerModel, panel: NoisePanel
) -> None:
    image = viewer.add_image(RNG.random((5, 32, 40, 3)), name="film", rgb=True, rotate=20, scale=(4, 2, 2))
    viewer.dims.set_point(0, 8)
    dock.session.slices = "all"
    dock.session.show_input = True
    after(qtbot, dock, dock.bench.run)
    result = dock.session.result
    data, where = placed_input(image, result, result.seen)
    assert data.shape == (1, 64, 64, 3)
    layer = type(image)(data, rgb=True, **where)
    np.testing.assert_allclose(layer.data_to_world((0, -0.5, 63.5)), image.data_to_world((2, -0.5, 39.5)))


def test_what_the_network_saw_at_its_second_look_covers_the_rectangle(
    qtbot: QtBot, dock: AnalyseWidget, viewer: ViewerModel, panel: NoisePanel
) -> None:
    dock.session.box, dock.session.area = Box(4, 8, 20, 24), "rectangle"
    shapes = viewer.add_shapes([np.array([[4, 8], [4, 23], [19, 23], [19, 8]])], scale=(2, 3), translate=(5, 6))
    dock.bench.choose_shapes(shapes)
    after(qtbot, dock, lambda: panel.show_input.setChecked(True))
    box = dock.session.result.request.box
    seen, image = viewer.layers["scan network input"], viewer.layers["scan"]
    corner = image.data_to_world((box.top - 0.5, box.left - 0.5))
    np.testing.assert_allclose(seen.data_to_world((-0.5, -0.5)), corner)


def test_deleting_the_layer_unticks_its_box(
    qtbot: QtBot, dock: AnalyseWidget, viewer: ViewerModel, panel: NoisePanel
) -> None:
    after(qtbot, dock, lambda: panel.show_input.setChecked(True))
    viewer.layers.remove("scan network input")
    assert not panel.show_input.isChecked()
    after(qtbot, dock, lambda: panel.sigma.slider.setValue(50))
    assert "scan network input" not in viewer.layers


def test_a_sweep_draws_curves_and_saves_them(
    qtbot: QtBot, dock: AnalyseWidget, panel: NoisePanel, sweeper: SweepPanel, predictor: FakePredictor, tmp_path: Path
) -> None:
    dock.session.seed = 5
    panel.rest.cancel()
    after(qtbot, dock, sweeper.start.click)
    found = dock.session.sweep
    assert found.sweep.done == 3 * len(SIGMAS)
    assert {asked[2] for asked in predictor.asked} == {5, 6, 7}
    assert [len(plot.listDataItems()) for plot in sweeper.plot.plots] == [4, 2]
    axis = sweeper.plot.plots[1].getAxis("bottom")
    assert axis.tickStrings([0.3], axis.autoSIPrefixScale * axis.scale, 0.1) == ["0.3"]
    assert "Most belief stays with benign" in sweeper.words.text()
    save_csv(tmp_path / "sweep.csv", found)
    rows = list(csv.DictReader((tmp_path / "sweep.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == found.sweep.done
    assert rows[0]["image"] == "scan"
    sweeper.plot.resize(300, 300)
    save_png(tmp_path / "sweep.png", sweeper.plot)
    assert QImage(str(tmp_path / "sweep.png")).width() == 900


@pytest.mark.parametrize("ending", ["csv", "png"])
def test_a_sweep_is_saved_over_nothing_that_the_dialog_did_not_ask_about(
    qtbot: QtBot, dock: AnalyseWidget, sweeper: SweepPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    after(qtbot, dock, sweeper.start.click)
    button = getattr(sweeper, ending)

    def save(name: str) -> Path:
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / name), ""))
        button.click()
        return tmp_path / f"{name}.{ending}"

    (tmp_path / f"scan.{ending}").write_text("mine")
    assert save("scan.v2").is_file()
    assert dock.session.message is None
    save("scan")
    assert (tmp_path / f"scan.{ending}").read_text() == "mine"
    assert dock.session.message.text == f"{tmp_path / 'scan'}.{ending} is there already; choose another name."
    dock.session.message = None
    save(f"scan.{ending.upper()}")
    save(f"scan.{ending}")  # the dialog asked
    assert dock.session.message is None
    assert (tmp_path / f"scan.{ending}").read_bytes() != b"mine"
    (tmp_path / f"folder.{ending}").mkdir()
    save(f"folder.{ending}")
    assert "cannot be written" in dock.session.message.text


def test_a_sweep_compares_with_a_truth_of_the_same_size(
    qtbot: QtBot, dock: AnalyseWidget, viewer: ViewerModel, sweeper: SweepPanel
) -> None:
    viewer.add_labels(np.zeros((8, 8), dtype=int), name="of another size")
    viewer.add_labels(np.ones((32, 40), dtype=int), name="truth")
    after(qtbot, dock, dock.bench.run)
    assert [sweeper.truth.itemText(i) for i in range(sweeper.truth.count())] == ["none", "truth"]
    sweeper.truth.setCurrentIndex(1)
    after(qtbot, dock, sweeper.start.click)
    mask = viewer.layers["scan structures"].data
    dice = 2 * mask.sum() / (mask.sum() + mask.size)
    np.testing.assert_allclose(dock.session.sweep.sweep.values["agreement with truth"], dice)


def test_the_truth_of_one_image_is_not_taken_for_another(
    dock: AnalyseWidget, viewer: ViewerModel, sweeper: SweepPanel
) -> None:
    viewer.add_labels(np.ones((32, 40), dtype=int), name="truth")
    sweeper.truth.setCurrentIndex(1)
    other = viewer.add_image(np.random.default_rng(1).random((32, 40), dtype=np.float32), name="other")
    dock.bench.choose_image(other)
    assert sweeper.truth.currentText() == "none"
    assert sweeper.truth.count() == 2


def test_a_truth_with_numbers_that_are_no_structures_is_refused_in_words(
    qtbot: QtBot, dock: AnalyseWidget, viewer: ViewerModel, sweeper: SweepPanel
) -> None:
    viewer.add_labels(np.full((32, 40), 9), name="truth")
    sweeper.truth.setCurrentIndex(1)
    after(qtbot, dock, sweeper.start.click)
    assert "0 to 1, got 9 to 9" in dock.session.message.text


def test_cancel_stops_a_sweep_and_keeps_what_is_known(
    qtbot: QtBot, dock: AnalyseWidget, sweeper: SweepPanel, predictor: FakePredictor
) -> None:
    reached, go_on = Event(), Event()

    def wait_at_the_fifth(number: int) -> None:
        if len(predictor.asked) == 5:
            reached.set()
            go_on.wait(5)

    predictor.before_slice = wait_at_the_fifth
    sweeper.start.click()
    qtbot.waitUntil(reached.is_set)
    assert sweeper.start.text() == "Cancel"
    assert not dock.panels[RunPanel].run.isEnabled()

    def cancel() -> None:
        sweeper.start.click()
        assert dock.session.state is State.CANCELLING
        go_on.set()

    after(qtbot, dock, cancel)
    assert dock.session.sweep.sweep.done == 5
    assert "5 of 33 looks" in sweeper.plot.about.text()
    assert sweeper.start.text() == "Sweep"
    assert sweeper.start.isEnabled()


def test_another_corruption_can_be_varied(qtbot: QtBot, dock: AnalyseWidget, panel: NoisePanel) -> None:
    after(qtbot, dock, lambda: panel.kind.setCurrentIndex(panel.kind.findData("jpeg")))
    panel.sweep.over.setCurrentIndex(1)
    after(qtbot, dock, panel.sweep.start.click)
    assert dock.session.sweep.sweep.plan.strengths == KINDS["jpeg"].steps


def test_a_sweep_is_shown_with_its_image_alone(
    qtbot: QtBot, dock: AnalyseWidget, viewer: ViewerModel, sweeper: SweepPanel
) -> None:
    after(qtbot, dock, sweeper.start.click)
    first = viewer.layers["scan"]
    viewer.add_image(RNG.random((32, 40)), name="other")
    dock.bench.choose_image(viewer.layers["other"])
    assert sweeper.plot.isHidden()
    assert not sweeper.csv.isEnabled()
    dock.bench.choose_image(first)
    assert not sweeper.plot.isHidden()
    first.data = RNG.random((32, 40))
    assert sweeper.plot.isHidden()


def test_an_answer_that_comes_back_with_its_image_has_the_setting_of_now(
    qtbot: QtBot, dock: AnalyseWidget, viewer: ViewerModel, panel: NoisePanel
) -> None:
    first = viewer.add_image(RNG.random((32, 40)), name="first")
    after(qtbot, dock, dock.panels[RunPanel].run.click)
    viewer.add_image(RNG.random((32, 40)), name="second")
    after(qtbot, dock, lambda: panel.sigma.spin.setValue(0.15))
    after(qtbot, dock, lambda: dock.bench.choose_image(first))
    assert dock.session.result.request.source.name == "first"
    assert dock.session.result.prediction.sigma == 0.15


def test_numbers_have_a_point_in_every_language(panel: NoisePanel) -> None:
    before = QLocale()
    try:
        QLocale.setDefault(QLocale("de_DE"))
        amount = Amount()
    finally:
        QLocale.setDefault(before)
    amount.set_range(0, 0.3, 0.01, 3)
    amount.spin.lineEdit().setText("0.05")
    amount.spin.interpretText()
    assert amount.value() == 0.05


def test_a_sweep_without_pyqtgraph_says_what_to_do(
    qtbot: QtBot, dock: AnalyseWidget, sweeper: SweepPanel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyqtgraph", None)
    after(qtbot, dock, sweeper.start.click)
    assert sweeper.plot.keys[0].text() == slices_panel.MISSING
    save_csv(tmp_path / "sweep.csv", dock.session.sweep)
    assert (tmp_path / "sweep.csv").exists()


def test_the_wheel_scrolls_the_dock_instead_of_moving_a_slider(panel: NoisePanel) -> None:
    where, none = QPointF(5, 5), Qt.MouseButton.NoButton
    event = QWheelEvent(
        where, where, QPoint(0, 0), QPoint(0, 120), none, Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(panel.sigma.slider, event)
    assert panel.sigma.value() == 0
    assert not event.isAccepted()


def test_closing_during_a_sweep_stops_it(
    qtbot: QtBot, dock: AnalyseWidget, sweeper: SweepPanel, predictor: FakePredictor
) -> None:
    reached, go_on = Event(), Event()
    predictor.before_slice = lambda number: (reached.set(), go_on.wait(5))
    sweeper.start.click()
    qtbot.waitUntil(reached.is_set)
    after(qtbot, dock, lambda: (dock.close(), go_on.set()))
    assert len(predictor.asked) == 1
    assert dock.session.sweep is None


@pytest.mark.parametrize("light", [False, True])
def test_curves_differ_in_colour_or_dash(light: bool) -> None:
    for lines in (sweep_plot.opinion_lines(tuple("abcdefg"), light), sweep_plot.mask_lines(light)):
        assert len({(line.color, line.dash) for line in lines}) == len(lines)
