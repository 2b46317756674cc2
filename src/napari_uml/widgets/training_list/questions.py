"""What the training list asks in dialogs before it does something."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QDialog, QFileDialog, QMessageBox

from napari_uml.errors import WeightsError
from napari_uml.weights import read_info
from napari_uml.widgets.loading import FILTER
from napari_uml.widgets.training_list.dialogs import AddDialog, NewListDialog
from napari_uml.widgets.training_list.names_dialog import NamesDialog

if TYPE_CHECKING:
    from napari_uml.config import Task
    from napari_uml.weights import ModelEntry
    from napari_uml.widgets.training_list.panel import TrainingListPanel


class Questions:
    """Asks, and has the panel do what was answered; nothing happens when a dialog is closed."""

    def __init__(self, panel: TrainingListPanel) -> None:
        self._panel = panel

    def ask_new_list(self) -> None:
        """Ask where a new list shall be and which names it has, and begin it."""
        tasks = [(entry.title, task) for entry in self._panel.view.models if (task := _task(entry)) is not None]
        dialog = NewListDialog(tasks, self._panel)
        if dialog.exec() == QDialog.DialogCode.Accepted:
            self._panel.create(dialog.path, dialog.info)

    def ask_list(self) -> None:
        """Ask for a list or dataset folder, and go on with it."""
        if folder := self._folder("Open a training list or dataset folder", str(self._panel.folder or "")):
            self._panel.open(folder)

    def ask_layers(self) -> None:
        """Ask which image and labels layer to add, with which class and split, and add them."""
        if self._panel.rows is not None:
            dialog = AddDialog(self._panel.viewer, self._panel.rows.info, self._panel)
            if dialog.exec() == QDialog.DialogCode.Accepted:
                self._panel.add_current(dialog)

    def ask_files(self) -> None:
        """Ask for image files, and add them with the masks beside them."""
        names, _ = QFileDialog.getOpenFileNames(self._panel, "Add images, with the masks beside them", "", FILTER)
        if names:
            self._panel.add_files([Path(name) for name in names])

    def ask_folder_to_annotate(self) -> None:
        """Ask for a folder, and add its images without masks, to be annotated."""
        if folder := self._folder("Add a folder of images to annotate"):
            self._panel.add_folder(folder)

    def ask_dataset(self) -> None:
        """Ask for a dataset folder, and add its rows."""
        if folder := self._folder("Add all of another dataset folder"):
            self._panel.add_dataset(folder)

    def ask_names(self) -> None:
        """Let the user rename, add and remove structures and classes."""
        if self._panel.rows is not None:
            before = self._panel.rows.info
            NamesDialog(self._panel.rows, self._start(), self._panel).exec()
            self._panel.show_rows()
            self._panel.follow_names(before)

    def ask_removal(self) -> None:
        """Ask whether the selected rows shall go, and take them out."""
        images = self._panel.view.selected_images() if self._panel.view.remove.isEnabled() else []
        text = f"Take {len(images)} rows out of the list? Their files stay in the folder."
        yes = QMessageBox.StandardButton.Yes
        if images and QMessageBox.question(self._panel, "Remove rows", text) == yes:
            self._panel.remove(images)

    def ask_next(self) -> None:
        """Go to the next image; what was painted and is not saved is asked about first."""
        if self._may_leave():
            self._panel.next_image()

    def ask_skip(self) -> None:
        """Leave the image for later; what was painted and is not saved is asked about first."""
        if self._may_leave():
            self._panel.skip_image()

    def _may_leave(self) -> bool:
        if not self._panel.annotator.is_edited:
            return True
        text = f"The labels of {self._panel.annotator.image} were changed and are not saved. Go on without them?"
        answer = QMessageBox.question(self._panel, "Labels that are not saved", text)
        return answer == QMessageBox.StandardButton.Yes

    def _start(self) -> tuple[str, Task] | None:
        """Title and task of the model that is chosen."""
        entry = self._panel.view.chosen_model()
        task = None if entry is None else _task(entry)
        return None if entry is None or task is None else (entry.title, task)

    def _folder(self, title: str, first: str = "") -> Path | None:
        name = QFileDialog.getExistingDirectory(self._panel, title, first)
        return Path(name) if name else None


def _task(entry: ModelEntry) -> Task | None:
    """The task of a model; None when its file has gone since, or is damaged: a list needs no model."""
    try:
        return None if entry.path is None else read_info(entry.path).task
    except WeightsError:
        return None
