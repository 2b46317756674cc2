"""Opening images from the dock: any readable file or a DICOM folder, off the GUI thread."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image
from qtpy.QtWidgets import QFileDialog, QMenu, QPushButton, QWidget

from napari_uml.data.reading import ENDINGS, LoadedImage, read_image
from napari_uml.errors import ImageError
from napari_uml.widgets.background import Background
from napari_uml.widgets.reader import layer_data
from napari_uml.widgets.session import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_uml.widgets.bench import Bench

FILTER = f"Images ({' '.join(f'*{ending} *{ending.upper()}' for ending in ENDINGS)});;All files (*)"


class LoadButton(QPushButton):
    """Asks for files or a folder and adds an image layer for each, with its spacing and units."""

    def __init__(self, bench: Bench, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bench = bench
        self._background = Background(bench, self)
        self._folder = ""
        self._problems: list[str] = []
        self.setText("Load…")
        self.setToolTip("Open photographs, TIFF, DICOM or NIfTI files, several at once, or a folder of DICOM files.")
        self.setAccessibleName("Load images")
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        self.files = menu.addAction("Files…")
        self.files.setToolTip("PNG, JPEG, BMP, TIFF, DICOM and NIfTI; each file becomes a layer.")
        self.folder = menu.addAction("Folder of DICOM files…")
        self.folder.setToolTip("One series: its files become the slices of one stack.")
        self.setMenu(menu)
        self.files.triggered.connect(self._on_files)
        self.folder.triggered.connect(self._on_folder)
        self._background.yielded.connect(self._on_yielded)
        self._background.failed.connect(bench.report)
        self._background.finished.connect(self._on_finished)

    def load(self, paths: Sequence[Path]) -> None:
        """Read files or DICOM folders, one after the other, and add a layer for each."""
        self._problems = []
        self.setEnabled(False)
        self._background.start(read_files(paths))

    def _on_files(self) -> None:
        names, _ = QFileDialog.getOpenFileNames(self, "Load images", self._folder, FILTER)
        if names:
            self._folder = str(Path(names[0]).parent)
            self.load([Path(name) for name in names])

    def _on_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Load a folder of DICOM files", self._folder)
        if name:
            self._folder = name
            self.load([Path(name)])

    def _on_yielded(self, value: object) -> None:
        if isinstance(value, LoadedImage):
            pixels, attributes, _ = layer_data(value)
            layer = self._bench.viewer.add_layer(Image(pixels, **attributes))
            self._bench.choose_image(layer)
        elif isinstance(value, ImageError):
            self._problems.append(str(value))

    def _on_finished(self) -> None:
        self.setEnabled(True)
        if self._problems:
            self._bench.session.message = Message("\n".join(self._problems), "error", "\n".join(self._problems))


def read_files(paths: Sequence[Path]) -> Callable[[Callable[[], bool]], Iterator[object]]:
    """Work for the background: yields a `LoadedImage` or an `ImageError` for every path."""

    def work(stopped: Callable[[], bool]) -> Iterator[object]:
        for path in paths:
            if stopped():
                return
            try:
                yield read_image(path)
            except ImageError as error:
                yield error

    return work
