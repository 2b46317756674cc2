"""Fetching a model's weights off the GUI thread, with progress and a way to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_uml.weights import fetch
from napari_uml.widgets.background import Background

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_uml.widgets.bench import Bench


class Stopped(Exception):
    """Ends a transfer; what has arrived is kept for the next try."""


class Download(QObject):
    """Fetches one model at a time; its signals arrive in the GUI thread.

    `progressed` has the bytes that are here and the bytes in all.
    """

    progressed = Signal(object, object)
    failed = Signal(object)
    finished = Signal()

    def __init__(self, bench: Bench, parent: QObject | None = None) -> None:
        super().__init__(parent or bench)
        self._background = Background(bench, self)
        self._background.failed.connect(self.failed)
        self._background.finished.connect(self.finished)

    @property
    def is_busy(self) -> bool:
        """Whether a transfer is going on."""
        return self._background.is_busy

    def start(self, model: str) -> None:
        """Begin to fetch a model."""
        self._background.start(self._work(model))

    def stop(self) -> None:
        """Stop at the next piece; `finished` comes at once."""
        self._background.stop()

    def _work(self, model: str) -> Callable[[Callable[[], bool]], Iterator[object]]:
        def work(stopped: Callable[[], bool]) -> Iterator[object]:
            def progress(have: int, size: int) -> None:
                if stopped():
                    raise Stopped
                self.progressed.emit(have, size)  # from the worker's thread, so it is queued

            try:
                fetch(model, progress)
            except Stopped:
                return
            yield model

        return work
