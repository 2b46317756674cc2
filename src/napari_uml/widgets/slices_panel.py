"""Beliefs and uncertainty over the slices of a stack; a click or a drag moves the slider."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QColor, QPalette, QPen
from qtpy.QtWidgets import QLabel, QVBoxLayout

from napari_uml.widgets.belief_bars import UNCERTAINTY, UNCERTAINTY_COLORS
from napari_uml.widgets.looking import move_sliders
from napari_uml.widgets.panel import Panel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from qtpy.QtCore import QEvent

    from napari_uml.widgets.session import Result

MISSING = "Plots need the package pyqtgraph: run `pip install pyqtgraph` and restart napari."
EMPTY = "Analyse all slices of a stack to see beliefs and uncertainty over them."
TIP = "Belief in every class and uncertainty u, slice by slice. Click or drag to move the slider."
HEIGHT = 150
CLASS_COLORS = (("#56B4E9", "#0072B2"), ("#E69F00", "#B36200"), ("#2DBE8D", "#007A5A"), ("#F0E442", "#7A7000"))
"""Of the lines, on dark and on light ground; classes beyond the fourth begin again, with another dash."""
DASHES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DashDotLine)
"""Uncertainty is dotted."""
SAMPLES = {
    Qt.PenStyle.SolidLine: "━━",
    Qt.PenStyle.DashLine: "╍╍",
    Qt.PenStyle.DashDotLine: "━╍",
    Qt.PenStyle.DotLine: "┅┅",
}


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A line of the plot: its name, one value a slice, and how it is drawn."""

    name: str
    values: NDArray[np.float64]
    color: str
    dash: Qt.PenStyle


class SlicesPanel(Panel):
    """The plot, and a line at the slice in view."""

    title = "Over the slices"
    tour = "<b>Over the slices</b> of a stack: belief and uncertainty. Click or drag in the plot to move the slider."

    def _build(self) -> None:
        self.note, self.key = QLabel(EMPTY), QLabel()
        for label in (self.note, self.key):
            label.setWordWrap(True)
        self.key.setToolTip(TIP)
        self.plot: Any = None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.note)
        layout.addWidget(self.key)

    def _build_plot(self) -> None:
        """Make the plot when the first one is wanted, because pyqtgraph takes a while to be imported."""
        try:
            import pyqtgraph
        except ModuleNotFoundError:
            self.note.setText(MISSING)
            return
        self.plot = pyqtgraph.PlotWidget()
        self.plot.setFixedHeight(HEIGHT)
        self.plot.setToolTip(TIP)
        self.plot.setAccessibleName("Beliefs and uncertainty over the slices")
        self.plot.setMenuEnabled(False)
        self.plot.hideButtons()
        self.plot.setMouseEnabled(x=False, y=False)
        self.plot.setYRange(0, 1, padding=0.06)
        self.plot.getAxis("left").setTicks([[(0, "0"), (0.5, "0.5"), (1, "1")]])
        self.plot.setLabel("bottom", "slice")
        self.marker = pyqtgraph.InfiniteLine(0, movable=True)
        self.marker.sigPositionChanged.connect(self._on_dragged)
        self.plot.scene().sigMouseClicked.connect(self._on_clicked)
        self.layout().addWidget(self.plot)

    def _connect(self) -> None:
        self.session.events.result.connect(self._show_result)
        self.session.events.position.connect(self._show_position)
        self._show_result()

    @property
    def _stack(self) -> Result | None:
        result = self.session.result
        return result if result is not None and result.done > 1 else None

    def _show_result(self) -> None:
        result = self._stack
        if result is not None and self.plot is None:
            self._build_plot()
        drawn = result is not None and self.plot is not None
        self.note.setVisible(not drawn)
        self.key.setVisible(drawn)
        if self.plot is not None:
            self.plot.setVisible(drawn)
        if result is not None and drawn:
            self._draw(result)

    def _draw(self, result: Result) -> None:
        light = self.palette().color(QPalette.ColorRole.Window).lightness() > 127
        self._dress()
        self.plot.clear()
        words = []
        for curve in curves(result, light):
            pen = QPen(QColor(curve.color), 1.5, curve.dash)
            pen.setCosmetic(True)
            self.plot.plot(np.arange(result.done), curve.values, pen=pen)
            words.append(f'<span style="color:{curve.color}">{SAMPLES[curve.dash]}</span>&nbsp;{escape(curve.name)}')
        self.key.setText("&nbsp;&nbsp; ".join(words))
        self.marker.setBounds((0, result.done - 1))
        self.plot.addItem(self.marker, ignoreBounds=True)
        self.plot.setXRange(0, result.total - 1, padding=0.02)
        self._show_position()

    def _dress(self) -> None:
        """Take the colours of the theme."""
        palette = self.palette()
        text = palette.color(QPalette.ColorRole.WindowText)
        self.plot.setBackground(palette.color(QPalette.ColorRole.Window))
        for side in ("left", "bottom"):
            self.plot.getAxis(side).setPen(text)
            self.plot.getAxis(side).setTextPen(text)
        for width, set_pen in ((1.5, self.marker.setPen), (3.0, self.marker.setHoverPen)):
            pen = QPen(text, width)
            pen.setCosmetic(True)
            set_pen(pen)

    def _show_position(self) -> None:
        result = self._stack
        if self.plot is not None and result is not None:
            with QSignalBlocker(self.marker):
                self.marker.setPos(result.slice_at(self.session.position))

    def _on_dragged(self) -> None:
        self._go(self.marker.value())

    def _on_clicked(self, event: Any) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self._go(self.plot.plotItem.vb.mapSceneToView(event.scenePos()).x())

    def _go(self, place: float) -> None:
        result, image = self._stack, self.bench.image
        if result is None or image is None or result.request.reading.stack_axis is None:
            return
        element = list(self.session.position)
        element[result.request.reading.stack_axis] = int(np.clip(round(place), 0, result.done - 1))
        move_sliders(self.bench.viewer, image, element[: image.ndim])

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() == event.Type.PaletteChange and self.plot is not None:
            self._show_result()


def curves(result: Result, light: bool) -> Iterator[Curve]:
    """The belief in every class, then u, over the analysed slices; colours for a light or a dark ground."""
    opinions = result.prediction.opinions
    for number, name in enumerate(opinions[0].class_names):
        color = CLASS_COLORS[number % len(CLASS_COLORS)][light]
        dash = DASHES[number // len(CLASS_COLORS) % len(DASHES)]
        yield Curve(name, np.array([float(o.belief[number]) for o in opinions]), color, dash)
    doubt = np.array([o.uncertainty for o in opinions])
    yield Curve(UNCERTAINTY, doubt, UNCERTAINTY_COLORS[light], Qt.PenStyle.DotLine)
