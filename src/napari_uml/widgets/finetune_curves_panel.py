"""How training goes: losses and validation figures as curves, figures in words, and pictures that get better."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtGui import QPalette, QPixmap
from qtpy.QtWidgets import QLabel, QVBoxLayout

from napari_uml.training.pace import in_words
from napari_uml.training.plan import PREVIEW
from napari_uml.widgets.finetune_session import Stage
from napari_uml.widgets.panel import Panel, scroll_to
from napari_uml.widgets.slices_panel import CLASS_COLORS, DASHES, MISSING
from napari_uml.widgets.sweep_plot import Line, key_words, line_pen, quiet_plot

if TYPE_CHECKING:
    from napari_uml.results import EpochReport
    from napari_uml.widgets.finetune_bench import FinetuneBench
    from napari_uml.widgets.finetune_session import FinetuneSession

LOSSES = {"mutual": "mutual mask", "class": "class", "mask": "final mask"}
FIGURES = {"auc": "AUC", "acc": "accuracy"}
DICE = "dice_present/"
WIDTH = 2.0
PICTURE = 310
"""Width of the pictures, pixels: that of a narrow dock."""
EMPTY = "Curves appear after the first epoch."


class CurvesPanel(Panel):
    """Two plots over the epochs, a line of figures, and the validation pictures: truth above, found below."""

    title = "Progress"
    bench: FinetuneBench
    session: FinetuneSession  # type: ignore[assignment]  # the dock has another session

    def _build(self) -> None:
        self.plots: list[Any] = []
        self.curves: dict[str, Any] = {}
        self.keys, self.words, self.picture = [QLabel(EMPTY), QLabel()], QLabel(), QLabel()
        self.words.setToolTip("Of the last epoch; the memory is the largest that the training process took.")
        self.words.setAccessibleName("Figures of the last epoch")
        self.picture.setToolTip("Validation images: above the truth, below what the network finds now.")
        self.picture.setAccessibleName("Validation pictures")
        self.keys[0].setToolTip("The three losses on the training images; the smaller the better.")
        self.keys[1].setToolTip("Figures on the validation images; 1 is best.")
        self._picture_due = QTimer(self, singleShot=True)  # in an event of its own, after the curves are drawn
        self._picture_due.timeout.connect(self._show_picture)
        self._to_be_seen = False  # the dock scrolls to the first curves of a run, then never against the user
        self._rows = QVBoxLayout(self)
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setSpacing(2)
        for label in (*self.keys, self.words, self.picture):
            label.setWordWrap(label is not self.picture)
            self._rows.addWidget(label)
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)

    def _connect(self) -> None:
        self.session.events.reports.connect(self._show_reports)
        self.session.events.stage.connect(self._on_stage)
        self.session.events.step.connect(self._prepare)
        self._show_reports()

    def _on_stage(self) -> None:
        if self.session.stage is Stage.TRAINING:
            self._to_be_seen = True
            self.unfold()

    def _show_reports(self) -> None:
        reports = self.session.reports
        self.words.setText(figures_in_words(reports[-1]) if reports else "")
        self._picture_due.start()
        if not reports:
            self.keys[0].setText(EMPTY)
            self.keys[1].clear()
            for plot in self.plots:
                plot.hide()
            return
        while self._show_plot():
            pass
        if self.plots:
            self._draw()

    def _prepare(self) -> None:
        """Show one more empty plot at a step of the first epoch: each takes the window a moment, not all at once."""
        if not self.session.reports and self.session.step.step > 0 and self._show_plot():
            self.plots[-1].clear()
            self._dress(self.plots[-1])

    def _show_plot(self) -> bool:
        """Show a plot that is hidden, or make the next one; False when both are seen, or there is no pyqtgraph."""
        hidden = next((plot for plot in self.plots if plot.isHidden()), None)
        if hidden is not None:
            hidden.show()
            return True
        if len(self.plots) == len(self.keys):
            return False
        try:
            import pyqtgraph  # by now the thread that listens to the process has imported it
        except ModuleNotFoundError:
            self.keys[0].setText(MISSING)
            return False
        plot = quiet_plot(pyqtgraph)
        if not self.plots:
            plot.enableAutoRange(y=True)
            plot.getAxis("left").setTicks(None)
        else:
            plot.setLabel("bottom", "epoch")
            plot.setFixedHeight(plot.height() + 30)
        plot.hide()
        self._rows.insertWidget(1 + 2 * len(self.plots), plot)
        self.plots.append(plot)
        return True

    def _draw(self) -> None:
        """All anew: a run has some hundred points at most."""
        reports = self.session.reports
        light = self.palette().color(QPalette.ColorRole.Window).lightness() > 127
        epochs = [report.epoch for report in reports]
        self.curves = {}
        groups = loss_lines(light), figure_lines(reports, light)
        for plot, key, lines in zip(self.plots, self.keys, groups, strict=True):
            self._dress(plot)
            plot.clear()
            for line in lines:
                values = [value_of(report, line.name) for report in reports]
                known = [(e, v) for e, v in zip(epochs, values, strict=True) if v is not None]
                symbol = "o" if len(known) == 1 else None
                self.curves[line.name] = plot.plot(
                    *zip(*known, strict=True), pen=line_pen(line.color, WIDTH, line.dash), symbol=symbol
                )
            plot.setXRange(1, max(2, reports[-1].epochs), padding=0.02)
            key.setText("&nbsp; ".join(map(key_words, lines)))

    def _dress(self, plot: Any) -> None:
        text = self.palette().color(QPalette.ColorRole.WindowText)
        plot.setBackground(self.palette().color(QPalette.ColorRole.Window))
        for side in ("left", "bottom"):
            plot.getAxis(side).setPen(text)
            plot.getAxis(side).setTextPen(text)

    def _show_picture(self) -> None:
        run = self.session.run
        pixmap = QPixmap(str(run / PREVIEW)) if run is not None and self.session.reports else QPixmap()
        self.picture.setVisible(not pixmap.isNull())
        if not pixmap.isNull():
            self.picture.setPixmap(pixmap.scaledToWidth(PICTURE, Qt.TransformationMode.SmoothTransformation))
        if self._to_be_seen and self.session.reports:
            self._to_be_seen = False
            scroll_to(self)

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and getattr(self, "plots", None) and self.session.reports:
            self._draw()


def loss_lines(light: bool) -> list[Line]:
    """The three losses, in colours for a light or a dark ground."""
    colors = [pair[light] for pair in CLASS_COLORS]
    return [
        Line(f"loss/{name}", text, color, DASHES[0])
        for (name, text), color in zip(LOSSES.items(), colors, strict=False)
    ]


def figure_lines(reports: tuple[EpochReport, ...], light: bool) -> list[Line]:
    """Dice of every structure, AUC and accuracy, as far as the reports have them."""
    names = list(dict.fromkeys(name for report in reports for name in report.metrics))
    shown = {name: f"Dice {name.removeprefix(DICE)}" for name in names if name.startswith(DICE)}
    shown |= {name: text for name, text in FIGURES.items() if name in names}
    return [
        Line(name, text, CLASS_COLORS[n % len(CLASS_COLORS)][light], DASHES[n // len(CLASS_COLORS) % len(DASHES)])
        for n, (name, text) in enumerate(shown.items())
    ]


def value_of(report: EpochReport, name: str) -> float | None:
    """A loss (`loss/NAME`) or a validation figure of an epoch; None where it has none."""
    if name.startswith("loss/"):
        return report.losses.get(name.removeprefix("loss/"))
    return report.metrics.get(name)


def figures_in_words(report: EpochReport) -> str:
    """What is no curve: epoch, time left, speed, learning rate and memory."""
    left = "done" if report.stopped else f"{in_words(report.eta_seconds)} left"
    return (
        f"Epoch {report.epoch} of {report.epochs} · {left} · {report.images_per_second:.1f} images/s · learning rate "
        f"{report.learning_rate:.1e} · {report.memory_mb / 1000:.1f} GB"
    )
