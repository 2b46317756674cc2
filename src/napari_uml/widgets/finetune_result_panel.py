"""What a run brought: figures before and after, pictures, and what to do with the new model."""

from __future__ import annotations

import shutil
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QGridLayout,
    QHeaderView,
    QInputDialog,
    QLabel,
    QMessageBox,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
)

from napari_uml.errors import UMLError
from napari_uml.evaluation.comparison import PICTURES
from napari_uml.files import replacing
from napari_uml.training.plan import MODEL
from napari_uml.weights import delete_weights, rename_weights
from napari_uml.weights.registry import CARD_SUFFIX
from napari_uml.widgets.background import Background
from napari_uml.widgets.card_dialog import CardDialog
from napari_uml.widgets.finetune_session import Stage
from napari_uml.widgets.panel import Panel, ask_for_file, push_button, scroll_to
from napari_uml.widgets.session import Message
from napari_uml.widgets.small_print import print_small

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_uml.evaluation.comparison import Comparison
    from napari_uml.evaluation.record import Metric
    from napari_uml.widgets.finetune_bench import FinetuneBench
    from napari_uml.widgets.finetune_session import FinetuneSession

COLUMNS = ("", "before", "after", "change")
SHOWN = {"dice_present/": "Dice", "auc": "AUC", "balanced_acc": "Balanced accuracy", "ece": "Calibration error"}
"""Figures in the table by how their names begin, except the AUC of single classes; the card has all of them."""
PICTURE = 310
"""Width of the pictures, pixels: that of a narrow dock."""
EMPTY = "Train to see what it brings."


class ResultPanel(Panel):
    """The table, the pictures and the buttons."""

    title = "Result"
    bench: FinetuneBench
    session: FinetuneSession  # type: ignore[assignment]  # the dock has another session

    def _build(self) -> None:
        self.heading, self.pictures, self.caption = QLabel(EMPTY), QLabel(), QLabel()
        self.heading.setWordWrap(True)
        self.heading.setToolTip("What was compared on how many images.")
        self.caption.setWordWrap(True)
        self.pictures.setAccessibleName("Validation images: truth, before, after")
        self.pictures.setToolTip("Validation images with their structures.")
        self.table = QTableWidget(0, len(COLUMNS))
        self.table.setHorizontalHeaderLabels(COLUMNS)
        self.table.verticalHeader().hide()
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setTabKeyNavigation(False)
        self.table.setWordWrap(True)
        print_small(self.table)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.setAccessibleName("Figures before and after")
        self.table.setToolTip("On the validation images; below each figure its bootstrap 95 % interval over groups.")
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.use = push_button("Use now", "Choose the new model in the Analyse dock.")
        self.card = push_button("Card…", "What the model was trained on, how good it is, and what it is not for.")
        self.rename = push_button("Rename…", "Give the new model another name.")
        self.export = push_button("Export…", "Save the weights file, and its card, elsewhere.")
        self.delete = push_button("Delete…", "Delete the new model; the training list and the run stay.")
        self.keep = push_button("Add to models…", "Add the run's model to your models under a name.")
        layout, buttons = QVBoxLayout(self), QGridLayout()
        layout.setContentsMargins(0, 0, 0, 0)
        for number, button in enumerate((self.use, self.card, self.rename, self.export, self.delete, self.keep)):
            buttons.addWidget(button, number // 3, number % 3)
        for part in (self.heading, self.table, self.caption, self.pictures):
            layout.addWidget(part)
        layout.addLayout(buttons)

    def _connect(self) -> None:
        self._copying = Background(self.bench, self)
        self._copying.failed.connect(self.bench.report)
        self._copying.yielded.connect(self._on_copied)
        for button, slot in (
            (self.use, self._on_use), (self.card, self._on_card), (self.rename, self._on_rename),
            (self.export, self._on_export), (self.delete, self._on_delete), (self.keep, self._on_keep),
        ):  # fmt: skip
            button.clicked.connect(slot)
        events = self.session.events
        events.comparison.connect(self._show_comparison)
        for signal in (events.installed, events.comparison, events.stage, events.run):
            signal.connect(self._show_buttons)
        self._show_comparison()
        self._show_buttons()

    def _show_comparison(self) -> None:
        comparison, run = self.session.comparison, self.session.run
        self.table.setVisible(comparison is not None)
        pixmap = QPixmap(str(run / PICTURES)) if comparison is not None and run is not None else QPixmap()
        for label in (self.pictures, self.caption):
            label.setVisible(not pixmap.isNull())
        if comparison is None:
            self.heading.setText(EMPTY)
            return
        after = comparison.after
        self.heading.setText(f"{after.dataset}, validation images, n = {after.n}. {comparison.note}".strip())
        self._fill(rows_of(comparison))
        self.caption.setText("Truth · before · after" if comparison.before else "Truth · after")
        if not pixmap.isNull():
            self.pictures.setPixmap(pixmap.scaledToWidth(PICTURE, Qt.TransformationMode.SmoothTransformation))
        self.unfold()
        scroll_to(self)

    def _fill(self, rows: list[tuple[str, ...]]) -> None:
        self.table.setRowCount(len(rows))
        for number, row in enumerate(rows):
            for column, text in enumerate(row):
                item = QTableWidgetItem(text)
                item.setToolTip(text)
                self.table.setItem(number, column, item)
        self.table.resizeRowsToContents()
        height = sum(self.table.rowHeight(number) for number in range(len(rows)))
        self.table.setFixedHeight(height + self.table.horizontalHeader().sizeHint().height() + 4)

    def _show_buttons(self) -> None:
        session = self.session
        there = bool(session.installed) and session.stage is Stage.IDLE
        for button in (self.use, self.card, self.rename, self.export, self.delete):
            button.setEnabled(there)
        has_model = session.run is not None and (session.run / MODEL).is_file()
        self.keep.setVisible(has_model and not session.installed and session.stage is Stage.IDLE)

    def _on_use(self) -> None:
        self.bench.use(self.session.installed)

    def _on_card(self) -> None:
        entry = next((entry for entry in self.session.models if entry.name == self.session.installed), None)
        if entry is not None:
            dialog = CardDialog(entry, self)
            dialog.finished.connect(dialog.deleteLater)
            dialog.show()

    def _on_rename(self) -> None:
        name, done = QInputDialog.getText(self, "Rename the model", "New name", text=self.session.installed)
        if done and name != self.session.installed:
            self._change(partial(rename_weights, self.session.installed, name), name)

    def _on_delete(self) -> None:
        name = self.session.installed
        question = f"Delete the model {name}? The training list and the run stay."
        if QMessageBox.question(self, "Delete the model", question) == QMessageBox.StandardButton.Yes:
            self._change(partial(delete_weights, name), "")

    def _change(self, change: Callable[[], object], name: str) -> None:
        """Change the user's model, which has that name afterwards."""
        try:
            change()
        except (UMLError, ValueError) as error:
            self.bench.report(error)
            return
        before, self.session.installed = self.session.installed, name
        self.session.message = Message(f"{before} is called {name} now." if name else f"Deleted {before}.")
        self.bench.refresh_models()
        self.bench.models_changed.emit(before, name)

    def _on_keep(self) -> None:
        name, done = QInputDialog.getText(self, "Add to your models", "Name", text=self.session.name)
        if done:
            self.bench.add_model(name)

    def _on_export(self) -> None:
        entry = next((entry for entry in self.session.models if entry.name == self.session.installed), None)
        if entry is None or entry.path is None:
            return
        try:
            target = ask_for_file(self, "Export the model", entry.name, "safetensors")
        except UMLError as error:
            self.bench.report(error)
            return
        if target is None:
            return
        card = target.with_suffix(CARD_SUFFIX)
        if card.exists() and not target.exists():  # else the dialog asked, about the weights
            self.session.message = Message(f"{card} is there already; choose another name.", "error")
            return
        self._copying.start(copy_model(entry.path, target))

    def _on_copied(self, target: Path) -> None:
        with_card = " and its card" if target.with_suffix(CARD_SUFFIX).is_file() else ""
        self.session.message = Message(f"Saved {target}{with_card}.")


def copy_model(source: Path, target: Path) -> Callable[[Callable[[], bool]], Iterator[object]]:
    """Work that copies a weights file and the card beside it, and yields the target."""

    def work(stopped: Callable[[], bool]) -> Iterator[object]:
        for ending in (source.suffix, CARD_SUFFIX):
            if source.with_suffix(ending).is_file():
                with replacing(target.with_suffix(ending)) as part:
                    shutil.copyfile(source.with_suffix(ending), part)
        yield target

    return work


def rows_of(comparison: Comparison) -> list[tuple[str, ...]]:
    """The rows of the table."""
    before = {} if comparison.before is None else comparison.before.metrics
    rows: list[tuple[str, ...]] = []
    for name, metric in comparison.after.metrics.items():
        kind = next((kind for kind in SHOWN if name == kind or (kind.endswith("/") and name.startswith(kind))), None)
        if kind is not None:
            words = f"{SHOWN[kind]} {name.removeprefix(kind)}".strip()
            rows.append((words, cell(before.get(name)), cell(metric), cell(comparison.difference.get(name), sign=True)))
    return rows


def cell(metric: Metric | None, *, sign: bool = False) -> str:
    """A figure and its interval, in two lines."""
    if metric is None:
        return "-"
    plus = "+" if sign else ""
    value = f"{metric.value:{plus}.3f}"
    if metric.low is None or metric.high is None:
        return value
    return f"{value}\n{metric.low:{plus}.2f} … {metric.high:{plus}.2f}"
