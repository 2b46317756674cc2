"""The panel of the training list: what is done in the window is on the disk, and what is on the disk is shown."""

from __future__ import annotations

from pathlib import Path
from threading import Event, current_thread, main_thread
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels
from PIL import Image as Picture
from pydicom.data import get_testdata_file
from qtpy.QtCore import QSettings, Qt
from qtpy.QtWidgets import QMessageBox, QPushButton
from tests.tiny import tiny_dataset
from tests.widgets.conftest import INFO as MODEL_INFO
from tests.widgets.conftest import TASK

from napari_uml.config import IGNORE, Task
from napari_uml.data.dataset import DatasetInfo, Record, read_dataset, read_mask
from napari_uml.data.training_list import TrainingList
from napari_uml.errors import WeightsError
from napari_uml.results import Box
from napari_uml.weights import ModelEntry
from napari_uml.widgets.jobs import analyse
from napari_uml.widgets.layer_arrays import position_in, source_of
from napari_uml.widgets.layers import ResultLayers, mask_style
from napari_uml.widgets.panel import Scroll
from napari_uml.widgets.reading_modes import Reading
from napari_uml.widgets.session import Session
from napari_uml.widgets.training_list import TrainingListPanel, layout, panel, questions, work
from napari_uml.widgets.training_list.current import labels_layers, take_current
from napari_uml.widgets.training_list.dialogs import AddDialog, NewListDialog
from napari_uml.widgets.training_list.names_dialog import NamesDialog
from napari_uml.widgets.training_list.table import CLASS, IMAGE, SPLIT, STATE
from napari_uml.widgets.training_list.work import Looked, images_in, mask_beside, proposal

if TYPE_CHECKING:
    from collections.abc import Callable

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
    for module in (questions, layout):
        monkeypatch.setattr(module, "read_info", lambda path: MODEL_INFO)


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


LIST = DatasetInfo(
    name="list", seg_classes=("background", "cyst", "lesion"), cls_classes=TASK.cls_classes
)  # the model's lesion is 2 here


def dialog_for(
    qtbot: QtBot, dock: TrainingListPanel, task: Any, labels: np.ndarray, info: DatasetInfo = LIST
) -> AddDialog:
    dock.viewer.add_layer(Image(GREY, name="a"))
    dock.viewer.add_layer(Labels(labels, name="a structures", **mask_style(task)))
    dialog = AddDialog(dock.viewer, info, dock)
    qtbot.addWidget(dialog)
    dialog.label.setCurrentIndex(dialog.label.findData("benign"))
    dialog.label.activated.emit(dialog.label.currentIndex())
    return dialog


def added_mask(qtbot: QtBot, dock: TrainingListPanel, dialog: AddDialog) -> np.ndarray:
    with qtbot.waitSignal(dock.changed):
        dock.add_current(dialog)
    wait_added(qtbot, dock, 1)
    return read_mask(dock.folder / dock.rows.records[0].mask)


def test_structures_of_a_result_are_those_of_the_list_by_name(qtbot, make, tmp_path):
    dock = make()
    dock.create(tmp_path / "list", LIST)
    labels = np.zeros(GREY.shape, np.uint8)
    labels[:5] = 1
    dialog = dialog_for(qtbot, dock, TASK, labels)
    assert dialog.ok.isEnabled()
    assert dialog.taken.text() == "0 background, 1 lesion"
    assert dialog.others.isHidden()
    assert np.array_equal(added_mask(qtbot, dock, dialog), labels * 2)


@pytest.mark.parametrize(("choice", "expected"), [("background", 0), ("Not annotated", IGNORE)])
def test_a_structure_that_the_list_lacks_waits_for_a_choice(qtbot, dock, choice, expected):
    model = Task(seg_classes=("background", "vessel", "cup", "lesion"), cls_classes=TASK.cls_classes)
    labels = np.zeros(GREY.shape, np.uint8)
    labels[:5], labels[5:9] = 1, 3
    dialog = dialog_for(qtbot, dock, model, labels, INFO)
    assert not dialog.ok.isEnabled()
    assert "The list has no structure for 1 vessel: choose" in dialog.problem.text()
    assert dialog.unlabelled.currentData() is None
    assert dialog.unlabelled.findData(1) == -1
    dialog.others.setCurrentIndex(dialog.others.findText(choice))
    dialog.others.activated.emit(dialog.others.currentIndex())
    assert dialog.ok.isEnabled()
    mask = added_mask(qtbot, dock, dialog)
    assert [int(mask[i, 0]) for i in (0, 6, 15)] == [expected, 1, 0]


def test_a_number_that_a_user_painted_on_a_result_is_the_lists_own_or_is_told(qtbot, make, tmp_path):
    dock = make()
    dock.create(tmp_path / "list", LIST)
    labels = np.zeros(GREY.shape, np.uint8)
    labels[:5], labels[5:9] = 1, 2
    dialog = dialog_for(qtbot, dock, TASK, labels)  # the list's 2 is the lesion, which 1 is here
    assert "The list has no structure for 2: choose" in dialog.problem.text()
    assert not dialog.ok.isEnabled()
    dialog.unlabelled.setCurrentIndex(dialog.unlabelled.findData(2))
    dialog.unlabelled.activated.emit(dialog.unlabelled.currentIndex())
    assert dialog.ok.isEnabled()
    assert dialog.taken.text() == "0 background, 1 lesion, 2 not annotated"
    labels[:] = 3
    more = LIST.model_copy(update={"seg_classes": (*LIST.seg_classes, "vessel")})
    assert dialog_for(qtbot, dock, TASK, labels, more).taken.text() == "3 vessel"


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


def answered(
    viewer: ViewerModel, image: Any, predictor: FakePredictor, slices: str = "all", stop: bool = False, **changes: Any
) -> Any:
    """The structures of an answer about an image; of a stack that is stopped the first slice alone."""
    session = Session(model="fake", slices=slices)
    session.choose(source_of(image))
    session.position = position_in(image, viewer.dims.point)
    for name, value in changes.items():
        setattr(session, name, value)
    *_, result = analyse(session.request(), image.data)(predictor, lambda: stop)
    ResultLayers(viewer).show(image, result)
    return viewer.layers[f"{image.name} structures"]


STACK = np.stack([GREY, GREY.T.reshape(GREY.shape), GREY[::-1]])
MOVED = {"scale": (3, 0.7, 0.4), "translate": (-5, 10, 0.3), "rotate": (0, 0, 30)}


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing:UserWarning")
@pytest.mark.parametrize("where", [{}, MOVED])
@pytest.mark.parametrize(
    ("asked", "covered", "number"),
    [
        ({"slices": "current"}, np.s_[:, :], 1),
        ({"slices": "current", "area": "rectangle", "box": Box(2, 3, 12, 25)}, np.s_[2:12, 3:25], 1),
        ({"area": "rectangle", "box": Box(0, 7, 9, 30)}, np.s_[0:9, 7:30], 1),
        ({"stop": True}, np.s_[:, :], 0),
    ],
)
def test_a_result_of_a_part_is_offered_and_the_rest_is_not_annotated(predictor, where, asked, covered, number):
    viewer = ViewerModel()
    image = viewer.add_layer(Image(STACK, name="s", **where))
    viewer.dims.current_step = (number, 0, 0)
    labels = answered(viewer, image, predictor, **asked)
    expected = np.full(GREY.shape, IGNORE)
    expected[covered] = STACK[number][covered] > STACK[number].mean()
    assert labels_layers(viewer, image) == [labels]
    assert np.array_equal(take_current(viewer, image, labels).labels, expected)
    labels.data_setitem((np.array([number % len(labels.data)]), np.array([1]), np.array([2])), 5)
    labels.name = "mine"
    viewer.add_layer(Labels(np.zeros_like(STACK), name="other", **where))
    assert labels_layers(viewer, image)[0] == labels
    assert (take_current(viewer, image, labels).labels == 5).sum() == 1


def test_labels_of_another_slice_or_another_image_are_not_offered(predictor):
    viewer = ViewerModel()
    image = viewer.add_layer(Image(STACK, name="s"))
    other = viewer.add_layer(Image(GREY[:9], name="t"))
    labels = answered(viewer, image, predictor, "current")
    assert labels_layers(viewer, other) == []
    assert labels_layers(viewer, image) == [labels]
    viewer.dims.current_step = (0, 0, 0)
    assert labels_layers(viewer, image) == []


def test_the_rest_of_a_rectangle_is_not_annotated_in_the_list(qtbot, dock, predictor):
    image = dock.viewer.add_layer(Image(GREY, name="a"))
    answered(dock.viewer, image, predictor, "current", area="rectangle", box=Box(5, 5, 15, 20))
    dialog = AddDialog(dock.viewer, INFO, dock)
    qtbot.addWidget(dialog)
    assert dialog.taken.text() == "0 background, 1 lesion, 255 not annotated"
    mask = added_mask(qtbot, dock, dialog)
    assert (mask[5:15, 5:20] < 2).all()
    assert (mask == IGNORE).sum() == GREY.size - 150


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
@pytest.mark.parametrize("shape", [(6, 20, 30), (20, 30, 6), (15, 16, 17)])
def test_the_plane_on_the_screen_is_taken(order, shape):
    viewer, pixels = ViewerModel(), np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    image, labels = viewer.add_layer(Image(pixels, name="s")), viewer.add_layer(Labels(pixels // 99))
    viewer.dims.order = order
    viewer.dims.set_point(order[0], 4)
    current = take_current(viewer, image, labels)
    assert np.array_equal(current.read(), pixels.take(4, order[0]))
    assert np.array_equal(current.labels, pixels.take(4, order[0]) // 99)


def test_colours_are_taken_as_they_were_analysed(predictor):
    viewer, pixels = ViewerModel(), np.random.default_rng(1).integers(0, 256, (3, 20, 30), dtype=np.uint8)
    image = viewer.add_layer(Image(pixels, name="s"))
    labels = answered(viewer, image, predictor, "current", reading=Reading("all", 0))
    assert np.array_equal(take_current(viewer, image, labels).read(), np.moveaxis(pixels, 0, -1))
    last = viewer.add_layer(Image(np.moveaxis(pixels, 0, -1), rgb=False))
    assert take_current(viewer, last, None).read().shape == (20, 30, 3)


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


def added_folder(qtbot: QtBot, dock: TrainingListPanel, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is told of a folder to annotate."""
    monkeypatch.setattr(questions.QFileDialog, "getExistingDirectory", lambda *_: str(folder))
    with qtbot.waitSignal(dock._adding.finished, timeout=10_000):
        dock.view.bare.trigger()
        assert dock.view.message.text() == "Adds…"
    return dock.view.message.text()


def test_a_folder_to_annotate_has_dicom_files_of_any_name(qtbot, dock, tmp_path, monkeypatch):
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in ("IM0001", "1.2.840.113", "c.dcm", "DICOMDIR", ".hidden"):
        (folder / name).write_bytes(Path(get_testdata_file("CT_small.dcm")).read_bytes())
    (folder / "README").write_text("no image")
    assert [path.name for path in images_in(folder)] == ["1.2.840.113", "IM0001", "c.dcm"]
    assert added_folder(qtbot, dock, folder, monkeypatch) == "3 images added."
    assert [(record.image, record.mask) for record in dock.rows.records][1] == ("images/IM0001", "")


def test_a_folder_without_images_is_told_and_listed_beside_the_window(qtbot, dock, tmp_path, monkeypatch):
    listed_in = []
    monkeypatch.setattr(work, "images_in", lambda folder: listed_in.append(current_thread()) or images_in(folder))
    (tmp_path / "empty").mkdir()
    for folder, words in (("empty", "found none in"), ("gone", "cannot be read: No such file")):
        told = added_folder(qtbot, dock, tmp_path / folder, monkeypatch)
        assert words in told
        assert str(tmp_path / folder) in told
        assert "\n" not in told
    assert main_thread() not in listed_in


def test_what_was_added_is_counted_and_what_was_refused_is_told(qtbot, dock, tmp_path, monkeypatch):
    Picture.fromarray(GREY).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    told = added_folder(qtbot, dock, tmp_path, monkeypatch).splitlines()
    assert told[0] == "⚠ 1 image added."
    assert told[1].startswith("b.png: expected an image")


def test_images_that_went_to_the_split_of_their_group_are_told(qtbot, dock, tmp_path, monkeypatch):
    for folder, names in (("first", ("patient7_1",)), ("more", ("patient7_2", "patient8_1", "patient7_3"))):
        (tmp_path / folder).mkdir()
        for name in names:
            Picture.fromarray(GREY).save(tmp_path / folder / f"{name}.png")
    assert added_folder(qtbot, dock, tmp_path / "first", monkeypatch) == "1 image added."
    dock.rows.move({dock.rows.records[0].image: "val"})
    told = added_folder(qtbot, dock, tmp_path / "more", monkeypatch)
    assert told == "3 images added.\n2 of them went to val, with the rest of their groups."
    (tmp_path / "last").mkdir()
    Picture.fromarray(GREY).save(tmp_path / "last" / "patient7_4.png")
    told = added_folder(qtbot, dock, tmp_path / "last", monkeypatch)
    assert told == "1 image added.\nIt went to val, with the rest of its group."


def test_the_model_that_knows_the_names_of_a_list_proposes(make, tmp_path, monkeypatch):
    entries = [ModelEntry(name, name, "bundled", tmp_path / f"{name}.safetensors", 1) for name in ("fundus", "skin")]
    skin = MODEL_INFO.task.model_copy(update={"cls_classes": ("nevus", "melanoma")})
    monkeypatch.setattr(panel, "list_models", lambda: entries)

    def read(path: Path) -> Any:
        return MODEL_INFO.model_copy(update={"task": skin}) if path.stem == "skin" else MODEL_INFO

    monkeypatch.setattr(layout, "read_info", read)
    made = make()
    assert made.view.model.currentData() == "fundus"
    made.create(tmp_path / "moles", INFO.model_copy(update={"cls_classes": ("nevus", "melanoma", "other")}))
    assert made.view.model.currentData() == "skin"
    made.create(tmp_path / "cars", INFO.model_copy(update={"seg_classes": ("road", "car"), "cls_classes": ("red",)}))
    assert made.view.model.currentData() == "skin"  # none knows better

    def gone(path: Path) -> Any:
        raise WeightsError(f"Cannot read the weights file {path}.")

    monkeypatch.setattr(layout, "read_info", gone)
    made.open(tmp_path / "moles")
    assert made.view.title.text() == "moles"
    assert "Cannot read the weights file" in made.view.message.text()


def test_a_data_set_is_added_and_has_thumbnails(qtbot, dock, tmp_path):
    dock.add_dataset(tiny_dataset(tmp_path / "blobs"))
    wait_added(qtbot, dock, 12)
    index = dock.view.rows.index(0, IMAGE)
    qtbot.waitUntil(lambda: index.data(Qt.ItemDataRole.DecorationRole) is not None, timeout=10_000)
    assert "12 images, 12 annotated · 8 train · 4 val · 0 test" in dock.view.summary.text()


@pytest.mark.parametrize("same_folder", [False, True])
def test_thumbnails_are_those_of_the_list_that_is_open(qtbot, dock, tmp_path, same_folder):
    def drawn() -> Any:
        index = dock.view.rows.index(0, IMAGE)
        qtbot.waitUntil(lambda: index.data(Qt.ItemDataRole.DecorationRole) is not None, timeout=10_000)
        return index.data(Qt.ItemDataRole.DecorationRole).toImage().pixelColor(5, 5).red()

    masks = {"dark": np.full(GREY.shape, IGNORE, np.uint8), "light": np.zeros(GREY.shape, np.uint8)}
    for name, value in (("dark", 10), ("light", 200)):
        pixels = np.full((*GREY.shape, 3), value, np.uint8)
        pixels[0] = 0
        TrainingList.create(tmp_path / name, INFO).add_array(pixels, masks[name], name="a")
    dock.open(tmp_path / "dark")
    assert drawn() == 10
    assert text(dock, 0, STATE) == "no class, in part"
    if same_folder:
        for path in ("images/a.png", "masks/a.png"):
            (tmp_path / "dark" / path).write_bytes((tmp_path / "light" / path).read_bytes())
    dock.open(tmp_path / ("dark" if same_folder else "light"))
    assert text(dock, 0, STATE) == "no class"
    assert drawn() == 200


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
    qtbot.waitUntil(lambda: not dock.annotator.is_busy, timeout=10_000)
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


def painted(dock: TrainingListPanel) -> np.ndarray:
    """Paint on the labels that are shown."""
    labels = dock.annotator._layers[1]
    labels.data_setitem((np.array([0, 0]), np.array([0, 1])), 1 - int(labels.data[0, 0]))
    return np.array(labels.data)


@pytest.mark.parametrize("name", ["next", "skip"])
def test_labels_that_were_changed_go_unsaved_after_a_question_only(qtbot, dock, monkeypatch, name):
    for image in ("a", "b"):
        dock.rows.add_array(GREY, name=image)
    dock.show_rows()
    first = shown(qtbot, dock, dock.view.next)
    asked = []

    def answer(_parent: Any, _title: str, text: str, yes: bool) -> Any:
        asked.append(text)
        return QMessageBox.StandardButton.Yes if yes else QMessageBox.StandardButton.No

    monkeypatch.setattr(QMessageBox, "question", lambda *given: answer(*given, yes=False))
    labels = painted(dock)
    getattr(dock.view, name).click()
    assert f"The labels of {first} were changed and are not saved" in asked[0]
    assert not dock.annotator.is_busy
    assert np.array_equal(dock.viewer.layers["a labels"].data, labels)
    monkeypatch.setattr(QMessageBox, "question", lambda *given: answer(*given, yes=True))
    assert shown(qtbot, dock, getattr(dock.view, name)) != first
    assert len(asked) == 2
    shown(qtbot, dock, getattr(dock.view, name))  # nothing was painted on this one
    assert len(asked) == 2


def test_an_image_that_is_painted_on_while_the_next_is_looked_for_stays(qtbot, dock):
    for image in ("a", "b"):
        dock.rows.add_array(GREY, name=image)
    dock.show_rows()
    first = shown(qtbot, dock, dock.view.next)
    with qtbot.waitSignal(dock.annotator.ended, timeout=20_000):
        dock.view.next.click()
        labels = painted(dock)
    assert dock.annotator.image == first
    assert np.array_equal(dock.viewer.layers["a labels"].data, labels)
    assert "a was painted on meanwhile: save it, or press Next image again" in dock.view.message.text()


def test_next_and_skip_wait_for_a_save_which_concerns_its_image(qtbot, dock, monkeypatch):
    for image in ("a", "b", "c"):
        dock.rows.add_array(GREY, name=image)
    dock.show_rows()
    first = shown(qtbot, dock, dock.view.next)
    labels = painted(dock)
    go_on, update = Event(), TrainingList.update

    def slow(*args: Any, **changes: Any) -> Record:
        go_on.wait(20)
        return update(*args, **changes)

    monkeypatch.setattr(TrainingList, "update", slow)
    dock.view.save.click()
    for button in (dock.view.next, dock.view.skip, dock.view.save, dock.view.open):
        assert not button.isEnabled()
    saved: list[str] = []
    dock.annotator.saved.connect(saved.append)
    dock.annotator._show(Looked("images/c.png", GREY / np.float32(255), np.zeros(GREY.shape, np.uint8), ""), INFO)
    with qtbot.waitSignal(dock.annotator.shown, timeout=20_000):
        go_on.set()
    assert saved == [first]
    assert np.array_equal(read_mask(dock.folder / dock.rows.record(first).mask), labels)
    assert [record.mask for record in dock.rows.records if record.image != first] == ["", ""]
    qtbot.waitUntil(lambda: dock.view.next.isEnabled() and dock.view.skip.isEnabled(), timeout=10_000)


def test_what_is_painted_while_an_image_is_saved_stays(qtbot, dock, monkeypatch):
    for image in ("a", "b"):
        dock.rows.add_array(GREY, name=image)
    dock.show_rows()
    first = shown(qtbot, dock, dock.view.next)
    go_on, update = Event(), TrainingList.update

    def slow(*args: Any, **changes: Any) -> Record:
        go_on.wait(20)
        return update(*args, **changes)

    monkeypatch.setattr(TrainingList, "update", slow)
    saved = painted(dock)
    dock.view.save.click()
    later = painted(dock)
    with qtbot.waitSignal(dock.annotator.saved, timeout=20_000):
        go_on.set()
    qtbot.waitUntil(lambda: not dock.annotator.is_busy, timeout=10_000)
    assert (dock.annotator.image, dock.unsaved) == (first, first)
    assert "a was painted on while it was saved: save it again" in dock.view.message.text()
    assert np.array_equal(read_mask(dock.folder / dock.rows.record(first).mask), saved)
    assert np.array_equal(dock.viewer.layers["a labels"].data, later)
    assert shown(qtbot, dock, dock.view.save) == "images/b.png"
    assert np.array_equal(read_mask(dock.folder / dock.rows.record(first).mask), later)


def edit_names(
    dock: TrainingListPanel, monkeypatch: pytest.MonkeyPatch, change: Callable[[TrainingList], None]
) -> None:
    """Press Edit classes… and change names in the dialog."""
    monkeypatch.setattr(NamesDialog, "exec", lambda _: change(dock.rows))
    dock.view.names.click()


def test_an_image_that_is_annotated_follows_new_names(qtbot, dock, monkeypatch):
    dock.rows.add_array(GREY, name="a")
    dock.show_rows()
    first = shown(qtbot, dock, dock.view.next)
    dock.view.label.setCurrentText("benign")

    def change(rows: TrainingList) -> None:
        rows.rename("class", "benign", "nevus")
        rows.rename("structure", "lesion", "spot")
        rows.add_name("structure", "cyst")

    edit_names(dock, monkeypatch, change)
    assert (dock.annotator.image, dock.view.label.currentText()) == (first, "nevus")
    assert [*dock.viewer.layers["a labels"].features["structure"]][1:3] == ["spot", "cyst"]
    painted(dock)
    with qtbot.waitSignal(dock.annotator.saved, timeout=20_000):
        dock.view.save.click()
    assert dock.rows.record(first).label == "nevus"


def test_labels_painted_with_numbers_of_a_removed_structure_are_not_saved_as_others(qtbot, dock, monkeypatch):
    dock.rows.add_name("structure", "cyst")
    dock.rows.add_array(GREY, name="a")
    dock.show_rows()
    first = shown(qtbot, dock, dock.view.next)
    labels = painted(dock)
    edit_names(dock, monkeypatch, lambda rows: rows.remove_name("structure", "lesion"))
    assert (dock.annotator.image, dock.view.save.isVisible()) == ("", False)
    assert "Structures were removed, so the labels of a mean others now" in dock.view.message.text()
    assert np.array_equal(dock.viewer.layers["a labels"].data, labels)
    assert dock.rows.record(first).mask == ""


def test_a_change_while_the_list_is_checked_is_said(qtbot, dock, monkeypatch):
    dock.rows.add_array(GREY, name="a")
    dock.show_rows()
    go_on = Event()
    monkeypatch.setattr(panel.work, "check", lambda _: lambda stopped: iter([go_on.wait(20)]))
    dock.view.check.click()
    dock.view.rows.setData(dock.view.rows.index(0, CLASS), "benign")
    go_on.set()
    assert "The list changed while it was checked; press Check again." in dock.view.message.text()
    assert dock.view.check.isEnabled()


def test_a_change_that_is_refused_while_the_list_is_checked_says_why(qtbot, dock, monkeypatch):
    dock.rows.add_array(GREY, name="a")
    dock.show_rows()
    go_on = Event()
    monkeypatch.setattr(panel.work, "check", lambda _: lambda stopped: iter([go_on.wait(20)]))
    dock.view.check.click()
    change_elsewhere(dock)
    dock.view.split.click()
    go_on.set()
    assert CHANGED in dock.view.message.text()


def test_a_renamed_model_goes_on_proposing_and_a_deleted_one_gives_way_to_the_first(dock, monkeypatch, tmp_path):
    def use(*names: str) -> tuple[ModelEntry, ...]:
        return tuple(ModelEntry(name, name, "user", tmp_path / f"{name}.safetensors", 1) for name in names)

    monkeypatch.setattr(panel, "list_models", lambda: use("first", "mine"))
    dock.refresh_models()
    dock.view.model.setCurrentIndex(1)
    monkeypatch.setattr(panel, "list_models", lambda: use("first", "ours"))
    dock.refresh_models({"mine": "ours"})
    assert dock.view.model.currentData() == "ours"
    monkeypatch.setattr(panel, "list_models", lambda: use("first"))
    dock.refresh_models()
    assert dock.view.model.currentData() == "first"


def test_a_model_whose_file_is_gone_keeps_no_list_from_being_begun(dock, monkeypatch):
    def gone(_: Path) -> Any:
        raise WeightsError("There is no file.")

    offered = []
    monkeypatch.setattr(questions, "read_info", gone)
    monkeypatch.setattr(NewListDialog, "exec", lambda dialog: offered.append(dialog.names_of.count()))
    dock.view.new.click()
    assert offered == [1]  # names of one's own


@pytest.mark.parametrize("folder", ["~nobody-of-this-name/x", "x" * 300])
def test_a_folder_that_cannot_be_is_typed_without_an_error(qtbot, tmp_path, folder):
    dialog = NewListDialog([("Fake model", TASK)])
    qtbot.addWidget(dialog)
    dialog.folder.setText(folder if folder.startswith("~") else str(tmp_path / folder))
    assert dialog.ok.isEnabled()  # whether it can be made is told then


def test_a_preset_class_is_that_of_the_image_that_is_chosen(qtbot, dock):
    for name, label in (("a", "benign"), ("b", "malignant"), ("c", "")):
        dock.viewer.add_layer(Image(GREY, name=name))
        dock.viewer.add_layer(Labels(GREY % 2, name=f"{name} truth", metadata={"class": label} if label else {}))
    dialog = AddDialog(dock.viewer, dock.info)
    qtbot.addWidget(dialog)
    seen = []
    for name in ("a", "b", "c"):
        dialog.image_choice.setCurrentText(name)
        dialog.image_choice.activated.emit(dialog.image_choice.currentIndex())
        dialog.labels_choice.setCurrentText(f"{name} truth")
        dialog.labels_choice.activated.emit(dialog.labels_choice.currentIndex())
        seen.append(dialog.label.currentText())
    assert seen == ["benign", "malignant", ""]
    assert not dialog.ok.isEnabled()
    dialog.label.setCurrentText("normal")
    dialog.label.activated.emit(dialog.label.currentIndex())
    dialog.image_choice.setCurrentText("a")
    dialog.image_choice.activated.emit(dialog.image_choice.currentIndex())
    assert dialog.label.currentText() == "normal"


def change_elsewhere(dock: TrainingListPanel) -> None:
    path = dock.folder / "index.csv"
    path.write_text(path.read_text() + "images/far.png,,,train,\n")


CHANGED = "was changed by another program; open it again to go on"


def test_a_list_that_changed_elsewhere_is_told_and_opened_again(dock):
    dock.rows.add_array(GREY, name="patient1_a")
    dock.rows.add_array(GREY.T, name="patient1_b")
    dock.show_rows()
    change_elsewhere(dock)
    before = (dock.folder / "index.csv").read_bytes()
    dock.view.split.click()
    assert CHANGED in dock.view.message.text()
    for column, value in ((SPLIT, "val"), (CLASS, "benign")):
        dock.view.say("")
        dock.view.rows.setData(dock.view.rows.index(0, column), value)
        assert CHANGED in dock.view.message.text()
    assert (dock.folder / "index.csv").read_bytes() == before
    dock.open(dock.folder)
    assert [record.image for record in dock.rows.records][2:] == ["images/far.png"]
    dock.view.rows.setData(dock.view.rows.index(0, CLASS), "benign")
    assert TrainingList.open(dock.folder).records[0].label == "benign"


def test_files_that_cannot_be_added_to_a_changed_list_are_told_once(qtbot, dock, tmp_path):
    paths = [tmp_path / f"{name}.png" for name in "ab"]
    for path in paths:
        Picture.fromarray(GREY).save(path)
    change_elsewhere(dock)
    with qtbot.waitSignal(dock._adding.finished, timeout=10_000):
        dock.add_files(paths)
    assert dock.view.message.text().count(CHANGED) == 1
    assert not (dock.folder / "images").exists()


def test_what_was_painted_is_saved_after_the_list_was_opened_again(qtbot, dock):
    dock.rows.add_array(GREY, name="a")
    dock.rows.add_array(GREY, name="b")
    dock.show_rows()
    first = shown(qtbot, dock, dock.view.next)
    labels = painted(dock)
    change_elsewhere(dock)
    with qtbot.waitSignal(dock.annotator.ended, timeout=20_000):
        dock.view.save.click()
    assert CHANGED in dock.view.message.text()
    dock.open(dock.folder)
    assert dock.view.save.isVisible()
    with qtbot.waitSignal(dock.annotator.saved, timeout=20_000):
        dock.view.save.click()
    assert np.array_equal(read_mask(dock.folder / TrainingList.open(dock.folder).record(first).mask), labels)


def test_an_image_that_was_annotated_elsewhere_is_not_saved_over(qtbot, dock):
    dock.rows.add_array(GREY, name="a")
    dock.show_rows()
    first = shown(qtbot, dock, dock.view.next)
    TrainingList.open(dock.folder).update(first, label="malignant")
    dock.open(dock.folder)
    assert dock.annotator.image == ""
    assert dock.view.save.isHidden()


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
