"""A part of the dock, and the sections that parts are put into."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from qtpy.QtCore import QEvent, QObject, QPoint, QSignalBlocker, QSize, Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_uml.errors import UMLError
from napari_uml.files import safe_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qtpy.QtGui import QCloseEvent, QResizeEvent

    from napari_uml.widgets.bench import Bench


class Panel(QWidget):
    """A part of the dock: it shows the session (`_show_*`), writes to it (`_on_*`), and knows no other panel.

    Parameters
    ----------
    bench
        Gives it the session, the viewer, the result layers and the worker.

    Attributes
    ----------
    title
        Heading of its section; a panel without one stands without a section.
    expanded
        Whether its section is open at first.
    divided
        Whether a line is drawn above it where it is pinned.
    tour
        What the tour says of it, two or three sentences; a panel without is left out.
    """

    title: ClassVar[str] = ""
    expanded: ClassVar[bool] = False
    divided: ClassVar[bool] = True
    tour: ClassVar[str] = ""

    def __init__(self, bench: Bench, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.bench = bench
        self.session = bench.session
        self._build()
        self._connect()

    def _build(self) -> None:
        """Make the children and their layout."""
        raise NotImplementedError

    def _connect(self) -> None:
        """Connect to the session and to the children, and show what the session holds now."""
        raise NotImplementedError

    def unfold(self) -> None:
        """Open the section that the panel is in."""
        section = self.parentWidget()
        if isinstance(section, Section):
            section.button.setChecked(True)


class Stopping(QWidget):
    """A widget that stops its work when it goes."""

    def stop(self) -> None:
        """Stop for good."""
        raise NotImplementedError

    def changeEvent(self, event: QEvent) -> None:
        """Stop when napari takes the widget out of its dock, which it does without closing it."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.stop()
        super().changeEvent(event)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Stop with the dock."""
        self.stop()
        super().closeEvent(event)


class Dock(Stopping):
    """What napari puts into a dock: it takes the height there is."""

    def __init__(self) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)


class ProgressBar(QProgressBar):
    """A progress bar that is drawn with the window; Qt's own draws itself at once, and all of the window with it."""

    def show_progress(self, done: int, total: int, text: str = "") -> None:
        """Show how much is done; with a total of 0 that is not known."""
        self.setUpdatesEnabled(False)
        self.setRange(0, total)
        self.setValue(done)
        self.setFormat(text)
        self.setUpdatesEnabled(True)


class Section(QWidget):
    """A heading that folds and unfolds a widget; it can be worked with the keyboard."""

    def __init__(self, title: str, content: QWidget, expanded: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._content = content
        self.button = QToolButton(self)
        self.button.setText(title)
        self.button.setToolTip(f"Show or hide: {title}")
        self.button.setCheckable(True)
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.button.toggled.connect(self._on_toggled)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.button)
        layout.addWidget(content)
        self.button.setChecked(expanded)
        self._on_toggled(expanded)

    def _on_toggled(self, expanded: bool) -> None:
        self.button.setArrowType(Qt.ArrowType.DownArrow if expanded else Qt.ArrowType.RightArrow)
        self._content.setVisible(expanded)
        if expanded and self.isVisible():
            scroll_to(self)


class Scroll(QScrollArea):
    """Scrolls up and down, asks for no more height than its content has, and is content with less."""

    GAP = 4
    """Pixels between the content and the scroll bar; napari's style takes two of them as a border."""

    def __init__(self, content: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(content)
        content.installEventFilter(self)

    def sizeHint(self) -> QSize:
        """The size of the content, with room for the scroll bar."""
        hint = self.widget().sizeHint()
        return QSize(hint.width() + self._bar_width(), hint.height() + 2)

    def minimumSizeHint(self) -> QSize:
        """The width of the content and a few lines of it."""
        hint = self.widget().minimumSizeHint()
        return QSize(hint.width() + self._bar_width(), min(hint.height(), 6 * self.fontMetrics().height()))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the height of the content."""
        if event.type() in (QEvent.Type.LayoutRequest, QEvent.Type.Resize):
            width = self.viewport().width()
            content = self.widget()
            height = content.heightForWidth(width) if content.hasHeightForWidth() else content.sizeHint().height()
            self.setMaximumHeight(max(height, content.sizeHint().height()) + 2)
            self.updateGeometry()
        return bool(super().eventFilter(watched, event))

    def _bar_width(self) -> int:
        return int(self.verticalScrollBar().sizeHint().width()) + self.GAP


class WrappedLabel(QLabel):
    """A label of several lines with the height that they need; a form layout asks for it at another width."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWordWrap(True)

    def setText(self, text: str) -> None:
        """Show a text."""
        super().setText(text)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Follow the width."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        self.setMinimumHeight(0)  # which the next line would count
        self.setMinimumHeight(self.heightForWidth(self.width()))


def scroll_to(widget: QWidget) -> None:
    """Scroll the area that a widget is in until it is seen, of a tall one the top."""
    area = widget.parentWidget()
    while area is not None and not isinstance(area, QScrollArea):
        area = area.parentWidget()
    if area is None:
        return
    area.widget().adjustSize()
    if widget.height() <= area.viewport().height():
        area.ensureWidgetVisible(widget, 0, 0)
    else:
        area.verticalScrollBar().setValue(widget.mapTo(area.widget(), QPoint(0, 0)).y())


def fill(combo: QComboBox, items: Iterable[tuple[str, object]], chosen: object) -> None:
    """Replace what a combo box offers, without a signal.

    Parameters
    ----------
    combo
        The combo box.
    items
        Text and value of every item.
    chosen
        The value to select; none is selected when it is not among them.
    """
    with QSignalBlocker(combo):
        combo.clear()
        for number, (text, value) in enumerate(items):
            combo.addItem(text, value)
            combo.setItemData(number, text, Qt.ItemDataRole.ToolTipRole)
        values = [combo.itemData(number) for number in range(combo.count())]
        combo.setCurrentIndex(values.index(chosen) if chosen in values else -1)


def form(parent: QWidget) -> QFormLayout:
    """A layout of labelled rows, whose labels are as wide in every panel."""
    layout = QFormLayout(parent)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setVerticalSpacing(4)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return layout


def add_row(layout: QFormLayout, text: str, field: QWidget, tip: str) -> QLabel:
    """Add a row; the label names the field for screen readers, and both explain themselves."""
    label = QLabel(text)
    label.setMinimumWidth(label.fontMetrics().horizontalAdvance("Drawn on mm"))
    label.setBuddy(field)
    label.setToolTip(tip)
    field.setToolTip(tip)
    field.setAccessibleName(text)
    for part in field.findChildren(QComboBox):
        part.setToolTip(part.toolTip() or tip)
        part.setAccessibleName(part.accessibleName() or text)
    layout.addRow(label, field)
    return label


def elided_label(text: str = "") -> QElidingLabel:
    """A line of plain text that a narrow dock shortens in the middle, such as the name of a folder."""
    label = QElidingLabel(text)
    label.setElideMode(Qt.TextElideMode.ElideMiddle)
    label.setTextFormat(Qt.TextFormat.PlainText)
    return label


def ask_for_file(parent: QWidget, title: str, name: str, ending: str) -> Path | None:
    """Ask where to write a file, whose ending is added where it was not typed; None when the user cancels.

    Raises
    ------
    UMLError
        When a file is there that the dialog did not ask about.
    """
    kind = f"{ending.upper()} (*.{ending})"
    chosen, _ = QFileDialog.getSaveFileName(parent, title, f"{safe_name(name)}.{ending}", kind)
    if not chosen:
        return None
    path = Path(chosen if chosen.lower().endswith(f".{ending}") else f"{chosen}.{ending}")
    if path != Path(chosen) and path.exists():
        raise UMLError(f"{path} is there already; choose another name.")
    return path


def push_button(text: str, tip: str) -> QPushButton:
    """A button that explains itself."""
    made = QPushButton(text)
    made.setToolTip(tip)
    made.setAccessibleName(text.rstrip("…"))
    return made


def side_by_side(*parts: QWidget, stretch: int = 0) -> QHBoxLayout:
    """A layout of widgets side by side, one of which takes the room that is left."""
    layout = QHBoxLayout()
    for number, part in enumerate(parts):
        layout.addWidget(part, 1 if number == stretch else 0)
    return layout


def narrow(combo: QComboBox) -> QComboBox:
    """Keep a combo box from widening the dock when an item has a long text."""
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(7)
    return combo
