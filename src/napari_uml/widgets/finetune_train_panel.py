"""Train, Stop, how far it is, what went wrong, and the runs that can go on."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import (
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_uml import __version__
from napari_uml.widgets.finetune_session import Stage, not_ready
from napari_uml.widgets.panel import Panel, ProgressBar, fill, narrow

if TYPE_CHECKING:
    from pathlib import Path

    from napari_uml.training.run_state import FoundRun
    from napari_uml.widgets.finetune_bench import FinetuneBench
    from napari_uml.widgets.finetune_session import FinetuneSession

RESUME_TIP = "Go on after the last epoch, to the same numbers as without the interruption."
NO_SMALLER = "Nothing is left to train, or a batch is one image already."
COMPARE_TIP = "It was trained to its end: compare it with the model that it started from, and add it to your models."
SMALLER_TIP = (
    "Half the batch needs less memory. It is a new run that starts from the last epoch's weights: the learning rate "
    "goes through a new cycle, and the best epoch is looked for among the new ones."
)


class TrainPanel(Panel):
    """The buttons, the progress bar, the message, and what can be resumed."""

    bench: FinetuneBench
    session: FinetuneSession  # type: ignore[assignment]  # the dock has another session

    def _build(self) -> None:
        self.train, self.stop, self.progress = QPushButton("Train"), QPushButton("Stop"), ProgressBar()
        self.train.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.train.setAccessibleName("Train")
        self.stop.setAccessibleName("Stop training")
        self.progress.setAccessibleName("Progress of the training")
        self.progress.setToolTip("How much of the run is done.")
        self.message, self.copy = QLabel(), QPushButton("Copy report")
        self.message.setWordWrap(True)
        self.message.setTextFormat(Qt.TextFormat.PlainText)
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.message.setToolTip("What there is to tell.")
        self.copy.setToolTip("Copy the error and the end of the run's log, to be pasted into a bug report.")
        self.runs = narrow(QComboBox())
        self.runs.setToolTip("Runs that ended before they were done.")
        self.runs.setAccessibleName("Interrupted runs")
        self.resume, self.smaller = QPushButton("Resume"), QPushButton("With half the batch")
        self.resume.setToolTip(RESUME_TIP)
        self.smaller.setToolTip(SMALLER_TIP)
        self._told, self._offers = QWidget(), QWidget()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        buttons = QHBoxLayout()
        buttons.addWidget(self.train, 2)
        buttons.addWidget(self.stop, 1)
        layout.addLayout(buttons)
        layout.addWidget(self.progress)
        layout.addWidget(_row(self._told, (self.message, 1), (self.copy, 0)))
        offers = QGridLayout(self._offers)
        offers.setContentsMargins(0, 0, 0, 0)
        offers.addWidget(self.runs, 0, 0, 1, 2)
        offers.addWidget(self.resume, 1, 0)
        offers.addWidget(self.smaller, 1, 1)
        layout.addWidget(self._offers)

    def _connect(self) -> None:
        self.train.clicked.connect(self.bench.train)
        self.stop.clicked.connect(self.bench.stop)
        self.copy.clicked.connect(self._on_copy)
        self.resume.clicked.connect(partial(self._on_again, False))
        self.smaller.clicked.connect(partial(self._on_again, True))
        self.runs.activated.connect(self._show_offer)
        events = self.session.events
        for signal in (
            events.stage, events.folder, events.counts, events.problems, events.models, events.start, events.part,
            events.name, events.changes, events.mix_info,
        ):  # fmt: skip
            signal.connect(self._show_stage)
        for signal in (events.stage, events.step):
            signal.connect(self._show_progress)
        events.message.connect(self._show_message)
        for signal in (events.found, events.failure, events.stage):
            signal.connect(self._show_runs)
        for show in (self._show_stage, self._show_progress, self._show_message, self._show_runs):
            show()

    @property
    def chosen_run(self) -> FoundRun | None:
        """The interrupted run that the buttons are about."""
        path = self.runs.currentData()
        return next((run for run in self.session.found if run.folder == path), None)

    def _show_stage(self) -> None:
        stage, reason = self.session.stage, not_ready(self.session)
        self.train.setEnabled(not reason)
        self.train.setToolTip(reason or "Train in a process of its own; napari stays free.")
        self.stop.setEnabled(stage is Stage.TRAINING)
        self.stop.setText("Stopping…" if stage is Stage.STOPPING else "Stop")
        self.stop.setToolTip("Stop after the batch at hand; the best epoch becomes the model, and the run can go on.")
        self.progress.setVisible(stage is not Stage.IDLE)
        self._show_message()

    def _show_progress(self) -> None:
        step, stage = self.session.step, self.session.stage
        known = step.epochs > 0 and step.steps > 0 and stage is not Stage.JUDGING
        if known:
            done = (step.epoch - 1) * step.steps + step.step
            self.progress.show_progress(done, step.epochs * step.steps, f"epoch {step.epoch} of {step.epochs}")
        else:
            self.progress.show_progress(0, 0)

    def _show_message(self) -> None:
        message, reason = self.session.message, not_ready(self.session)
        idle = self.session.stage is Stage.IDLE
        saves = "Saving the best epoch…" if self.session.step.epoch > 1 else "Stopping…"
        words = {Stage.TRAINING: "", Stage.STOPPING: saves}
        words[Stage.JUDGING] = "Comparing with the start model on the validation images…"
        text = message.text if message else (reason if idle else words[self.session.stage])
        self._told.setVisible(bool(text))
        self.message.setText(text)
        self.copy.setVisible(message is not None and message.kind == "error")

    def _show_runs(self) -> None:
        session, chosen = self.session, self.runs.currentData()
        if session.failure is not None:
            chosen = session.failure.run
        folders = [run.folder for run in session.found]
        items = [(_run_words(run), run.folder) for run in session.found]
        fill(self.runs, items, chosen if chosen in folders else next(iter(folders), None))
        self._offers.setVisible(bool(items) and session.stage is Stage.IDLE)
        self._show_offer()

    def _show_offer(self) -> None:
        """The remedy that helps is the one that stands out."""
        run, failure = self.chosen_run, self.session.failure
        left = run is not None and run.epoch < run.plan.settings.epochs
        can_halve = run is not None and left and run.plan.settings.batch_size // 2 >= run.plan.settings.processes
        self.resume.setText("Resume" if left or run is None else "Compare and add")
        self.resume.setToolTip(RESUME_TIP if left or run is None else COMPARE_TIP)
        self.smaller.setToolTip(SMALLER_TIP if can_halve or run is None else NO_SMALLER)
        self.smaller.setEnabled(can_halve)
        self.smaller.setDefault(failure is not None and failure.memory and can_halve)

    def _on_again(self, smaller: bool) -> None:
        run = self.chosen_run
        if run is not None:
            self._begin(run.folder, smaller)

    def _begin(self, folder: Path, smaller: bool) -> None:
        (self.bench.resume_smaller if smaller else self.bench.resume)(folder)

    def _on_copy(self) -> None:
        message = self.session.message
        if message is not None:
            QGuiApplication.clipboard().setText(f"napari-uml {__version__}\n{message.details}")


def _run_words(run: FoundRun) -> str:
    if run.epoch >= run.plan.settings.epochs:
        return f"{run.plan.name}: trained, not added yet"
    return f"{run.plan.name}: {run.ended} after {run.epoch} of {run.plan.settings.epochs} epochs"


def _row(row: QWidget, *parts: tuple[QWidget, int]) -> QWidget:
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for part, stretch in parts:
        layout.addWidget(part, stretch)
    return row
