"""The tour: a card in the dock that goes from panel to panel, and a frame around the one it speaks of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, QRect, Qt, QTimer, Signal
from qtpy.QtGui import QColor, QKeySequence, QPainter, QPen
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QShortcut, QVBoxLayout, QWidget

from napari_uml.widgets.panel import Section, scroll_to

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QPaintEvent

    from napari_uml.widgets.panel import Panel

FRAME_COLOR = "#E69F00"


class Tour(QFrame):
    """One step a panel that has something to say; Esc closes it, and nothing else is blocked meanwhile.

    Parameters
    ----------
    panels
        From first to last; those without a `tour` text are left out.
    """

    closed = Signal()

    def __init__(self, panels: Sequence[Panel], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._panels = [panel for panel in panels if panel.tour]
        self._step = 0
        self._frame: _Frame | None = None
        self._opened: Section | None = None
        self._settled = QTimer(self)
        self._settled.setSingleShot(True)
        self._settled.timeout.connect(self._scroll)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.text, self.count = QLabel(), QLabel()
        self.text.setWordWrap(True)
        self.back, self.next, self.end = (QPushButton(text) for text in ("Back", "Next", "Close"))
        buttons, layout = QHBoxLayout(), QVBoxLayout(self)
        for part in (self.count, self.back, self.next, self.end):
            buttons.addWidget(part, int(part is self.count))
        layout.setContentsMargins(6, 4, 6, 4)
        layout.addWidget(self.text)
        layout.addLayout(buttons)
        self.back.setToolTip("The step before (Alt+Left).")
        self.next.setToolTip("The next step (Alt+Right).")
        self.end.setToolTip("End the tour (Esc).")
        self.back.clicked.connect(self._on_back)
        self.next.clicked.connect(self._on_next)
        self.end.clicked.connect(self.finish)
        for keys, slot in (("Esc", self.finish), ("Alt+Left", self._on_back), ("Alt+Right", self._on_next)):
            shortcut = QShortcut(QKeySequence(keys), parent or self)
            shortcut.setParent(self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(slot)
        self.hide()

    def begin(self) -> None:
        """Show the first step."""
        self._step = 0
        self.show()
        self._show_step()
        self.next.setFocus()

    def finish(self) -> None:
        """Go away."""
        if self.isVisibleTo(self.parentWidget()):
            self._leave()
            self.hide()
            self.closed.emit()

    def _show_step(self) -> None:
        self._leave()
        panel, last = self._panels[self._step], self._step == len(self._panels) - 1
        self.text.setText(panel.tour)
        self.text.setAccessibleName(panel.tour)
        self.count.setText(f"{self._step + 1} of {len(self._panels)}")
        self.back.setEnabled(self._step > 0)
        self.next.setText("Done" if last else "Next")
        self._open(panel)
        self._frame = _Frame(self._section(panel) or panel)
        self._settled.start()

    def _scroll(self) -> None:
        """Bring the panel into view, once the dock has been laid out around the new text."""
        if self._frame is not None:
            scroll_to(self._frame.target)

    def _leave(self) -> None:
        """Take the frame away, and fold what was unfolded for the step."""
        if self._frame is not None:
            self._frame.remove()
            self._frame = None
        if self._opened is not None:
            self._opened.button.setChecked(False)
            self._opened = None

    def _open(self, panel: Panel) -> None:
        section = self._section(panel)
        if section is not None and not section.button.isChecked():
            section.button.setChecked(True)
            self._opened = section

    def _section(self, panel: Panel) -> Section | None:
        parent = panel.parentWidget()
        return parent if isinstance(parent, Section) else None

    def _on_back(self) -> None:
        if self._step > 0:
            self._step -= 1
            self._show_step()

    def _on_next(self) -> None:
        if self._step == len(self._panels) - 1:
            self.finish()
        else:
            self._step += 1
            self._show_step()


class _Frame(QWidget):
    """A frame over a widget that lets the mouse through."""

    def __init__(self, target: QWidget) -> None:
        super().__init__(target)
        self.target = target
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        target.installEventFilter(self)
        self.setGeometry(target.rect())
        self.raise_()
        self.show()

    def remove(self) -> None:
        self.target.removeEventFilter(self)
        self.hide()
        self.deleteLater()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize:
            self.setGeometry(self.target.rect())
        return False

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setPen(QPen(QColor(FRAME_COLOR), 2))
        painter.drawRect(QRect(self.rect()).adjusted(1, 1, -1, -1))
        painter.end()
