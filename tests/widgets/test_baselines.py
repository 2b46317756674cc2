"""What the dock shows of a model that lacks a class, a mask, or evidence."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_uml.results import SILENT, Opinion
from napari_uml.widgets.analyse import AnalyseWidget
from napari_uml.widgets.extra_panel import NO_MAP, ExtraPanel
from napari_uml.widgets.noise_panel import NoisePanel
from napari_uml.widgets.opinion_panel import OpinionPanel
from napari_uml.widgets.places_panel import PlacesPanel
from napari_uml.widgets.run_panel import RunPanel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytestqt.qtbot import QtBot

    from conftest import FakePredictor
    from napari_uml.results import Prediction

IMAGE = np.random.default_rng(0).random((32, 40))


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def dock(qtbot: QtBot, viewer: ViewerModel, load: Any) -> AnalyseWidget:
    dock = AnalyseWidget(viewer, load=load)
    qtbot.addWidget(dock)
    dock.show()
    viewer.add_image(IMAGE, name="image")
    return dock


def run(qtbot: QtBot, dock: AnalyseWidget) -> OpinionPanel:
    with qtbot.waitSignal(dock.bench.finished):
        dock.panels[RunPanel].run.click()
    return dock.panels[OpinionPanel]


def answering(monkeypatch: pytest.MonkeyPatch, change: Callable[[Prediction], Prediction], kind: type) -> None:
    """Change what the fake predictor says."""
    said = kind.predict_slices

    def predict_slices(self: FakePredictor, *args: Any, **kwargs: Any) -> Iterator[Prediction]:
        yield from map(change, said(self, *args, **kwargs))

    monkeypatch.setattr(kind, "predict_slices", predict_slices)


def without_mask(prediction: Prediction) -> Prediction:
    return replace(
        prediction, mask=np.zeros_like(prediction.mask), pixel_belief=np.zeros_like(prediction.pixel_belief),
        pixel_uncertainty=np.ones_like(prediction.pixel_uncertainty), answers=("class",), details=None,
    )  # fmt: skip


def without_class(prediction: Prediction) -> Prediction:
    names = prediction.opinion.class_names
    return replace(prediction, opinions=(Opinion.from_evidence(names, np.zeros(3)),), answers=("mask",))


def without_evidence(prediction: Prediction) -> Prediction:
    opinion = Opinion.from_probability(prediction.opinion.class_names, np.array([0.7, 0.2, 0.1]))
    return replace(
        prediction, opinions=(opinion,), pixel_belief=prediction.pixel_probability, measure="entropy", details=None
    )


def test_a_model_without_class_has_no_bars(
    qtbot: QtBot, dock: AnalyseWidget, predictor: FakePredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, without_class, type(predictor))
    panel = run(qtbot, dock)
    assert panel.heading.text() == SILENT["class"]
    assert not panel.bars.isVisible()
    assert not panel.trust.isVisible()
    assert panel.legend.isVisible()
    assert {"image structures", "image uncertainty"} <= {layer.name for layer in dock.bench.viewer.layers}


def test_a_model_without_mask_has_no_layers_and_takes_those_of_another_away(
    qtbot: QtBot, dock: AnalyseWidget, predictor: FakePredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(qtbot, dock)
    assert len(dock.bench.viewer.layers) == 3
    answering(monkeypatch, without_mask, type(predictor))
    panel = run(qtbot, dock)
    assert [layer.name for layer in dock.bench.viewer.layers] == ["image"]
    assert SILENT["mask"] in panel.heading.text()
    assert panel.bars.isVisible()
    assert not panel.legend.isVisible()
    assert not dock.panels[PlacesPanel].most.isEnabled()


def test_probabilities_are_not_called_beliefs(
    qtbot: QtBot, dock: AnalyseWidget, predictor: FakePredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, without_evidence, type(predictor))
    panel = run(qtbot, dock)
    assert panel.heading.text() == "Most probable: <b>normal</b>"
    entropy = -(0.7 * np.log(0.7) + 0.2 * np.log(0.2) + 0.1 * np.log(0.1)) / np.log(3)
    said = panel.bars.accessibleDescription()
    assert said == f"Probability: normal 0.70, benign 0.20, malignant 0.10; entropy {entropy:.2f}."
    assert "belief" not in panel.bars.toolTip().lower()
    assert "belief" not in panel.legend._structures.text()


def test_a_map_that_the_model_lacks_is_asked_for_once(
    qtbot: QtBot, dock: AnalyseWidget, predictor: FakePredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, without_evidence, type(predictor))
    run(qtbot, dock)
    panel = dock.panels[ExtraPanel]
    box = next(box for text, box in panel.boxes.items() if "mutual" in text.lower())
    with qtbot.waitSignal(dock.bench.finished):
        box.setChecked(True)
    assert panel.note.text() == NO_MAP
    asked = len(predictor.asked)
    box.setChecked(False)
    box.setChecked(True)
    assert len(predictor.asked) == asked


@pytest.mark.parametrize(("change", "seen"), [(without_mask, 0), (without_class, 1)])
def test_a_sweep_shows_the_plot_of_what_the_model_answers(
    qtbot: QtBot, dock: AnalyseWidget, predictor: FakePredictor, monkeypatch: pytest.MonkeyPatch, change: Any, seen: int
) -> None:
    answering(monkeypatch, change, type(predictor))
    run(qtbot, dock)
    sweeper = dock.panels[NoisePanel].sweep
    with qtbot.waitSignal(dock.bench.finished):
        sweeper.start.click()
    plots, keys = sweeper.plot.plots, sweeper.plot.keys
    assert [plot.isHidden() for plot in plots] == [key.isHidden() for key in keys] == [seen == 1, seen == 0]
    assert plots[seen].getAxis("bottom").label.isVisible()
