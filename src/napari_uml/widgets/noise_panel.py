"""Noise and other corruptions: move a slider and see what the answer bears."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QLabel, QPushButton, QSpinBox, QVBoxLayout, QWidget
from superqt.utils import QSignalDebouncer

from napari_uml.inference.corruptions import KINDS
from napari_uml.results import Corruption
from napari_uml.widgets.amount import Amount, leave_wheel
from napari_uml.widgets.layers import INPUT_ROLE, MARK
from napari_uml.widgets.panel import Panel, add_row, fill, form
from napari_uml.widgets.seen_layer import show_seen
from napari_uml.widgets.session import State
from napari_uml.widgets.sweep_panel import SweepPanel
from napari_uml.widgets.sweep_plot import NOISE_TITLE

LARGEST, STEP, DECIMALS = 0.30, 0.01, 3
PAPER = {0.03: ".03", 0.05: ".05"}
"""The paper's noise levels."""
PAUSE_MS = 20
"""The network looks again when the slider has rested for so long."""
LARGEST_SEED = 2**31 - 1

if TYPE_CHECKING:
    from napari_uml.widgets.bench import Bench

SIGMA_TIP = (
    "Standard deviation of Gaussian noise on the network's input, where black is 0 and white is 1; marked are the "
    "paper's 0.03 and 0.05."
)
SEED_TIP = "Each seed gives another draw of the noise; the same seed gives the same noise again."
KIND_TIP = "A second damage, done to the network's input before the noise is added."
LIVE_TIP = "Look again as soon as a setting on this panel changes."
SHOW_TIP = "Show what the network saw, with noise and corruption, as a layer above the image."
ALL_SLICES = "All slices are analysed: press Run to see them with this setting."


class NoisePanel(Panel):
    """Sliders for noise and another corruption, what the network saw, and the sweep."""

    title = "Noise"
    tour = (
        "<b>Noise</b>: move the slider and watch bars and heatmap. <b>Sweep</b> tries many strengths and shows where "
        "the answer breaks."
    )

    def __init__(self, bench: Bench, parent: QWidget | None = None) -> None:
        self._waiting = False
        super().__init__(bench, parent)

    def _build(self) -> None:
        self.sigma, self.strength = Amount(), Amount()
        self.sigma.set_range(0, LARGEST, STEP, DECIMALS, PAPER)
        self.kind = QComboBox()
        self.seed = QSpinBox()
        self.seed.setRange(0, LARGEST_SEED)
        self.new_draw = QPushButton("New draw")
        self.new_draw.setToolTip("Take the next seed.")
        self.live, self.show_input = QCheckBox("Live"), QCheckBox("Show what the network sees")
        self.live.setChecked(True)
        self.live.setToolTip(LIVE_TIP)
        self.show_input.setToolTip(SHOW_TIP)
        self.note = QLabel(ALL_SLICES)
        self.note.setWordWrap(True)
        for part in (self.kind, self.seed):
            leave_wheel(part)
        rows = QWidget()
        self._form = form(rows)
        add_row(self._form, NOISE_TITLE, self.sigma, SIGMA_TIP)
        add_row(self._form, "Seed", _side_by_side(self.seed, self.new_draw, self.live), SEED_TIP)
        add_row(self._form, "And", self.kind, KIND_TIP)
        self._strength_label = add_row(self._form, "Strength", self.strength, "")
        self.sigma.set_tip(SIGMA_TIP, "Noise sigma")
        self.strength.set_tip(KIND_TIP, "Strength")
        self.seed.setToolTip(SEED_TIP)
        self.seed.setAccessibleName("Seed of the noise")
        fill(self.kind, [("nothing else", None), *((kind.title, name) for name, kind in KINDS.items())], None)
        self.kind.setCurrentIndex(0)
        self.sweep = SweepPanel(self.bench)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (rows, self.show_input, self.note, self.sweep):
            layout.addWidget(part)

    def _connect(self) -> None:
        self.rest = QSignalDebouncer(parent=self)
        self.rest.setTimeout(PAUSE_MS)
        self.rest.triggered.connect(self._look_again)
        self.sigma.changed.connect(self._on_sigma)
        self.seed.valueChanged.connect(self._on_seed)
        self.new_draw.clicked.connect(self._on_new_draw)
        self.kind.currentIndexChanged.connect(self._on_kind)
        self.strength.changed.connect(self._on_strength)
        self.live.toggled.connect(self._on_changed)
        self.show_input.toggled.connect(self._on_show_input)
        events = self.session.events
        for signal in (events.sigma, events.seed, events.corruption):
            signal.connect(self._show_setting)
            signal.connect(self._on_changed)
        for signal in (events.slices, events.reading, events.source):
            signal.connect(self._show_note)
        events.result.connect(self._show_seen)
        self.bench.moved.connect(self._show_seen)
        events.source.connect(self._on_source)
        events.state.connect(self._on_state)
        self.bench.viewer.layers.events.removed.connect(self._on_removed)
        self.bench.closing.connect(self._on_closing)
        self._show_setting()
        self._show_note()

    def _show_setting(self) -> None:
        session, corruption = self.session, self.session.corruption
        self.sigma.set_value(session.sigma)
        with QSignalBlocker(self.seed), QSignalBlocker(self.kind):
            self.seed.setValue(session.seed)
            self.kind.setCurrentIndex(max(self.kind.findData(corruption and corruption.kind), 0))
        self._form.setRowVisible(self.strength, corruption is not None)
        if corruption is not None:
            kind = KINDS[corruption.kind]
            step, decimals = (1.0, 0) if kind.whole else (0.1 if kind.highest > 1 else 0.05, 2)
            self.strength.set_range(kind.lowest, kind.highest, step, decimals)
            self.strength.set_value(corruption.strength)
            self.strength.set_tip(f"{kind.title}: {kind.meaning}.", f"Strength of {kind.title}")
            self._strength_label.setToolTip(f"{kind.title}: {kind.meaning}.")

    def _show_note(self) -> None:
        self.note.setVisible(self._many_slices)

    @property
    def _many_slices(self) -> bool:
        reading = self.session.reading
        return reading is not None and reading.stack_axis is not None and self.session.slices == "all"

    def _show_seen(self) -> None:
        result, image = self.session.result, self.bench.image
        if result is not None and image is not None and self.show_input.isChecked():
            show_seen(self.bench.viewer, image, result)

    def _on_sigma(self, sigma: float) -> None:
        self.session.sigma = sigma

    def _on_seed(self, seed: int) -> None:
        self.session.seed = seed

    def _on_new_draw(self) -> None:
        self.session.seed = (self.session.seed + 1) % (LARGEST_SEED + 1)

    def _on_kind(self) -> None:
        """Begin with the second step after the neutral one, which shows."""
        name = self.kind.currentData()
        if name is None:
            self.session.corruption = None
            return
        kind = KINDS[name]
        self.session.corruption = Corruption(name, kind.steps[kind.steps.index(kind.neutral) + 2])

    def _on_strength(self, strength: float) -> None:
        self.session.corruption = Corruption(self.kind.currentData(), strength)

    def _on_show_input(self, shown: bool) -> None:
        self.session.show_input = shown
        if shown:
            self._show_seen()
            self._on_changed()
        else:
            self.bench.layers.hide_extra(INPUT_ROLE)

    def _on_source(self) -> None:
        """An answer that comes back with its image is looked at again when the setting is another one now."""
        if self.session.result is not None:
            self._on_changed()

    def _on_changed(self) -> None:
        self.rest.throttle()

    def _look_again(self) -> None:
        """Run with the newest setting, or as soon as the run in progress has ended."""
        if self.live.isChecked() and not self._many_slices and not self._up_to_date:
            self._waiting = not self.bench.rerun()

    @property
    def _up_to_date(self) -> bool:
        result, session = self.session.result, self.session
        if result is None or (session.show_input and result.seen is None):
            return False
        request = result.request
        asked = (session.sigma, session.seed if session.sigma else request.seed, session.corruption)
        return not self.bench.runner.is_running and asked == (request.sigma, request.seed, request.corruption)

    def _on_state(self, state: State) -> None:
        if state is State.IDLE and self._waiting:
            self._waiting = False
            self._on_changed()

    def _on_removed(self, event: Any) -> None:
        """Untick what the user deleted by hand."""
        if self.session.result is not None and event.value.metadata.get(MARK, {}).get("role") == INPUT_ROLE:
            self.session.show_input = False
            with QSignalBlocker(self.show_input):
                self.show_input.setChecked(False)

    def _on_closing(self) -> None:
        self._waiting = False
        self.rest.cancel()


def _side_by_side(*parts: QWidget) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for part in parts:
        layout.addWidget(part)
    layout.addStretch()
    return row
