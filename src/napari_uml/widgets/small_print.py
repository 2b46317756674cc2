"""Small print, which grows with napari's font size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.settings import get_settings
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QLabel

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

POINTS_LESS = 1
"""As napari's own style sheet prints what is small."""


def print_small(widget: QWidget) -> None:
    """Print a widget's text a point smaller than napari's font size, also after that changes."""
    _SmallPrint(widget)


def disclaimer() -> QLabel:
    """The line at the foot of every dock."""
    label = QLabel("Research use only, not a medical device.")
    print_small(label)
    label.setToolTip("Do not base a diagnosis or a treatment on what is shown here.")
    return label


class _SmallPrint(QObject):
    """Sets a widget's style whenever the style of its window changes; the widget owns it."""

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        self._widget = widget
        self._apply()
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow napari, whose style sheet is set anew with another font size."""
        if event.type() == QEvent.Type.StyleChange:
            self._apply()
        return bool(super().eventFilter(watched, event))

    def _apply(self) -> None:
        style = f"font-size: {get_settings().appearance.font_size - POINTS_LESS}pt;"
        if self._widget.styleSheet() != style:  # setting it changes the style
            self._widget.setStyleSheet(style)
