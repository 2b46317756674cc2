"""What ties the Fine-tune dock's session, its training process and its panels together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_uml.data.dataset import read_table
from napari_uml.errors import DatasetError, UMLError, WeightsError
from napari_uml.training.events import EpochDone, RunEnded, RunStarted, StepDone
from napari_uml.training.job import TrainingJob, resumed, with_smaller_batch
from napari_uml.training.plan import PLAN, read_plan
from napari_uml.training.run_state import new_run_folder, runs_folder, unfinished_runs
from napari_uml.training.supervise import Outcome, TrainingProcess, log_tail
from napari_uml.weights import check_name, list_models, read_info
from napari_uml.widgets.background import Background
from napari_uml.widgets.finetune_listener import Listener
from napari_uml.widgets.finetune_session import (
    SCRATCH,
    Failure,
    FinetuneSession,
    Stage,
    Step,
    free_name,
    not_ready,
    numbered,
)
from napari_uml.widgets.finetune_work import ListRead, judge, measure, read_list
from napari_uml.widgets.session import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import napari.viewer

    from napari_uml.evaluation.comparison import Comparison
    from napari_uml.training.pace import Pace
    from napari_uml.widgets.finetune_work import Process, Work


class FinetuneBench(QObject):
    """The one place that writes what processes say into the session.

    Parameters
    ----------
    viewer
        The viewer that the dock belongs to.
    session
        Its state; a new one by default.
    launch
        Starts training of a run's folder and the arguments of `napari-uml train`; for tests.
    judging
        Makes the work that compares a run's model and adds it under a name; for tests.

    Attributes
    ----------
    closing
        Emitted when the dock is closed: work in the background stops.
    measuring_changed
        Emitted when `is_measuring` changes.
    models_changed
        Emitted with the name of a model that was added, renamed or deleted.
    wanted
        Emitted with the name of the model that is to be used now.
    """

    closing = Signal()
    measuring_changed = Signal()
    models_changed = Signal(str, str)
    wanted = Signal(str)

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        session: FinetuneSession | None = None,
        launch: Callable[[Path, Sequence[str]], Process] | None = None,
        judging: Callable[[Path, str], Work] | None = None,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.session = session or FinetuneSession()
        self._launch, self._judging = launch or TrainingProcess, judging or judge
        self._process: Process | None = None
        self._training, self._reading = Listener(self), Background(self, self)
        self._measuring, self._judge = Background(self, self), Background(self, self)
        self._connect()
        self.refresh_models()
        self.refresh_runs()

    @property
    def is_measuring(self) -> bool:
        """Whether a few steps are being timed."""
        return self._measuring.is_busy

    def set_folder(self, folder: Path | None) -> None:
        """Train on another dataset folder, or on the same one, which has changed."""
        session = self.session
        if folder != session.folder:
            self.forget_pace()
            session.info, session.counts, session.problems = None, None, ()
        session.folder = folder
        if folder is None:
            self._reading.stop()
        else:
            self._reading.start(read_list(folder))

    def refresh_models(self) -> None:
        """Look again which models there are."""
        session = self.session
        try:
            session.models = list_models()
        except WeightsError as error:
            self.report(error)
        names = [entry.name for entry in session.models]
        if session.start not in names:
            usable = [entry.name for entry in session.models if entry.path is not None and not entry.problem]
            self.choose_start(next(iter(usable), SCRATCH))
        elif not session.name or session.name in names:
            session.name = free_name(session.start, set(names))

    def choose_start(self, name: str) -> None:
        """Start from another model; the new model gets another name."""
        session = self.session
        self.forget_pace()
        session.start = name
        entry = next((entry for entry in session.models if entry.name == name), None)
        session.start_info = None
        if entry is not None and entry.path is not None and not entry.problem:
            try:
                session.start_info = read_info(entry.path)
            except WeightsError as error:
                self.report(error)
        session.name = free_name(name, {entry.name for entry in session.models})

    def choose_mix(self, folder: Path | None) -> None:
        """Train on another dataset folder as well, or on none; one that cannot be read is reported and not taken."""
        try:
            info = None if folder is None else read_table(folder)[0]
        except DatasetError as error:
            self.report(error)
        else:
            self.forget_pace()
            self.session.mix_info, self.session.mix_in, self.session.message = info, folder, None

    def refresh_runs(self) -> None:
        """Look for runs that nobody ended."""
        self.session.found = tuple(unfinished_runs(runs_folder()))

    def forget_pace(self) -> None:
        """Forget how long a step takes, and stop measuring it: what is trained is another thing now."""
        self._measuring.stop()
        self.session.pace = None

    def measure(self) -> None:
        """Time a few steps of what is chosen."""
        if self.session.start and self.session.stage is Stage.IDLE:
            self._measuring.start(measure(self.session.start, self.session.settings()))
            self.measuring_changed.emit()

    def train(self) -> None:
        """Start a new run of what is chosen; nothing happens while it cannot start."""
        if not not_ready(self.session):
            self._measuring.stop()
            self._begin(self.session.job(new_run_folder(self.session.name)), self.session.name)

    def resume(self, run: Path) -> None:
        """Go on with a run."""
        self._again(run, smaller=False)

    def resume_smaller(self, run: Path) -> None:
        """Take over from a run with half the batch."""
        self._again(run, smaller=True)

    def stop(self) -> None:
        """Ask the training process to keep the best epoch and end."""
        if self._process is not None and self.session.stage is Stage.TRAINING:
            self.session.stage = Stage.STOPPING
            self._process.stop()

    def add_model(self, name: str) -> None:
        """Compare the model of the run that is shown with its start, and add it under a name, if it is a free one."""
        run = self.session.run
        if run is not None and self._is_free(name):
            self.session.stage, self.session.message = Stage.JUDGING, None
            self.session.installed, self._wanted_name = "", name
            self._judge.start(self._judging(run, name))

    def use(self, name: str) -> None:
        """Have a model chosen in the Analyse dock."""
        self.wanted.emit(name)

    def close(self) -> None:
        """Stop for good; a run keeps its best epoch and can go on later."""
        if self._process is not None:
            self._process.stop()
        self._training.drop()
        self.closing.emit()

    def report(self, error: Exception) -> None:
        """Tell the user of an error in one sentence, with the details for a report."""
        self.session.message = Message.of(error)

    def _connect(self) -> None:
        self._wanted_name = ""
        for work in (self._reading, self._measuring, self._judge):
            work.failed.connect(self.report)
        self._reading.yielded.connect(self._on_list)
        self._training.said.connect(self._on_said)
        self._training.finished.connect(self._on_trained)
        self._measuring.yielded.connect(self._on_pace)
        self._measuring.finished.connect(self.measuring_changed)
        self._judge.yielded.connect(self._on_judged)
        self._judge.finished.connect(self._on_judge_ended)

    def _is_free(self, name: str) -> bool:
        """Whether a model can be added under a name; why not is reported."""
        try:
            check_name(name)
        except (WeightsError, ValueError) as error:
            self.report(error)
            return False
        return True

    def _again(self, run: Path, smaller: bool) -> None:
        if self.session.stage is not Stage.IDLE:
            return
        try:
            plan = read_plan(run)
            job = with_smaller_batch(run, plan, new_run_folder(plan.name)) if smaller else resumed(run)
        except (UMLError, ValueError) as error:
            self.report(error)
            return
        taken = {entry.name for entry in self.session.models}  # by what the run brought when it was stopped, perhaps
        self._begin(job, numbered(plan.name, taken))

    def _begin(self, job: TrainingJob, name: str) -> None:
        session = self.session
        session.message, session.failure, session.comparison, session.installed = None, None, None, ""
        session.run, session.step = job.run, Step()
        session.reports = tuple(report for report in session.reports if job.resume and report.last.parent == job.run)
        self._wanted_name = name
        try:
            self._process = self._launch(job.run, job.arguments)
        except UMLError as error:
            self.report(error)
            return
        session.stage = Stage.TRAINING
        self._training.start(self._process)

    def _on_list(self, read: ListRead) -> None:
        session = self.session
        session.info, session.counts, session.problems = read.info, read.counts, read.problems

    def _on_pace(self, pace: Pace) -> None:
        self.session.pace = pace

    def _on_said(self, said: object) -> None:
        session = self.session
        if isinstance(said, RunStarted):
            session.step = Step(said.epoch + 1, said.epochs)
        elif isinstance(said, StepDone):
            session.step = Step(said.epoch, said.epochs, said.step, said.steps)
        elif isinstance(said, EpochDone):
            earlier = [report for report in session.reports if report.epoch < said.report.epoch]
            session.reports = (*earlier, said.report)
        elif isinstance(said, Outcome):
            self._on_outcome(said)

    def _on_outcome(self, outcome: Outcome) -> None:
        """Go on to the comparison, or say what went wrong and what can be done."""
        session = self.session
        if isinstance(outcome.said, RunEnded) and session.run is not None:
            if outcome.said.model is not None:
                self._process = None
                self.add_model(self._wanted_name)
            else:
                session.message = Message("Stopped before the first epoch was done; there is no model yet.")
            return
        if session.stage is Stage.STOPPING and outcome.code >= 0 and outcome.said is None:  # still importing
            session.message = Message("Stopped before training began.")
        elif session.run is not None:
            plan = read_plan(session.run) if (session.run / PLAN).exists() else None
            session.failure = Failure(session.run, plan, outcome.memory_was_short)
            session.message = Message(outcome.message, "error", f"{outcome.message}\n\n{log_tail(session.run)}")

    def _on_trained(self) -> None:
        self._process = None
        if self.session.stage in (Stage.TRAINING, Stage.STOPPING):
            self.session.stage = Stage.IDLE
        self.refresh_runs()

    def _on_judged(self, comparison: Comparison) -> None:
        session = self.session
        session.comparison, session.installed = comparison, self._wanted_name
        self.refresh_models()
        self.models_changed.emit("", session.installed)

    def _on_judge_ended(self) -> None:
        if self.session.stage is Stage.JUDGING:
            self.session.stage = Stage.IDLE
        self.refresh_runs()
