"""Bars of an opinion: one for the belief in every class and a hatched one for the uncertainty."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QBrush, QColor, QFontMetrics, QPainter, QPalette
from qtpy.QtWidgets import QSizePolicy, QWidget

if TYPE_CHECKING:
    from qtpy.QtGui import QPaintEvent

    from napari_uml.results import Opinion

BELIEF_COLORS = ("#56B4E9", "#0072B2")
"""Of the bars, on dark and on light ground (Okabe and Ito)."""
UNCERTAINTY_COLORS = ("#F08CD2", "#A3238E")
"""Of the hatching, on dark and on light ground; magenta as the uncertainty layer."""
UNCERTAINTY, ENTROPY = "uncertainty", "entropy"
SUM = "The beliefs and the uncertainty sum to 1."
ENTROPY_TIP = "This model has no evidence: these are probabilities, and the entropy says how evenly they are spread."

_MARGIN, _GAP, _BAR = 5, 8, 0.55  # pixels at the sides and between columns; height of a bar as a share of its row


class BeliefBars(QWidget):
    """Shows an opinion; before there is one, the names of the classes with empty bars.

    Parameters
    ----------
    named
        Whether the names stand before the bars; a second set beside the first needs none.
    """

    def __init__(self, parent: QWidget | None = None, named: bool = True) -> None:
        super().__init__(parent)
        self._named = named
        self._names: tuple[str, ...] = ()
        self._values: tuple[float, ...] = ()
        self._doubt = UNCERTAINTY
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Belief bars")

    def set_opinion(self, opinion: Opinion | None, class_names: tuple[str, ...] = ()) -> None:
        """Show an opinion, or empty bars for the classes."""
        evidence = opinion is None or opinion.measure == "vacuity"
        self._doubt = UNCERTAINTY if evidence else ENTROPY
        self._names = (*(opinion.class_names if opinion else class_names), self._doubt)
        self._values = (*map(float, opinion.belief), opinion.uncertainty) if opinion else ()
        text = in_words(opinion) if opinion else "No opinion yet."
        self.setAccessibleDescription(text)
        self.setToolTip(f"{text}\n{SUM if evidence else ENTROPY_TIP}" if opinion else text)
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """Wide enough for names and numbers, one row each."""
        return QSize(300 if self._named else 120, self._row_height() * max(len(self._names), 2))

    def minimumSizeHint(self) -> QSize:
        """As high as the hint; names are shortened where it is narrow."""
        return QSize(160 if self._named else 90, self.sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw one row a class: name, bar, number."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        metrics = self.fontMetrics()
        name_width = self._name_width()
        number_width = metrics.horizontalAdvance("0.000")
        row = float(self._row_height())
        for number, name in enumerate(self._names):
            value = self._values[number] if self._values else None
            top = number * row
            label = metrics.elidedText(name, Qt.TextElideMode.ElideMiddle, name_width)
            cell = QRectF(_MARGIN, top, name_width, row)
            if self._named:
                self._text(painter, cell, Qt.AlignmentFlag.AlignLeft, label, self._is_top(number))
            right = self.width() - _MARGIN - number_width
            bar = QRectF(cell.right() + (_GAP if self._named else 0), top + row * (1 - _BAR) / 2, 0, row * _BAR)
            bar.setRight(right - _GAP)
            self._bar(painter, bar, value, name is self._doubt)
            cell = QRectF(right, top, number_width, row)
            text = "" if value is None else f"{value:.2f}"
            self._text(painter, cell, Qt.AlignmentFlag.AlignRight, text, self._is_top(number))
        painter.end()

    def _row_height(self) -> int:
        return int(self.fontMetrics().height() * 1.45)

    def _name_width(self) -> int:
        if not self._named:
            return 0
        bold = self.font()
        bold.setBold(True)  # as the most believed class is
        advances = (QFontMetrics(bold).horizontalAdvance(name) for name in self._names)
        return min(max(advances, default=0) + 2, self.width() * 2 // 5)

    def _is_top(self, number: int) -> bool:
        beliefs = self._values[:-1]
        return bool(beliefs) and number < len(beliefs) and beliefs[number] == max(beliefs)

    def _text(self, painter: QPainter, cell: QRectF, side: Qt.AlignmentFlag, text: str, bold: bool) -> None:
        font = self.font()
        font.setBold(bold)
        painter.setFont(font)
        painter.setPen(self.palette().color(QPalette.ColorRole.WindowText))
        painter.drawText(cell, side | Qt.AlignmentFlag.AlignVCenter, text)

    def _bar(self, painter: QPainter, whole: QRectF, value: float | None, hatched: bool) -> None:
        palette = self.palette()
        light = palette.color(QPalette.ColorRole.Window).lightness() > 127
        track = QColor(palette.color(QPalette.ColorRole.WindowText))
        track.setAlpha(28)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(track)
        painter.drawRoundedRect(whole, 2, 2)
        if value is None:
            return
        filled = QRectF(whole)
        filled.setWidth(whole.width() * min(max(value, 0.0), 1.0))
        color = QColor((UNCERTAINTY_COLORS if hatched else BELIEF_COLORS)[light])
        if hatched:
            faint = QColor(color)
            faint.setAlpha(70)
            painter.setBrush(faint)
            painter.drawRect(filled)
            painter.setPen(color)
            painter.setBrush(QBrush(color, Qt.BrushStyle.BDiagPattern))
            painter.drawRect(filled.adjusted(0.5, 0.5, -0.5, -0.5))
        else:
            painter.setBrush(color)
            painter.drawRoundedRect(filled, 2, 2)


def in_words(opinion: Opinion) -> str:
    """An opinion as a sentence, for a screen reader."""
    beliefs = ", ".join(f"{name} {value:.2f}" for name, value in zip(opinion.class_names, opinion.belief, strict=True))
    what, doubt = ("Belief", UNCERTAINTY) if opinion.measure == "vacuity" else ("Probability", ENTROPY)
    return f"{what}: {beliefs}; {doubt} {opinion.uncertainty:.2f}."
