"""The simplest training list: a button that asks for a dataset folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QPushButton, QWidget

if TYPE_CHECKING:
    import napari.viewer


class FolderChooser(QWidget):
    """Chooses the dataset folder to train on.

    `changed` is emitted when another folder is chosen.
    """

    changed = Signal()

    def __init__(self, viewer: napari.viewer.Viewer | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.folder: Path | None = None
        self.button, self.words = QPushButton("Dataset folder…"), QLabel("No folder chosen")
        self.button.setToolTip("Choose a folder with dataset.json, index.csv, images and masks.")
        self.button.setAccessibleName("Choose the dataset folder")
        self.words.setWordWrap(True)
        self.words.setToolTip("The folder that is trained on.")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.button)
        layout.addWidget(self.words, 1)
        self.button.clicked.connect(self._on_button)

    def choose(self, folder: Path) -> None:
        """Train on this folder."""
        self.folder = folder
        self.words.setText(folder.name)
        self.words.setToolTip(str(folder))
        self.changed.emit()

    def _on_button(self) -> None:
        start = str(self.folder.parent) if self.folder else ""
        name = QFileDialog.getExistingDirectory(self, "Choose a dataset folder", start)
        if name:
            self.choose(Path(name))
