"""The table of measurements, of the slice in view."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
)

from napari_uml.errors import UMLError
from napari_uml.evaluation.measure import measure_slice
from napari_uml.inference.files import replacing
from napari_uml.widgets.geometry import pixel_size
from napari_uml.widgets.measured import HEADER, as_csv, sorted_for_people, words
from napari_uml.widgets.panel import Panel

if TYPE_CHECKING:
    from qtpy.QtGui import QShowEvent

    from napari_uml.evaluation.measure import MeasuredValue

EMPTY = "Press Run to measure the structures."
ROWS_SHOWN = 9
RANGE_TIP = (
    "Where the value could lie as far as the network can tell: from the region with a probability of 0.75 or more to "
    "the one with 0.25 or more. No guaranteed coverage."
)


class MeasurementsPanel(Panel):
    """Area, share and mean uncertainty of every structure, and what the model declares; measured while it is open."""

    title = "Measurements"

    def _build(self) -> None:
        self.values: tuple[MeasuredValue, ...] = ()
        self.heading = QLabel()
        self.heading.setWordWrap(True)
        self.heading.setToolTip("What was measured.")
        self.table = QTableWidget(0, len(HEADER))
        self.table.setHorizontalHeaderLabels(HEADER)
        self.table.horizontalHeaderItem(2).setToolTip(RANGE_TIP)
        self.table.verticalHeader().hide()
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setTabKeyNavigation(False)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.setAccessibleName("Measurements")
        self.table.setToolTip("Areas, shares and mean uncertainty u of every structure, with plausible ranges.")
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.copy, self.save = QPushButton("Copy"), QPushButton("Save CSV…")
        self.copy.setToolTip("Copy the unrounded numbers, to be pasted into a spreadsheet.")
        self.save.setToolTip("Save the unrounded numbers as a CSV file.")
        buttons, layout = QHBoxLayout(), QVBoxLayout(self)
        for button in (self.copy, self.save):
            buttons.addWidget(button)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.heading)
        layout.addWidget(self.table)
        layout.addLayout(buttons)

    def _connect(self) -> None:
        self.copy.clicked.connect(self._on_copy)
        self.save.clicked.connect(self._on_save)
        self.session.events.result.connect(self._show_values)
        self.session.events.position.connect(self._show_values)
        self._show_values()

    def showEvent(self, event: QShowEvent) -> None:
        """Catch up with what happened while the section was folded."""
        super().showEvent(event)
        self._show_values()

    @property
    def slice_number(self) -> int | None:
        """The measured slice of a stack; None for an image."""
        result = self.session.result
        if result is None or not result.request.all_slices:
            return None
        return result.slice_at(self.session.position)

    def _show_values(self) -> None:
        if not self.isVisible():
            return
        self.values = self._measured()
        number = self.slice_number
        self.heading.setText("" if number is None else f"Slice {number}:")
        self.heading.setText(EMPTY if not self.values else self.heading.text())
        self.heading.setVisible(bool(self.heading.text()))
        for part in (self.table, self.copy, self.save):
            part.setVisible(bool(self.values))
        self._fill()

    def _measured(self) -> tuple[MeasuredValue, ...]:
        result, image = self.session.result, self.bench.image
        if result is None or image is None:
            return ()
        request = result.request
        size = pixel_size(image, request.reading, len(request.source.shape))
        spacing, units = size or (None, "")
        number, task = self.slice_number or 0, result.loaded.info.task
        return sorted_for_people(measure_slice(result.prediction, number, task, spacing=spacing, units=units))

    def _fill(self) -> None:
        result = self.session.result
        if result is None:
            return
        if self.table.rowCount() != len(self.values):
            self.table.setRowCount(len(self.values))
        for row, value in enumerate(self.values):
            for column, text in enumerate(words(value, result.loaded.info.task)):
                item = QTableWidgetItem(text)
                item.setToolTip(RANGE_TIP if column == 2 else text)
                if column:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(row, column, item)
        rows = min(len(self.values), ROWS_SHOWN)
        height = self.table.horizontalHeader().sizeHint().height() + rows * self.table.rowHeight(0) + 4
        self.table.setFixedHeight(height)

    def _as_csv(self, separator: str = ",") -> str:
        result = self.session.result
        name = "" if result is None else result.request.source.name
        return as_csv(self.values, name, self.slice_number, separator)

    def _on_copy(self) -> None:
        QGuiApplication.clipboard().setText(self._as_csv("\t"))

    def _on_save(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save the measurements", "measurements.csv", "CSV (*.csv)")
        if not name:
            return
        try:
            with replacing(Path(name)) as part:
                part.write_text(self._as_csv(), encoding="utf-8-sig")
        except UMLError as error:
            self.bench.report(error)
