"""The worklist as a table: one line an image, sorted by any column, the most uncertain image first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSize, QSortFilterProxyModel, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from napari_uml.inference.run_record import warnings_of
from napari_uml.inference.trust import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtCore import QObject

    from napari_uml.inference.cohort import Answered

COLUMNS = ("\N{CHECK MARK}", "Image", "Class", "u", "Wrong", "Pixel u")
SEEN, IMAGE, CLASS, DOUBT, WRONG, PIXELS = range(6)
TIPS = (
    "Whether you have looked at the image; click to change it.",
    "The image; ⚠ where something is unusual about it for the model.",
    "The class that the model takes to be the most likely.",
    "Uncertainty about the class: u, or the entropy of a model without evidence.",
    "Chance that the class is wrong, from the model's calibration; unknown for an image unlike the training images.",
    "Mean uncertainty of the pixels.",
)
UNKNOWN, NONE = "unknown", "\N{EN DASH}"
Role = Qt.ItemDataRole


class AnswersModel(QAbstractTableModel):
    """Shows answers.

    Attributes
    ----------
    seen_changed
        Emitted when the user, or `set_seen`, changed what was seen.
    """

    seen_changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.answers: list[Answered] = []
        self.seen: set[str] = set()

    def show(self, answers: Sequence[Answered], seen: frozenset[str]) -> None:
        """Show other answers."""
        self.beginResetModel()
        self.answers, self.seen = list(answers), set(seen)
        self.endResetModel()

    def add(self, answer: Answered) -> None:
        """Show one more."""
        row = len(self.answers)
        self.beginInsertRows(QModelIndex(), row, row)
        self.answers.append(answer)
        self.endInsertRows()

    def set_seen(self, answer: Answered, seen: bool = True) -> None:
        """Say whether an image was looked at."""
        name = answer.folder.name
        if seen != (name in self.seen):
            (self.seen.add if seen else self.seen.discard)(name)
            self.dataChanged.emit(self.index(0, SEEN), self.index(max(len(self.answers) - 1, 0), SEEN))
            self.seen_changed.emit()

    def is_seen(self, row: int) -> bool:
        """Whether an image was looked at."""
        return self.answers[row].folder.name in self.seen

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """One an answer."""
        return 0 if parent is not None and parent.isValid() else len(self.answers)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Columns of the table."""
        return 0 if parent is not None and parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Role.DisplayRole) -> Any:
        """Titles of the columns, and what they are."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        return {Role.DisplayRole: COLUMNS, Role.ToolTipRole: TIPS}.get(Role(role), (None,) * len(COLUMNS))[section]

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        """What was seen can be changed."""
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        return flags | Qt.ItemFlag.ItemIsUserCheckable if index.column() == SEEN else flags

    def data(self, index: QModelIndex, role: int = Role.DisplayRole) -> Any:
        """What a cell shows."""
        answer, column = self.answers[index.row()], index.column()
        if role == Role.CheckStateRole and column == SEEN:
            return Qt.CheckState.Checked if self.is_seen(index.row()) else Qt.CheckState.Unchecked
        if role == Role.DisplayRole and column != SEEN:
            return text_of(answer, column)
        if role == Role.UserRole:
            return self.is_seen(index.row()) if column == SEEN else value_of(answer, column)
        if role in (Role.ToolTipRole, Role.AccessibleTextRole):
            seen = "seen" if self.is_seen(index.row()) else "not seen"
            return seen if column == SEEN else explained(answer, column)
        if role == Role.TextAlignmentRole and column in (DOUBT, WRONG, PIXELS):
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def setData(self, index: QModelIndex, value: Any, role: int = Role.EditRole) -> bool:
        """Take over what was ticked."""
        if role != Role.CheckStateRole or index.column() != SEEN:
            return False
        self.set_seen(self.answers[index.row()], Qt.CheckState(value) == Qt.CheckState.Checked)
        return True


class Order(QSortFilterProxyModel):
    """Sorts by numbers, and leaves out images that no expert need look at, if asked to."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.for_experts = False
        self.setSortRole(Role.UserRole)

    def show_for_experts(self, alone: bool) -> None:
        """Whether to show the images alone that an expert should look at."""
        self.for_experts = alone
        self.invalidate()

    def filterAcceptsRow(self, source_row: int, source_parent: QModelIndex) -> bool:
        """Whether a line is shown."""
        model = self.sourceModel()
        return not (
            self.for_experts and isinstance(model, AnswersModel) and not model.answers[source_row].is_for_an_expert
        )

    def lessThan(self, source_left: QModelIndex, source_right: QModelIndex) -> bool:
        """By value, not by text."""
        left, right = (one.data(Role.UserRole) for one in (source_left, source_right))
        return bool(left < right)


class WorklistTable(QTableView):
    """The table; Enter or a double click opens a line."""

    def __init__(self, order: Order, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setModel(order)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setSortingEnabled(True)
        self.sortByColumn(DOUBT, Qt.SortOrder.DescendingOrder)
        self.setTabKeyNavigation(False)
        self.setAccessibleName("Worklist")
        self.verticalHeader().hide()
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(IMAGE, QHeaderView.ResizeMode.Stretch)
        header.setResizeContentsPrecision(50)
        header.setMinimumSectionSize(2 * self.fontMetrics().height())
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)

    def minimumSizeHint(self) -> QSize:
        """Room for every column."""
        return QSize(self.fontMetrics().horizontalAdvance("n" * 54), 8 * self.fontMetrics().height())

    def sizeHintForColumn(self, column: int) -> int:
        """No wider than a short name, so that long classes leave room for the images' names."""
        return min(int(super().sizeHintForColumn(column)), self.fontMetrics().horizontalAdvance("n" * 11))


def text_of(answer: Answered, column: int) -> str:
    """What a cell says."""
    record = answer.record
    opinion = record.opinion
    has_class, has_mask = ("class" in record.answers, "mask" in record.answers)
    if column == IMAGE:
        return ("⚠ " if warnings_of(record) else "") + Path(record.image.name).stem
    if column == CLASS:
        return opinion.predicted if has_class else NONE
    if column == DOUBT:
        return f"{opinion.uncertainty:.2f}" if has_class else NONE
    if column == PIXELS:
        return f"{answer.doubt[1]:.2f}" if has_mask else NONE
    chance = opinion.chance_wrong
    if chance is not None:
        return percent(chance.value)
    return UNKNOWN if has_class and any(one.unlike for one in record.slices) else NONE


def value_of(answer: Answered, column: int) -> Any:
    """What a column sorts by; an unknown chance of an error stands with the highest ones."""
    if column == DOUBT:
        return answer.doubt
    if column == PIXELS:
        return answer.doubt[1]
    if column == WRONG:
        chance = answer.record.opinion.chance_wrong
        return chance.value if chance is not None else 1.0 if answer.is_for_an_expert else -1.0
    return text_of(answer, column).removeprefix("⚠ ").lower()


def explained(answer: Answered, column: int) -> str:
    """What a cell says, at length."""
    record = answer.record
    if column == IMAGE:
        return "\n".join([record.image.path or record.image.name, *warnings_of(record)])
    if column == CLASS and "class" in record.answers:
        return "\n".join(f"{name}: {belief:.2f}" for name, belief in record.opinion.belief.items())
    advice = "\nAn expert should look." if column == WRONG and answer.is_for_an_expert else ""
    return f"{COLUMNS[column]}: {text_of(answer, column)}{advice}"
