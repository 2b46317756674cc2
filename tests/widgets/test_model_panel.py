"""Card, import, download and self-test, without torch or a network."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.components import ViewerModel
from safetensors.numpy import save_file

from napari_uml.errors import DownloadError
from napari_uml.weights import ModelEntry
from napari_uml.weights.info import METADATA_KEY
from napari_uml.widgets import bench, downloads, model_panel
from napari_uml.widgets.analyse import AnalyseWidget
from napari_uml.widgets.card_dialog import CardDialog, card_text
from napari_uml.widgets.model_panel import Devices, ModelPanel
from napari_uml.widgets.session import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytestqt.qtbot import QtBot


@pytest.fixture
def dock(qtbot: QtBot, load: Any) -> AnalyseWidget:
    dock = AnalyseWidget(ViewerModel(), load=load)
    qtbot.addWidget(dock)
    return dock


@pytest.fixture
def panel(dock: AnalyseWidget) -> ModelPanel:
    found = dock.panels[ModelPanel]
    assert isinstance(found, ModelPanel)
    return found


def test_a_card_that_came_with_the_model_is_markdown(qtbot: QtBot, tmp_path: Path) -> None:
    card = tmp_path / "m.md"
    card.write_text("# Title\n\n**bold** [link](https://example.org) ![](https://example.org/a.png)", encoding="utf-8")
    dialog = CardDialog(ModelEntry("m", "M", "bundled", None, 1, card))
    qtbot.addWidget(dialog)
    assert "**" not in dialog.text.toPlainText()
    assert not dialog.text.openLinks()


def test_what_a_file_says_of_itself_is_plain_text(qtbot: QtBot, tmp_path: Path, predictor: Any) -> None:
    path = tmp_path / "m.safetensors"
    info = predictor.info.model_copy(update={"title": "<img src='file:///etc/passwd'>"})
    save_file({"a": np.zeros(1, dtype=np.float32)}, path, {METADATA_KEY: info.model_dump_json()})
    entry = ModelEntry("m", "M", "user", path, 1)
    text, is_ours = card_text(entry)
    assert not is_ours
    dialog = CardDialog(entry)
    qtbot.addWidget(dialog)
    assert "<img src='file:///etc/passwd'>" in dialog.text.toPlainText()
    assert dialog.text.toPlainText().strip() == text.strip()


def test_the_card_of_a_broken_model_says_why(tmp_path: Path) -> None:
    assert card_text(ModelEntry("m", "M", "user", tmp_path / "no.safetensors", 1))[0].startswith("Cannot read")
    assert "no card" in card_text(ModelEntry("m", "M", "not downloaded", None, 1))[0]


def test_a_pickle_is_refused_with_an_explanation(dock: AnalyseWidget, panel: ModelPanel, tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    path.write_bytes(b"\x80\x02}q\x00.")
    panel.add_file(path)
    assert "is a pickle" in dock.session.message.text


def test_a_download_shows_progress_and_the_model_is_there(
    qtbot: QtBot, dock: AnalyseWidget, panel: ModelPanel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    go_on = Event()

    def fetch(name: str, progress: Callable[[int, int], None]) -> Path:
        progress(2_000_000, 4_000_000)
        go_on.wait(5)
        there = ModelEntry("far", "Far model", "cache", tmp_path / "far.safetensors", 4_000_000)
        monkeypatch.setattr(bench, "list_models", lambda: (there,))
        return there.path

    monkeypatch.setattr(downloads, "fetch", fetch)
    assert panel.download.isHidden() or not panel._form.isRowVisible(panel._fetching)
    dock.session.model = "far"
    assert panel._form.isRowVisible(panel._fetching)
    panel.download.click()
    qtbot.waitUntil(lambda: panel.bar.maximum() > 0)
    assert panel.bar.value() / panel.bar.maximum() == pytest.approx(0.5, abs=0.01)
    assert panel.download.text() == "Cancel"
    go_on.set()
    qtbot.waitUntil(lambda: not panel._form.isRowVisible(panel._fetching))
    assert panel.model.currentText() == "Far model"


def test_a_download_can_be_stopped(
    qtbot: QtBot, dock: AnalyseWidget, panel: ModelPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended = Event(), []

    def fetch(name: str, progress: Callable[[int, int], None]) -> None:
        try:
            while True:
                progress(1, 10)
                begun.set()
        finally:
            ended.append(name)

    monkeypatch.setattr(downloads, "fetch", fetch)
    dock.session.model = "far"
    panel.download.click()
    qtbot.waitUntil(begun.is_set)
    panel.download.click()
    assert panel.download.text().startswith("Download")
    qtbot.waitUntil(lambda: ended == ["far"])
    assert dock.session.message is None


def test_a_download_that_fails_says_why(
    qtbot: QtBot, dock: AnalyseWidget, panel: ModelPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(name: str, progress: Callable[[int, int], None]) -> None:
        raise DownloadError("Could not download 'far'.")

    monkeypatch.setattr(downloads, "fetch", fetch)
    dock.session.model = "far"
    panel.download.click()
    qtbot.waitUntil(lambda: dock.session.message is not None)
    assert dock.session.message.text == "Could not download 'far'."
    assert panel.download.text().startswith("Download")


def test_the_self_test_tells_what_it_found(
    qtbot: QtBot, dock: AnalyseWidget, panel: ModelPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def test_device(*names: str) -> Callable[[Callable[[], bool]], Iterator[object]]:
        def work(stopped: Callable[[], bool]) -> Iterator[object]:
            yield Devices((("A GPU", "cuda:0"), ("CPU, 1 thread", "cpu")))
            yield Message(f"{names} works; 3 ms.")

        return work

    monkeypatch.setattr(model_panel, "test_device", test_device)
    dock.session.device = "cpu"
    panel.test.click()
    qtbot.waitUntil(lambda: panel.test.isEnabled())
    assert dock.session.message.text == "('cpu', 'auto') works; 3 ms."
    assert [panel.processor.itemText(i) for i in range(3)] == ["Automatic", "A GPU", "CPU, 1 thread"]
    assert panel.processor.currentData() == "cpu"


def test_the_choice_of_device_and_precision_reaches_the_session(dock: AnalyseWidget, panel: ModelPanel) -> None:
    panel.processor.setCurrentIndex(1)
    panel.processor.activated.emit(1)
    panel.format.setCurrentText("bf16")
    panel.format.activated.emit(panel.format.currentIndex())
    assert (dock.session.device, dock.session.precision) == ("cpu", "bf16")
    dock.session.device = "cuda:1"
    assert panel.processor.currentText() == "cuda:1"
