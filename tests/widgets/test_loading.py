"""Files opened from the dock become layers in their place; all that cannot be read is told at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
import pytest
from napari.components import ViewerModel
from PIL import Image
from qtpy.QtWidgets import QFileDialog

from napari_uml.widgets.analyse import AnalyseWidget
from napari_uml.widgets.input_panel import InputPanel
from napari_uml.widgets.origin import files_of

if TYPE_CHECKING:
    from pathlib import Path

    from pytestqt.qtbot import QtBot

RNG = np.random.default_rng(0)


@pytest.fixture
def dock(qtbot: QtBot, load: Any) -> AnalyseWidget:
    dock = AnalyseWidget(ViewerModel(), load=load)
    qtbot.addWidget(dock)
    return dock


def test_chosen_files_become_layers_with_their_spacing(
    qtbot: QtBot, dock: AnalyseWidget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo, volume = tmp_path / "photo.png", tmp_path / "volume.nii.gz"
    Image.fromarray(RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(photo)
    nibabel.save(nibabel.Nifti1Image(RNG.random((30, 20, 4), dtype=np.float32), np.diag([0.5, 0.5, 3, 1])), volume)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    names = [str(path) for path in (photo, broken, volume)]
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: (names, ""))
    button = dock.panels[InputPanel].load
    button.files.trigger()
    assert not button.isEnabled()
    qtbot.waitUntil(button.isEnabled)
    layers = dock.bench.viewer.layers
    assert [layer.name for layer in layers] == ["photo", "volume"]
    assert sorted(layers["volume"].scale) == [0.5, 0.5, 3]
    assert files_of(layers["photo"]) == (photo,)
    assert dock.session.source.name == "volume"
    assert dock.session.message.text.startswith("broken.png: expected an image")


def test_nothing_chosen_changes_nothing(dock: AnalyseWidget, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: "")
    button = dock.panels[InputPanel].load
    button.folder.trigger()
    assert button.isEnabled()
    assert len(dock.bench.viewer.layers) == 0
