"""Work beside the runs that must not block the window: reading files, downloads, saving, previews."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any, Protocol

from qtpy.QtCore import QObject, Signal

from napari_uml.widgets.worker import Task, translated

Work = Callable[[Callable[[], bool]], Iterator[object]]
"""Takes a function that says whether to stop; yields what the GUI thread shall know."""


class Closing(Protocol):
    """What tells that its dock is closed, such as the bench."""

    @property
    def closing(self) -> Any:
        """A Qt signal."""


class Background(QObject):
    """Does one thing at a time in a worker thread; a new one takes the place of the old (newest wins).

    Its signals arrive in the GUI thread and only ever speak of the newest work. It stops when the dock is closed.
    """

    yielded = Signal(object)
    failed = Signal(object)
    finished = Signal()

    def __init__(self, owner: Closing, parent: QObject) -> None:
        super().__init__(parent)
        self._task: Task | None = None
        owner.closing.connect(self.stop)

    @property
    def is_busy(self) -> bool:
        """Whether there is work that has not finished and was not stopped."""
        return self._task is not None

    def start(self, work: Work) -> None:
        """Begin; nothing more is heard of what was going on."""
        self.stop()
        task = self._task = Task(partial(_work, work), self)
        task.yielded.connect(self.yielded)
        task.failed.connect(self.failed)
        task.ended.connect(self._on_ended)
        task.start()

    def stop(self) -> None:
        """Ask it to stop, and hear nothing more of it; `finished` comes at once."""
        if self._task is not None:
            self._task.drop()
            self._task = None
            self.finished.emit()

    def _on_ended(self) -> None:
        task = self.sender()
        if task is self._task:
            self._task = None
            self.finished.emit()
        task.deleteLater()


def _work(work: Work, stopped: Callable[[], bool]) -> Generator[object, None, None]:
    try:
        yield from work(stopped)
    except (RuntimeError, MemoryError) as error:
        raise translated(error) from error
