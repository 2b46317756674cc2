"""Which model looks at the image, and on what it runs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QLabel, QProgressBar, QPushButton, QWidget

from napari_uml.config import Precision
from napari_uml.errors import UMLError
from napari_uml.weights import import_weights
from napari_uml.widgets.background import Background
from napari_uml.widgets.card_dialog import CardDialog
from napari_uml.widgets.downloads import Download
from napari_uml.widgets.panel import Panel, ProgressBar, add_row, fill, form, narrow
from napari_uml.widgets.session import Message, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_uml.weights import ModelEntry

UNKNOWN_DEVICE = "Checked at the first run"
KNOWN_DEVICES = (("Automatic", "auto"), ("CPU", "cpu"))
"""Those that are offered before torch has looked."""
PRECISIONS = {"auto": "Automatic"}


@dataclass(frozen=True, slots=True)
class Devices:
    """The devices of this computer: for people, and as torch names them; the fastest first."""

    found: tuple[tuple[str, str], ...]


class ModelPanel(Panel):
    """Model, its card, import and download; device, precision, self-test, and the device line."""

    tour = (
        "The trained network. Its card says what it was trained on, how good it is and what it is not for. The device "
        "line says what computes, and why a GPU is not used; Self-test tries it out."
    )

    def _build(self) -> None:
        self.model, self.processor, self.format = narrow(QComboBox()), narrow(QComboBox()), narrow(QComboBox())
        self.model.setMinimumContentsLength(8)
        self.model.setPlaceholderText("No model")
        self.card, self.add = QPushButton("Card…"), QPushButton("Import…")
        self.card.setToolTip("What the model was trained on, how good it is, and what it is not for.")
        self.add.setToolTip("Add a model from a .safetensors file; it is checked and copied to your models.")
        self.download, self.bar = QPushButton("Download"), ProgressBar()
        self.bar.setToolTip("How much of the model is here.")
        self.bar.setAccessibleName("Progress of the download")
        self.test, self.device = QPushButton("Self-test"), QLabel()
        self.test.setToolTip("Run a tiny network on the chosen device: does it work, and how long does it take?")
        self.device.setWordWrap(True)
        for combo in (self.processor, self.format):
            combo.setMinimumContentsLength(6)
        self.processor.setAccessibleName("Device")
        self.processor.setToolTip("What computes; Automatic takes the fastest. Self-test looks for GPUs.")
        self.format.setAccessibleName("Precision")
        self.format.setToolTip("Number format; Automatic computes in half precision where the device does.")
        self._form = form(self)
        add_row(self._form, "Model", _row(self.model, self.card, self.add), "The network that looks at the image.")
        self._fetching = _row(self.download, self.bar)
        add_row(self._form, "", self._fetching, "The model's weights are not on this computer yet.")
        add_row(self._form, "Runs on", _row(self.processor, self.format, self.test), "Device and number format.")
        add_row(self._form, "", self.device, "Processor and number format in use, and why that is no GPU.")

    def _connect(self) -> None:
        self._downloads, self._tests = Download(self.bench, self), Background(self.bench, self)
        self._found: tuple[tuple[str, str], ...] = KNOWN_DEVICES
        self.model.activated.connect(self._on_model)
        self.processor.activated.connect(self._on_device)
        self.format.activated.connect(self._on_precision)
        self.card.clicked.connect(self._on_card)
        self.add.clicked.connect(self._on_add)
        self.download.clicked.connect(self._on_download)
        self.test.clicked.connect(self._on_test)
        for work in (self._downloads, self._tests):
            work.failed.connect(self.bench.report)
        self._tests.yielded.connect(self._on_tested)
        self._downloads.progressed.connect(self._on_progress)
        self._downloads.finished.connect(self._on_downloaded)
        self._tests.finished.connect(self._show_choices)
        events = self.session.events
        for signal in (events.models, events.model):
            signal.connect(self._show_models)
        for signal in (events.device, events.precision, events.state):
            signal.connect(self._show_choices)
        events.loaded.connect(self._show_device)
        self._show_models()
        self._show_choices()
        self._show_device()

    @property
    def entry(self) -> ModelEntry | None:
        """The chosen model."""
        return next((entry for entry in self.session.models if entry.name == self.session.model), None)

    def _show_models(self) -> None:
        fill(self.model, ((_title(entry), entry.name) for entry in self.session.models), self.session.model)
        self.model.setEnabled(bool(self.session.models))
        self.card.setEnabled(self.entry is not None)
        self._show_download()

    def _show_download(self) -> None:
        entry, busy = self.entry, self._downloads.is_busy
        missing = entry is not None and entry.path is None
        self._form.setRowVisible(self._fetching, missing or busy)
        self.bar.setVisible(busy)
        size = f" ({entry.size / 1e6:.0f} MB)" if entry is not None else ""
        self.download.setText("Cancel" if busy else f"Download{size}")
        tip = "Stop; what has arrived is kept for the next try." if busy else "Fetch this model from the internet."
        self.download.setToolTip(tip)

    def _show_choices(self) -> None:
        session = self.session
        devices = list(self._found)
        if session.device not in (name for _, name in devices):
            devices.append((session.device, session.device))
        fill(self.processor, devices, session.device)
        names = get_args(Precision)
        fill(self.format, ((PRECISIONS.get(name, name), name) for name in names), session.precision)
        idle = session.state is State.IDLE
        self.test.setEnabled(idle and not self._tests.is_busy)
        self.test.setText("Testing…" if self._tests.is_busy and idle else "Self-test")

    def _show_device(self) -> None:
        loaded = self.session.loaded
        self.device.setText(UNKNOWN_DEVICE if loaded is None else loaded.device)
        if loaded is not None and loaded.reason:
            self.device.setText(f"{loaded.device} · {loaded.reason.rstrip('.')}")
        if loaded is not None and "torch" in sys.modules and self._found is KNOWN_DEVICES and not self._tests.is_busy:
            self._tests.start(look_for_devices)

    def _on_model(self) -> None:
        self.session.model = self.model.currentData()

    def _on_device(self) -> None:
        self.session.device = self.processor.currentData()

    def _on_precision(self) -> None:
        self.session.precision = self.format.currentData()

    def _on_card(self) -> None:
        if self.entry is not None:
            dialog = CardDialog(self.entry, self)
            dialog.finished.connect(dialog.deleteLater)
            dialog.show()

    def _on_add(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Import a model", "", "Models (*.safetensors);;All files (*)")
        if name:
            self.add_file(Path(name))

    def add_file(self, path: Path) -> None:
        """Import a weights file, and choose it."""
        try:
            info = import_weights(path)
        except (UMLError, ValueError) as error:
            self.bench.report(error)
            return
        self.bench.refresh_models()
        self.session.model = info.name
        self.session.message = Message(f"Added the model {info.title!r}.")

    def _on_download(self) -> None:
        if self._downloads.is_busy:
            self._downloads.stop()
        elif self.entry is not None:
            self.bar.show_progress(0, 0)
            self._downloads.start(self.entry.name)
            self._show_download()

    def _on_downloaded(self) -> None:
        self.bench.refresh_models()
        self._show_download()

    def _on_test(self) -> None:
        self._tests.start(test_device(self.session.device, self.session.precision))
        self._show_choices()

    def _on_tested(self, value: object) -> None:
        if isinstance(value, Devices):
            self._found = (KNOWN_DEVICES[0], *value.found)
        elif isinstance(value, Message):
            self.session.message = value

    def _on_progress(self, have: int, size: int) -> None:
        self.bar.show_progress(have // 1024, max(1, size // 1024), "%p%")


def look_for_devices(stopped: Callable[[], bool]) -> Iterator[object]:
    """Work for the background: yields the `Devices`."""
    from napari_uml.inference.devices import available_devices

    yield Devices(tuple((device.description, device.name) for device in available_devices()))


def test_device(device: str, precision: str) -> Callable[[Callable[[], bool]], Iterator[object]]:
    """Work for the background: yields the `Devices`, and a `Message` that says how a tiny network ran."""

    def work(stopped: Callable[[], bool]) -> Iterator[object]:
        from napari_uml.inference.self_test import self_test

        yield from look_for_devices(stopped)
        if not stopped():
            yield Message(self_test(device, precision).in_words())

    return work


def _row(*parts: QWidget) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for part in parts:
        layout.addWidget(part, 1 if isinstance(part, (QComboBox, QProgressBar)) else 0)
    return row


def _title(entry: ModelEntry) -> str:
    if entry.problem:
        return f"{entry.title} (cannot be used)"
    return entry.title if entry.path is not None else f"{entry.title} (not downloaded)"
