"""Keep a result: a folder of files with a report, and the command or script that repeats it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton

from napari_uml.inference.reproduce import Recipe, as_command, as_python
from napari_uml.widgets.background import Background
from napari_uml.widgets.geometry import pixel_size
from napari_uml.widgets.layer_arrays import array_of
from napari_uml.widgets.origin import files_of
from napari_uml.widgets.panel import Panel
from napari_uml.widgets.save_job import Material, Saved, find_recipe, missing_file, save
from napari_uml.widgets.session import Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_uml.widgets.session import Result

OUTPUT = "results"
"""Folder that a copied command writes into."""
NOTHING = "Press Run first: there is no result yet."


class SavePanel(Panel):
    """Save, Copy as command, Copy as Python."""

    tour = (
        "Save makes a new folder with labels, uncertainty, a picture, a table, the record of the run and a one-page "
        "report. Copy as command and Copy as Python repeat the same numbers without napari."
    )

    def _build(self) -> None:
        self.save, self.command, self.python = (
            QPushButton(text) for text in ("Save…", "Copy as command", "Copy as Python")
        )
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for button in (self.save, self.command, self.python):
            layout.addWidget(button)

    def _connect(self) -> None:
        self._background = Background(self.bench, self)
        self._background.yielded.connect(self._on_yielded)
        self._background.failed.connect(self.bench.report)
        self._background.finished.connect(self._show_state)
        self._about: Result | None = None
        self._copied: Material | None = None
        self._saved: tuple[Result, Recipe] | None = None
        self._write: Callable[[Recipe], str] = as_python
        self._folder = ""
        self.save.clicked.connect(self._on_save)
        self.command.clicked.connect(self._on_command)
        self.python.clicked.connect(self._on_python)
        self.session.events.result.connect(self._show_state)
        self._show_state()

    def save_into(self, parent: Path) -> None:
        """Write a new folder inside `parent`."""
        material = self._material()
        if material is not None:
            self._about = material.result
            self._background.start(save(material, parent))
            self._show_state()

    def _show_state(self) -> None:
        busy, result = self._background.is_busy, self.session.result
        tips = {
            self.save: "Save labels, uncertainty, overlay, table, run record and a report into a new folder.",
            self.command: "Copy the line for a terminal that gives the same numbers.",
            self.python: "Copy the Python script that gives the same numbers.",
        }
        for button, tip in tips.items():
            button.setEnabled(result is not None and not busy)
            button.setToolTip(tip if result is not None else NOTHING)
        self.save.setText("Saving…" if busy and self._about is not None else "Save…")

    def _material(self) -> Material | None:
        result, image = self.session.result, self.bench.image
        if result is None or image is None:
            return None
        entry = next((entry for entry in self.session.models if entry.name == result.request.model), None)
        size = pixel_size(image, result.request.reading, len(result.request.source.shape))
        swept = self.session.sweep
        fits = swept is not None and swept.is_about(result)
        sweep = swept.sweep if swept is not None and fits else None
        return Material(result, array_of(image), files_of(image), size, entry.path if entry else None, sweep)

    def _on_save(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Where to make the folder of results", self._folder)
        if name:
            self._folder = name
            self.save_into(Path(name))

    def _on_command(self) -> None:
        self._copy(lambda recipe: as_command(recipe, OUTPUT))

    def _on_python(self) -> None:
        self._copy(as_python)

    def _copy(self, write: Callable[[Recipe], str]) -> None:
        material, self._write, self._about = self._material(), write, None
        if material is None:
            return
        self._copied = material
        if self._saved is not None and self._saved[0] is material.result:
            self._on_yielded(self._saved[1])
        else:
            self._background.start(find_recipe(material))

    def _put(self, recipe: Recipe) -> None:
        try:
            text = self._write(recipe)
        except ValueError as error:
            self.bench.report(error)
            return
        QGuiApplication.clipboard().setText(text)
        self.session.message = Message("Copied; it gives the same numbers on this computer.")

    def _on_yielded(self, value: object) -> None:
        if isinstance(value, Saved):
            if self._about is not None:
                self._saved = self._about, value.recipe
            kept = ", the input among them" if value.has_input else ""
            but = f"; {value.left_out}" if value.left_out else ""
            self.session.message = Message(f"Saved {len(value.files)} files{kept} in {value.folder}{but}")
        elif isinstance(value, Recipe):
            self._put(value)
        elif (copied := self._copied) is not None:
            self.session.message = Message(missing_file(copied.result.request, copied.files))
