"""What the colours in the viewer mean: one swatch a structure, and the scale of the uncertainty."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QLinearGradient, QPainter, QPalette
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_uml.widgets.layers import UNCERTAINTY_COLORS

if TYPE_CHECKING:
    from qtpy.QtGui import QPaintEvent

    from napari_uml.config import Task


class Legend(QWidget):
    """The structures of a model with their colours, above the scale of the uncertainty layer."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._structures = QLabel(self)
        self._structures.setWordWrap(True)
        self._structures.setTextFormat(Qt.TextFormat.RichText)
        self._structures.setToolTip("Colours of the labels layer; point at it to read the structure in the status bar.")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self._structures)
        scale = QHBoxLayout()
        for part in (QLabel("Uncertainty  0"), _Scale(self), QLabel("1")):
            part.setToolTip("Colours of the uncertainty layer: u of every pixel, always from 0 to 1.")
            scale.addWidget(part)
        layout.addLayout(scale)

    def set_task(self, task: Task) -> None:
        """Show the structures of a task."""
        pairs = zip(task.seg_classes[1:], task.colors[1:], strict=True)
        swatches = (f'<span style="color:{color}">■</span>&nbsp;{name}' for name, color in pairs)
        self._structures.setText("Structures&nbsp; " + "&nbsp;&nbsp; ".join(swatches))
        self._structures.setAccessibleDescription("Structures: " + ", ".join(task.seg_classes[1:]))


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
