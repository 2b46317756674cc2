"""The table of measurements, of the slice in view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
)

from napari_uml.errors import UMLError
from napari_uml.files import write_text
from napari_uml.widgets.background import Background
from napari_uml.widgets.geometry import pixel_size
from napari_uml.widgets.measured import HEADER, Measured, as_csv, measure_result, words
from napari_uml.widgets.panel import Panel, ask_for_file, scroll_to

if TYPE_CHECKING:
    from qtpy.QtGui import QShowEvent

EMPTY = "Press Run to measure the structures."
ROWS_SHOWN = 14
"""A longer table scrolls by itself."""
ROW_MARGIN = 8  # pixels
RANGE_TIP = (
    "Where the value could lie as far as the network can tell: from the region with a probability of 0.75 or more to "
    "the one with 0.25 or more. No guaranteed coverage."
)


class MeasurementsPanel(Panel):
    """Area, share and mean uncertainty of every structure, and what the model declares; measured while it is open."""

    title = "Measurements"
    tour = (
        "<b>Measurements</b> of the slice in view, in pixels and, where the image has a unit of length, in that. The "
        "plausible range is what the network still holds possible; it has no guaranteed coverage."
    )

    def _build(self) -> None:
        self.measured: Measured | None = None
        self._wanted = self._unfolding = False
        self._background = Background(self.bench, self)
        self.heading = QLabel()
        self.heading.setWordWrap(True)
        self.heading.setToolTip("What was measured.")
        self.table = QTableWidget(0, len(HEADER))
        self.table.setHorizontalHeaderLabels(HEADER)
        self.table.horizontalHeaderItem(2).setToolTip(RANGE_TIP)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setMinimumSectionSize(1)
        self.table.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + ROW_MARGIN)
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
        self._background.yielded.connect(self._show_measured)
        self._background.failed.connect(self.bench.report)
        self._background.finished.connect(self._on_finished)
        self.session.events.result.connect(self._show_result)
        self.session.events.position.connect(self._measure)
        self.bench.moved.connect(self._measure)
        self._show_result()

    def showEvent(self, event: QShowEvent) -> None:
        """Catch up with what happened while the section was folded."""
        super().showEvent(event)
        self._unfolding = True
        self._measure()

    def _show_result(self) -> None:
        """Show nothing of another answer."""
        self._wanted = False
        self._background.stop()
        if self.session.result is None:
            self._show_measured(None)
        self._measure()

    def _measure(self) -> None:
        """Measure in a thread; while the slider moves, one slice at a time and the last one always."""
        result, image = self.session.result, self.bench.image
        if result is None or image is None or not self.isVisible():
            return
        self._wanted = self._background.is_busy
        if self._wanted:
            return
        request = result.request
        number = result.slice_at(self.session.position) if request.all_slices else result.only_slice
        size = pixel_size(image, request.reading, len(request.source.shape))
        self._background.start(lambda stopped: iter([measure_result(result, number, size)]))

    def _on_finished(self) -> None:
        if self._wanted:
            self._measure()

    def _show_measured(self, measured: Measured | None) -> None:
        self.measured = measured
        number = None if measured is None else measured.slice_number
        self.heading.setText(EMPTY if measured is None else f"Slice {number}:")
        self.heading.setVisible(measured is None or number is not None)
        for part in (self.table, self.copy, self.save):
            part.setVisible(measured is not None)
        if measured is not None:
            self._fill(measured)
            if self._unfolding:
                scroll_to(self)
            self._unfolding = False

    def _fill(self, measured: Measured) -> None:
        self.table.setRowCount(len(measured.values))
        for row, value in enumerate(measured.values):
            for column, text in enumerate(words(value, measured.task)):
                item = QTableWidgetItem(text)
                item.setToolTip(RANGE_TIP if column == 2 else text)
                if column:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(row, column, item)
        rows = min(len(measured.values), ROWS_SHOWN)
        height = self.table.horizontalHeader().sizeHint().height() + rows * self.table.rowHeight(0) + 4
        self.table.setFixedHeight(height)

    def _on_copy(self) -> None:
        if self.measured is not None:
            QGuiApplication.clipboard().setText(as_csv(self.measured, "\t"))

    def _on_save(self) -> None:
        measured = self.measured
        if measured is None:
            return
        try:
            path = ask_for_file(self, "Save the measurements", "measurements", "csv")
            if path is not None:
                write_text(path, as_csv(measured), encoding="utf-8-sig")
        except UMLError as error:
            self.bench.report(error)
