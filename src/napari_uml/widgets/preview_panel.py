"""A picture of exactly what the network will see, and a warning when that looks unlike its training images."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QBuffer, QIODevice, Qt, QTimer
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QGridLayout, QLabel

from napari_uml.data.view import in_unit, network_view
from napari_uml.errors import UMLError
from napari_uml.inference.likeness import unlike_training
from napari_uml.weights import read_info
from napari_uml.widgets.background import Background
from napari_uml.widgets.layer_arrays import array_of
from napari_uml.widgets.panel import Panel
from napari_uml.widgets.reading_modes import take

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_uml.results import Box
    from napari_uml.weights import WeightsInfo
    from napari_uml.widgets.reading_modes import Reading

SIDE = 88
"""Side of the picture, pixels of the screen's own scale."""
PAUSE = 120
"""Milliseconds without a change before it is drawn anew."""


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What decides the picture: array and how it is read, the rectangle, and the model's file."""

    data: Any
    reading: Reading
    position: tuple[int, ...]
    all_slices: bool
    box: Box | None
    weights: Path


@dataclass(frozen=True, slots=True, eq=False)
class Preview:
    """The network's input (S, S, 3) in [0, 1] without noise, how it was made, and what is unusual about it."""

    view: NDArray[np.float32]
    caption: str
    warnings: tuple[str, ...]


class PreviewPanel(Panel):
    """Picture, caption, and warnings, which unfold it; pointing at the picture shows it pixel by pixel."""

    title = "What the network sees"
    tour = (
        "The image as the network gets it: cut, read and squashed to its input size. A warning says when it looks "
        "unlike the images that the model was trained on; you can run it all the same."
    )

    def _build(self) -> None:
        self.picture, self.caption, self.warning = QLabel(), QLabel(), QLabel()
        self.picture.setFixedSize(SIDE, SIDE)
        self.picture.setAccessibleName("What the network sees")
        self.caption.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.caption.setToolTip("How the network's input is made of the image.")
        self.warning.setToolTip("What is unusual about this image for the model. It can be analysed all the same.")
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.picture, 0, 0, 2, 1, Qt.AlignmentFlag.AlignTop)
        for row, label in enumerate((self.warning, self.caption)):
            label.setWordWrap(True)
            layout.addWidget(label, row, 1)
        layout.setColumnStretch(1, 1)
        layout.setRowStretch(1, 1)

    def _connect(self) -> None:
        self._waits = False
        self._background = Background(self.bench, self)
        self._background.yielded.connect(self._show_preview)
        self._background.failed.connect(self._show_problem)
        self._background.finished.connect(self._on_finished)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE)
        self._timer.timeout.connect(self._ask)
        self.bench.closing.connect(self._on_closing)
        events = self.session.events
        for signal in (
            events.source, events.reading, events.position, events.slices, events.area, events.box, events.model,
            events.models,
        ):  # fmt: skip
            signal.connect(self._on_change)
        self._on_change()

    def _on_change(self) -> None:
        self._timer.start()

    def _on_closing(self) -> None:
        self._waits = False
        self._timer.stop()

    def _on_finished(self) -> None:
        if self._waits:
            self._timer.start()

    def _ask(self) -> None:
        """Look at what is chosen, after the look at hand: reading a stack cannot be interrupted."""
        question = self._question()
        self._waits = question is not None and self._background.is_busy
        if self._waits:
            return
        if question is None:
            self._background.stop()
            self.picture.clear()
            self.picture.setToolTip("")
            self.caption.setText("Open an image and choose a model that is on this computer.")
            self._warn(())
        else:
            self._background.start(look(question))

    def _question(self) -> Question | None:
        session, image = self.session, self.bench.image
        entry = next((entry for entry in session.models if entry.name == session.model), None)
        if image is None or session.reading is None or entry is None or entry.path is None or entry.problem:
            return None
        all_slices = session.reading.stack_axis is not None and session.slices == "all"
        box = session.box if session.area == "rectangle" else None
        return Question(array_of(image), session.reading, session.position, all_slices, box, entry.path)

    def _show_preview(self, preview: Preview) -> None:
        pixmap = _pixmap(preview.view)
        ratio = self.devicePixelRatioF()
        side = round(SIDE * ratio)
        how = Qt.TransformationMode.SmoothTransformation
        shown = pixmap.scaled(side, side, Qt.AspectRatioMode.IgnoreAspectRatio, how)
        shown.setDevicePixelRatio(ratio)
        self.picture.setPixmap(shown)
        self.picture.setToolTip(f"<img src='data:image/png;base64,{_coded(pixmap)}'>")
        self.picture.setAccessibleDescription(preview.caption)
        self.caption.setText(preview.caption)
        self._warn(preview.warnings)

    def _show_problem(self, error: Exception) -> None:
        self.picture.clear()
        self.picture.setToolTip("")
        self.caption.setText(str(error))
        self._warn(())

    def _warn(self, warnings: tuple[str, ...]) -> None:
        self.warning.setText("\n".join(f"⚠ {text}" for text in warnings))
        self.warning.setVisible(bool(warnings))
        if warnings:
            self.unfold()


def look(question: Question) -> Callable[[Callable[[], bool]], Iterator[object]]:
    """Work for the background: yields a `Preview`."""

    def work(stopped: Callable[[], bool]) -> Iterator[object]:
        info = read_info(question.weights)
        pixels = current_slice(question)
        if question.box is not None:
            if question.box.bottom > pixels.shape[0] or question.box.right > pixels.shape[1]:
                raise UMLError("The rectangle lies outside the image.")
            pixels = pixels[question.box.slices]
        view = network_view(pixels, info.image_size, info.task.channels)
        yield Preview(view, in_words(pixels, info, question.box), unlike_training(pixels, info))

    return work


def current_slice(question: Question) -> NDArray[np.float32]:
    """The slice in view, in [0, 1] as the predictor would have it: a stack that is analysed whole is scaled whole."""
    reading, position = question.reading, question.position
    axis = reading.stack_axis
    if not question.all_slices or axis is None or np.dtype(question.data.dtype) == np.uint8:
        return in_unit(take(question.data, reading, position, all_slices=False))
    return in_unit(take(question.data, reading, position, all_slices=True), stack=True)[position[axis]]


def in_words(pixels: NDArray[np.float32], info: WeightsInfo, box: Box | None) -> str:
    """How the network's input is made of some pixels, (H, W) or (H, W, 3)."""
    height, width = pixels.shape[:2]
    size, part = info.image_size, "the rectangle of " if box else ""
    lines = [f"{size} x {size} pixels, from {part}{width} x {height}" + (", squashed" if height != width else "")]
    if pixels.ndim == 2:
        lines.append("Grey" + (", given as red, green and blue" if info.task.channels == 3 else ""))
    else:
        lines.append("Colour" if info.task.channels == 3 else "Colour, of which it sees the brightness")
    if info.focus is not None:
        lines.append(f"First look; where the {' and '.join(info.focus.structures)} is small, it looks again closer.")
    return "\n".join(lines)


def _pixmap(view: NDArray[np.float32]) -> QPixmap:
    coded = np.ascontiguousarray((view * 255).round().astype(np.uint8))
    height, width = coded.shape[:2]
    image = QImage(coded.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image.copy())


def _coded(pixmap: QPixmap) -> str:
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    pixmap.save(buffer, "PNG")
    return base64.b64encode(bytes(buffer.data())).decode()
