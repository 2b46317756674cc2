"""A folder analysed in one go, its list, and its rows opened one by one; with a predictor that answers at once."""

from __future__ import annotations

import csv
import json
import shutil
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from PIL import Image
from qtpy.QtCore import Qt

from napari_uml.calibration import Chance
from napari_uml.inference.cohort import Answered, read_answers
from napari_uml.inference.run_record import read_run
from napari_uml.widgets.layers import CORRECTED, MARK, ResultLayers
from napari_uml.widgets.preferences import Preferences
from napari_uml.widgets.worklist import WorklistWidget, dock
from napari_uml.widgets.worklist.table import CLASS, DOUBT, IMAGE, PIXELS, SEEN, WRONG, AnswersModel, text_of
from napari_uml.widgets.worklist.work import SEEN as SEEN_FILE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytestqt.qtbot import QtBot

    from napari_uml.weights import ModelEntry

NAMES = ("a", "b", "c")


def picture(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """As bright as the training images: nothing is unusual about it."""
    return np.random.default_rng(seed).normal(0.3 * 255, 0.1 * 255, shape).clip(0, 255).astype(np.uint8)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Return a folder with three images and a file that is none."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        Image.fromarray(picture(number, (40, 48, 3))).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def make(
    qtbot: QtBot, predictor: Any, load: Any, models: tuple[ModelEntry, ...], monkeypatch: pytest.MonkeyPatch
) -> Callable[[], WorklistWidget]:
    """Return a function that opens the dock; its predictor gives every image more evidence than the one before."""
    monkeypatch.setattr(dock, "list_models", lambda: models)
    monkeypatch.setattr(dock, "read_preferences", Preferences)
    predictor.path = None

    def made() -> WorklistWidget:
        widget = WorklistWidget(ViewerModel(), load)
        qtbot.addWidget(widget)
        return widget

    return made


def analysed(qtbot: QtBot, widget: WorklistWidget, images: Path, output: Path) -> None:
    widget.analyse(images, output)
    wait(qtbot, widget)


def opened(qtbot: QtBot, widget: WorklistWidget, act: Callable[[], object]) -> None:
    act()
    qtbot.waitUntil(lambda: not widget._opening.is_busy, timeout=10_000)


def wait(qtbot: QtBot, widget: WorklistWidget) -> None:
    qtbot.waitUntil(lambda: not widget._runner.is_running and not widget._reading.is_busy, timeout=20_000)


def shown(widget: WorklistWidget) -> list[str]:
    return [widget.order.index(row, IMAGE).data() for row in range(widget.order.rowCount())]


def with_doubt(folder: Path, doubt: float, **changes: Any) -> None:
    """Make a saved answer more or less certain."""
    path = folder / "run.json"
    record = json.loads(path.read_text())
    for opinion in (record["opinion"], record["slices"][0]["opinion"]):
        opinion |= {"uncertainty": doubt, **changes}
    path.write_text(json.dumps(record))


def test_a_folder_becomes_a_list_and_a_table(
    make: Any, qtbot: QtBot, predictor: Any, images: Path, tmp_path: Path
) -> None:
    (images / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    widget, output = make(), tmp_path / "results"
    output.mkdir()
    assert (widget.next.isEnabled(), widget.cancel.isVisibleTo(widget)) == (False, False)
    analysed(qtbot, widget, images, output)
    assert sorted(shown(widget)) == [*NAMES]
    assert "Not analysed: broken.png" in widget.message.text()
    assert widget.summary.text() == "3 images · 0 for an expert · 0 seen"
    with (output / "results.csv").open(encoding="utf-8-sig") as file:
        assert sorted(row["folder"] for row in csv.DictReader(file)) == [*NAMES]
    before = len(predictor.asked)
    analysed(qtbot, widget, images, output)  # which goes on where it stopped
    assert len(predictor.asked) == before
    assert sorted(shown(widget)) == [*NAMES]


def test_answers_of_another_model_are_not_mixed_in(
    make: Any, qtbot: QtBot, predictor: Any, images: Path, tmp_path: Path
) -> None:
    widget = make()
    analysed(qtbot, widget, images, tmp_path)
    predictor.sha256, before = "11", len(predictor.asked)
    analysed(qtbot, widget, images, tmp_path)
    assert "holds the answer of another model" in widget.message.text()
    assert len(predictor.asked) == before
    assert read_run(tmp_path / "a" / "run.json").model.sha256 == "00"


def test_a_run_that_fails_is_not_called_done(
    make: Any, qtbot: QtBot, predictor: Any, images: Path, tmp_path: Path
) -> None:
    def fail(number: int) -> None:
        if len(predictor.asked) == 2:
            raise RuntimeError("the library broke")

    widget, predictor.before_slice = make(), fail
    analysed(qtbot, widget, images, tmp_path / "out")
    assert "The computation failed: the library broke" in widget.message.text()
    assert shown(widget) == ["a"]
    predictor.before_slice = lambda number: None
    analysed(qtbot, widget, images, tmp_path / "out")
    assert widget.message.text().startswith("Done")


def test_when_no_image_can_be_analysed_it_is_said(make: Any, qtbot: QtBot, images: Path, tmp_path: Path) -> None:
    for path in images.iterdir():
        path.write_bytes(b"\x89PNG\r\n\x1a\n")
    widget = make()
    analysed(qtbot, widget, images, tmp_path / "out")
    assert "Not analysed: a.png" in widget.message.text()
    assert "(and 2 more)" in widget.message.text()


def test_nothing_of_the_users_is_overwritten(
    make: Any, qtbot: QtBot, predictor: Any, images: Path, tmp_path: Path
) -> None:
    widget = make()
    (tmp_path / "results.csv").write_text("mine")
    analysed(qtbot, widget, images, tmp_path)
    assert "results.csv is there already" in widget.message.text()
    (tmp_path / "results.csv").unlink()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "notes.txt").write_text("mine")
    analysed(qtbot, widget, images, tmp_path)
    assert "b holds the answer of another model or image" in widget.message.text()
    assert predictor.asked == []
    assert (tmp_path / "b" / "notes.txt").read_text() == "mine"


def test_what_a_killed_run_left_is_done_anew_and_a_changed_image_refused(
    make: Any, qtbot: QtBot, predictor: Any, images: Path, tmp_path: Path
) -> None:
    widget = make()
    analysed(qtbot, widget, images, tmp_path)
    (tmp_path / "b" / "run.json").unlink()
    (tmp_path / "c" / "run.json").write_text("{")
    before = len(predictor.asked)
    analysed(qtbot, widget, images, tmp_path)
    assert len(predictor.asked) == before + 2
    assert widget.message.text().startswith("Done")
    Image.fromarray(picture(9, (40, 48, 3))).save(images / "a.png")
    analysed(qtbot, widget, images, tmp_path)
    assert "a holds the answer of another model or image" in widget.message.text()


def test_a_single_image_has_a_folder_of_its_own(make: Any, qtbot: QtBot, images: Path, tmp_path: Path) -> None:
    for name in ("b", "c"):
        (images / f"{name}.png").unlink()
    widget = make()
    analysed(qtbot, widget, images, tmp_path / "out")
    assert [answer.folder for answer in widget.answers.answers] == [tmp_path / "out" / "a"]


def test_without_a_model_it_says_where_to_get_one(
    make: Any, monkeypatch: pytest.MonkeyPatch, images: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(dock, "list_models", lambda: ())
    widget = make()
    monkeypatch.setattr(dock, "list_models", lambda: ())
    widget.analyse(images, tmp_path)
    assert widget.message.text().startswith("⚠ There is no model on this computer yet")


def test_a_run_that_is_cancelled_keeps_what_is_done(
    make: Any, qtbot: QtBot, predictor: Any, images: Path, tmp_path: Path
) -> None:
    widget = make()
    predictor.before_slice = lambda number: widget.cancel.click() if len(predictor.asked) == 2 else None
    analysed(qtbot, widget, images, tmp_path)
    assert len(shown(widget)) == 2
    assert widget.message.text().startswith("Stopped.")
    analysed(qtbot, widget, images, tmp_path)
    assert len(predictor.asked) == 3
    assert sorted(shown(widget)) == [*NAMES]


def test_a_folder_without_images_is_refused(make: Any, qtbot: QtBot, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    widget = make()
    analysed(qtbot, widget, tmp_path / "none", tmp_path)
    assert "Not analysed: none: expected DICOM images in this folder, got none" in widget.message.text()
    widget.open_results(tmp_path / "none")
    wait(qtbot, widget)
    assert "Expected results (run.json)" in widget.message.text()


@pytest.fixture
def listed(make: Any, qtbot: QtBot, images: Path, tmp_path: Path) -> WorklistWidget:
    """Return a dock with the results of three images, the second one the most uncertain."""
    analysed(qtbot, make(), images, tmp_path)
    for name, doubt in zip(NAMES, (0.2, 0.6, 0.4), strict=True):
        with_doubt(tmp_path / name, doubt)
    widget: WorklistWidget = make()
    widget.open_results(tmp_path)
    wait(qtbot, widget)
    return widget


def test_the_most_uncertain_comes_first_and_is_opened_with_its_results(
    listed: WorklistWidget, qtbot: QtBot, tmp_path: Path
) -> None:
    assert shown(listed) == ["b", "c", "a"]
    opened(qtbot, listed, listed.next.click)
    layers = listed.viewer.layers
    assert [layer.name for layer in layers] == ["b", "b uncertainty", "b structures"]
    assert layers[2].features["structure"].tolist() == ["background", "lesion"]
    np.testing.assert_array_equal(layers[2].data, tifffile.imread(tmp_path / "b" / "labels.tif"))
    assert layers[1].contrast_limits == [0, 1]
    assert layers[2].metadata[MARK] == {"of": str(layers[0].unique_id), "role": "structures"}
    assert ResultLayers(listed.viewer).get(layers[0], "structures") == layers[2]  # a new run writes into it
    opened(qtbot, listed, listed.next.click)
    assert [layer.name for layer in layers] == ["c", "c uncertainty", "c structures"]
    assert listed.summary.text().endswith("2 seen")
    assert json.loads((tmp_path / SEEN_FILE).read_text()) == {"seen": ["b", "c"]}


def test_what_was_seen_is_known_the_next_time(listed: WorklistWidget, make: Any, qtbot: QtBot, tmp_path: Path) -> None:
    opened(qtbot, listed, listed.next.click)
    again = make()
    again.open_results(tmp_path)
    wait(qtbot, again)
    model = again.answers
    seen = [model.is_seen(row) for row in range(3)]
    assert seen == [False, True, False]
    assert model.setData(model.index(1, SEEN), Qt.CheckState.Unchecked.value, Qt.ItemDataRole.CheckStateRole)
    assert json.loads((tmp_path / SEEN_FILE).read_text()) == {"seen": []}
    for row in range(3):
        model.set_seen(model.answers[row])
    again.next.click()
    assert again.message.text() == "You have seen all of these images."


def test_next_goes_on_after_one_that_cannot_be_opened(listed: WorklistWidget, qtbot: QtBot, tmp_path: Path) -> None:
    (tmp_path / "b" / "labels.tif").write_bytes(b"II*\0")
    opened(qtbot, listed, listed.next.click)
    assert "expected a complete TIFF file" in listed.message.text()
    opened(qtbot, listed, listed.next.click)
    assert [layer.name for layer in listed.viewer.layers][:1] == ["c"]
    opened(qtbot, listed, listed.next.click)
    assert [layer.name for layer in listed.viewer.layers][:1] == ["a"]
    opened(qtbot, listed, listed.next.click)  # begins again at the top
    assert listed.table.currentIndex().row() == 0


def test_layers_of_another_dock_about_the_image_go_with_it(listed: WorklistWidget, qtbot: QtBot) -> None:
    opened(qtbot, listed, listed.next.click)
    image = listed.viewer.layers["b"]
    extra = listed.viewer.add_image(np.zeros((40, 48)), name="b belief")
    extra.metadata = {MARK: {"of": str(image.unique_id), "role": "belief"}}
    opened(qtbot, listed, listed.next.click)
    assert [layer.name for layer in listed.viewer.layers] == ["c", "c uncertainty", "c structures"]


def test_a_row_of_another_list_is_not_ticked_in_this_one(listed: WorklistWidget, qtbot: QtBot, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "a", tmp_path / "other" / "b")
    listed.next.click()
    listed.open_results(tmp_path / "other")
    wait(qtbot, listed)
    qtbot.wait(300)
    assert not listed.answers.seen
    assert not (tmp_path / "other" / SEEN_FILE).exists()


def test_the_chosen_row_is_opened(listed: WorklistWidget, qtbot: QtBot) -> None:
    first, second = (listed.order.index(row, IMAGE) for row in (0, 1))
    opened(qtbot, listed, lambda: listed.table.activated.emit(second))
    assert listed.viewer.layers[0].name == second.data()
    listed.table.setCurrentIndex(first)
    opened(qtbot, listed, listed.open.click)
    assert listed.viewer.layers[0].name == first.data()


def test_a_row_of_the_former_list_that_is_opened_late_is_not_seen_in_the_next(
    listed: WorklistWidget, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, go_on, look = tmp_path / "other", Event(), dock.look_at
    for name in NAMES:
        shutil.copytree(tmp_path / name, other / name)

    def slow(answer: Answered) -> Any:
        def work(stopped: Callable[[], bool]) -> Iterator[object]:
            go_on.wait(20)
            yield from look(answer)(stopped)

        return work

    monkeypatch.setattr(dock, "look_at", slow)
    listed.open_results(other)
    listed.open_row(0)
    qtbot.waitUntil(lambda: listed.folder == other, timeout=10_000)
    go_on.set()
    wait(qtbot, listed)
    qtbot.wait(300)
    assert not listed.answers.seen
    assert not (other / SEEN_FILE).exists()


def test_the_summary_counts_what_is_listed_and_was_seen(listed: WorklistWidget, qtbot: QtBot, tmp_path: Path) -> None:
    (tmp_path / SEEN_FILE).write_text(json.dumps({"seen": ["a", "of another run"]}))
    listed.open_results(tmp_path)
    wait(qtbot, listed)
    assert listed.summary.text() == "3 images · 0 for an expert · 1 seen"
    shutil.rmtree(tmp_path / "b")
    listed.open_results(tmp_path)
    wait(qtbot, listed)
    assert listed.summary.text() == "2 images · 0 for an expert · 1 seen"


def test_what_was_seen_is_not_kept_in_a_folder_that_is_gone(
    listed: WorklistWidget, qtbot: QtBot, tmp_path: Path
) -> None:
    gone = tmp_path.with_name("gone")
    listed.folder = gone
    listed.answers.set_seen(listed.answers.answers[0])
    listed.answers.set_seen(listed.answers.answers[1])
    assert listed.message.text().count(f"{gone} is not there; what was seen is not kept") == 1
    assert not gone.exists()


def test_corrected_labels_stay_with_their_image(listed: WorklistWidget, qtbot: QtBot) -> None:
    opened(qtbot, listed, listed.next.click)
    listed.viewer.layers["b structures"].paint((3, 3), 1)
    assert CORRECTED in listed.viewer.layers["b structures"].metadata
    opened(qtbot, listed, listed.next.click)
    names = [layer.name for layer in listed.viewer.layers]
    assert names == ["b", "b structures", "c", "c uncertainty", "c structures"]
    assert "corrected labels and their image are still there" in listed.message.text()


def test_results_whose_image_is_gone_or_another_are_shown_alone_or_said_so(
    listed: WorklistWidget, qtbot: QtBot, images: Path
) -> None:
    Image.fromarray(picture(7, (40, 48, 3))).save(images / "a.png")
    Image.fromarray(picture(8, (40, 49, 3))).save(images / "b.png")
    (images / "c.png").unlink()
    said = []
    for row in range(3):
        opened(qtbot, listed, lambda row=row: listed.open_row(row))
        said.append((listed.message.text(), len(listed.viewer.layers)))
    assert ("has changed since it was analysed" in said[0][0], said[0][1]) == (True, 3)
    assert ("has another size now" in said[1][0], said[1][1]) == (True, 2)
    assert ("The results alone are shown: c.png" in said[2][0], said[2][1]) == (True, 2)


def test_a_stack_is_opened_at_its_most_uncertain_slice(make: Any, qtbot: QtBot, predictor: Any, tmp_path: Path) -> None:
    stacks = tmp_path / "stacks"
    stacks.mkdir()
    for name, depth in (("one", 1), ("three", 3)):
        pixels = picture(depth, (depth, 40, 48))
        tifffile.imwrite(stacks / f"{name}.tif", pixels, photometric="minisblack", metadata={"axes": "ZYX"})
    widget = make()
    analysed(qtbot, widget, stacks, tmp_path)
    record = json.loads((tmp_path / "three" / "run.json").read_text())
    record["slices"][1]["mean_uncertainty"] = 0.9
    (tmp_path / "three" / "run.json").write_text(json.dumps(record))
    widget.open_results(tmp_path)
    wait(qtbot, widget)
    for row, answer in enumerate(widget.answers.answers):
        opened(qtbot, widget, lambda row=row: widget.open_row(row))
        shapes = {layer.data.shape for layer in widget.viewer.layers}
        assert shapes == {answer.record.image.shape}, widget.message.text()
    assert widget.viewer.dims.point[0] == 1


def test_those_for_an_expert_alone_are_shown_and_saved_in_order(
    listed: WorklistWidget, qtbot: QtBot, tmp_path: Path
) -> None:
    assert not listed.experts.isEnabled()  # no answer says whether an expert should look
    chance = {"value": 0.4, "low": 0.2, "high": 0.6}
    for name in ("a", "c"):
        with_doubt(tmp_path / name, 0.3 if name == "a" else 0.5, refer=True, chance_wrong=[*chance.values()])
    listed.open_results(tmp_path)
    wait(qtbot, listed)
    listed.experts.setChecked(True)
    assert shown(listed) == ["c", "a"]
    assert "2 for an expert" in listed.summary.text()
    listed.save_table(tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(encoding="utf-8-sig") as file:
        assert [row["folder"] for row in csv.DictReader(file)] == ["c", "a"]
    listed.table.sortByColumn(IMAGE, Qt.SortOrder.AscendingOrder)
    assert shown(listed) == ["a", "c"]


def test_damaged_files_are_said_and_nothing_is_lost(
    listed: WorklistWidget, make: Any, qtbot: QtBot, tmp_path: Path
) -> None:
    (tmp_path / "b" / "run.json").write_text("{")
    listed.open_results(tmp_path)
    wait(qtbot, listed)
    assert shown(listed) == ["c", "a"]
    assert "1 could not be read" in listed.message.text()
    (tmp_path / "a" / "labels.tif").write_bytes(b"II*\0")
    opened(qtbot, listed, lambda: listed.open_row(0))
    assert "labels.tif: expected a complete TIFF file" in listed.message.text()
    tifffile.imwrite(tmp_path / "a" / "labels.tif", np.zeros((3, 4), np.uint8))
    opened(qtbot, listed, lambda: listed.open_row(0))
    assert "to have the size (40, 48) of its image" in listed.message.text()
    (tmp_path / SEEN_FILE).write_text("[]")
    again = make()
    again.open_results(tmp_path)
    wait(qtbot, again)
    assert "worklist.json is damaged; delete it" in again.message.text()
    assert (tmp_path / SEEN_FILE).read_text() == "[]"


def test_cells_say_what_is_known(listed: WorklistWidget, tmp_path: Path) -> None:
    answer = listed.answers.answers[0]
    cells = [text_of(answer, column) for column in (CLASS, DOUBT, WRONG, PIXELS)]
    assert cells == ["benign", "0.20", "\N{EN DASH}", "0.25"]
    record = answer.record
    known = record.opinion.model_copy(update={"chance_wrong": Chance(0.123, 0.1, 0.2)})
    assert text_of(Answered(tmp_path, record.model_copy(update={"opinion": known})), WRONG).startswith("12")
    unlike = record.slices[0].model_copy(update={"unlike": True, "warnings": ("It is dark.",)})
    strange = Answered(tmp_path, record.model_copy(update={"slices": (unlike,)}))
    assert [text_of(strange, column) for column in (IMAGE, WRONG)] == ["⚠ a", "unknown"]
    assert strange.is_for_an_expert
    silent = Answered(tmp_path, record.model_copy(update={"answers": ("mask",)}))
    assert [text_of(silent, column) for column in (CLASS, DOUBT)] == ["\N{EN DASH}"] * 2
    model = AnswersModel()
    model.show([strange], frozenset())
    assert "It is dark." in model.index(0, IMAGE).data(Qt.ItemDataRole.ToolTipRole)


def test_results_move_with_their_folder(listed: WorklistWidget, qtbot: QtBot, images: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    for name in NAMES:
        shutil.copytree(tmp_path / name, elsewhere / name)
    listed.open_results(elsewhere)
    wait(qtbot, listed)
    assert [answer.folder.parent for answer in read_answers(elsewhere)[0]] == [elsewhere] * 3
    opened(qtbot, listed, listed.next.click)
    assert len(listed.viewer.layers) == 3
