"""The Worklist dock: many images at once, the most uncertain first, each opened with its results by a click."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QLabel,
    QVBoxLayout,
)

from napari_uml.errors import UMLError, WeightsError
from napari_uml.inference.cohort import Answered, write_table
from napari_uml.inference.run_record import warnings_of
from napari_uml.inference.saving import RESULTS
from napari_uml.weights import list_models
from napari_uml.widgets.background import Background
from napari_uml.widgets.geometry import placement
from napari_uml.widgets.layers import add_written, mask_style, take_away, uncertainty_style
from napari_uml.widgets.looking import move_sliders
from napari_uml.widgets.panel import (
    Dock,
    ProgressBar,
    WrappedLabel,
    ask_for_file,
    elided_label,
    fill,
    narrow,
    push_button,
    side_by_side,
)
from napari_uml.widgets.preferences import read_preferences, use_cache_folder
from napari_uml.widgets.reader import layer_data
from napari_uml.widgets.session import Message, Progress
from napari_uml.widgets.small_print import disclaimer
from napari_uml.widgets.worker import Runner
from napari_uml.widgets.worklist.table import AnswersModel, Order, WorklistTable
from napari_uml.widgets.worklist.work import Found, View, analyse_folder, find, look_at, read_seen, write_seen

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari.viewer
    from napari.layers import Layer
    from qtpy.QtCore import QModelIndex
    from qtpy.QtGui import QShowEvent

    from napari_uml.widgets.session import Predictor

EMPTY = "Open a folder of results, or analyse a folder of images: each gets a line here, the most uncertain first."
PREPARING, READING = "Loading the model…", "Reads the results…"
NO_MODEL = "There is no model on this computer yet: fetch or import one in the Analyse dock."
STOPPED = "Stopped. Analyse the folder again, with the same folder for the results, to go on."
FOR_EXPERTS = "The chance of an error is above the model's threshold, or not known because the image is unlike others."
NOT_CALIBRATED = (
    "These results come from a model that is not calibrated: it says of no image that an expert should look."
)


class WorklistWidget(Dock):
    """The dock.

    Parameters
    ----------
    viewer
        The napari viewer that images are opened in.
    load
        Makes a predictor of the names of model, device and precision; for tests.

    Attributes
    ----------
    closing
        Emitted when the dock is closed: work in the background stops.
    """

    closing = Signal()

    def __init__(self, viewer: napari.viewer.Viewer, load: Callable[[str, str, str], Predictor] | None = None) -> None:
        super().__init__()
        self.viewer = viewer
        self.folder: Path | None = None
        self._image: Layer | None = None  # of the answer that is shown
        self._about = ""  # what its layers are marked with
        self._failed: list[str] = []  # images that could not be analysed
        self._ended = ""  # why a run ended before its end
        self._reading, self._opening = Background(self, self), Background(self, self)
        self._runner = Runner(load, self)
        self._build()
        self._connect()
        self.refresh_models()
        self._show_state()

    def open_results(self, folder: Path) -> None:
        """List the results in a folder."""
        self._say(READING)
        self._opening.stop()  # a row of another list
        self._reading.start(find(folder))

    def analyse(self, images: Path, output: Path) -> None:
        """Analyse all images of a folder; nothing happens while such a run is in progress."""
        if self._runner.is_running:
            return
        if not self.model.currentData():
            self._say(NO_MODEL, wrong=True)
            return
        try:
            seen = read_seen(output)
        except UMLError as error:
            self._say(str(error), wrong=True)
            return
        self._reading.stop()
        self._opening.stop()
        self.folder, self._failed, self._ended = output, [], ""
        self.answers.show([], seen)
        self._say(PREPARING)
        self.bar.show_progress(0, 0)
        preferred = read_preferences()
        job = analyse_folder(images, output)
        self._runner.submit(job, self.model.currentData(), preferred.device, preferred.precision)
        self._show_state()

    def open_row(self, row: int) -> None:
        """Open the image of a row of `answers` with its results."""
        self._opening.start(look_at(self.answers.answers[row]))

    def refresh_models(self) -> None:
        """Look again which models there are."""
        use_cache_folder(read_preferences().cache_folder)
        try:
            usable = [entry for entry in list_models() if entry.path is not None and not entry.problem]
        except WeightsError as error:
            self._say(str(error), wrong=True)
            return
        chosen = self.model.currentData() or read_preferences().model
        names = [entry.name for entry in usable]
        items = [(entry.title, entry.name) for entry in usable]
        fill(self.model, items, chosen if chosen in names else next(iter(names), ""))

    def _build(self) -> None:
        self.answers = AnswersModel(self)
        self.order = Order(self)
        self.order.setSourceModel(self.answers)
        self.table = WorklistTable(self.order)
        self.results = push_button("Open results…", "List the results that `napari-uml predict` or this dock wrote.")
        self.images = push_button("Analyse a folder…", "Analyse all images of a folder with the model chosen here.")
        self.cancel = push_button("Cancel", "Stop after the image at hand; what is done is kept.")
        self.open = push_button("Open", "Show the selected image with its results (Enter, or a double click).")
        self.next = push_button(
            "Next not seen",
            "Open the next image down the list that you have not looked at; then from the top.",
        )
        self.save = push_button("Save table…", "Write the lines that are shown, in this order, as CSV.")
        self.experts = QCheckBox("Only those that an expert should look at")
        self.model, model_label = narrow(QComboBox()), QLabel("Model")
        model_label.setBuddy(self.model)
        self.model.setAccessibleName("Model")
        self.model.setToolTip("The model that a folder is analysed with.")
        self.bar, self.title, self.summary, self.message = ProgressBar(), elided_label(), QLabel(), WrappedLabel()
        self.bar.setAccessibleName("Images analysed")
        self.bar.setToolTip("How many of the images are done.")
        self.message.setTextFormat(Qt.TextFormat.PlainText)
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 6)
        layout.setSpacing(4)
        layout.addLayout(side_by_side(self.title, self.results))
        layout.addLayout(side_by_side(model_label, self.model, self.images, stretch=1))
        layout.addLayout(side_by_side(self.bar, self.cancel))
        layout.addWidget(self.experts)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.summary)
        layout.addLayout(side_by_side(self.open, self.next, self.save))
        layout.addWidget(self.message)
        layout.addWidget(disclaimer())

    def _connect(self) -> None:
        self.results.clicked.connect(self._on_results)
        self.images.clicked.connect(self._on_images)
        self.cancel.clicked.connect(self._on_cancel)
        self.open.clicked.connect(lambda: self._on_activated(self.table.currentIndex()))
        self.next.clicked.connect(self._on_next)
        self.save.clicked.connect(self._on_save)
        self.experts.toggled.connect(self.order.show_for_experts)
        self.experts.toggled.connect(self._show_state)
        self.table.activated.connect(self._on_activated)
        self.table.selectionModel().selectionChanged.connect(self._show_state)
        self.answers.seen_changed.connect(self._on_seen)
        self._reading.yielded.connect(self._on_found)
        self._opening.yielded.connect(self._on_view)
        for work in (self._reading, self._opening):
            work.failed.connect(self._on_failed)
            work.finished.connect(self._show_state)
        self._runner.yielded.connect(self._on_progress)
        self._runner.failed.connect(self._on_run_failed)
        self._runner.finished.connect(self._on_analysed)

    def _show_state(self) -> None:
        busy, answers = self._runner.is_running, self.answers.answers
        self.title.setText(self.folder.name if self.folder else "No results yet")
        self.title.setToolTip(str(self.folder) if self.folder else EMPTY)
        experts = sum(answer.is_for_an_expert for answer in answers)
        seen = sum(map(self.answers.is_seen, range(len(answers))))
        images = f"{len(answers)} image" + ("" if len(answers) == 1 else "s")
        self.summary.setText(f"{images} · {experts} for an expert · {seen} seen" if answers else "")
        for part in (self.bar, self.cancel):
            part.setVisible(busy)
        for part in (self.results, self.images, self.model):
            part.setEnabled(not busy)
        judged = any(one.opinion.refer is not None for answer in answers for one in answer.record.slices)
        self.experts.setEnabled(judged or not answers)
        self.experts.setToolTip(FOR_EXPERTS if judged or not answers else NOT_CALIBRATED)
        shown = self.order.rowCount() > 0
        self.open.setEnabled(self.table.currentIndex().isValid())
        self.next.setEnabled(shown)
        self.save.setEnabled(shown)
        if not answers and not busy and not self.message.text():
            self._say(EMPTY)

    def _say(self, text: str, wrong: bool = False) -> None:
        self.message.setText(f"⚠ {text}" if wrong and text else text)
        self.message.setToolTip("")

    def _on_results(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder of results")
        if folder:
            self.open_results(Path(folder))

    def _on_images(self) -> None:
        before = self.model.currentText()
        self.refresh_models()
        if not self.model.currentData():
            self._say(NO_MODEL, wrong=True)
            return
        if before and self.model.currentText() != before:
            self._say(f"{before} is gone. Choose a model, then the folder.", wrong=True)
            return
        images = QFileDialog.getExistingDirectory(self, "Folder of images")
        if not images:
            return
        output = QFileDialog.getExistingDirectory(self, "Folder for the results", str(Path(images).parent))
        if output:
            self.analyse(Path(images), Path(output))

    def _on_found(self, found: object) -> None:
        if isinstance(found, Found):
            if found.folder != self.folder:
                self._opening.stop()  # a row of another list, clicked meanwhile
            self.folder = found.folder
            self.answers.show(found.answers, found.seen)
            if self.message.text() == READING:
                self._say("")
            if found.problems:
                said = self.message.text()
                unread = f"⚠ {len(found.problems)} could not be read: {found.problems[0]}"
                self._say(" ".join(filter(None, (said, unread))))
                self.message.setToolTip("\n".join(found.problems))

    def _on_progress(self, value: object) -> None:
        if isinstance(value, Progress):
            self.bar.show_progress(value.done, value.total, f"{value.done} of {value.total}")
            if self.message.text() == PREPARING:
                self._say("")
        elif isinstance(value, Answered):
            self.answers.add(value)
            self._show_state()
        elif isinstance(value, Message):
            self._failed.append(value.text)

    def _on_cancel(self) -> None:
        self._ended = STOPPED
        self._runner.cancel()

    def _on_run_failed(self, error: Exception) -> None:
        self._ended = f"⚠ {Message.of(error).text}"

    def _on_analysed(self) -> None:
        """Say how it ended, and list all results of the folder, also those of other runs."""
        done = f"Done; the table of all images is {RESULTS} in {self.folder.name}." if self.folder else ""
        more = f" (and {len(self._failed) - 1} more)" if len(self._failed) > 1 else ""
        failed = f"⚠ Not analysed: {self._failed[0]}{more}" if self._failed else ""
        self._say(" ".join(filter(None, (self._ended, failed))) or done)
        self.message.setToolTip("\n".join(self._failed))
        if self.answers.answers and self.folder is not None:
            self._reading.start(find(self.folder))
        self._show_state()

    def _on_failed(self, error: Exception) -> None:
        self._say(Message.of(error).text, wrong=True)

    def _on_activated(self, index: QModelIndex) -> None:
        if index.isValid():
            self.open_row(self.order.mapToSource(index).row())

    def _on_next(self) -> None:
        """Open the next image below the current one that was not seen; after the last comes the first."""
        rows = self._shown_rows()
        begin = self.table.currentIndex().row() + 1
        ahead = [*range(begin, len(rows)), *range(begin)]
        place = next((place for place in ahead if place < len(rows) and not self.answers.is_seen(rows[place])), None)
        if place is None:
            self._say("You have seen all of these images.")
            return
        self.table.selectRow(place)
        self.open_row(rows[place])

    def _on_view(self, view: object) -> None:
        if not isinstance(view, View):
            return
        kept = take_away(self.viewer, self._about)
        if self._image is not None and self._image in self.viewer.layers and not kept:
            self.viewer.layers.remove(self._image)
        self._image, self._about = show(self.viewer, view)
        unusual = [view.note, *warnings_of(view.answer.record)]
        corrected = "The corrected labels and their image are still there." if kept else ""
        self._say(" ".join(filter(None, (*unusual, corrected))), wrong=any(unusual))
        self.answers.set_seen(view.answer)  # and why that cannot be kept, if so

    def _on_seen(self) -> None:
        if self.folder is not None:
            try:
                write_seen(self.folder, self.answers.seen)
            except UMLError as error:
                said = self.message.text()
                self._say(said if str(error) in said else " ".join(filter(None, (said, f"⚠ {error}"))))
        self._show_state()

    def _on_save(self) -> None:
        try:
            path = ask_for_file(self, "Save the table", "worklist", "csv")
        except UMLError as error:
            self._say(str(error), wrong=True)
            return
        if path is not None:
            self.save_table(path)

    def save_table(self, path: Path) -> None:
        """Write the lines that are shown, in their order."""
        try:
            write_table(path, [self.answers.answers[row] for row in self._shown_rows()])
        except UMLError as error:
            self._say(str(error), wrong=True)
            return
        self._say(f"Saved {path.name}.")

    def _shown_rows(self) -> list[int]:
        """Rows of `answers` that are shown, in the order of the table."""
        return [self.order.mapToSource(self.order.index(row, 0)).row() for row in range(self.order.rowCount())]

    def showEvent(self, event: QShowEvent) -> None:
        """Look which models there are, whenever the dock comes into view."""
        self.refresh_models()
        super().showEvent(event)

    def stop(self) -> None:
        """Stop what goes on."""
        self.closing.emit()
        self._runner.drop()


def show(viewer: napari.viewer.Viewer, view: View) -> tuple[Layer | None, str]:
    """Add the layers of an answer; returns that of the image, if there is one, and what the maps are marked with."""
    name = Path(view.answer.record.image.name).stem
    image = None
    if view.image is not None:
        pixels, given, _ = layer_data(view.image)
        image = viewer.add_layer(Image(pixels, **given))
    about = str(view.answer.folder) if image is None else str(image.unique_id)
    where = {} if image is None else placement(image, np.zeros(image.ndim))
    styles = (
        ("uncertainty", view.uncertainty, uncertainty_style()),
        ("structures", view.labels, mask_style(view.task)),
    )
    maps = [
        add_written(viewer, about, role, data, {"name": f"{name} {role}", **where, **style})
        for role, data, style in styles
        if data is not None
    ]
    first = next(iter([image, *maps] if image is not None else maps), None)
    if first is not None:
        viewer.layers.selection.active = first
        viewer.reset_view()
        if view.answer.record.image.is_stack:
            move_sliders(viewer, first, (view.slice_number, 0, 0))
    return image, about
