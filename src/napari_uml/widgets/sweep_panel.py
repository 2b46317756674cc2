"""Sweep: the answer over the strength of noise or another corruption, as curves, CSV and PNG."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtCore import QSignalBlocker, QTimer
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget
from superqt.utils import QSignalThrottler

from napari_uml.errors import UMLError
from napari_uml.evaluation.sweep import DRAWS, NOISE, Plan, in_words, to_csv
from napari_uml.files import replacing, write_text
from napari_uml.inference.corruptions import KINDS
from napari_uml.widgets.amount import leave_wheel
from napari_uml.widgets.gentle_import import import_plots
from napari_uml.widgets.jobs import sweep_job
from napari_uml.widgets.layer_arrays import array_of
from napari_uml.widgets.layers import is_result
from napari_uml.widgets.panel import Panel, add_row, ask_for_file, fill, form, narrow, scroll_to
from napari_uml.widgets.session import State, SweepResult, ready_reason
from napari_uml.widgets.sweep_plot import NOISE_TITLE, SweepPlot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari.layers import Layer

    from napari_uml.widgets.jobs import Job
    from napari_uml.widgets.session import Predictor, Request

TIP = "Look again and again with more and more of it: beliefs, uncertainty, and how far the mask stays the same."
OVER_TIP = "What to vary; the other one stays as it is set above."
TRUTH_TIP = "A labels layer with the true structures, to compare every mask with."
REDRAW_MS = 100
SHARPNESS = 3
"""Pixels of the PNG for every pixel of the dock."""


class SweepPanel(Panel):
    """What to vary, the button, the curves, and saving them."""

    def _build(self) -> None:
        self.over, self.truth = QComboBox(), narrow(QComboBox())
        self.start = QPushButton()
        self.csv, self.png = QPushButton("CSV…"), QPushButton("PNG…")
        self.csv.setToolTip("Save the numbers of every look as a table.")
        self.png.setToolTip("Save the plot as a picture.")
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.plot = SweepPlot()
        for combo in (self.over, self.truth):
            leave_wheel(combo)
        rows, buttons = QWidget(), QHBoxLayout()
        self.truth.setMinimumContentsLength(6)
        word = QLabel("Truth")
        word.setBuddy(self.truth)
        word.setToolTip(TRUTH_TIP)
        self.truth.setToolTip(TRUTH_TIP)
        self.truth.setAccessibleName("Truth")
        fields, pair = QWidget(), QHBoxLayout()
        pair.setContentsMargins(0, 0, 0, 0)
        for part, stretch in ((self.over, 1), (word, 0), (self.truth, 1)):
            pair.addWidget(part, stretch)
        fields.setLayout(pair)
        self.over.setToolTip(OVER_TIP)
        self.over.setAccessibleName("Vary")
        add_row(form(rows), "Vary", fields, OVER_TIP)
        buttons.addWidget(self.start, 1)
        buttons.addWidget(self.csv)
        buttons.addWidget(self.png)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(rows)
        layout.addLayout(buttons)
        for part in (self.plot, self.words):
            layout.addWidget(part)

    def _connect(self) -> None:
        self._sweeping = self._unseen = False
        self._of = ""  # key of the image that the truth is about
        self.start.clicked.connect(self._on_start)
        self.csv.clicked.connect(self._on_csv)
        self.png.clicked.connect(self._on_png)
        events = self.session.events
        for signal in (events.state, events.source, events.model, events.models, events.area, events.box):
            signal.connect(self._show_state)
        self._later = QTimer(self)  # when the plot has got its place
        self._later.setSingleShot(True)
        self._later.timeout.connect(partial(scroll_to, self))
        self.pace = QSignalThrottler(parent=self)
        self.pace.setTimeout(REDRAW_MS)
        self.pace.triggered.connect(self._show_sweep)
        self.bench.closing.connect(self.pace.cancel)
        events.sweep.connect(self._on_sweep)
        events.source.connect(self._show_sweep)
        for signal in (events.sigma, events.corruption):
            signal.connect(self._show_setting)
        events.source.connect(self._on_source)
        self.bench.images_changed.connect(self._show_truths)
        self._show_setting()
        self._show_truths()
        self._show_state()
        self._show_sweep()

    @property
    def result(self) -> SweepResult | None:
        """The sweep of the chosen image."""
        found, source = self.session.sweep, self.session.source
        return found if found and source and found.request.source.key == source.key else None

    def _show_setting(self) -> None:
        corruption, chosen = self.session.corruption, self.over.currentData()
        items = [(NOISE_TITLE, NOISE)]
        if corruption is not None:
            items.append((KINDS[corruption.kind].title, corruption.kind))
        fill(self.over, items, chosen if chosen in [name for _, name in items] else NOISE)
        self.plot.set_marker(self.session.sigma, corruption)

    def _show_truths(self) -> None:
        """Offer the labels layers of the size of the image, but not the network's own."""
        chosen = self.truth.currentData()
        items = [("none", None), *((layer.name, str(layer.unique_id)) for layer in self._truths())]
        fill(self.truth, items, chosen)
        if self.truth.currentIndex() < 0:
            with QSignalBlocker(self.truth):
                self.truth.setCurrentIndex(0)

    def _on_source(self) -> None:
        """The truth of one image is not that of another, even where it has its size."""
        source = self.session.source
        if source is None or source.key != self._of:
            self._of = "" if source is None else source.key
            self.truth.setCurrentIndex(0)
        self._show_truths()

    def _truths(self) -> list[Layer]:
        source = self.session.source
        if source is None:
            return []
        shape = source.shape[:-1] if source.rgb else source.shape
        layers = [layer for layer in self.bench.viewer.layers if isinstance(layer, Labels) and not is_result(layer)]
        return [layer for layer in layers if array_of(layer).shape == shape]

    def _show_state(self) -> None:
        reason, state = ready_reason(self.session), self.session.state
        if state is State.IDLE and self._sweeping:
            self._sweeping = False
            self._show_sweep()
        cancelling = state is State.CANCELLING
        self.start.setText(("Cancelling…" if cancelling else "Cancel") if self._sweeping else "Sweep")
        self.start.setEnabled(not cancelling if self._sweeping else not reason)
        stop = "Stop and keep what is known."
        self.start.setToolTip(stop if self._sweeping else reason or f"{TIP} {DRAWS} draws of the noise.")

    def _show_sweep(self) -> None:
        found = self.result
        for part in (self.plot, self.words):
            part.setVisible(found is not None)
        for button in (self.csv, self.png):
            button.setEnabled(found is not None)
        if found is not None:
            self.plot.show_sweep(found.sweep)
            self.words.setText(in_words(found.sweep))
            self.plot.about.setText(describe(found))
            self.plot.setAccessibleDescription(self.words.text())
            if self._unseen:
                self._unseen = False
                self._later.start(0)

    def _on_sweep(self) -> None:
        """Draw at once what is complete, and growing curves at a leisurely pace."""
        if self._sweeping:
            self.pace.throttle()
        else:
            self._show_sweep()

    def _on_start(self) -> None:
        if self._sweeping:
            self.bench.cancel()
            return
        session = self.session
        first = session.seed
        plan = Plan(self.over.currentData(), session.sigma, session.corruption, tuple(range(first, first + DRAWS)))
        truth = self.bench.layer(self.truth.currentData() or "")
        self._sweeping = True
        self._unseen = True
        self.bench.start(partial(sweep_with_plots, plan, None if truth is None else array_of(truth)))

    def _on_csv(self) -> None:
        result = self.result
        if result is not None:
            self._save("csv", lambda path: save_csv(path, result))

    def _on_png(self) -> None:
        self._save("png", lambda path: save_png(path, self.plot))

    def _save(self, ending: str, write: Callable[[Path], None]) -> None:
        """Ask for a file of that ending and write it, over no other file than the one that the dialog asked about."""
        name = self.session.source.name if self.session.source else "image"
        try:
            path = ask_for_file(self, "Save the sweep", f"{name} sweep", ending)
            if path is not None:
                write(path)
        except UMLError as error:
            self.bench.report(error)


def sweep_with_plots(plan: Plan, truth: Any, request: Request, data: Any) -> Job:
    """A sweep that also imports in its thread what the plot needs."""
    sweep = sweep_job(request, data, plan, truth)

    def job(predictor: Predictor, stopped: Callable[[], bool]) -> Iterator[object]:
        import_plots()
        yield from sweep(predictor, stopped)

    return job


def describe(result: SweepResult) -> str:
    """What a sweep is about, in one line."""
    plan, request = result.sweep.plan, result.request
    parts = [request.source.name]
    if request.reading.stack_axis is not None:
        parts.append(f"slice {request.position[request.reading.stack_axis]}")
    if request.box is not None:
        parts.append("a rectangle")
    parts.append(result.loaded.info.title)
    if plan.over == NOISE and plan.corruption is not None:
        parts.append(f"{KINDS[plan.corruption.kind].title} {plan.corruption.strength:g}")
    if plan.over != NOISE and plan.sigma:
        parts.append(f"noise {plan.sigma:g}")
    draws = f"mean and range of {len(plan.seeds)} draws"
    known = result.sweep.done
    parts.append(draws if known == plan.total else f"{known} of {plan.total} looks")
    return " · ".join(parts)


def save_csv(path: Path, result: SweepResult) -> None:
    """Write the numbers of a sweep.

    Raises
    ------
    UMLError
        When the file cannot be written.
    """
    context = [("image", result.request.source.name), ("model", result.loaded.info.name)]
    write_text(path, to_csv(result.sweep, context))


def save_png(path: Path, plot: SweepPlot) -> None:
    """Write a plot as a picture, sharper than it is on the screen.

    Raises
    ------
    UMLError
        When the file cannot be written.
    """
    picture = plot.picture(SHARPNESS)
    with replacing(path) as part:
        if not picture.save(str(part), "PNG"):  # Qt does not say why
            raise OSError("no place on the disk, or no right to write there")
