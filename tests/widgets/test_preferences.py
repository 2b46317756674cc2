"""Preferences come from napari's settings where it has them, and change what a dock starts with."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from napari.components import ViewerModel
from pydantic import ValidationError

import napari_uml
from napari_uml.calibration import Calibration, Knot
from napari_uml.config import OKABE_ITO, Task, preset
from napari_uml.weights import WeightsInfo
from napari_uml.weights.registry import CACHE_VARIABLE, cache_folder
from napari_uml.widgets import bench
from napari_uml.widgets.bench import Bench
from napari_uml.widgets.preferences import Preferences, read_preferences, use_cache_folder, watch_preferences

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytestqt.qtbot import QtBot

MANIFEST = Path(napari_uml.__file__).with_name("napari.yaml")


@pytest.fixture
def settings(request: pytest.FixtureRequest, npe2pm: Any) -> Iterator[Any]:
    """Return napari's settings of this plugin, in a folder of the test's own."""
    napari_settings = pytest.importorskip("napari.settings")
    if not hasattr(napari_settings, "get_plugin_settings"):
        pytest.skip("napari before 0.9 has no settings for plugins")
    request.getfixturevalue("plugin_settings")
    with npe2pm.tmp_plugin(manifest=str(MANIFEST)):
        yield napari_settings.get_plugin_settings("napari-uml").analysis


def test_the_manifests_defaults_are_those_of_the_code(settings: Any) -> None:
    assert read_preferences() == Preferences()


def test_a_change_is_read_and_told(settings: Any) -> None:
    class Dock:
        told = 0

        def changed(self, event: object) -> None:
            self.told += 1

    dock = Dock()
    watch_preferences(dock.changed)
    settings.device, settings.referral_threshold = "cpu", 15
    assert read_preferences() == Preferences(device="cpu", referral_threshold=15)
    assert dock.told == 2
    with pytest.raises(ValidationError):
        settings.palette = "grey"


def test_napari_without_plugin_settings_has_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "napari.settings", None)
    assert read_preferences() == Preferences()


def test_a_plugin_that_napari_does_not_know_has_the_defaults(npe2pm: Any) -> None:
    assert read_preferences() == Preferences()


def test_a_dock_starts_with_what_is_preferred(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "read_preferences", lambda: Preferences("far", "cpu", "float32"))
    started = Bench(ViewerModel())
    assert (started.session.model, started.session.device, started.session.precision) == ("far", "cpu", "float32")
    monkeypatch.setattr(bench, "read_preferences", lambda: Preferences("gone"))
    assert Bench(ViewerModel()).session.model == "fake"


def test_the_folder_of_models_is_the_preferred_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "outside"))
    use_cache_folder(str(tmp_path / "preferred"))
    assert cache_folder() == tmp_path / "outside"
    monkeypatch.delenv(CACHE_VARIABLE)
    use_cache_folder(str(tmp_path / "preferred"))
    assert cache_folder() == tmp_path / "preferred"
    use_cache_folder("")
    assert CACHE_VARIABLE not in os.environ


def test_colours_and_threshold_are_the_preferred_ones() -> None:
    knots = (Knot(uncertainty=0.2, chance=0.1, low=0, high=0.2), Knot(uncertainty=0.8, chance=0.6, low=0.5, high=0.7))
    info = WeightsInfo(
        name="m", title="M", version="1", config=preset("compact", 2, 2), image_size=64, training={}, validation={},
        task=Task(seg_classes=("background", "a"), cls_classes=("x", "y"), seg_colors=("#000000", "#123456")),
        calibration=Calibration(dataset="Sim", split="val", n=9, knots=knots, referral_threshold=0.5),
        intensity={"mean": (0.5,) * 3, "std": (0.3,) * 3}, licence="", not_for="", written_by="",
    )  # fmt: skip
    assert Preferences().applied(info) is info
    changed = Preferences(palette="okabe-ito", referral_threshold=5).applied(info)
    assert changed.task.colors == OKABE_ITO[:2]
    assert changed.calibration is not None
    assert changed.calibration.refers(0.2)
    assert not info.calibration.refers(0.2)
