"""What the dock shows of an answer: opinions, measurements, slices, further layers, places, the pixel at the cursor."""

from __future__ import annotations

import builtins
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFileDialog

from napari_uml.calibration import Calibration, Contours, Knot
from napari_uml.widgets.analyse import AnalyseWidget
from napari_uml.widgets.extra_panel import NO_MAP, ExtraPanel
from napari_uml.widgets.layers import is_result
from napari_uml.widgets.measurements_panel import MeasurementsPanel
from napari_uml.widgets.opinion_panel import OpinionPanel
from napari_uml.widgets.panel import Section
from napari_uml.widgets.places_panel import PlacesPanel
from napari_uml.widgets.reading_modes import possible_readings
from napari_uml.widgets.run_panel import RunPanel
from napari_uml.widgets.slices_panel import SlicesPanel, curves

if TYPE_CHECKING:
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
    dock.show()
    return dock


def run(qtbot: QtBot, dock: AnalyseWidget) -> None:
    with qtbot.waitSignal(dock.bench.finished):
        dock.panels[RunPanel].run.click()


def run_stack(qtbot: QtBot, dock: AnalyseWidget, slices: int = 5) -> None:
    dock.bench.viewer.add_image(RNG.random((slices, 32, 40)), name="stack", scale=(4, 1, 1), units="mm")
    dock.session.slices = "all"
    run(qtbot, dock)


def unfold(dock: AnalyseWidget, title: str) -> None:
    next(s for s in dock.findChildren(Section) if s.button.text() == title).button.setChecked(True)


def test_bars_follow_the_slider_and_a_second_set_shows_the_volume(
    qtbot: QtBot, viewer: ViewerModel, dock: AnalyseWidget
) -> None:
    panel = dock.panels[OpinionPanel]
    run_stack(qtbot, dock)
    volume = panel.volume_bars.accessibleDescription()
    for number in (3, 1):
        viewer.dims.set_current_step(0, number)
        opinion = dock.session.result.prediction.opinions[number]
        assert f"normal {opinion.belief[0]:.2f}" in panel.bars.accessibleDescription()
        assert panel.slice_title.text() == f"Slice {number}"
        assert panel.volume_bars.accessibleDescription() == volume
    assert f"normal {dock.session.result.prediction.opinion.belief[0]:.2f}" in volume
    assert panel.volume_bars.isVisibleTo(panel)


def test_an_image_has_one_set_of_bars(qtbot: QtBot, viewer: ViewerModel, dock: AnalyseWidget) -> None:
    viewer.add_image(RNG.random((32, 40)))
    run(qtbot, dock)
    panel = dock.panels[OpinionPanel]
    assert panel.bars.isVisibleTo(panel)
    assert not panel.volume_bars.isVisibleTo(panel)
    assert not panel.slice_title.isVisibleTo(panel)


def test_the_banner_stands_above_the_threshold_alone(
    qtbot: QtBot, viewer: ViewerModel, dock: AnalyseWidget, predictor: FakePredictor
) -> None:
    viewer.add_image(RNG.random((32, 40)))
    trust = dock.panels[OpinionPanel].trust
    assert not trust.isVisibleTo(dock)
    run(qtbot, dock)
    assert "not calibrated" in trust.line.text()
    for threshold, shown in ((0.1, True), (0.3, False)):
        knot = Knot(uncertainty=0.2, chance=0.2, low=0.1, high=0.4)
        calibration = Calibration(dataset="Sim", split="val", n=9, knots=(knot,), referral_threshold=threshold)
        predictor.info = predictor.info.model_copy(update={"calibration": calibration})
        run(qtbot, dock)
        assert "Sim val, n = 9" in trust.line.text()
        assert trust.banner.isVisibleTo(dock) is shown


def test_the_pixel_at_the_cursor_is_read(qtbot: QtBot, viewer: ViewerModel, dock: AnalyseWidget) -> None:
    panel = dock.panels[OpinionPanel]
    image = viewer.add_image(RNG.random((32, 40)), scale=(2, 2), translate=(100, 0))
    viewer.cursor.position = tuple(image.data_to_world((5, 7)))
    assert panel.pixel() is None
    run(qtbot, dock)
    assert panel.pixel().predicted == dock.session.result.prediction.mask[5, 7]
    viewer.cursor.position = (5, 7)
    assert panel.pixel() is None


@pytest.mark.parametrize("shapes", [[(32, 40), (32, 40, 3)], [(32, 40), (3, 32, 40)], [(3, 32, 40), (32, 40)]])
def test_an_image_of_another_kind_starts_without_the_answer_about_the_last_one(
    qtbot: QtBot, viewer: ViewerModel, dock: AnalyseWidget, shapes: list[tuple[int, ...]]
) -> None:
    first = viewer.add_image(RNG.random(shapes[0]), rgb=shapes[0][-1] == 3)
    dock.session.reading = possible_readings(first.data.shape, first.rgb)[-1]
    dock.panels[OpinionPanel].legend.isVisible = lambda: True  # as in a window, the cursor over the picture
    dock.panels[OpinionPanel].isVisible = lambda: True
    viewer.cursor.position = (0.0,) * first.ndim
    run(qtbot, dock)
    other = viewer.add_image(RNG.random(shapes[1]), rgb=shapes[1][-1] == 3)
    assert dock.session.result is None
    assert "Press Run" in dock.panels[OpinionPanel].heading.text()
    run(qtbot, dock)
    assert dock.session.result.request.source.key == str(other.unique_id)
    dock.bench.choose_image(first)
    assert dock.session.result.request.source.key == str(first.unique_id)


def test_the_answer_about_one_slice_says_which(qtbot: QtBot, viewer: ViewerModel, dock: AnalyseWidget) -> None:
    viewer.add_image(RNG.random((5, 32, 40)))
    viewer.dims.set_point(0, 3)
    run(qtbot, dock)
    viewer.dims.set_point(0, 1)
    assert dock.panels[OpinionPanel].heading.text() == "Slice 3 · Most belief: <b>benign</b>"


def test_layers_go_along_with_an_image_that_moves_and_away_with_pixels_that_change(
    qtbot: QtBot, viewer: ViewerModel, dock: AnalyseWidget
) -> None:
    dock.panels[ExtraPanel].boxes["Belief per structure"].setChecked(True)
    image = viewer.add_image(RNG.random((32, 40)), name="scan")
    run(qtbot, dock)
    viewer.layers["scan structures"].paint((4, 4), 1)
    image.scale, image.translate, image.rotate = (0.5, 0.5), (3, 4), 30
    for layer in viewer.layers:
        assert tuple(layer.data_to_world((5, 7))) == pytest.approx(tuple(image.data_to_world((5, 7)))), layer.name
    image.data = image.data[::-1]
    assert [layer.name for layer in viewer.layers] == ["scan", "scan structures"]  # the corrected one stays
    assert dock.panels[ExtraPanel].boxes["Belief per structure"].isChecked()
    assert dock.session.result is None
    run(qtbot, dock)
    assert "scan belief lesion" in viewer.layers


def test_measurements_follow_the_slider_and_can_be_copied_and_saved(
    qtbot: QtBot, viewer: ViewerModel, dock: AnalyseWidget, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    panel = dock.panels[MeasurementsPanel]
    run_stack(qtbot, dock)
    assert panel.measured is None  # nobody sees it
    unfold(dock, "Measurements")
    qtbot.waitUntil(lambda: panel.measured is not None)
    viewer.dims.set_current_step(0, 3)
    viewer.dims.set_current_step(0, 4)
    qtbot.waitUntil(lambda: panel.measured.slice_number == 4)
    pixels = int((dock.session.result.prediction.mask[4] == 1).sum())
    assert panel.table.item(0, 1).text() == f"{pixels}\N{NO-BREAK SPACE}px"
    assert panel.table.item(1, 1).text().endswith("mm²")
    panel.copy.click()
    assert f"stack\t4\tlesion\tarea\tpx\t{pixels}.0" in QGuiApplication.clipboard().text()
    target = tmp_path / "table.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(target), ""))
    panel.save.click()
    assert f"stack,4,lesion,area,px,{pixels}.0" in target.read_text(encoding="utf-8-sig")
    viewer.layers.clear()
    assert panel.measured is None
    assert panel.heading.text().startswith("Press Run")


def test_the_plot_follows_the_slider_and_moves_it(qtbot: QtBot, viewer: ViewerModel, dock: AnalyseWidget) -> None:
    pytest.importorskip("pyqtgraph")
    panel = dock.panels[SlicesPanel]
    assert "Analyse all slices" in panel.note.text()
    run_stack(qtbot, dock)
    viewer.dims.set_current_step(0, 2)
    assert panel.marker.value() == 2
    panel.marker.setValue(3.4)
    assert viewer.dims.current_step[0] == 3
    assert panel.marker.value() == 3
    assert "uncertainty" in panel.key.text()
    assert len(panel.plot.listDataItems()) == 4


def test_curves_are_told_apart_and_sum_to_one(qtbot: QtBot, dock: AnalyseWidget) -> None:
    run_stack(qtbot, dock)
    for light in (False, True):
        drawn = list(curves(dock.session.result, light))
        np.testing.assert_allclose(sum(curve.values for curve in drawn), 1, atol=1e-6)
        assert len({(curve.color, curve.dash) for curve in drawn}) == len(drawn)


def test_without_pyqtgraph_a_sentence_says_how_to_get_it(
    qtbot: QtBot, dock: AnalyseWidget, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "pyqtgraph":
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    run_stack(qtbot, dock)
    assert "pip install pyqtgraph" in dock.panels[SlicesPanel].note.text()
    assert dock.panels[SlicesPanel].note.isVisibleTo(dock.panels[SlicesPanel])


def test_belief_layers_come_and_go_with_their_box(
    qtbot: QtBot, viewer: ViewerModel, dock: AnalyseWidget, predictor: FakePredictor
) -> None:
    box = dock.panels[ExtraPanel].boxes["Belief per structure"]
    viewer.add_image(RNG.random((32, 40)), name="scan", scale=(2, 3))
    run(qtbot, dock)
    box.setChecked(True)
    qtbot.waitUntil(lambda: "scan belief lesion" in viewer.layers)
    layer = viewer.layers["scan belief lesion"]
    np.testing.assert_array_equal(layer.data, dock.session.result.prediction.pixel_belief[1])
    np.testing.assert_array_equal(layer.scale, (2, 3))
    assert is_result(layer)
    assert len(predictor.asked) == 1
    run(qtbot, dock)
    assert viewer.layers["scan belief lesion"] == layer
    box.setChecked(False)
    assert "scan belief lesion" not in viewer.layers


def test_the_doubt_layer_is_one_minus_p_of_the_structure_shown(
    qtbot: QtBot, viewer: ViewerModel, dock: AnalyseWidget
) -> None:
    viewer.add_image(RNG.random((32, 40)), name="scan")
    run(qtbot, dock)
    dock.panels[ExtraPanel].boxes["Doubt 1 - p"].setChecked(True)
    qtbot.waitUntil(lambda: "scan doubt" in viewer.layers)
    prediction, shown = dock.session.result.prediction, viewer.layers["scan doubt"].data
    for number, p in enumerate(prediction.pixel_probability):
        np.testing.assert_allclose(shown[prediction.mask == number], 1 - p[prediction.mask == number], atol=1e-6)


def test_the_masks_in_between_bring_a_run_of_their_own(
    qtbot: QtBot, viewer: ViewerModel, dock: AnalyseWidget, predictor: FakePredictor
) -> None:
    boxes = dock.panels[ExtraPanel].boxes
    viewer.add_image(RNG.random((3, 32, 40)), name="scan")
    dock.session.slices = "all"
    run(qtbot, dock)
    with qtbot.waitSignal(dock.bench.finished):
        boxes["Where M and S disagree"].setChecked(True)
    assert isinstance(viewer.layers["scan disagreement"], Labels)
    assert viewer.layers["scan disagreement"].data.all()
    boxes["Mutual mask M"].setChecked(True)
    boxes["Reliable mask Mʳ"].setChecked(True)
    assert len(predictor.asked) == 2
    qtbot.waitUntil(lambda: not dock.bench.layers.waiting)
    np.testing.assert_array_equal(viewer.layers["scan mutual mask"].data, 1 - viewer.layers["scan structures"].data)
    assert viewer.layers["scan reliable lesion"].contrast_limits == [0, 2]
    for box in boxes.values():
        box.setChecked(False)
    assert len(viewer.layers) == 3
    assert not dock.session.details


def test_zones_of_a_stack_follow_its_probabilities_and_are_missed_where_nothing_was_calibrated(
    qtbot: QtBot, viewer: ViewerModel, dock: AnalyseWidget
) -> None:
    panel = dock.panels[ExtraPanel]
    box = panel.boxes["Inner and outer outlines"]
    viewer.add_image(RNG.random((3, 32, 40)), name="scan")
    dock.session.slices = "all"
    box.setChecked(True)
    run(qtbot, dock)
    assert panel.note.text() == NO_MAP
    contours = {"lesion": Contours(inner=0.9, outer=0.2, spared=0.05, coverage=0.9, n=20)}
    knots = (Knot(uncertainty=0, chance=0.1, low=0, high=0.2),)
    calibration = Calibration(dataset="x", split="val", n=20, knots=knots, referral_threshold=0.5, contours=contours)
    result = dock.session.result
    info = result.loaded.info.model_copy(update={"calibration": calibration})
    dock.session.result = replace(result, loaded=replace(result.loaded, info=info))
    qtbot.waitUntil(lambda: "scan outlines lesion" in viewer.layers)
    p = result.prediction.pixel_probability[:, 1]
    layer = viewer.layers["scan outlines lesion"]
    np.testing.assert_array_equal(layer.data, (p >= 0.2) * 1 + (p >= 0.9))
    assert layer.contour > 0
    dock.session.result = result
    assert "scan outlines lesion" not in viewer.layers
    assert panel.note.text() == NO_MAP


def test_a_further_layer_that_the_user_deletes_stays_away(
    qtbot: QtBot, viewer: ViewerModel, dock: AnalyseWidget
) -> None:
    box = dock.panels[ExtraPanel].boxes["Belief per structure"]
    box.setChecked(True)
    viewer.add_image(RNG.random((32, 40)), name="scan")
    run(qtbot, dock)
    dock.panels[ExtraPanel]._roles["Belief per structure"].add("belief other")
    viewer.layers.remove("scan belief lesion")
    assert not box.isChecked()
    qtbot.waitUntil(lambda: not dock.panels[ExtraPanel]._roles["Belief per structure"])
    run(qtbot, dock)
    assert "scan belief lesion" not in viewer.layers


def test_the_buttons_lead_from_one_uncertain_place_to_the_next(
    qtbot: QtBot, viewer: ViewerModel, dock: AnalyseWidget
) -> None:
    panel = dock.panels[PlacesPanel]
    assert not panel.most.isEnabled()
    run_stack(qtbot, dock)
    doubt = dock.session.result.prediction.pixel_uncertainty
    doubt[1, 4:6, 30:32] = 0.9
    doubt[4, 20:22, 8:10] = 0.6
    active, camera = viewer.layers.selection.active, getattr(viewer, "scene", viewer).camera
    panel.most.click()
    assert viewer.dims.current_step[0] == 1
    np.testing.assert_allclose(camera.center[1:], (4.5, 30.5))
    assert "1 of 10" in panel.where.text()
    panel.next.click()
    assert viewer.dims.current_step[0] == 4
    np.testing.assert_allclose(camera.center[1:], (20.5, 8.5))
    assert len([layer for layer in viewer.layers if layer.name == "uncertain place"]) == 1
    assert viewer.layers.selection.active == active
    run(qtbot, dock)
    assert "uncertain place" not in viewer.layers
    assert panel.where.text() == ""
