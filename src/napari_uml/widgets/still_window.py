"""A window that draws nothing while much changes in it, and all of it afterwards, in an event of its own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qtpy.QtWidgets import QWidget

WAIT_MS = 10


@contextmanager
def still_window(widget: QWidget) -> Iterator[None]:
    """Put off all drawing of the window that a widget is in, or floats above, for a moment.

    Drawing would else follow at once, before mouse and keys have their turn; so it waits for `WAIT_MS`.
    """
    window = main_window(widget)
    window.setUpdatesEnabled(False)
    try:
        yield
    finally:
        draw = QTimer(window, singleShot=True, interval=WAIT_MS)  # the window's: the widget may be gone by then
        draw.timeout.connect(lambda: window.setUpdatesEnabled(True))
        draw.timeout.connect(draw.deleteLater)
        draw.start()


def main_window(widget: QWidget) -> QWidget:
    """The window that a widget is in; that of its dock when the dock floats."""
    while (above := widget.parentWidget()) is not None:
        widget = above
    return widget
