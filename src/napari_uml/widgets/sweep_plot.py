"""The curves of a sweep: the opinion above, the mask below, each with the range of its draws as a band."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QColor, QPalette, QPen, QPixmap
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_uml.evaluation.sweep import AGREEMENT, NOISE, PIXEL_UNCERTAINTY, TRUTH, UNCERTAINTY
from napari_uml.inference.corruptions import KINDS
from napari_uml.widgets.belief_bars import UNCERTAINTY_COLORS
from napari_uml.widgets.slices_panel import CLASS_COLORS, DASHES, MISSING, SAMPLES
from napari_uml.widgets.small_print import print_small

if TYPE_CHECKING:
    from napari_uml.evaluation.sweep import Sweep
    from napari_uml.results import Corruption

NOISE_TITLE = "Noise \N{GREEK SMALL LETTER SIGMA}"
HEIGHT, AXIS_HEIGHT = 94, 30
LINE_WIDTH = 2.0
BAND_ALPHA = 55
AGREEMENT_COLORS, TRUTH_COLORS = ("#E6E6E6", "#202020"), ("#E69F00", "#B36200")
TIP = "Lines: mean over the draws. Bands: lowest to highest draw. Upright line: the strength that is set now."


@dataclass(frozen=True, slots=True)
class Line:
    """How a curve is drawn: its name in the sweep, its name for people, colour and dash."""

    name: str
    text: str
    color: str
    dash: Qt.PenStyle


def opinion_lines(class_names: tuple[str, ...], light: bool) -> list[Line]:
    """The beliefs and u, in colours for a light or a dark ground."""
    lines = []
    for number, name in enumerate(class_names):
        dash = DASHES[number // len(CLASS_COLORS) % len(DASHES)]
        lines.append(Line(name, name, CLASS_COLORS[number % len(CLASS_COLORS)][light], dash))
    return [*lines, Line(UNCERTAINTY, "uncertainty u", UNCERTAINTY_COLORS[light], Qt.PenStyle.DotLine)]


def mask_lines(light: bool) -> list[Line]:
    """Agreement of the masks and the mean pixel uncertainty, in colours for a light or a dark ground."""
    return [
        Line(AGREEMENT, "Dice with clean mask", AGREEMENT_COLORS[light], Qt.PenStyle.SolidLine),
        Line(TRUTH, "with truth", TRUTH_COLORS[light], Qt.PenStyle.DashLine),
        Line(PIXEL_UNCERTAINTY, "mean pixel u", UNCERTAINTY_COLORS[light], Qt.PenStyle.DotLine),
    ]


class SweepPlot(QWidget):
    """Two plots with one axis, and their keys."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._sweep: Sweep | None = None
        self._marker: tuple[float, Corruption | None] = (0.0, None)
        self.plots: list[Any] = []
        self._curves: dict[str, _Curve] = {}
        self._width = LINE_WIDTH
        self.keys, self.about = [QLabel(), QLabel()], QLabel()
        print_small(self.about)
        self.about.setTextFormat(Qt.TextFormat.PlainText)
        self.setToolTip(TIP)
        self.setAccessibleName("Sweep")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(1)
        for label in (*self.keys, self.about):
            label.setWordWrap(True)
            layout.addWidget(label)

    def show_sweep(self, sweep: Sweep) -> None:
        """Draw what is known of a sweep."""
        if not self.plots:
            self._build_plots()
        if not self.plots:
            return
        if self._sweep is None or (self._sweep.plan, *self._sweep.values) != (sweep.plan, *sweep.values):
            self._begin(sweep)
        self._sweep = sweep
        x = np.array(sweep.plan.strengths, dtype=float)
        for name, curve in self._curves.items():
            mean, *edges = sweep.band(name)
            known = np.isfinite(mean)
            curve.line.setData(x[known], mean[known])
            for item, edge in zip(curve.edges, edges, strict=True):
                item.setData(x[known], edge[known])
        self._place_markers()

    def set_marker(self, sigma: float, corruption: Corruption | None) -> None:
        """Mark the strength that is set now."""
        self._marker = (sigma, corruption)
        self._place_markers()

    def picture(self, sharpness: int) -> QPixmap:
        """The plot with so many pixels for every pixel of the dock; lines, whose width is in pixels, grow with it."""
        picture = QPixmap(self.size() * sharpness)
        picture.setDevicePixelRatio(sharpness)
        self._redraw(LINE_WIDTH * sharpness)
        self.render(picture)
        self._redraw(LINE_WIDTH)
        return picture

    def _redraw(self, width: float) -> None:
        """Draw all anew, for another theme or with wider lines."""
        self._width = width
        if self._sweep is not None and self.plots:
            self._begin(self._sweep)
            self.show_sweep(self._sweep)

    def _build_plots(self) -> None:
        """Make the plots when the first ones are wanted, because pyqtgraph takes a while to be imported."""
        try:
            import pyqtgraph
        except ModuleNotFoundError:
            self.keys[0].setText(MISSING)
            return
        for position in (1, 3):
            plot = quiet_plot(pyqtgraph)
            plot.marker = pyqtgraph.InfiniteLine(0)
            self.plots.append(plot)
            self.layout().insertWidget(position, plot)

    def _begin(self, sweep: Sweep) -> None:
        """Empty the plots, in the colours of the theme, and make the curves of a sweep."""
        light = self.palette().color(QPalette.ColorRole.Window).lightness() > 127
        self._curves = {}
        groups = (opinion_lines(sweep.class_names, light), mask_lines(light))
        for plot, key, lines in zip(self.plots, self.keys, groups, strict=True):
            shown = [line for line in lines if line.name in sweep.values]
            self._dress(plot)
            plot.clear()
            self._curves |= {line.name: _curve(plot, line, self._width) for line in shown}
            plot.addItem(plot.marker, ignoreBounds=True)
            plot.setXRange(sweep.plan.strengths[0], sweep.plan.strengths[-1], padding=0.02)
            key.setText("&nbsp; ".join(map(key_words, shown)))
            for part in (plot, key):
                part.setVisible(bool(shown))  # a system that finds no mask, or tells no classes apart
        self._label_lowest(axis_title(sweep.plan.over))

    def _label_lowest(self, title: str) -> None:
        """Give the axis that both plots share to the lower one."""
        lowest = next(plot for plot in reversed(self.plots) if not plot.isHidden())
        for plot in self.plots:
            plot.setLabel("bottom", title)
            plot.getAxis("bottom").showLabel(plot is lowest)
            plot.getAxis("bottom").setStyle(showValues=plot is lowest)
            plot.setFixedHeight(HEIGHT + AXIS_HEIGHT * (plot is lowest))

    def _dress(self, plot: Any) -> None:
        """Take the colours of the theme."""
        text = self.palette().color(QPalette.ColorRole.WindowText)
        plot.setBackground(self.palette().color(QPalette.ColorRole.Window))
        for side in ("left", "bottom"):
            plot.getAxis(side).setPen(text)
            plot.getAxis(side).setTextPen(text)
        plot.marker.setPen(line_pen(text, self._width / 2, Qt.PenStyle.SolidLine))

    def _place_markers(self) -> None:
        if self._sweep is None:
            return
        sigma, corruption = self._marker
        over = self._sweep.plan.over
        here = sigma if over == NOISE else corruption.strength if corruption and corruption.kind == over else None
        for plot in self.plots:
            plot.marker.setVisible(here is not None)
            plot.marker.setPos(here or 0.0)

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self._redraw(self._width)


@dataclass(frozen=True, slots=True, eq=False)
class _Curve:
    """The items of a plot that show one curve: its line, and the edges of its band."""

    line: Any
    edges: tuple[Any, Any]


def _curve(plot: Any, line: Line, width: float) -> _Curve:
    import pyqtgraph

    fill = QColor(line.color)
    fill.setAlpha(BAND_ALPHA)
    edges = pyqtgraph.PlotCurveItem(pen=None), pyqtgraph.PlotCurveItem(pen=None)
    plot.addItem(pyqtgraph.FillBetweenItem(*edges, brush=fill), ignoreBounds=True)
    return _Curve(plot.plot(pen=line_pen(line.color, width, line.dash)), edges)


def key_words(line: Line) -> str:
    """A piece of a plot's key, as rich text."""
    words = escape(line.text).replace(" ", "&nbsp;")
    return f'<span style="color:{line.color}">{SAMPLES[line.dash]}</span>&nbsp;{words}'


def axis_title(over: str) -> str:
    """What the strengths of a sweep are."""
    if over == NOISE:
        return NOISE_TITLE
    return "JPEG, 100 - quality" if over == "jpeg" else KINDS[over].title


def quiet_plot(pyqtgraph: Any) -> Any:
    """A plot from 0 to 1 that the mouse cannot move, and that leaves the wheel to the scroll area."""

    class Plot(pyqtgraph.PlotWidget):
        def wheelEvent(self, event: Any) -> None:
            event.ignore()

    plot = Plot(enableMenu=False)
    plot.setFixedHeight(HEIGHT)
    plot.hideButtons()
    plot.setMouseEnabled(x=False, y=False)
    plot.setYRange(0, 1, padding=0.09)
    plot.getAxis("left").setTicks([[(0, "0"), (0.5, "0.5"), (1, "1")]])
    plot.getAxis("bottom").enableAutoSIPrefix(False)  # else 0.3 becomes 300 thousandths
    plot.showGrid(x=False, y=True, alpha=0.25)
    return plot


def line_pen(color: Any, width: float, dash: Qt.PenStyle) -> QPen:
    """A pen whose width is in pixels, whatever the scale of the plot."""
    pen = QPen(QColor(color), width, dash)
    pen.setCosmetic(True)
    return pen
