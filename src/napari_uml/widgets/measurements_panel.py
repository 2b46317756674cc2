"""The table of measurements, of the slice in view."""

from __future__ import annotations

from functools import partial
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
from napari_uml.widgets.background import Background
from napari_uml.widgets.geometry import pixel_size
from napari_uml.widgets.measured import HEADER, as_csv, sorted_for_people, words
from napari_uml.widgets.panel import Panel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qtpy.QtGui import QShowEvent

    from napari_uml.config import Task
    from napari_uml.evaluation.measure import MeasuredValue
    from napari_uml.widgets.session import Result

    Measured = tuple[int | None, tuple[MeasuredValue, ...]]
    """The slice of a stack, None for an image, and what was measured there."""

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
        self.values: tuple[MeasuredValue, ...] = ()
        self.slice_number: int | None = None
        self._wanted = False
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
        self._background.yielded.connect(self._show_values)
        self._background.failed.connect(self.bench.report)
        self._background.finished.connect(self._on_finished)
        self.session.events.result.connect(self._show_result)
        self.session.events.position.connect(self._measure)
        self._show_result()

    def showEvent(self, event: QShowEvent) -> None:
        """Catch up with what happened while the section was folded."""
        super().showEvent(event)
        self._measure()

    def _show_result(self) -> None:
        """Show nothing of another answer."""
        self._background.stop()
        self._wanted = False
        if self.session.result is None:
            self._show_values((None, ()))
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
        number = result.slice_at(self.session.position) if request.all_slices else None
        size = pixel_size(image, request.reading, len(request.source.shape))
        self._background.start(partial(_measured, result, number, size))

    def _on_finished(self) -> None:
        if self._wanted:
            self._measure()

    def _show_values(self, measured: Measured) -> None:
        self.slice_number, self.values = measured
        heading = "" if self.slice_number is None else f"Slice {self.slice_number}:"
        self.heading.setText(heading if self.values else EMPTY)
        self.heading.setVisible(bool(self.heading.text()))
        for part in (self.table, self.copy, self.save):
            part.setVisible(bool(self.values))
        if self.session.result is not None and self.values:
            self._fill(self.session.result.loaded.info.task)

    def _fill(self, task: Task) -> None:
        if self.table.rowCount() != len(self.values):
            self.table.setRowCount(len(self.values))
        for row, value in enumerate(self.values):
            for column, text in enumerate(words(value, task)):
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


def _measured(
    result: Result, number: int | None, size: tuple[tuple[float, float], str] | None, stopped: Callable[[], bool]
) -> Iterator[Measured]:
    spacing, units = size or (None, "")
    values = measure_slice(result.prediction, number or 0, result.loaded.info.task, spacing=spacing, units=units)
    yield number, sorted_for_people(values)
