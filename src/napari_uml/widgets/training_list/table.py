"""The rows of a training list as a table: a thumbnail each, class and split to be edited in place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSize, Qt, Signal
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QComboBox, QHeaderView, QStyledItemDelegate, QTableView, QWidget

from napari_uml.data.annotate_next import state_of
from napari_uml.data.dataset import SPLITS
from napari_uml.widgets.training_list.work import THUMBNAIL

if TYPE_CHECKING:
    from qtpy.QtCore import QAbstractItemModel, QObject
    from qtpy.QtWidgets import QStyleOptionViewItem

    from napari_uml.data.dataset import DatasetInfo, Record
    from napari_uml.widgets.training_list.work import Thumbnail

COLUMNS = ("Image", "Class", "Split", "State")
IMAGE, CLASS, SPLIT, STATE = range(4)
NO_CLASS = "(none)"
Role = Qt.ItemDataRole


@dataclass(frozen=True, slots=True)
class Edit:
    """What the user chose in a cell: `label` or `split`, and its value."""

    image: str
    field: str
    value: str


class RowsModel(QAbstractTableModel):
    """Shows records; an edit is not made here but asked for.

    Attributes
    ----------
    edited
        An `Edit`.
    wanted
        Thumbnails came into view that are not there yet.
    is_trained_on
        Whether a run is on with the records, so that class and split stay.
    """

    edited = Signal(object)
    wanted = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.records: tuple[Record, ...] = ()
        self.classes: tuple[str, ...] = ()
        self.missing: list[str] = []
        self.is_trained_on = False
        self._pictures: dict[str, QPixmap | None] = {}
        self._partly: set[str] = set()
        self._marked: frozenset[str] = frozenset()

    def show(self, info: DatasetInfo | None, records: tuple[Record, ...]) -> None:
        """Show other records; thumbnails of rows whose mask may have changed are asked for again."""
        before = {record.image: record.mask for record in self.records}
        same_names = info is not None and info.cls_classes == self.classes
        keep = [r.image for r in records if before.get(r.image) == r.mask]
        if same_names and len(records) == len(self.records) and len(keep) == len(records):
            self.records = records
            self.dataChanged.emit(self.index(0, 0), self.index(max(len(records) - 1, 0), STATE))
            return
        self.beginResetModel()
        self._pictures = {image: self._pictures[image] for image in keep if image in self._pictures}
        self.records, self.classes, self.missing = records, info.cls_classes if info else (), []
        self.endResetModel()

    def forget(self, image: str) -> None:
        """Ask for a thumbnail anew."""
        self._pictures.pop(image, None)

    def forget_all(self) -> None:
        """Ask for every thumbnail anew, as the names of another list may be the same."""
        self._pictures, self._partly, self.missing = {}, set(), []

    def mark(self, images: frozenset[str]) -> None:
        """Mark rows that have problems."""
        self._marked = images
        if self.records:
            self.dataChanged.emit(self.index(0, 0), self.index(len(self.records) - 1, STATE))

    def add_thumbnail(self, thumbnail: Thumbnail) -> None:
        """Show a thumbnail in its row."""
        picture = thumbnail.picture
        pixmap = None
        if picture is not None:
            height, width = picture.shape[:2]
            image = QImage(picture.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
            pixmap = QPixmap.fromImage(image)
        self._pictures[thumbnail.image] = pixmap
        (self._partly.add if thumbnail.partly else self._partly.discard)(thumbnail.image)
        row = self.row_of(thumbnail.image)
        if row >= 0:
            self.dataChanged.emit(self.index(row, 0), self.index(row, STATE))

    def row_of(self, image: str) -> int:
        """Number of the row of an image; -1 without one."""
        return next((number for number, record in enumerate(self.records) if record.image == image), -1)

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Rows of the list."""
        return 0 if parent is not None and parent.isValid() else len(self.records)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Columns of the table."""
        return 0 if parent is not None and parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Role.DisplayRole) -> Any:
        """Titles of the columns."""
        return COLUMNS[section] if role == Role.DisplayRole and orientation == Qt.Orientation.Horizontal else None

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        """Class and split can be edited, unless a run is on with them."""
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        editable = index.column() in (CLASS, SPLIT) and not self.is_trained_on
        return flags | Qt.ItemFlag.ItemIsEditable if editable else flags

    def data(self, index: QModelIndex, role: int = Role.DisplayRole) -> Any:
        """What a cell shows."""
        record = self.records[index.row()]
        if role == Role.DisplayRole:
            return self._texts(record)[index.column()]
        if role == Role.EditRole:
            return {CLASS: record.label, SPLIT: record.split}.get(index.column())
        if role == Role.DecorationRole and index.column() == IMAGE:
            return self._picture(record.image)
        if role in (Role.ToolTipRole, Role.AccessibleTextRole):
            tip = ": ".join((COLUMNS[index.column()], self._texts(record)[index.column()]))
            if index.column() == IMAGE:
                tip = f"{record.image}, group {record.group}" if record.group else record.image
            return tip
        return None

    def setData(self, index: QModelIndex, value: Any, role: int = Role.EditRole) -> bool:
        """Ask for an edit."""
        if role != Role.EditRole or value == self.data(index, Role.EditRole):
            return False
        field = "label" if index.column() == CLASS else "split"
        self.edited.emit(Edit(self.records[index.row()].image, field, value))
        return True

    def _texts(self, record: Record) -> tuple[str, str, str, str]:
        state = state_of(record) + (", in part" if record.mask and record.image in self._partly else "")
        marked = "⚠ " if record.image in self._marked else ""
        return marked + PurePosixPath(record.image).stem, record.label or NO_CLASS, record.split, state

    def _picture(self, image: str) -> QPixmap | None:
        if image not in self._pictures and image not in self.missing:
            self.missing.append(image)
            self.wanted.emit()
        return self._pictures.get(image)


class ChoiceDelegate(QStyledItemDelegate):
    """Edits class and split with a combo box."""

    def createEditor(self, parent: QWidget, option: QStyleOptionViewItem, index: QModelIndex) -> QWidget:
        """A combo box that writes at once what is chosen."""
        combo = QComboBox(parent)
        combo.setAccessibleName(COLUMNS[index.column()])
        model = index.model()
        classes = model.classes if isinstance(model, RowsModel) else ()
        items = [("", NO_CLASS), *((name, name) for name in classes)]
        for value, text in items if index.column() == CLASS else [(name, name) for name in SPLITS]:
            combo.addItem(text, value)
        combo.activated.connect(lambda: self._done(combo))
        return combo

    def setEditorData(self, editor: QWidget, index: QModelIndex) -> None:
        """Choose what the cell holds."""
        if isinstance(editor, QComboBox):
            editor.setCurrentIndex(editor.findData(index.data(Role.EditRole)))

    def setModelData(self, editor: QWidget, model: QAbstractItemModel, index: QModelIndex) -> None:
        """Write the choice."""
        if isinstance(editor, QComboBox):
            model.setData(index, editor.currentData())

    def _done(self, combo: QComboBox) -> None:
        self.commitData.emit(combo)
        self.closeEditor.emit(combo)


class RowsTable(QTableView):
    """The table; works with the keyboard: F2 edits a cell, Delete is the panel's."""

    def __init__(self, model: RowsModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setModel(model)
        self.setItemDelegate(ChoiceDelegate(self))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(
            QAbstractItemView.EditTrigger.DoubleClicked
            | QAbstractItemView.EditTrigger.EditKeyPressed
            | QAbstractItemView.EditTrigger.SelectedClicked
        )
        self.setIconSize(QSize(THUMBNAIL, THUMBNAIL))
        self.setTabKeyNavigation(False)
        self.setAccessibleName("Training list")
        self.setToolTip("Images to train on. Double-click a class or a split, or press F2, to change it.")
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(THUMBNAIL + 4)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(IMAGE, QHeaderView.ResizeMode.Stretch)
        header.setResizeContentsPrecision(50)
        self.setMinimumHeight(3 * THUMBNAIL)
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)

    def sizeHintForColumn(self, column: int) -> int:
        """No wider than a short name, so that long classes leave room for the images' names."""
        return min(int(super().sizeHintForColumn(column)), self.fontMetrics().horizontalAdvance("n" * 11))

    def sizeHint(self) -> QSize:
        """Five rows of a narrow dock."""
        return QSize(320, 6 * (THUMBNAIL + 4))
