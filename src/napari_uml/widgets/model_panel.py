"""Which model looks at the image, and on what it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QComboBox, QLabel

from napari_uml.widgets.panel import Panel, add_row, fill, form, narrow

if TYPE_CHECKING:
    from napari_uml.weights import ModelEntry

UNKNOWN_DEVICE = "Checked at the first run"


class ModelPanel(Panel):
    """Model and device line."""

    def _build(self) -> None:
        self.model = narrow(QComboBox())
        self.model.setPlaceholderText("No model on this computer")
        self.device = QLabel()
        self.device.setWordWrap(True)
        layout = form(self)
        add_row(layout, "Model", self.model, "The trained network that looks at the image.")
        add_row(layout, "Runs on", self.device, "Processor and number format in use.")

    def _connect(self) -> None:
        self.model.activated.connect(self._on_model)
        events = self.session.events
        for signal in (events.models, events.model):
            signal.connect(self._show_models)
        events.loaded.connect(self._show_device)
        self._show_models()
        self._show_device()

    def _show_models(self) -> None:
        fill(self.model, ((_title(entry), entry.name) for entry in self.session.models), self.session.model)
        self.model.setEnabled(bool(self.session.models))

    def _show_device(self) -> None:
        loaded = self.session.loaded
        self.device.setText(UNKNOWN_DEVICE if loaded is None else loaded.device)
        if loaded is not None and loaded.reason:
            self.device.setText(f"{loaded.device} · {loaded.reason.rstrip('.')}")

    def _on_model(self) -> None:
        self.session.model = self.model.currentData()


def _title(entry: ModelEntry) -> str:
    if entry.problem:
        return f"{entry.title} (cannot be used)"
    return entry.title if entry.path is not None else f"{entry.title} (not downloaded)"
