"""A number that a slider and a spin box show alike, with marks at the values worth knowing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QLocale, QObject, QPoint, QRect, QSignalBlocker, QSize, Qt, Signal
from qtpy.QtGui import QPainter, QPalette
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QGridLayout,
    QSizePolicy,
    QSlider,
    QStyle,
    QStyleOptionSlider,
    QWidget,
)

if TYPE_CHECKING:
    from qtpy.QtGui import QPaintEvent


class Amount(QWidget):
    """Slider and spin box for one number.

    Turning the mouse wheel over it scrolls the dock, unless it has the focus.
    """

    changed = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.slider = _Slider(Qt.Orientation.Horizontal)
        self.spin = QDoubleSpinBox()
        self.spin.setKeyboardTracking(False)
        self.spin.setLocale(QLocale.c())  # a point, as in every other number here, whatever the system's language
        self._marks = _Marks(self.slider)
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setVerticalSpacing(0)
        layout.addWidget(self.slider, 0, 0)
        layout.addWidget(self.spin, 0, 1)
        layout.addWidget(self._marks, 1, 0)
        layout.setColumnStretch(0, 1)
        for part in (self.slider, self.spin):
            leave_wheel(part)
        self.slider.valueChanged.connect(self._on_slider)
        self.spin.valueChanged.connect(self._on_spin)
        self.setFocusProxy(self.slider)

    def set_range(
        self, lowest: float, highest: float, step: float, decimals: int, marks: dict[float, str] | None = None
    ) -> None:
        """Set the limits, the step of the arrow keys, the decimals, and the texts of the marks by their values."""
        with QSignalBlocker(self.slider), QSignalBlocker(self.spin):
            self.spin.setDecimals(decimals)
            self.spin.setRange(lowest, highest)
            self.spin.setSingleStep(step)
            self._unit = 10.0**-decimals
            self.slider.setRange(round(lowest / self._unit), round(highest / self._unit))
            self.slider.setSingleStep(max(round(step / self._unit), 1))
            self.slider.setPageStep(5 * self.slider.singleStep())
        self._marks.set_marks({round(value / self._unit): text for value, text in (marks or {}).items()})

    def value(self) -> float:
        """The number."""
        return float(self.spin.value())

    def set_value(self, value: float) -> None:
        """Show a number, without a signal."""
        with QSignalBlocker(self.slider), QSignalBlocker(self.spin):
            self.spin.setValue(value)
            self.slider.setValue(round(value / self._unit))

    def set_tip(self, tip: str, name: str) -> None:
        """Explain it, and name it for screen readers."""
        for part in (self, self.slider, self.spin, self._marks):
            part.setToolTip(tip)
            part.setAccessibleName(name)

    def _on_slider(self, value: int) -> None:
        self.set_value(value * self._unit)
        self.changed.emit(self.value())

    def _on_spin(self, value: float) -> None:
        self.set_value(value)
        self.changed.emit(self.value())


class _Slider(QSlider):
    """A slider that tells where a value lies."""

    def place(self, value: int) -> float:
        """Middle of the handle at a value, in pixels from the left."""
        option = QStyleOptionSlider()
        self.initStyleOption(option)
        option.sliderPosition = value
        part = QStyle.SubControl.SC_SliderHandle
        handle: QRect = self.style().subControlRect(QStyle.ComplexControl.CC_Slider, option, part, self)
        return handle.left() + handle.width() / 2


class _Marks(QWidget):
    """Ticks with texts below a slider; the last text stands to the right of its tick, the others to the left."""

    def __init__(self, slider: _Slider) -> None:
        super().__init__()
        self._slider = slider
        self._texts: dict[int, str] = {}
        font = self.font()
        font.setPointSizeF(max(font.pointSizeF() * 0.8, 7.0))
        self.setFont(font)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setVisible(False)

    def set_marks(self, texts: dict[int, str]) -> None:
        """Show the texts at these slider values."""
        self._texts = texts
        self.setVisible(bool(texts))
        self.update()

    def sizeHint(self) -> QSize:
        """One line of small text."""
        return QSize(60, self.fontMetrics().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the ticks and the texts."""
        painter = QPainter(self)
        painter.setPen(self.palette().color(QPalette.ColorRole.WindowText))
        values = sorted(self._texts)
        for value in values:
            text, x = self._texts[value], round(self._slider.place(value))
            painter.drawLine(QPoint(x, 0), QPoint(x, self.height() // 2))
            width = self.fontMetrics().horizontalAdvance(text)
            left = x + 3 if value == values[-1] else x - 3 - width
            painter.drawText(max(left, 0), self.fontMetrics().ascent(), text)
        painter.end()


class _WheelGuard(QObject):
    """Leaves the wheel to the scroll area while a widget has no focus."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Wheel and isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()
            return True
        return False


def leave_wheel(widget: QWidget) -> None:
    """Keep the wheel from changing a widget that the user only scrolls past."""
    widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    widget.installEventFilter(_WheelGuard(widget))
