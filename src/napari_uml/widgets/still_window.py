"""A window that draws nothing while much changes in it, and all of it afterwards, in an event of its own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from qtpy.QtCore import Qt, QTimer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qtpy.QtWidgets import QWidget

WAIT_MS = 10
TIMER = "napari-uml draws again"


@contextmanager
def still_window(widget: QWidget) -> Iterator[None]:
    """Put off all drawing of the window that a widget is in, or floats above, until nothing has changed for a moment.

    Drawing would else follow at once, before mouse and keys have their turn. It waits for `WAIT_MS`, and longer while
    one change follows another: a window that is stopped again before it has drawn would forget that it has to.
    """
    window = main_window(widget)
    draw = _timer(window)
    draw.stop()
    window.setUpdatesEnabled(False)
    try:
        yield
    finally:
        draw.start()


def when_drawn(widget: QWidget, then: Callable[[], object]) -> None:
    """Call back when the window of a widget may draw again; at once when it may now."""
    timer = _timer(main_window(widget))
    if timer.isActive():
        timer.timeout.connect(then, Qt.ConnectionType.SingleShotConnection)
    else:
        then()


class _Drawing(QTimer):
    """Lets its window draw again. It is the window's own, as the widget may be gone by then."""

    def __init__(self, window: QWidget) -> None:
        super().__init__(window, singleShot=True, interval=WAIT_MS, objectName=TIMER)
        self.timeout.connect(self._draw)

    def _draw(self) -> None:
        """Not a function that holds the window, which would then never be freed."""
        cast("QWidget", self.parent()).setUpdatesEnabled(True)


def _timer(window: QWidget) -> QTimer:
    return window.findChild(QTimer, TIMER) or _Drawing(window)


def main_window(widget: QWidget) -> QWidget:
    """The window that a widget is in; that of its dock when the dock floats."""
    while (above := widget.parentWidget()) is not None:
        widget = above
    return widget
