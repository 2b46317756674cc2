"""Rename, add and remove structures and classes of a list, and what a start model keeps of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QInputDialog,
    QLabel,
    QListWidget,
    QMessageBox,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_uml.data.kept import what_is_kept
from napari_uml.data.names import Kind, names_of
from napari_uml.errors import UMLError

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_uml.config import Task
    from napari_uml.data.training_list import TrainingList

NOBODY = "(not annotated)"
TITLES: dict[Kind, str] = {"structure": "Structures", "class": "Classes"}


class NamesDialog(QDialog):
    """Every button changes the list at once; removing asks first, as it changes masks.

    Parameters
    ----------
    rows
        The list.
    start
        Title and task of the model that training starts from; None: from scratch.
    """

    def __init__(self, rows: TrainingList, start: tuple[str, Task] | None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Structures and classes")
        self._rows, self._start = rows, start
        self.lists: dict[Kind, QListWidget] = {}
        self.kept, self.problem = QLabel(), QLabel()
        sides = QHBoxLayout()
        for kind in TITLES:
            sides.addLayout(self._side(kind))
        close = QPushButton("Close")
        close.setToolTip("Everything is saved already.")
        close.clicked.connect(self.accept)
        layout = QVBoxLayout(self)
        layout.addLayout(sides)
        for label in (self.kept, self.problem):
            label.setWordWrap(True)
            layout.addWidget(label)
        layout.addWidget(close, alignment=Qt.AlignmentFlag.AlignRight)
        self.resize(480, 340)
        self._show()

    def rename(self, kind: Kind, old: str, new: str) -> None:
        """Rename; weights, masks and images are kept."""
        self._do(lambda: self._rows.rename(kind, old, new.strip()))

    def add(self, kind: Kind, name: str) -> None:
        """Add a name."""
        self._do(lambda: self._rows.add_name(kind, name.strip()))

    def remove(self, kind: Kind, name: str, into: str | None) -> None:
        """Remove a name; `into` takes its place, None: not annotated."""
        self._do(lambda: self._rows.remove_name(kind, name, into))

    def _side(self, kind: Kind) -> QVBoxLayout:
        names = self.lists[kind] = QListWidget()
        names.setAccessibleName(TITLES[kind])
        names.setToolTip("Double-click to rename.")
        names.itemDoubleClicked.connect(lambda: self._on_rename(kind))
        layout, buttons = QVBoxLayout(), QHBoxLayout()
        title = QLabel(TITLES[kind])
        title.setBuddy(names)
        layout.addWidget(title)
        layout.addWidget(names)
        for text, slot, tip in (
            ("Rename…", self._on_rename, "Another name for the same thing: what was learnt is kept."),
            ("Add…", self._on_add, f"One more {kind}; it starts untrained."),
            ("Remove…", self._on_remove, f"Take a {kind} out of the list; asks first."),
        ):
            button = QPushButton(text)
            button.setToolTip(tip)
            button.setAccessibleName(f"{text.rstrip('…')} {kind}")
            button.clicked.connect(lambda _=False, call=slot: call(kind))
            buttons.addWidget(button)
        layout.addLayout(buttons)
        return layout

    def _show(self) -> None:
        for kind, names in self.lists.items():
            row = max(names.currentRow(), 0)
            names.clear()
            names.addItems(list(names_of(self._rows.info, kind)))
            names.setCurrentRow(min(row, names.count() - 1))
        if self._start is None:
            self.kept.setText("Training starts from scratch: everything is new.")
        else:
            self.kept.setText(f"{self._start[0]}: {what_is_kept(self._start[1], self._rows.info).words}")

    def _do(self, step: Callable[[], None]) -> None:
        try:
            step()
            self.problem.setText("")
        except (UMLError, ValueError) as error:
            self.problem.setText(str(error))
        self._show()

    def _on_rename(self, kind: Kind) -> None:
        old = self.lists[kind].currentItem().text()
        new, ok = QInputDialog.getText(self, f"Rename {kind}", "New name", text=old)
        if ok and new.strip() != old:
            self.rename(kind, old, new)

    def _on_add(self, kind: Kind) -> None:
        name, ok = QInputDialog.getText(self, f"Add {kind}", "Name")
        if ok:
            self.add(kind, name)

    def _on_remove(self, kind: Kind) -> None:
        name = self.lists[kind].currentItem().text()
        try:
            used = len(self._rows.used_by(kind, name))
        except UMLError as error:
            self.problem.setText(str(error))
            return
        if not used:
            answer = QMessageBox.question(self, f"Remove {kind}", f"Remove {name}? No image uses it.")
            if answer == QMessageBox.StandardButton.Yes:
                self.remove(kind, name, None)
            return
        others = [NOBODY, *(other for other in names_of(self._rows.info, kind) if other != name)]
        what = "images have it; their masks are written anew" if kind == "structure" else "images are of it"
        into, ok = QInputDialog.getItem(
            self, f"Remove {kind}", f"{used} {what}. What takes the place of {name}?", others, 0, False
        )
        if ok:
            self.remove(kind, name, None if into == NOBODY else into)
