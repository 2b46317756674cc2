"""The questions of the training list: what a new list is about, and what is known of the current image."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_uml.config import IGNORE
from napari_uml.data.dataset import DatasetInfo
from napari_uml.data.kept import match_numbers
from napari_uml.widgets.panel import add_row, fill, form
from napari_uml.widgets.training_list.current import image_layers, labels_in_view, labels_layers, named_numbers
from napari_uml.widgets.training_list.table import NO_CLASS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import napari.viewer
    from napari.layers import Layer

    from napari_uml.config import Task

OWN = "Names of your own"
START = "background, lesion", "benign, malignant"


class Question(QDialog):
    """A dialog with a form, a line for what is wrong, OK and Cancel."""

    def __init__(self, title: str, ok: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.problem = QLabel()
        self.problem.setWordWrap(True)
        fields = QWidget()
        self.form = form(fields)
        buttons = QDialogButtonBox()
        self.ok = buttons.addButton(ok, QDialogButtonBox.ButtonRole.AcceptRole)
        cancel = buttons.addButton("Cancel", QDialogButtonBox.ButtonRole.RejectRole)
        self.ok.setToolTip(title)
        cancel.setToolTip("Change nothing.")
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        for part in (fields, self.problem, buttons):
            layout.addWidget(part)

    def _show_problem(self, text: str) -> None:
        self.problem.setText(text)
        self.ok.setEnabled(not text)


class NewListDialog(Question):
    """Asks for folder, structures and classes of a new list; a model's are offered, which keeps its weights.

    Parameters
    ----------
    tasks
        Title and task of every model at hand.
    """

    def __init__(self, tasks: Sequence[tuple[str, Task]], parent: QWidget | None = None) -> None:
        super().__init__("New training list", "Create", parent)
        self._tasks = tasks
        self.folder, self.names_of = QLineEdit(), QComboBox()
        self.structures, self.classes = QLineEdit(), QLineEdit()
        browse = QPushButton("Browse…")
        browse.setToolTip("Choose where the folder is to be.")
        row = QWidget()
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.folder, 1)
        layout.addWidget(browse)
        fill(self.names_of, [*((title, i) for i, (title, _) in enumerate(tasks)), (OWN, -1)], 0 if tasks else -1)
        add_row(self.form, "Folder", row, "A new folder, which the list, its images and masks are kept in.")
        self.folder.setAccessibleName("Folder")
        add_row(self.form, "Names of", self.names_of, "Take over structures and classes, so that training goes on.")
        add_row(self.form, "Structures", self.structures, "What is outlined, separated by commas, background first.")
        add_row(
            self.form, "Classes", self.classes, "What an image as a whole can be: two or more, separated by commas."
        )
        browse.clicked.connect(self._on_browse)
        self.names_of.activated.connect(self._on_names_of)
        for field in (self.folder, self.structures, self.classes):
            field.textChanged.connect(self._show_state)
        self.resize(460, self.sizeHint().height())
        self._on_names_of()

    @property
    def path(self) -> Path:
        """The folder to make."""
        return Path(os.path.expanduser(self.folder.text()))

    @property
    def info(self) -> DatasetInfo:
        """What the list is about.

        Raises
        ------
        ValueError
            When the names cannot be used.
        """
        number = self.names_of.currentData()
        known: dict[str, Any] = self._tasks[number][1].model_dump() if number is not None and number >= 0 else {}
        if (*known.get("seg_classes", ()),) != _split(self.structures):
            known = {key: known[key] for key in ("modality", "channels") if key in known}
        given = {"seg_classes": _split(self.structures), "cls_classes": _split(self.classes), "name": self.path.name}
        former = known.get("former_classes", {})
        known["former_classes"] = {name: old for name, old in former.items() if name in given["cls_classes"]}
        return DatasetInfo.model_validate({**known, **given})

    def _show_state(self) -> None:
        few = [len(_split(field)) < 2 for field in (self.structures, self.classes)]
        twice = [len(set(_split(field))) < len(_split(field)) for field in (self.structures, self.classes)]
        if not self.folder.text().strip():
            self._show_problem("Choose a folder.")
        elif os.path.exists(self.path / "dataset.json"):  # which takes names that no folder can have
            self._show_problem("That folder holds a data set already: open it, or choose another name.")
        elif few[0] or few[1]:
            self._show_problem("Name background and a structure, and two classes, separated by commas.")
        else:
            self._show_problem("Every name may come once." if any(twice) else "")

    def _on_names_of(self) -> None:
        number = self.names_of.currentData()
        task = self._tasks[number][1] if number is not None and number >= 0 else None
        self.structures.setText(", ".join(task.seg_classes) if task else START[0])
        self.classes.setText(", ".join(task.cls_classes) if task else START[1])
        self._show_state()

    def _on_browse(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Where to keep the training list")
        if name:
            folder = Path(name)
            try:
                is_empty = not any(folder.iterdir())
            except OSError:  # it cannot be read; whether it can be written is told when the list is made
                is_empty = False
            self.folder.setText(str(folder if is_empty else folder / "training-list"))


class AddDialog(Question):
    """Asks which image and labels to add, the class, and which number means "not annotated".

    The structures that the labels name, as results do, become those of the list by name; what the list does not have
    is told, and nothing is added before the user said what it becomes.
    """

    def __init__(self, viewer: napari.viewer.Viewer, info: DatasetInfo, parent: QWidget | None = None) -> None:
        super().__init__("Add the current image", "Add", parent)
        self._viewer, self._info = viewer, info
        self._images: list[Layer] = image_layers(viewer)
        self._labels: list[Layer] = []
        self._numbers: dict[int, int] = {}
        self._lacking: dict[int, str] = {}
        self._has_chosen = False  # the class
        self.image_choice, self.labels_choice = QComboBox(), QComboBox()
        self.taken, self.others = QLabel(), QComboBox()
        self.taken.setWordWrap(True)
        self.label, self.unlabelled, self.split = QComboBox(), QComboBox(), QComboBox()
        fill(self.image_choice, ((layer.name, i) for i, layer in enumerate(self._images)), 0)
        fill(self.label, [(NO_CLASS, ""), *((name, name) for name in info.cls_classes)], None)
        fill(self.split, [("train", "train"), ("val (validation)", "val"), ("test", "test")], "train")
        self.label.setPlaceholderText("Choose the class")
        fill(self.others, [(info.seg_classes[0], 0), ("Not annotated", IGNORE)], None)
        self.others.setPlaceholderText("Choose what they become")
        add_row(self.form, "Image", self.image_choice, "The image layer to add; of a stack, the slice in view.")
        add_row(
            self.form,
            "Labels",
            self.labels_choice,
            "The labels that you corrected. What they do not cover is not annotated; No mask: add none.",
        )
        add_row(self.form, "Taken as", self.taken, "The structures of the list that the numbers in the labels become.")
        add_row(self.form, "Class", self.label, "What the image as a whole is; (none): not annotated.")
        add_row(
            self.form, "Unlabelled", self.unlabelled, "Pixels of this number were not annotated, and teach nothing."
        )
        tip = "What becomes of the structures in the labels that the list does not have."
        self.others_label = add_row(self.form, "Other structures", self.others, tip)
        add_row(self.form, "Split", self.split, "Train on it, or validate with it.")
        self.image_choice.activated.connect(self._show_labels)
        self.labels_choice.activated.connect(self._show_numbers)
        self.label.activated.connect(self._on_label)
        for choice in (self.unlabelled, self.others):
            choice.activated.connect(self._show_state)
        self._show_labels()

    @property
    def image(self) -> Layer:
        """The chosen image layer."""
        return self._images[self.image_choice.currentData()]

    @property
    def labels(self) -> Layer | None:
        """The chosen labels layer."""
        number = self.labels_choice.currentData()
        return None if number is None or number < 0 else self._labels[number]

    @property
    def numbers(self) -> dict[int, int]:
        """Structure number in the list, or `IGNORE`, of every number in the labels; once nothing is left to choose."""
        unlabelled, others = self.unlabelled.currentData(), self.others.currentData()
        chosen = dict.fromkeys(self._lacking, others) if others is not None else {}
        return {**self._numbers, **chosen, **({} if unlabelled is None else {unlabelled: IGNORE})}

    def _show_labels(self) -> None:
        self._labels = labels_layers(self._viewer, self.image) if self._images else []
        items = [*((layer.name, i) for i, layer in enumerate(self._labels)), ("No mask", -1)]
        fill(self.labels_choice, items, 0 if self._labels else -1)
        self._show_numbers()

    def _show_numbers(self) -> None:
        found, named = [], {}
        if self.labels is not None:
            named = named_numbers(self.labels)
            found = [int(number) for number in np.unique(labels_in_view(self._viewer, self.image, self.labels))]
        known = {**match_numbers(named, self._info), IGNORE: IGNORE}
        self._numbers = {number: known[number] for number in found if number in known}
        self._lacking = {number: named.get(number, "") for number in found if number not in known}
        strange = [number for number, name in self._lacking.items() if not name][:50]
        items: list[tuple[str, object]] = [("Every pixel is annotated", None), ("0, what is not painted", 0)]
        items += [(f"{number}", number) for number in strange]
        sure = len(strange) == 1 and strange[0] >= len(self._info.seg_classes)
        fill(self.unlabelled, items, strange[0] if sure else None)
        self.others.setCurrentIndex(-1)
        self.unlabelled.setEnabled(self.labels is not None)
        self._preset_class()
        self._show_state()

    def _on_label(self) -> None:
        self._has_chosen = True
        self._show_state()

    def _preset_class(self) -> None:
        """The class that a sample's known truth names, until the user says one."""
        named = "" if self.labels is None else self.labels.metadata.get("class", "")
        if not self._has_chosen:
            self.label.setCurrentIndex(self.label.findData(named) if named in self._info.cls_classes else -1)

    def _show_taken(self) -> None:
        names = {**dict(enumerate(self._info.seg_classes)), IGNORE: "not annotated"}
        texts = [f"{number} {names[ours]}" for number, ours in sorted(self.numbers.items())]
        self.taken.setText(", ".join(texts[:9]) + (", …" if len(texts) > 9 else "") if self.labels else "No mask")

    def _show_state(self) -> None:
        self._show_taken()
        lacking = {n: name for n, name in self._lacking.items() if n != self.unlabelled.currentData()}
        for part in (self.others, self.others_label):
            part.setVisible(bool(lacking))
        if not self._images:
            self._show_problem("Open an image first.")
        elif lacking and self.others.currentIndex() < 0:
            self._show_problem(_lacking_words(lacking))
        else:
            self._show_problem("" if self.label.currentIndex() >= 0 else "Choose the class, or (none).")


def _lacking_words(lacking: Mapping[int, str]) -> str:
    names = [f"{number} {name}".strip() for number, name in lacking.items()]
    more = f" (and {len(names) - 5} more)" if len(names) > 5 else ""
    what = f"The list has no structure for {', '.join(names[:5])}{more}"
    return f"{what}: choose in Other structures what becomes of it, or add it with Edit classes… first."


def _split(field: QLineEdit) -> tuple[str, ...]:
    return tuple(name for name in re.split(r"\s*[,;]\s*", field.text().strip()) if name)
