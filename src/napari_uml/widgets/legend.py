"""What the colours in the viewer mean, with the numbers of the pixel under the cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QLinearGradient, QPainter, QPalette
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_uml.widgets.layers import UNCERTAINTY_COLORS
from napari_uml.widgets.readout import as_html, in_words
from napari_uml.widgets.small_print import print_small

if TYPE_CHECKING:
    from qtpy.QtGui import QPaintEvent

    from napari_uml.config import Task
    from napari_uml.results import Measure
    from napari_uml.widgets.readout import PixelOpinion

TIP = (
    "Expected probability and belief of every structure at the pixel under the cursor; the beliefs and u sum to 1.\n"
    "Dissonance is high where the evidence speaks for several structures at once.\n"
    "Wrong: how many pixels that were called so, with this u, were something else on the images that the model was\n"
    "calibrated on.\n"
    "Bold: the structure in the final mask. The squares are the colours of the labels layer."
)


class Legend(QWidget):
    """The structures of a model with their colours and a pixel's numbers, above the scale of the uncertainty layer."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._task: Task | None = None
        self._measure: Measure = "vacuity"
        self._calibrated = False
        self._structures = QLabel(self)
        self._structures.setTextFormat(Qt.TextFormat.RichText)
        print_small(self._structures)
        self._structures.setToolTip(TIP)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self._structures)
        scale = QHBoxLayout()
        self._scale_title = QLabel()
        for part in (self._scale_title, _Scale(self), QLabel("1")):
            part.setToolTip("Colours of the uncertainty layer, always from 0 to 1.")
            scale.addWidget(part)
        layout.addLayout(scale)

    def set_task(self, task: Task, measure: Measure = "vacuity", *, calibrated: bool = False) -> None:
        """Show the structures of a task, what the uncertainty of the pixels is, and whether their errors are known."""
        self._task, self._measure, self._calibrated = task, measure, calibrated
        self._scale_title.setText("Uncertainty  0" if measure == "vacuity" else "Entropy  0")
        self.set_pixel(None)

    def set_pixel(self, pixel: PixelOpinion | None) -> None:
        """Show the numbers of a pixel of that task; None: dashes."""
        if self._task is not None:
            names = "Structures: " + ", ".join(self._task.seg_classes[1:])
            self._structures.setText(as_html(self._task, pixel, self._measure, calibrated=self._calibrated))
            self._structures.setAccessibleDescription(names if pixel is None else in_words(pixel))


class _Scale(QWidget):
    """The uncertainty layer's colours from 0 to 1, over black and white as over an image."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Scale of the uncertainty, 0 to 1")

    def sizeHint(self) -> QSize:
        return QSize(120, self.fontMetrics().height() * 2 // 3)

    def paintEvent(self, event: QPaintEvent) -> None:
        area = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        gradient = QLinearGradient(QPointF(area.topLeft()), QPointF(area.topRight()))
        steps = len(UNCERTAINTY_COLORS) - 1
        for number, (red, green, blue, alpha) in enumerate(UNCERTAINTY_COLORS.tolist()):
            gradient.setColorAt(number / steps, QColor.fromRgbF(red, green, blue, alpha))
        painter = QPainter(self)
        painter.fillRect(area, QColor("#606060"))
        painter.fillRect(area, gradient)
        painter.setPen(self.palette().color(QPalette.ColorRole.Mid))
        painter.drawRect(area)
        painter.end()
