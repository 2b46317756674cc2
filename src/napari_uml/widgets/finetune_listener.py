"""Listens to a training process in a thread of its own, for as long as it trains."""

from __future__ import annotations

from threading import Lock, Thread
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_uml.widgets.gentle_import import import_plots

if TYPE_CHECKING:
    from napari_uml.widgets.finetune_work import Process


class Listener(QObject):
    """Hears one process; its signals arrive in the GUI thread.

    Qt's pool has as many threads as the machine has cores: one that waits for hours would keep other work out.

    Attributes
    ----------
    said
        Emitted with every event, and at last with the `Outcome`.
    finished
        Emitted after that.
    """

    said = Signal(object)
    finished = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._dropped = False
        self._telling = Lock()

    def start(self, process: Process) -> None:
        """Begin to listen."""
        Thread(target=self._listen, args=(process,), name="napari-uml training", daemon=True).start()

    def drop(self) -> None:
        """Hear nothing more; what is being said is said first, so that this object can be deleted afterwards."""
        with self._telling:
            self._dropped = True

    def _listen(self, process: Process) -> None:
        import_plots()
        try:
            for event in process.events():
                self._tell(event)
        finally:  # an error in between must not leave the dock waiting
            self._tell(process.outcome(), is_last=True)

    def _tell(self, word: object, is_last: bool = False) -> None:
        with self._telling:
            if self._dropped:
                return
            self.said.emit(word)
            if is_last:
                self.finished.emit()
