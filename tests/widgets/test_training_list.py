"""The panel of the training list: what is done in the window is on the disk, and what is on the disk is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels
from PIL import Image as Picture
from qtpy.QtCore import QSettings, Qt
from qtpy.QtWidgets import QMessageBox, QPushButton
from tests.tiny import tiny_dataset
from tests.widgets.conftest import INFO as MODEL_INFO
from tests.widgets.conftest import TASK

from napari_uml.data.dataset import IGNORE, DatasetInfo, Record, read_dataset, read_mask
from napari_uml.data.training_list import TrainingList
from napari_uml.weights import ModelEntry
from napari_uml.widgets.panel import Scroll
from napari_uml.widgets.training_list import TrainingListPanel, panel, questions
from napari_uml.widgets.training_list.current import labels_layers, take_current
from napari_uml.widgets.training_list.dialogs import AddDialog, NewListDialog
from napari_uml.widgets.training_list.names_dialog import NamesDialog
from napari_uml.widgets.training_list.table import CLASS, IMAGE, SPLIT, STATE
from napari_uml.widgets.training_list.work import images_in, mask_beside, proposal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytestqt.qtbot import QtBot
    from tests.widgets.conftest import FakePredictor

INFO = DatasetInfo(name="list", seg_classes=TASK.seg_classes, cls_classes=TASK.cls_classes)
GREY = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remember folders in the test's own file, and know one model."""
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(tmp_path / "settings"))
    entry = ModelEntry("fake", "Fake model", "bundled", tmp_path / "fake.safetensors", 1)
    monkeypatch.setattr(panel, "list_models", lambda: (entry,))
    monkeypatch.setattr(questions, "read_info", lambda path: MODEL_INFO)


@pytest.fixture
def make(qtbot: QtBot, load: Any) -> Callable[[], TrainingListPanel]:
    def build() -> TrainingListPanel:
        made = TrainingListPanel(ViewerModel(), load=load)
        qtbot.addWidget(made, before_close_func=lambda widget: widget.stop())
        made.show()
        return made

    return build


@pytest.fixture
def dock(make: Callable[[], TrainingListPanel], tmp_path: Path) -> TrainingListPanel:
    made = make()
    made.create(tmp_path / "list", INFO)
    return made


def text(dock: TrainingListPanel, row: int, column: int) -> str:
    return dock.view.rows.index(row, column).data()


def wait_added(qtbot: QtBot, dock: TrainingListPanel, count: int) -> None:
    qtbot.waitUntil(lambda: not dock._adding.is_busy and dock.view.rows.rowCount() == count, timeout=10_000)


def checked(qtbot: QtBot, dock: TrainingListPanel) -> tuple[Any, ...]:
    with qtbot.waitSignal(dock.checked, timeout=10_000):
        dock.view.check.click()
    return dock.problems()


def test_a_new_list_is_a_folder_and_is_opened_again(dock, make, tmp_path):
    assert dock.folder == tmp_path / "list"
    assert dock.info == INFO
    again = make()
    assert again.folder == tmp_path / "list"


def test_without_a_list_only_new_and_open_can_be_pressed(make):
    dock = make()
    assert (dock.folder, dock.info, dock.problems()) == (None, None, ())
    view = dock.view
    assert view.new.isEnabled()
    assert view.open.isEnabled()
    for button in (view.add, view.more, view.remove, view.names, view.split, view.check, view.next):
        assert not button.isEnabled()
    assert view.check.toolTip() == "Begin a new list, or open one, first."


def test_a_folder_that_is_no_list_is_explained_and_the_list_stays(dock, tmp_path):
    before = dock.folder
    dock.open(tmp_path)
    assert "has no dataset.json" in dock.view.message.text()
    assert dock.folder == before


def test_the_current_image_is_added_with_its_corrected_labels(qtbot, dock, monkeypatch):
    image = dock.viewer.add_layer(Image(GREY, name="patient3_left"))
    labels = np.full(GREY.shape, 9, np.uint8)
    labels[:5], labels[5:9] = 0, 1
    dock.viewer.add_layer(Labels(labels, name="patient3_left structures"))
    dialog = AddDialog(dock.viewer, INFO, dock)
    qtbot.addWidget(dialog)
    assert dialog.image == image
    assert dialog.unlabelled.currentData() == 9
    assert not dialog.ok.isEnabled()
    dialog.label.setCurrentIndex(dialog.label.findData("benign"))
    dialog.label.activated.emit(dialog.label.currentIndex())
    assert dialog.ok.isEnabled()
    with qtbot.waitSignal(dock.changed):
        dock.add_current(dialog)
    wait_added(qtbot, dock, 1)
    (record,) = read_dataset(dock.folder).records
    assert record == Record("images/patient3_left.png", "masks/patient3_left.png", "benign", "train", "patient3")
    mask = read_mask(dock.folder / record.mask)
    assert [int(mask[i, 0]) for i in (0, 6, 15)] == [0, 1, IGNORE]


def test_a_correction_goes_before_the_result_and_other_layers():
    viewer = ViewerModel()
    image = viewer.add_layer(Image(GREY, name="a"))
    mark = {"napari-uml": {"of": str(image.unique_id), "role": "structures"}}
    names = {"a structures": {}, "other": {}, "a structures [1]": mark}
    layers = {name: viewer.add_layer(Labels(GREY, name=name, metadata=meta)) for name, meta in names.items()}
    viewer.add_layer(Labels(GREY[:4], name="small"))
    found = [layer.name for layer in labels_layers(viewer, image)]
    assert found == ["a structures", "a structures [1]", "other"]
    assert len(layers) == 3


def test_of_a_stack_the_slice_in_view_is_taken_with_its_labels():
    viewer = ViewerModel()
    stack = np.stack([GREY, GREY + 1, GREY + 2])
    image, labels = viewer.add_layer(Image(stack, name="s")), viewer.add_layer(Labels((stack > 99).astype(np.uint8)))
    viewer.dims.set_point(0, 2)
    current = take_current(viewer, image, labels)
    assert (current.name, current.group) == ("s 2", "s")
    assert np.array_equal(current.read(), stack[2])
    assert np.array_equal(current.labels, stack[2] > 99)


def test_files_come_with_masks_and_what_cannot_be_read_is_told_at_once(qtbot, dock, tmp_path):
    good, broken = tmp_path / "a.png", tmp_path / "b.png"
    Picture.fromarray(GREY).save(good)
    Picture.fromarray((GREY > 99).astype(np.uint8) * 255).save(tmp_path / "a_mask.png")
    broken.write_bytes(b"no image")
    dock.add_files([broken, good])
    wait_added(qtbot, dock, 1)
    assert text(dock, 0, STATE) == "no class"
    assert "b.png: expected an image" in dock.view.message.text()


def test_masks_beside_images_are_found_and_are_no_images(tmp_path):
    for folder, name in (("images", "x.png"), ("masks", "x.tif"), ("flat", "y.jpg"), ("flat", "y_segmentation.png")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).touch()
    assert mask_beside(tmp_path / "images" / "x.png") == tmp_path / "masks" / "x.tif"
    assert images_in(tmp_path / "flat") == [tmp_path / "flat" / "y.jpg"]


def test_a_data_set_is_added_and_has_thumbnails(qtbot, dock, tmp_path):
    dock.add_dataset(tiny_dataset(tmp_path / "blobs"))
    wait_added(qtbot, dock, 12)
    index = dock.view.rows.index(0, IMAGE)
    qtbot.waitUntil(lambda: index.data(Qt.ItemDataRole.DecorationRole) is not None, timeout=10_000)
    assert "12 images, 12 annotated · 8 train · 4 val · 0 test" in dock.view.summary.text()


def test_class_and_split_are_edited_in_place_and_saved(dock):
    for name in ("patient1_left", "patient1_right"):
        dock.rows.add_array(GREY, name=name)
    dock.show_rows()
    rows = dock.view.rows
    assert rows.setData(rows.index(0, CLASS), "malignant")
    assert rows.setData(rows.index(0, SPLIT), "val")
    saved = read_dataset(dock.folder).records
    assert [(record.label, record.split) for record in saved] == [("malignant", "val"), ("", "val")]
    assert "2 images of the group patient1 moved together" in dock.view.message.text()


def test_a_problem_leads_to_its_row(qtbot, dock, tmp_path):
    dock.add_dataset(tiny_dataset(tmp_path / "blobs"))
    wait_added(qtbot, dock, 12)
    assert {problem.row for problem in checked(qtbot, dock)} == {""}  # normal has no example
    (dock.folder / "images" / "val2.png").write_bytes(b"broken")
    found = [problem for problem in checked(qtbot, dock) if problem.row == "images/val2.png"]
    assert len(found) == 1
    item = next(
        dock.view.problems.item(i) for i in range(dock.view.problems.count())
        if dock.view.problems.item(i).text() == found[0].text
    )  # fmt: skip
    dock.view.problems.itemActivated.emit(item)
    (index,) = dock.view.table.selectionModel().selectedRows()
    assert text(dock, index.row(), IMAGE) == "⚠ val2"


def test_every_change_takes_what_a_check_found_back(qtbot, dock):
    dock.rows.add_array(GREY)
    dock.show_rows()
    assert checked(qtbot, dock)
    dock.view.split.click()
    assert dock.problems() == ()
    assert dock.view.problems.isHidden()


def test_removed_rows_leave_after_a_question(dock, monkeypatch):
    image = dock.rows.add_array(GREY).image
    dock.show_rows()
    dock.select_row(image)
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.No)
    dock.view.remove.click()
    assert len(dock.rows.records) == 1
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
    dock.view.remove.click()
    assert dock.rows.records == ()


def shown(qtbot: QtBot, dock: TrainingListPanel, button: QPushButton) -> str:
    with qtbot.waitSignal(dock.annotator.shown, timeout=20_000):
        button.click()
    return dock.annotator.image


def test_the_most_uncertain_image_is_annotated_saved_and_followed_by_the_next(qtbot, dock):
    for name in ("a", "b"):
        dock.rows.add_array(GREY, name=name)
    dock.show_rows()
    assert dock.view.next.text() == "Next image (2)"
    first = shown(qtbot, dock, dock.view.next)
    assert first == "images/a.png"
    assert dock.view.label.currentData() == "benign"  # what the fake predictor believes
    dock.annotator._layers[1].data[:] = 1
    assert shown(qtbot, dock, dock.view.save) == "images/b.png"
    record = TrainingList.open(dock.folder).record(first)
    assert record.label == "benign"
    assert (read_mask(dock.folder / record.mask) == 1).all()
    assert [layer.name for layer in dock.viewer.layers] == ["b", "b labels"]
    with qtbot.waitSignal(dock.annotator.ended, timeout=20_000):
        dock.view.save.click()
    qtbot.waitUntil(lambda: "Every image" in dock.view.message.text(), timeout=10_000)
    assert not dock.view.next.isEnabled()
    assert len(dock.viewer.layers) == 0


def test_without_a_model_images_come_bare_and_nothing_painted_is_no_mask(qtbot, dock):
    dock.rows.add_array(GREY, name="a")
    dock.show_rows()
    dock.view.model.setCurrentIndex(dock.view.model.findData(""))
    shown(qtbot, dock, dock.view.next)
    dock.view.label.setCurrentIndex(dock.view.label.findData("normal"))
    with qtbot.waitSignal(dock.annotator.saved, timeout=20_000):
        dock.view.save.click()
    assert read_dataset(dock.folder).records == (Record("images/a.png", "", "normal", "train", ""),)


def test_a_skipped_image_comes_again_at_the_end(qtbot, dock):
    for name in ("a", "b"):
        dock.rows.add_array(GREY, name=name)
    dock.show_rows()
    order = [shown(qtbot, dock, button) for button in (dock.view.next, dock.view.skip, dock.view.skip)]
    assert order[0] == order[2] != order[1]


def test_an_image_that_cannot_be_read_does_not_hold_up_the_others(qtbot, dock):
    for name in ("a", "b"):
        dock.rows.add_array(GREY, name=name)
    (dock.folder / "images" / "a.png").write_bytes(b"broken")
    dock.show_rows()
    assert shown(qtbot, dock, dock.view.next) == "images/b.png"


def test_a_failing_model_is_told_and_next_stays_usable(qtbot, dock, predictor: FakePredictor):
    def fail(number: int) -> None:
        raise MemoryError

    dock.rows.add_array(GREY)
    dock.show_rows()
    predictor.before_slice = fail
    with qtbot.waitSignal(dock.annotator.failed, timeout=20_000):
        dock.view.next.click()
    qtbot.waitUntil(lambda: dock.view.next.isEnabled(), timeout=10_000)
    assert "not enough memory" in dock.view.message.text()


def test_a_proposal_has_the_numbers_and_names_of_the_list(predictor: FakePredictor):
    task = DatasetInfo(
        name="x", seg_classes=("background", "cyst", "mass"), cls_classes=("nevus", "other"),
        former_structures={"mass": ("lesion",)}, former_classes={"nevus": ("benign",)},
    )  # fmt: skip
    looked = proposal("i", GREY, next(iter(predictor.predict_slices(GREY))), TASK, task)
    assert set(np.unique(looked.mask)) == {0, 2}
    assert looked.label == "nevus"


def test_names_are_changed_in_the_list_and_what_is_kept_is_said(qtbot, dock):
    dialog = NamesDialog(dock.rows, ("Fake model", TASK), dock)
    qtbot.addWidget(dialog)
    dialog.rename("class", "benign", "nevus")
    assert "nevus (was benign)" in dialog.kept.text()
    dialog.add("structure", "cyst")
    assert "New and untrained: cyst." in dialog.kept.text()
    dialog.remove("class", "nevus", None)
    assert "No longer found: benign." in dialog.kept.text()
    dialog.remove("class", "normal", None)
    assert "at least two classes" in dialog.problem.text()
    assert TrainingList.open(dock.folder).info.cls_classes == ("normal", "malignant")


def test_a_new_list_takes_over_the_names_of_a_model(qtbot, tmp_path):
    dialog = NewListDialog([("Fake model", TASK)])
    qtbot.addWidget(dialog)
    assert not dialog.ok.isEnabled()
    dialog.folder.setText(str(tmp_path / "new"))
    assert dialog.ok.isEnabled()
    assert dialog.info.seg_classes == TASK.seg_classes
    dialog.structures.setText("background")
    assert not dialog.ok.isEnabled()


def test_every_control_is_explained_and_named(dock):
    for widget in [
        *dock.findChildren(QPushButton),
        dock.view.table,
        dock.view.model,
        dock.view.label,
        dock.view.problems,
    ]:
        assert widget.toolTip(), widget
        assert widget.accessibleName(), widget


def test_closing_stops_what_goes_on(qtbot, dock, tmp_path):
    dock.add_dataset(tiny_dataset(tmp_path / "blobs"))
    dock.stop()
    assert not dock._adding.is_busy
    assert not dock.annotator.is_busy


def test_the_button_that_saves_a_proposal_is_scrolled_to(qtbot, dock):
    for number in range(4):
        dock.rows.add_array(GREY, name=str(number))
    dock.show_rows()
    area = Scroll(dock)
    qtbot.addWidget(area)
    area.resize(300, 200)
    with qtbot.waitExposed(area):
        area.show()
    assert dock.view.save.visibleRegion().isEmpty()
    shown(qtbot, dock, dock.view.next)
    qtbot.waitUntil(lambda: not dock.view.save.visibleRegion().isEmpty(), timeout=10_000)
    area.takeWidget()  # else it goes with the area
