"""The children of the training list's panel and how they are laid out; it knows no list and no work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QGridLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_uml.data.annotate_next import to_annotate
from napari_uml.weights import read_info
from napari_uml.widgets.panel import elided_label, fill, narrow, push_button, side_by_side
from napari_uml.widgets.training_list.table import NO_CLASS, RowsModel, RowsTable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_uml.data.dataset import DatasetInfo, Problem
    from napari_uml.data.training_list import TrainingList
    from napari_uml.weights import ModelEntry

NO_LIST = "Begin a new list, or open one, first."
NO_ROWS = "The list has no images yet."
SCRATCH = "No model"
SAVES = "The image is being saved."
TRAINED_ON = "A run is on with these images; new ones can be added and annotated."


class Layout:
    """Everything that the panel shows, as attributes."""

    def __init__(self, parent: QWidget) -> None:
        self.models: list[ModelEntry] = []
        self._make(parent)
        layout = QVBoxLayout(parent)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(side_by_side(self.title, self.new, self.open, stretch=0))
        layout.addWidget(self.summary)
        layout.addWidget(self.table, 1)
        grid = QGridLayout()
        grid.setSpacing(4)
        buttons = (self.add, self.more, self.remove, self.names, self.split, self.check)
        for number, button in enumerate(buttons):
            grid.addWidget(button, number // 3, number % 3)
        layout.addLayout(grid)
        layout.addWidget(self.message)
        layout.addWidget(self.problems)
        layout.addLayout(side_by_side(self.model_label, self.model, self.next, stretch=1))
        layout.addLayout(side_by_side(self.label_label, self.label, self.save, self.skip, stretch=1))

    def _make(self, parent: QWidget) -> None:
        self.title, self.summary, self.message = elided_label("No training list"), QLabel(), QLabel()
        self.message.setTextFormat(Qt.TextFormat.PlainText)
        self.summary.setWordWrap(True)
        self.message.setWordWrap(True)
        self.rows = RowsModel(parent)
        self.table = RowsTable(self.rows)
        self.problems = QListWidget()
        self.problems.setAccessibleName("Problems of the list")
        self.problems.setToolTip("Click a problem, or press Enter, to go to its row.")
        self.problems.setWordWrap(True)
        self.problems.setMaximumHeight(110)
        self.problems.setTextElideMode(Qt.TextElideMode.ElideNone)
        self.problems.setSpacing(2)
        self.new = _button("New…", "Begin a list in a new folder.")
        self.open = _button("Open…", "Go on with a list, or with any dataset folder.")
        self.add = _button("Add current…", "Add an image of the viewer with its corrected labels and a class.")
        self.more = _button("Add", "Add files or folders.")
        menu = QMenu(self.more)
        menu.setToolTipsVisible(True)
        self.files = menu.addAction("Files…")
        self.files.setToolTip("Copies of image files, with the masks beside them (NAME_mask.png, masks/NAME.png).")
        self.bare = menu.addAction("Folder to annotate…")
        self.bare.setToolTip("All images of a folder without mask and class, to be annotated one after another.")
        self.dataset = menu.addAction("Dataset folder…")
        self.dataset.setToolTip("All rows of another dataset folder, with masks, classes and splits.")
        self.more.setMenu(menu)
        self.remove = _button("Remove", "Take the selected rows out of the list (Delete); their files stay.")
        self.names = _button("Edit classes…", "Rename, add or remove structures and classes.")
        self.split = _button("Suggest split", "A quarter validates, what does already stays; patients stay together.")
        self.check = _button("Check", "Find everything that would keep the training from working.")
        self.model, self.model_label = narrow(QComboBox()), QLabel("Propose with")
        self.model_label.setBuddy(self.model)
        tip = "The model that looks at images to annotate: it ranks them by uncertainty and proposes labels."
        self.model.setToolTip(tip)
        self.model.setAccessibleName("Model that proposes")
        self.next = _button("Next image", "Show the most uncertain image that is not annotated yet.")
        self.label, self.label_label = narrow(QComboBox()), QLabel("Class")
        self.label_label.setBuddy(self.label)
        self.label.setToolTip("Class of the image that is being annotated; (none): not annotated.")
        self.label.setAccessibleName("Class of the image")
        self.save = _button("Save and next", "Save the labels and the class of the image, and show the next one.")
        self.skip = _button("Skip", "Leave this image for later.")

    def say(self, text: str, wrong: bool = False) -> None:
        """Show a message."""
        self.message.setText(f"⚠ {text}" if wrong and text else text)
        self.message.setVisible(bool(text))

    def show_list(self, rows: TrainingList | None) -> None:
        """Show which list it is and how much it holds."""
        self.title.setText(rows.folder.name if rows else "No training list")
        self.title.setToolTip(str(rows.folder) if rows else NO_LIST)
        if rows is None:
            self.summary.setText("A list keeps your images, masks and classes in a folder, saved at every change.")
            return
        splits = [f"{sum(r.split == name for r in rows.records)} {name}" for name in ("train", "val", "test")]
        done = len(rows.records) - len(to_annotate(rows.records))
        self.summary.setText(f"{len(rows.records)} images, {done} annotated · {' · '.join(splits)}")

    def show_problems(self, problems: Sequence[Problem]) -> None:
        """List problems; without any the list is hidden."""
        self.problems.clear()
        for problem in problems:
            item = QListWidgetItem(problem.text)
            item.setData(Qt.ItemDataRole.UserRole, problem.row)
            self.problems.addItem(item)
        self.problems.setVisible(bool(problems))

    def show_models(self, models: Sequence[ModelEntry], renamed: Mapping[str, str]) -> None:
        """Offer models, and none; the one that was chosen stays so, else the first takes its place."""
        before = self.model.currentData() if self.models else None
        chosen = before if before is None else renamed.get(before, before)
        self.models = list(models)
        items = [*((entry.title, entry.name) for entry in models), (SCRATCH, "")]
        fill(self.model, items, chosen if chosen in [name for _, name in items] else items[0][1])

    def choose_model(self, info: DatasetInfo) -> None:
        """Propose with the model that knows most structures and classes of a list by name, if any knows one.

        Raises
        ------
        WeightsError
            When the file of a model cannot be read any more.
        """
        wanted = {*info.seg_classes[1:], *info.cls_classes}
        known = {}
        for entry, path in ((entry, entry.path) for entry in self.models if entry.path is not None):
            task = read_info(path).task
            known[entry.name] = len(wanted & {*task.seg_classes[1:], *task.cls_classes})
        if known and max(known.values()):
            self.model.setCurrentIndex(self.model.findData(max(known, key=lambda name: known[name])))

    def selected_images(self) -> list[str]:
        """The images of the selected rows."""
        return [self.rows.records[index.row()].image for index in self.table.selectionModel().selectedRows()]

    def chosen_model(self) -> ModelEntry | None:
        """The model that proposes; None: none."""
        return next((entry for entry in self.models if entry.name == self.model.currentData()), None)

    def show_label(self, classes: Sequence[str], chosen: str) -> None:
        """Offer the classes for the image at hand."""
        fill(self.label, [*((name, name) for name in classes), (NO_CLASS, "")], chosen)

    def enable(self, has_list: bool, has_rows: bool, adding: bool, checking: bool) -> None:
        """Allow what makes sense."""
        for button in (self.add, self.more, self.names):
            _allow(button, has_list and not adding, NO_LIST)
        for button in (self.remove, self.split, self.check):
            _allow(button, has_rows and not adding, NO_ROWS if has_list else NO_LIST)
        _allow(self.check, has_rows and not adding and not checking, NO_ROWS if has_list else NO_LIST)
        self.new.setEnabled(not adding)
        self.open.setEnabled(not adding)
        self.dataset.setEnabled(not self.rows.is_trained_on)
        if self.rows.is_trained_on:
            for button in (self.names, self.split, self.remove):
                _allow(button, False, TRAINED_ON)

    def enable_annotating(self, left: int, showing: bool, busy: bool, saving: bool) -> None:
        """Allow what makes sense while images wait for their annotation, or one is being saved."""
        self.next.setText(f"Next image ({left})" if left else "Next image")
        waits = "No image of the list waits to be annotated."
        _allow(self.next, left > 0 and not busy, SAVES if saving else waits)
        for part in (self.label_label, self.label, self.save, self.skip):
            part.setVisible(showing)
        for button in (self.save, self.skip):
            _allow(button, not saving, SAVES)


def _button(text: str, tip: str) -> QPushButton:
    made = push_button(text, tip)
    made.setProperty("tip", tip)
    return made


def _allow(button: QPushButton, allowed: bool, why_not: str) -> None:
    button.setEnabled(allowed)
    button.setToolTip(button.property("tip") if allowed else why_not)
