"""One worker thread at a time: it loads models, keeps the last one, and runs jobs on it."""

from __future__ import annotations

import logging
from functools import cache, partial
from threading import Event
from typing import TYPE_CHECKING

from qtpy.QtCore import QCoreApplication, QObject, QThreadPool, Signal
from superqt.utils import GeneratorWorker

from napari_uml.errors import MemoryLimitError, UMLError, is_about_memory
from napari_uml.widgets.gentle_import import import_predictor, prepare_labels
from napari_uml.widgets.session import Loaded, Predictor

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from napari_uml.widgets.jobs import Job

log = logging.getLogger(__name__)


class ComputationError(UMLError):
    """The network's library failed in a way that has no better name."""


def prepare() -> Iterator[None]:
    """What a first run has to wait for, in steps of a second or two between which it can be stopped."""
    prepare_labels()
    yield from import_predictor()


def load_predictor(model: str, device: str, precision: str) -> Predictor:
    """Load a model; imports torch, so it belongs into the worker thread."""
    from napari_uml.inference.predictor import UMLPredictor

    return UMLPredictor.load(model, device, precision)


class Runner(QObject):
    """Runs jobs in a worker thread; its signals arrive in the GUI thread and only ever speak of the newest job.

    Parameters
    ----------
    load
        Makes a predictor of the names of model, device and precision; called in the worker thread.
    """

    yielded = Signal(object)
    failed = Signal(object)
    finished = Signal()

    def __init__(self, load: Callable[[str, str, str], Predictor] | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._shelf = _Shelf(load or load_predictor)
        self._prepare: Callable[[], Iterator[None]] = prepare if load is None else lambda: iter(())
        self._task: Task | None = None
        self._next: Task | None = None

    @property
    def is_running(self) -> bool:
        """Whether there is a job of which no `finished` was emitted yet."""
        return self._task is not None

    def submit(self, job: Job, model: str, device: str, precision: str) -> None:
        """Run a job; one that is running is stopped first and nothing more is heard of it (newest wins)."""
        task = Task(partial(_work, self._prepare, self._shelf, job, (model, device, precision)), self)
        task.ended.connect(self._on_ended)
        if self._task is None:
            self._start(task)
        else:
            self._next = task
            self._task.drop()

    def cancel(self) -> None:
        """Stop the job after the slice it is at; it still yields what is done."""
        self._next = None
        if self._task is not None:
            self._task.stop.set()

    def drop(self) -> None:
        """Stop the job, and hear nothing more of it but `finished`."""
        self._next = None
        if self._task is not None:
            self._task.drop()

    def _start(self, task: Task) -> None:
        self._task = task
        task.yielded.connect(self.yielded)
        task.failed.connect(self.failed)
        task.start()

    def _on_ended(self) -> None:
        if self._task is not None:
            self._task.deleteLater()
        self._task = None
        if self._next is not None:
            following, self._next = self._next, None
            self._start(following)
        else:
            self.finished.emit()


class _Shelf:
    """The predictor in use; another one replaces it."""

    def __init__(self, load: Callable[[str, str, str], Predictor]) -> None:
        self._load = load
        self._names: tuple[str, str, str] | None = None
        self._predictor: Predictor | None = None

    def get(self, names: tuple[str, str, str]) -> Predictor:
        """The predictor of a model, device and precision, loaded once."""
        if self._predictor is None or names != self._names:
            self._predictor = None  # frees its memory before the next one takes some
            self._predictor, self._names = self._load(*names), names
        return self._predictor


class Threads(QObject):
    """Where tasks run; when the application quits they are stopped and waited for, as a thread outlives Qt badly.

    superqt's own start waits for the event loop, and so may begin after napari has waited for all threads.
    """

    def __init__(self, application: QCoreApplication) -> None:
        super().__init__(application)
        self._pool = QThreadPool(self)
        self._pool.setMaxThreadCount(8)  # they wait for files and libraries more than they compute
        self._running: set[Task] = set()
        application.aboutToQuit.connect(self.end)

    def start(self, task: Task) -> None:
        """Run a task at once."""
        self._running.add(task)
        task.worker.finished.connect(partial(self._running.discard, task))
        self._pool.start(task.worker)

    def end(self) -> None:
        """Stop every task, and come back when no thread runs."""
        for task in list(self._running):
            task.drop()
        self._pool.waitForDone()


@cache
def threads() -> Threads:
    """Those of this application."""
    return Threads(QCoreApplication.instance())


class Task(QObject):
    """A generator in a worker thread; its signals arrive in the GUI thread, after `drop` none but `ended`.

    Parameters
    ----------
    work
        Makes the generator of a function that says whether to stop; its errors must not be `RuntimeError`.
    """

    yielded = Signal(object)
    failed = Signal(object)
    ended = Signal()

    def __init__(self, work: Callable[[Callable[[], bool]], Generator[object, None, None]], parent: QObject) -> None:
        super().__init__(parent)
        self.stop = Event()
        self._dropped = False
        self.worker = GeneratorWorker(work, self.stop.is_set)
        self.worker.setAutoDelete(False)  # Python deletes it; PySide6 crashes when the thread pool does so, too
        self.worker.yielded.connect(self._on_yielded)
        self.worker.errored.connect(self._on_errored)
        self.worker.warned.connect(self._on_warned)
        self.worker.finished.connect(self.ended)

    def start(self) -> None:
        """Begin at once; an application that quits stops it and waits for it."""
        threads().start(self)

    def drop(self) -> None:
        """Ask it to stop, and hear nothing more of it but `ended`."""
        self.stop.set()
        self._dropped = True

    def _on_yielded(self, value: object) -> None:
        if not self._dropped:
            self.yielded.emit(value)

    def _on_errored(self, error: Exception) -> None:
        if not self._dropped:
            self.failed.emit(error)

    def _on_warned(self, warning: tuple[object, ...]) -> None:
        log.warning("%s", warning[0])


def _work(
    prepare: Callable[[], Iterator[None]],
    shelf: _Shelf,
    job: Job,
    names: tuple[str, str, str],
    stopped: Callable[[], bool],
) -> Generator[object, None, None]:
    """Load, say so, and run; a RuntimeError must not get out, because `GeneratorWorker` swallows it."""
    try:
        for _ in prepare():
            if stopped():
                return
        predictor = shelf.get(names)
        yield Loaded.of(predictor)
        if not stopped():
            yield from job(predictor, stopped)
    except (RuntimeError, MemoryError) as error:
        raise translated(error) from error


def translated(error: RuntimeError | MemoryError) -> UMLError:
    """An error that a worker may raise, for one that `GeneratorWorker` swallows or that says too little."""
    if is_about_memory(error):
        return MemoryLimitError("There is not enough memory: close other programs, or analyse a smaller part.")
    reason = next(iter(str(error).splitlines()), "no reason given")
    return ComputationError(f"The computation failed: {reason}")
