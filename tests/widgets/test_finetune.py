"""The Fine-tune dock, with a fake trainer and with the real process."""

from __future__ import annotations

import shutil
import time
from argparse import Namespace
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QCoreApplication, QEvent, QObject, QSettings, Qt, Signal
from qtpy.QtGui import QFocusEvent, QGuiApplication
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSpinBox,
    QComboBox,
    QDockWidget,
    QFileDialog,
    QLineEdit,
    QMainWindow,
    QMessageBox,
    QWidget,
)
from tests.tiny import INFO, tiny_dataset
from tests.widgets.finetune_fakes import FakeLaunch, FakeProcess, judging, report

from napari_uml.config import TrainConfig
from napari_uml.data.dataset import read_dataset, write_dataset
from napari_uml.training.events import EpochDone, RunFailed
from napari_uml.training.lengths import Counts
from napari_uml.training.pace import Pace
from napari_uml.training.plan import CURVES, LAST, MODEL, RunPlan, read_plan, write_plan
from napari_uml.training.run_state import mark_ended
from napari_uml.weights import find_weights, import_weights, list_models
from napari_uml.widgets import finetune_bench, finetune_result_panel, finetune_work
from napari_uml.widgets.analyse import AnalyseWidget
from napari_uml.widgets.finetune import FinetuneWidget
from napari_uml.widgets.finetune_curves_panel import CurvesPanel
from napari_uml.widgets.finetune_result_panel import ResultPanel
from napari_uml.widgets.finetune_session import Stage, not_ready
from napari_uml.widgets.finetune_settings_panel import SettingsPanel
from napari_uml.widgets.finetune_start_panel import StartPanel
from napari_uml.widgets.finetune_train_panel import TrainPanel
from napari_uml.widgets.panel import Scroll
from napari_uml.widgets.training_list.table import SPLIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytestqt.qtbot import QtBot
    from qtpy.QtGui import QCloseEvent


class Chooser(QWidget):
    """Stands in for the training list."""

    changed = Signal()

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__()
        self.folder = folder
        self.stopped = 0
        self.unsaved = ""

    def refresh_models(self, renamed: Any = None) -> None:
        pass

    def set_trained_on(self, is_on: bool) -> None:
        pass

    def stop(self) -> None:
        self.stopped += 1


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    return tiny_dataset(tmp_path / "blobs")


@pytest.fixture
def launch() -> FakeLaunch:
    return FakeLaunch()


@pytest.fixture
def make_dock(qtbot: QtBot, launch: FakeLaunch) -> Callable[..., FinetuneWidget]:
    def make(folder: Path | None, **changes: Any) -> FinetuneWidget:
        given = {"launch": launch, "judging": judging, **changes}
        dock = FinetuneWidget(ViewerModel(), Chooser(folder), **given)
        qtbot.addWidget(dock, before_close_func=let_go)
        if folder is not None:
            qtbot.waitUntil(lambda: dock.session.counts is not None or bool(dock.session.problems))
        return dock

    return make


def let_go(dock: FinetuneWidget) -> None:
    """End a fake run that a test left, so that nobody is asked."""
    dock.bench.close()
    dock.may_close = lambda: True  # type: ignore[method-assign]


def train(qtbot: QtBot, dock: FinetuneWidget, launch: FakeLaunch, epochs: int = 3) -> None:
    """Train with the fake, to the end."""
    dock.panels[TrainPanel].train.click()
    launch.last.start(epochs)
    launch.last.finish(epochs)
    qtbot.waitUntil(lambda: dock.session.comparison is not None and dock.session.stage is Stage.IDLE)


def test_without_a_list_the_dock_says_what_is_missing(make_dock: Any) -> None:
    dock = make_dock(None)
    panel = dock.panels[TrainPanel]
    assert not panel.train.isEnabled()
    assert panel.train.toolTip() == panel.message.text() == "Make or open a training list first."


def test_what_is_kept_counts_the_data_that_are_mixed_in(make_dock: Any, blobs: Path, tmp_path: Path) -> None:
    other = INFO.model_copy(update={"cls_classes": ("benign", "cyst")})
    dock = make_dock(blobs)
    panel = dock.panels[StartPanel]
    dock.session.start_info = Namespace(task=other, focus=None, image_size=32)
    assert "No longer found: cyst." in panel.kept.text()
    dock.bench.choose_mix(tiny_dataset(tmp_path / "old", other))
    assert panel.kept.text() == "Keeps what was learnt about lesion, benign, cyst. New and untrained: malignant."
    assert not_ready(dock.session) == ""
    dock.bench.choose_mix(None)
    assert "No longer found: cyst." in panel.kept.text()


def test_a_folder_that_cannot_be_mixed_in_is_said_at_once(make_dock: Any, blobs: Path, tmp_path: Path) -> None:
    dock = make_dock(blobs)
    (tmp_path / "empty").mkdir()
    dock.bench.choose_mix(tmp_path / "empty")
    assert dock.session.mix_in is None
    assert "dataset.json" in dock.panels[TrainPanel].message.text()
    other = INFO.model_copy(update={"seg_classes": ("nothing", "lesion")})
    dock.bench.choose_mix(tiny_dataset(tmp_path / "other", other))
    assert "background" in not_ready(dock.session)
    assert not dock.panels[TrainPanel].train.isEnabled()
    assert "background" in dock.panels[StartPanel].kept.text()


def test_problems_of_the_list_keep_it_from_being_trained_on(make_dock: Any, blobs: Path) -> None:
    (blobs / "images" / "train0.png").unlink()
    (blobs / "images" / "train1.png").unlink()
    dock = make_dock(blobs)
    panel = dock.panels[TrainPanel]
    assert not panel.train.isEnabled()
    assert "train0.png" in panel.message.text()
    assert "1 more" in panel.message.text()


def test_ready_list_can_be_trained_on(make_dock: Any, blobs: Path) -> None:
    dock = make_dock(blobs)
    assert not_ready(dock.session) == ""
    assert dock.panels[TrainPanel].train.isEnabled()


def test_images_without_annotation_do_not_count_and_some_must_validate(make_dock: Any, blobs: Path) -> None:
    dataset = read_dataset(blobs)
    bare = [replace(r, mask="", label="") if r.split == "val" else r for r in dataset.records]
    write_dataset(blobs, dataset.info, bare)
    dock = make_dock(blobs)
    assert dock.session.counts == Counts(len(dataset.of_split("train")), 0)
    assert not_ready(dock.session).endswith("press Suggest split.")
    write_dataset(blobs, dataset.info, [replace(r, mask="", label="") for r in dataset.records])
    assert "a mask or a class that train" in not_ready(make_dock(blobs).session)


def test_sentence_says_what_is_kept_and_what_is_new(make_dock: Any, blobs: Path) -> None:
    dock = make_dock(blobs)
    dock.bench.choose_start("breast-ultrasound")
    words = dock.panels[StartPanel].kept.text()
    assert "about lesion, benign, malignant" in words
    assert "No longer found: normal" in words
    dock.bench.choose_start("fundus-disc")
    assert "New and untrained: benign, malignant, lesion" in dock.panels[StartPanel].kept.text()


def test_run_is_started_with_what_was_chosen(make_dock: Any, blobs: Path, launch: FakeLaunch) -> None:
    dock = make_dock(blobs)
    dock.bench.choose_start("breast-ultrasound")
    dock.session.part, dock.session.length = "heads", "long"
    dock.session.changes = {"epochs": 7}
    dock.panels[TrainPanel].train.click()
    words = " ".join(launch.last.arguments)
    assert words.startswith(str(blobs))
    for option in (
        "--from breast-ultrasound", "--name breast-ultrasound-tuned", "--epochs 7", "--trainable heads",
        "--batch-size 4", f"--image-size {dock.session.start_info.image_size}",
    ):  # fmt: skip
        assert option in words


def test_whole_run_is_shown_and_ends_in_a_result(qtbot: QtBot, make_dock: Any, blobs: Path, launch: FakeLaunch) -> None:
    dock = make_dock(blobs)
    panel = dock.panels[TrainPanel]
    panel.train.click()
    assert not panel.train.isEnabled()
    assert panel.stop.isEnabled()
    launch.last.start()
    qtbot.waitUntil(lambda: panel.progress.value() == 1)
    assert panel.progress.maximum() == 6
    launch.last.finish()
    qtbot.waitUntil(lambda: dock.session.stage is Stage.IDLE)
    curves = dock.panels[CurvesPanel]
    assert [len(curves.curves[name].getData()[0]) for name in ("loss/mutual", "loss/class", "loss/mask")] == [3] * 3
    assert set(curves.curves) >= {"dice_present/lesion", "auc", "acc"}
    assert "4.0 images/s" in curves.words.text()
    assert "1.5 GB" in curves.words.text()
    result = dock.panels[ResultPanel]
    rows = [[result.table.item(row, column).text() for column in range(4)] for row in range(result.table.rowCount())]
    assert rows == [
        ["Dice lesion", "0.600\n0.50 … 0.70", "0.800\n0.70 … 0.90", "+0.200\n+0.10 … +0.30"],
        ["AUC", "0.600", "0.800", "-"],
    ]
    assert dock.session.installed == "breast-ultrasound-tuned"
    assert result.use.isEnabled()


def test_the_dock_scrolls_to_the_curves_of_a_new_run_once(
    qtbot: QtBot, make_dock: Any, blobs: Path, launch: FakeLaunch
) -> None:
    dock = make_dock(blobs)
    dock.resize(320, 400)
    with qtbot.waitExposed(dock):
        dock.show()
    bar = dock.findChild(Scroll).verticalScrollBar()
    dock.panels[TrainPanel].train.click()
    launch.last.start()
    qtbot.waitUntil(lambda: dock.session.step.steps > 0)
    bar.setValue(0)
    launch.last.say(EpochDone(report=report(launch.last.run, 1)))
    qtbot.waitUntil(lambda: len(dock.session.reports) == 1 and bar.value() > 0)
    bar.setValue(0)
    launch.last.say(EpochDone(report=report(launch.last.run, 2)))
    qtbot.waitUntil(lambda: len(dock.session.reports) == 2 and not dock.panels[CurvesPanel]._picture_due.isActive())
    assert bar.value() == 0


def test_stop_keeps_the_best_epoch(qtbot: QtBot, make_dock: Any, blobs: Path, launch: FakeLaunch) -> None:
    dock = make_dock(blobs)
    panel = dock.panels[TrainPanel]
    panel.train.click()
    launch.last.start()
    qtbot.waitUntil(lambda: dock.session.step.steps > 0)
    panel.stop.click()
    assert panel.stop.text() == "Stopping…"
    qtbot.waitUntil(lambda: dock.session.stage is Stage.IDLE)
    assert launch.last.stopped
    assert dock.session.comparison is not None


def killed_run(dock: FinetuneWidget, launch: FakeLaunch, blobs: Path) -> Path:
    """Leave a run as a process that was killed leaves it."""
    run = launch.last.run
    settings = TrainConfig(batch_size=4)
    info = dock.session.info
    assert info is not None
    network = dock.session.start_info.config.model_copy(update={"num_classes": 2})
    task = info.model_dump(exclude={"name", "licence", "notes"})
    write_plan(
        run,
        RunPlan.model_validate(
            {"command": "x", "datasets": (blobs,), "task": task, "network": network, "settings": settings,
             "name": "tuned", "title": "Tuned", "start": "breast-ultrasound"}
        ),
    )  # fmt: skip
    return run


def test_killed_process_is_noticed_and_can_go_on_with_half_the_batch(
    qtbot: QtBot, make_dock: Any, blobs: Path, launch: FakeLaunch
) -> None:
    dock = make_dock(blobs)
    panel = dock.panels[TrainPanel]
    panel.train.click()
    launch.last.start()
    run = killed_run(dock, launch, blobs)
    launch.last.kill()
    qtbot.waitUntil(lambda: dock.session.stage is Stage.IDLE)
    assert "killed, most likely because the memory was used up" in panel.message.text()
    panel.copy.click()
    assert QGuiApplication.clipboard().text().startswith("napari-uml ")
    assert panel.chosen_run is not None
    assert panel.chosen_run.folder == run
    assert panel.smaller.isDefault()
    panel.smaller.click()
    assert "--batch-size 2" in " ".join(launch.last.arguments)
    assert launch.last.run != run


def test_failed_run_shows_its_message_and_can_be_resumed(
    qtbot: QtBot, make_dock: Any, blobs: Path, launch: FakeLaunch
) -> None:
    dock = make_dock(blobs)
    panel = dock.panels[TrainPanel]
    panel.train.click()
    run = killed_run(dock, launch, blobs)
    launch.last.say(RunFailed(kind="DivergedError", message="The loss is nan."), None)
    qtbot.waitUntil(lambda: dock.session.stage is Stage.IDLE)
    assert panel.message.text() == "The loss is nan."
    assert not panel.smaller.isDefault()
    panel.resume.click()
    assert launch.last.arguments == ["--resume"]
    assert launch.last.run == run


def test_error_while_a_process_is_heard_ends_the_waiting(
    qtbot: QtBot, make_dock: Any, blobs: Path, launch: FakeLaunch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable() -> Iterator[object]:
        raise OSError("Bad file descriptor")
        yield

    monkeypatch.setattr(FakeProcess, "events", lambda _: unreadable())
    told: list[object] = []
    monkeypatch.setattr("threading.excepthook", told.append)  # napari shows it
    dock = make_dock(blobs)
    dock.panels[TrainPanel].train.click()
    qtbot.waitUntil(lambda: dock.session.stage is Stage.IDLE and bool(told))
    assert "ended without a word" in dock.panels[TrainPanel].message.text()


def test_run_that_was_killed_is_found_next_time(qtbot: QtBot, make_dock: Any, blobs: Path, launch: FakeLaunch) -> None:
    dock = make_dock(blobs)
    dock.panels[TrainPanel].train.click()
    run = killed_run(dock, launch, blobs)
    launch.last.kill()
    qtbot.waitUntil(lambda: dock.session.stage is Stage.IDLE)
    again = make_dock(blobs)
    assert [found.folder for found in again.session.found] == [run]
    assert not again.panels[TrainPanel].runs.isHidden()


def test_closing_asks_while_training_and_stops(
    qtbot: QtBot, make_dock: Any, blobs: Path, launch: FakeLaunch, monkeypatch: pytest.MonkeyPatch
) -> None:
    dock = make_dock(blobs)
    dock.panels[TrainPanel].train.click()
    launch.last.start()
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.No)
    assert not dock.close()
    assert not launch.last.stopped
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
    assert dock.close()
    assert launch.last.stopped
    assert dock.training_list.stopped


def test_dock_has_the_training_list_and_trains_on_its_folder(qtbot: QtBot, blobs: Path, tmp_path: Path) -> None:
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(tmp_path / "settings"))
    dock = FinetuneWidget(ViewerModel())
    qtbot.addWidget(dock, before_close_func=let_go)
    assert dock.session.folder is None
    dock.training_list.open(blobs)
    assert dock.session.folder == blobs
    qtbot.waitUntil(lambda: dock.session.counts is not None)
    view = dock.training_list.view
    fixed, free = (view.names, view.split, view.remove), (view.add, view.more)
    editable = view.rows.flags(view.rows.index(0, SPLIT)) & Qt.ItemFlag.ItemIsEditable
    assert editable
    assert all(button.isEnabled() for button in (*fixed, *free))
    dock.session.stage = Stage.TRAINING
    assert not any(button.isEnabled() for button in fixed)
    assert all(button.isEnabled() for button in free)
    assert "A run is on" in view.split.toolTip()
    assert not view.rows.flags(view.rows.index(0, SPLIT)) & Qt.ItemFlag.ItemIsEditable
    dock.session.stage = Stage.IDLE
    assert all(button.isEnabled() for button in fixed)


def test_window_is_not_closed_against_the_users_will(
    qtbot: QtBot, make_dock: Any, blobs: Path, launch: FakeLaunch, monkeypatch: pytest.MonkeyPatch
) -> None:
    dock = make_dock(blobs)
    window = QWidget()
    qtbot.addWidget(window)
    dock.setParent(window)
    window.show()
    dock.show()
    dock.panels[TrainPanel].train.click()
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.No)
    assert not window.close()
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
    assert window.close()
    assert launch.last.stopped
    dock.setParent(None)


def test_floating_dock_asks_for_its_window_and_tells_it_of_new_models(
    qtbot: QtBot, make_dock: Any, blobs: Path, launch: FakeLaunch, load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dock, analyse = make_dock(blobs), AnalyseWidget(ViewerModel(), load=load)
    window, floating = QMainWindow(), QDockWidget()
    qtbot.addWidget(window, before_close_func=lambda _: dock.setParent(None))
    window.setCentralWidget(analyse)
    window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, floating)
    floating.setWidget(dock)
    floating.setFloating(True)
    with qtbot.waitExposed(floating):
        window.show()
    refreshed: list[str] = []
    monkeypatch.setattr(analyse.bench, "refresh_models", lambda: refreshed.append("models"))
    dock.bench.models_changed.emit("", "tuned")
    dock.bench.wanted.emit("tuned")
    assert refreshed == ["models", "models"]
    assert analyse.session.model == "tuned"
    dock.panels[TrainPanel].train.click()
    asked: list[str] = []
    monkeypatch.setattr(QMessageBox, "question", lambda *_: asked.append("?") or QMessageBox.StandardButton.No)
    floating.close()  # hides it
    assert not asked
    assert not window.close()
    assert asked
    assert not launch.last.stopped


def test_window_that_stays_open_after_all_hears_how_the_run_ends(
    qtbot: QtBot, make_dock: Any, blobs: Path, launch: FakeLaunch, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Asking(QWidget):
        def closeEvent(self, event: QCloseEvent) -> None:  # as napari's own question does when it is cancelled
            event.ignore()

    dock, window = make_dock(blobs), Asking()
    qtbot.addWidget(window, before_close_func=lambda _: dock.setParent(None))
    dock.setParent(window)
    window.show()
    dock.show()
    dock.panels[TrainPanel].train.click()
    launch.last.start()
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
    assert not window.close()
    assert launch.last.stopped
    qtbot.waitUntil(lambda: dock.session.stage is Stage.IDLE)
    assert dock.session.comparison is not None
    assert not_ready(dock.session) == ""


def test_closing_during_the_comparison_asks_and_the_run_is_offered_again(
    qtbot: QtBot, make_dock: Any, blobs: Path, launch: FakeLaunch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(run: Path, name: str) -> Any:
        def work(stopped: Callable[[], bool]) -> Iterator[object]:
            while not stopped():
                time.sleep(0.01)
            yield from ()

        return work

    dock = make_dock(blobs, judging=never)
    dock.panels[TrainPanel].train.click()
    run = killed_run(dock, launch, blobs)
    epochs = read_plan(run).settings.epochs
    for name, text in ((MODEL, ""), (LAST, ""), (CURVES, f"epoch\n{epochs}\n")):
        (run / name).write_text(text)
    mark_ended(run, "all epochs done")
    launch.last.finish()
    qtbot.waitUntil(lambda: dock.session.stage is Stage.JUDGING)
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.No)
    assert not dock.close()
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
    assert dock.close()
    again = make_dock(blobs)
    panel = again.panels[TrainPanel]
    assert panel.chosen_run.folder == run
    assert panel.runs.currentText() == "tuned: trained, not added yet"
    assert (panel.resume.text(), panel.smaller.isEnabled()) == ("Compare and add", False)
    panel.resume.click()
    assert launch.last.arguments == ["--resume"]


def test_resumed_run_whose_name_is_taken_gets_another(
    qtbot: QtBot, make_dock: Any, blobs: Path, launch: FakeLaunch
) -> None:
    dock = make_dock(blobs)
    dock.panels[TrainPanel].train.click()
    run = killed_run(dock, launch, blobs)
    write_plan(run, read_plan(run).model_copy(update={"name": "breast-ultrasound"}))
    launch.last.kill()
    qtbot.waitUntil(lambda: dock.session.stage is Stage.IDLE)
    dock.panels[TrainPanel].resume.click()
    launch.last.finish()
    qtbot.waitUntil(lambda: dock.session.comparison is not None)
    assert dock.session.installed == "breast-ultrasound-2"


def test_form_has_every_setting_with_its_description(make_dock: Any) -> None:
    dock = make_dock(None)
    panel = dock.panels[SettingsPanel]
    assert {*panel.fields, "trainable"} == set(TrainConfig.model_fields)
    for name, field in panel.fields.items():
        assert field.toolTip() == f"{TrainConfig.model_fields[name].description}."


def test_form_follows_the_choices_until_the_user_sets_a_value(make_dock: Any, blobs: Path) -> None:
    dock = make_dock(blobs)
    panel = dock.panels[SettingsPanel]
    assert panel.fields["epochs"].value() == dock.session.settings()["epochs"]
    dock.session.length = "long"
    assert panel.fields["epochs"].value() == dock.session.settings()["epochs"]
    panel.fields["epochs"].setValue(5)
    assert dock.session.settings()["epochs"] == 5
    dock.session.length = "quick"
    assert panel.fields["epochs"].value() == 5
    panel.reset.click()
    assert dock.session.changes == {}
    assert panel.fields["epochs"].value() == dock.session.settings()["epochs"] != 5


def test_setting_out_of_its_bounds_is_refused_in_words(make_dock: Any, blobs: Path) -> None:
    dock = make_dock(blobs)
    dock.session.changes = {"image_size": 100}
    assert not_ready(dock.session).startswith("image_size: ")


@pytest.mark.parametrize("typed", ["0,0005", "0.0005", "5e-4", ",0005"])
def test_a_comma_is_as_good_as_a_point(qtbot: QtBot, make_dock: Any, blobs: Path, typed: str) -> None:
    dock = make_dock(blobs)
    field = dock.panels[SettingsPanel].fields["learning_rate"]
    field.selectAll()
    qtbot.keyClicks(field, typed)
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert dock.session.settings()["learning_rate"] == 0.0005
    assert field.text() == "0.0005"


@pytest.mark.parametrize(("typed", "left"), [("", ""), ("1e", "1e"), ("-", "-"), ("1.000,5e", "1.0005e"), ("abc", "")])
def test_a_number_that_is_none_gives_way_to_the_former_one(
    qtbot: QtBot, make_dock: Any, blobs: Path, typed: str, left: str
) -> None:
    dock = make_dock(blobs)
    field = dock.panels[SettingsPanel].fields["learning_rate"]
    former = field.text()
    field.clear()
    qtbot.keyClicks(field, typed)
    assert field.text() == left
    QCoreApplication.sendEvent(field, QFocusEvent(QEvent.Type.FocusOut, Qt.FocusReason.PopupFocusReason))
    assert field.text() == left
    QCoreApplication.sendEvent(field, QFocusEvent(QEvent.Type.FocusOut, Qt.FocusReason.TabFocusReason))
    assert field.text() == former
    assert dock.session.changes == {}


def test_time_is_that_of_the_device_and_precision_that_are_chosen(
    make_dock: Any, blobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed: list[list[str]] = []
    monkeypatch.setattr(finetune_work, "run_command", lambda words, stopped: typed.append(words))
    dock = make_dock(blobs)
    dock.session.pace = Pace(train=0.1, looking=0.05, memory_mb=1000)
    precision = dock.panels[SettingsPanel].fields["precision"]
    precision.textActivated.emit("bf16")
    assert dock.session.pace is None
    list(finetune_work.measure("x", {**dock.session.settings(), "device": "cpu", "epochs": 3})(lambda: False))
    words = " ".join(typed[0])
    for setting in ("--precision bf16", "--device cpu", "--class-anchor"):
        assert setting in words
    assert "--epochs" not in words


@pytest.mark.parametrize("change", ["part", "setting", "reset", "list", "mix"])
def test_a_pace_that_is_being_measured_for_another_choice_is_not_shown(
    qtbot: QtBot, make_dock: Any, blobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    go_on, pace = Event(), Pace(train=0.1, looking=0.05, memory_mb=1000)

    def slow(start: str, settings: Any) -> Any:
        def work(stopped: Any) -> Any:
            go_on.wait(20)
            yield pace

        return work

    monkeypatch.setattr(finetune_bench, "measure", slow)
    dock = make_dock(blobs)
    dock.session.start = "fake"
    dock.bench.measure()
    assert dock.bench.is_measuring
    start, settings = dock.panels[StartPanel], dock.panels[SettingsPanel]
    if change == "part":
        start.part.activated.emit(0)
    elif change == "setting":
        settings.fields["precision"].textActivated.emit("bf16")
    elif change == "reset":
        settings.reset.clicked.emit()
    elif change == "list":
        dock.bench.set_folder(tmp_path)
    else:
        dock.bench.choose_mix(None)
    go_on.set()
    qtbot.wait(100)
    assert dock.session.pace is None
    assert not dock.bench.is_measuring


def test_counts_of_another_list_are_forgotten_at_once(make_dock: Any, blobs: Path, tmp_path: Path) -> None:
    dock = make_dock(blobs)
    assert dock.session.counts is not None
    dock.bench.set_folder(tmp_path)
    assert (dock.session.info, dock.session.counts, dock.session.problems) == (None, None, ())
    assert not dock.panels[TrainPanel].train.isEnabled()


def test_times_are_shown_when_they_were_measured(make_dock: Any, blobs: Path) -> None:
    dock = make_dock(blobs)
    panel = dock.panels[StartPanel]
    assert panel.takes.text() == "Not measured yet."
    dock.session.pace = Pace(train=0.1, looking=0.05, memory_mb=1000)
    assert panel.length.itemText(0) == "Quick · 100 epochs"
    assert panel.takes.text() == "Takes about 2 min here."
    dock.session.length = "long"
    assert panel.takes.text() == "Takes about 7 min here."


@pytest.fixture
def own_model(tmp_path: Path) -> str:
    import_weights(find_weights("breast-ultrasound"), "breast-ultrasound-tuned")
    return "breast-ultrasound-tuned"


def shown(dock: FinetuneWidget, name: str) -> ResultPanel:
    """The dock as it is when a model was added."""
    dock.bench.refresh_models()
    dock.session.installed = name
    panel = dock.panels[ResultPanel]
    assert isinstance(panel, ResultPanel)
    return panel


def test_new_model_is_renamed_and_deleted(make_dock: Any, own_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dock = make_dock(None)
    panel = shown(dock, own_model)
    monkeypatch.setattr(finetune_result_panel.QInputDialog, "getText", lambda *_, **__: ("clinic", True))
    dock.bench.report(ValueError("an older message"))
    changed: list[tuple[str, str]] = []
    dock.bench.models_changed.connect(lambda *names: changed.append(names))
    panel.rename.click()
    assert dock.session.installed == "clinic"
    assert "clinic" in [entry.name for entry in list_models()]
    assert changed == [(own_model, "clinic")]
    assert dock.session.message.text == f"{own_model} is called clinic now."
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
    panel.delete.click()
    assert "clinic" not in [entry.name for entry in list_models()]
    assert not panel.use.isEnabled()


def test_dock_with_unsaved_labels_asks_before_it_closes(make_dock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    dock = make_dock(None)
    dock.training_list.unsaved = "scan.png"
    asked: list[str] = []
    monkeypatch.setattr(QMessageBox, "question", lambda *words: asked.append(words[2]) or QMessageBox.StandardButton.No)
    assert not dock.close()
    assert "scan.png were changed and are not saved" in asked[0]
    dock.training_list.unsaved = ""
    assert dock.close()
    assert len(asked) == 1


def test_name_that_is_taken_is_refused(make_dock: Any, own_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dock = make_dock(None)
    panel = shown(dock, own_model)
    monkeypatch.setattr(finetune_result_panel.QInputDialog, "getText", lambda *_, **__: ("fundus-disc", True))
    panel.rename.click()
    assert "comes with napari-uml" in dock.panels[TrainPanel].message.text()
    assert dock.session.installed == own_model


@pytest.mark.parametrize("name", ["breast-ultrasound-tuned", "No Name", ""])
def test_model_is_not_compared_under_a_name_that_cannot_be_had(
    make_dock: Any, own_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    dock = make_dock(None)
    (tmp_path / MODEL).touch()
    dock.session.run = tmp_path
    monkeypatch.setattr(finetune_result_panel.QInputDialog, "getText", lambda *_, **__: (name, True))
    dock.panels[ResultPanel].keep.click()
    assert dock.session.stage is Stage.IDLE
    assert repr(name) in dock.panels[TrainPanel].message.text()
    assert not dock.panels[ResultPanel].keep.isHidden()


def test_export_writes_weights_and_card(
    qtbot: QtBot, make_dock: Any, own_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dock = make_dock(None)
    panel = shown(dock, own_model)
    target = tmp_path / "there.safetensors"
    find_weights(own_model).with_suffix(".md").write_text("# Card")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(target), ""))
    panel.export.click()
    qtbot.waitUntil(lambda: dock.session.message is not None)
    assert target.read_bytes() == find_weights(own_model).read_bytes()
    assert target.with_suffix(".md").read_text() == "# Card"


@pytest.mark.parametrize(
    ("typed", "there", "kept"),
    [
        ("mine.safetensors", "mine.md", True),
        ("mine", "mine.safetensors", True),
        ("mine.v2", "mine.safetensors", True),
        ("mine.safetensors", "mine.safetensors", False),  # the file dialog asked
    ],
)
def test_export_replaces_only_what_the_file_dialog_asked_about(
    qtbot: QtBot, make_dock: Any, own_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    typed: str, there: str, kept: bool,
) -> None:  # fmt: skip
    dock = make_dock(None)
    panel = shown(dock, own_model)
    (tmp_path / there).write_text("mine")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (f"{tmp_path / typed}", ""))
    panel.export.click()
    qtbot.waitUntil(lambda: dock.session.message is not None)
    assert ((tmp_path / there).read_bytes() == b"mine") is kept


def test_use_now_asks_for_the_model(qtbot: QtBot, make_dock: Any, own_model: str) -> None:
    dock = make_dock(None)
    dock.bench.wanted.disconnect()
    panel = shown(dock, own_model)
    with qtbot.waitSignal(dock.bench.wanted) as used:
        panel.use.click()
    assert used.args == [own_model]


def test_every_control_explains_itself_and_has_a_name(make_dock: Any, blobs: Path) -> None:
    dock = make_dock(blobs)
    kinds = (QAbstractButton, QComboBox, QLineEdit, QAbstractSpinBox)
    made_of_parts = (QComboBox, QAbstractSpinBox, QAbstractItemView)
    inner = {id(child) for kind in made_of_parts for parent in dock.findChildren(kind)
             for child in parent.findChildren(QObject)}  # fmt: skip
    silent = [
        widget
        for panel in dock.panels.values()
        for kind in kinds
        for widget in panel.findChildren(kind)
        if id(widget) not in inner
        and not (widget.toolTip() and (widget.accessibleName() or getattr(widget, "text", lambda: "")()))
    ]
    assert silent == []


@pytest.mark.slow
def test_real_process_trains_a_model_that_is_found_by_its_name(
    qtbot: QtBot, make_dock: Any, blobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    dock = make_dock(blobs, launch=None, judging=None)
    session = dock.session
    dock.bench.choose_start("breast-ultrasound")
    session.name = "clinic"
    session.changes = {"image_size": 64, "epochs": 2, "device": "cpu", "precision": "float32"}
    dock.panels[TrainPanel].train.click()
    qtbot.waitUntil(lambda: session.stage is Stage.IDLE, timeout=300_000)
    assert session.message is None
    assert [report.epoch for report in session.reports] == [1, 2]
    assert session.comparison is not None
    assert session.comparison.before is not None
    assert find_weights("clinic").is_file()
    card = next(entry.card for entry in list_models() if entry.name == "clinic")
    assert card is not None
    assert "breast-ultrasound" in card.read_text()
    assert dock.panels[CurvesPanel].picture.pixmap().width() > 100
    shutil.rmtree(session.run)
