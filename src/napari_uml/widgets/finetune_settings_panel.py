"""Every field of `TrainConfig` as a form, and the original data to train on as well; folded away."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from qtpy.QtCore import QRegularExpression, QSignalBlocker, Qt
from qtpy.QtGui import QRegularExpressionValidator
from qtpy.QtWidgets import QCheckBox, QComboBox, QFileDialog, QHBoxLayout, QLineEdit, QPushButton, QSpinBox, QWidget

from napari_uml.config import TrainConfig
from napari_uml.widgets.amount import leave_wheel
from napari_uml.widgets.finetune_session import Stage
from napari_uml.widgets.finetune_work import TIMED
from napari_uml.widgets.panel import Panel, add_row, form

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic.fields import FieldInfo
    from qtpy.QtGui import QFocusEvent

    from napari_uml.widgets.finetune_bench import FinetuneBench
    from napari_uml.widgets.finetune_session import FinetuneSession

FIRST = ("epochs", "learning_rate", "batch_size", "image_size", "anchor")
"""What users change most stands on top; `trainable` is chosen above."""
LARGEST = 1_000_000
LONGEST_NAME = 24
"""Letters of a folder's name on a button."""
NUMBER = r"[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d{1,2})?"
"""What can be typed as a number: a point or a comma before its fraction, none between thousands."""
MIX_TIP = (
    "Also train on the data that the start model knows, so that it forgets less of it. Every epoch visits at most "
    "as many of its images as of the list's, so it takes up to twice as long; the list alone chooses the best epoch, "
    "and its validation images must not be among the original data."
)


class SettingsPanel(Panel):
    """One row a field; a value that the user did not set follows from the choices above."""

    title = "Advanced"
    bench: FinetuneBench
    session: FinetuneSession  # type: ignore[assignment]  # the dock has another session

    def _build(self) -> None:
        self.fields: dict[str, QWidget] = {}
        self._set: dict[str, Callable[[Any], None]] = {}
        self._layout = form(self)
        self.mix, self.unmix = QPushButton("Folder…"), QPushButton("None")
        self.mix.setToolTip(MIX_TIP)
        self.mix.setAccessibleName("Original data to mix in")
        self.unmix.setToolTip("Train on the list alone.")
        self.unmix.setAccessibleName("Mix in no original data")
        pair = QWidget()
        row = QHBoxLayout(pair)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.mix, 1)
        row.addWidget(self.unmix)
        add_row(self._layout, "Mix in", pair, MIX_TIP)
        names = [*FIRST, *(name for name in TrainConfig.model_fields if name not in (*FIRST, "trainable"))]
        for name in names:
            self._add(name, TrainConfig.model_fields[name])
        self.reset = QPushButton("Reset")
        self.reset.setToolTip("Forget what was set here; everything follows from the choices above again.")
        self.reset.setAccessibleName("Reset the advanced settings")
        self._layout.addRow("", self.reset)

    def _connect(self) -> None:
        self.mix.clicked.connect(self._on_mix)
        self.unmix.clicked.connect(self._on_unmix)
        self.reset.clicked.connect(self._on_reset)
        events = self.session.events
        of_list = (events.info, events.counts, events.mix_info)
        for signal in (events.changes, events.part, events.length, events.start_info, *of_list):
            signal.connect(self._show_settings)
        events.mix_in.connect(self._show_mix)
        events.stage.connect(self._show_stage)
        self._show_settings()
        self._show_mix()
        self._show_stage()

    def _add(self, name: str, field: FieldInfo) -> None:
        """A row for a field: a box to tick, a list to choose from, a whole number, or a number."""
        kind, optional = _kind(field)
        changed = partial(self._on_changed, name)
        if kind is bool:
            widget, setter = _tick(changed)
        elif get_origin(kind) is Literal:
            widget, setter = _choice(get_args(kind), changed)
        elif kind is int:
            widget, setter = _whole(field, optional, changed)
        elif kind is float:
            widget, setter = _number(changed)
        else:
            widget, setter = _text(changed)
        self.fields[name], self._set[name] = widget, setter
        add_row(self._layout, name.replace("_", " ").capitalize(), widget, f"{field.description}.")

    def _show_settings(self) -> None:
        values = {**TrainConfig().model_dump(), **self.session.settings()}
        for name, field in self.fields.items():
            with QSignalBlocker(field):
                self._set[name](values[name])
        self.reset.setEnabled(bool(self.session.changes))

    def _show_mix(self) -> None:
        folder = self.session.mix_in
        self.mix.setText(_short(folder.name).replace("&", "&&") if folder else "Folder…")
        self.mix.setToolTip(f"{folder}\n{MIX_TIP}" if folder else MIX_TIP)
        self.unmix.setEnabled(folder is not None)

    def _show_stage(self) -> None:
        self.setEnabled(self.session.stage is Stage.IDLE)

    def _on_changed(self, name: str, value: Any) -> None:
        if name in TIMED:
            self.bench.forget_pace()
        self.session.changes = {**self.session.changes, name: value}

    def _on_reset(self) -> None:
        self.bench.forget_pace()
        self.session.changes = {}

    def _on_mix(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Choose the original data")
        if name:
            self.bench.choose_mix(Path(name))

    def _on_unmix(self) -> None:
        self.bench.choose_mix(None)


def _short(name: str) -> str:
    """A name that a button has room for."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME // 2]}…{name[-LONGEST_NAME // 2 :]}"


class _NumberField(QLineEdit):
    """A number to type; when the field is left with what is none, the former number comes back."""

    def __init__(self) -> None:
        super().__init__()
        self._former = ""
        self.setValidator(QRegularExpressionValidator(QRegularExpression(NUMBER), self))

    def value(self) -> float:
        """The number in the field."""
        return float(self.text().replace(",", "."))

    def set_value(self, value: float) -> None:
        """Show another number."""
        self._former = f"{value:g}"
        self.setText(self._former)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        in_menu = event.reason() == Qt.FocusReason.PopupFocusReason  # to paste a number
        if not in_menu and not self.hasAcceptableInput():
            self.setText(self._former)
        super().focusOutEvent(event)


def _kind(field: FieldInfo) -> tuple[Any, bool]:
    """The type of a field, and whether it may also be None."""
    if get_origin(field.annotation) in (Union, UnionType):
        kinds = [kind for kind in get_args(field.annotation) if kind is not type(None)]
        return kinds[0], True
    return field.annotation, False


def _tick(changed: Callable[[Any], None]) -> tuple[QWidget, Callable[[Any], None]]:
    box = QCheckBox()
    box.clicked.connect(changed)
    return box, box.setChecked


def _choice(names: tuple[str, ...], changed: Callable[[Any], None]) -> tuple[QWidget, Callable[[Any], None]]:
    combo = QComboBox()
    combo.addItems(names)
    leave_wheel(combo)
    combo.textActivated.connect(changed)
    return combo, combo.setCurrentText


def _whole(field: FieldInfo, optional: bool, changed: Callable[[Any], None]) -> tuple[QWidget, Callable[[Any], None]]:
    least = next((bound.ge for bound in field.metadata if hasattr(bound, "ge")), 0)
    step = next((bound.multiple_of for bound in field.metadata if hasattr(bound, "multiple_of")), 1)
    spin = QSpinBox()
    spin.setKeyboardTracking(False)
    spin.setRange(least - step if optional else least, LARGEST)
    spin.setSingleStep(step)
    leave_wheel(spin)
    if optional:
        spin.setSpecialValueText("none")
    spin.valueChanged.connect(lambda value: changed(None if optional and value < least else value))
    return spin, lambda value: spin.setValue(spin.minimum() if value is None else value)


def _number(changed: Callable[[Any], None]) -> tuple[QWidget, Callable[[Any], None]]:
    line = _NumberField()
    line.editingFinished.connect(lambda: changed(line.value()) if line.isModified() else None)
    return line, line.set_value


def _text(changed: Callable[[Any], None]) -> tuple[QWidget, Callable[[Any], None]]:
    line = QLineEdit()
    line.editingFinished.connect(lambda: changed(line.text()) if line.isModified() else None)
    return line, line.setText
