"""What to start from, what learns, for how long, and what the new model is called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QLineEdit, QPushButton, QWidget

from napari_uml.errors import DatasetError
from napari_uml.training.lengths import LENGTHS, settings_for
from napari_uml.training.pace import in_words, seconds
from napari_uml.widgets.amount import leave_wheel
from napari_uml.widgets.finetune_session import SCRATCH, Stage, kept_in_words
from napari_uml.widgets.panel import Panel, WrappedLabel, add_row, fill, form, narrow

if TYPE_CHECKING:
    from napari_uml.training.lengths import Length
    from napari_uml.widgets.finetune_bench import FinetuneBench
    from napari_uml.widgets.finetune_session import FinetuneSession

PARTS: Final = (("Heads only", "heads"), ("Decoders and heads", "decoders"), ("Everything", "all"))
PART_TIP = (
    "Heads only: fastest, and enough when classes were renamed or regrouped. Decoders and heads: when time or memory "
    "is short. Everything: what another kind of image needs."
)
LENGTH_TIP = "How many looks at the training images; quick is made for 10 to 80 images."
TIME_TIP = "An estimate from a few steps measured on this machine; other programs make it longer."


class StartPanel(Panel):
    """The choices, a sentence that says what is kept, and the time that every length takes."""

    bench: FinetuneBench
    session: FinetuneSession  # type: ignore[assignment]  # the dock has another session

    def _build(self) -> None:
        self.start, self.part, self.length = narrow(QComboBox()), narrow(QComboBox()), narrow(QComboBox())
        self.name, self.kept = QLineEdit(), WrappedLabel()
        self.kept.setToolTip("Heads are matched by the names of structures and classes.")
        self.kept.setAccessibleName("What is kept")
        self.time = QPushButton("Time it")
        self.time.setToolTip("Measure a few training steps on this machine; it takes a quarter of a minute or so.")
        self.time.setAccessibleName("Measure how long training takes")
        for combo in (self.start, self.part, self.length):
            leave_wheel(combo)
        self.takes = QLabel()
        pair, row = QWidget(), QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.takes, 1)
        row.addWidget(self.time)
        pair.setLayout(row)
        layout = form(self)
        add_row(layout, "Start from", self.start, "The model whose weights training starts from.")
        add_row(layout, "", self.kept, self.kept.toolTip())
        add_row(layout, "Train", self.part, PART_TIP)
        add_row(layout, "How long", self.length, LENGTH_TIP)
        add_row(layout, "", pair, TIME_TIP)
        add_row(layout, "New model", self.name, "Name of the new model: small letters, digits, - and _.")

    def _connect(self) -> None:
        self.start.activated.connect(self._on_start)
        self.part.activated.connect(self._on_part)
        self.length.activated.connect(self._on_length)
        self.name.textEdited.connect(self._on_name)
        self.time.clicked.connect(self._on_time)
        events = self.session.events
        for signal in (events.models, events.start, events.start_info, events.info, events.mix_info):
            signal.connect(self._show_start)
        for signal in (
            events.part, events.length, events.pace, events.counts, events.start_info, events.changes, events.mix_in
        ):  # fmt: skip
            signal.connect(self._show_lengths)
        events.name.connect(self._show_name)
        for signal in (events.stage, events.start, events.pace):
            signal.connect(self._show_stage)
        self.bench.measuring_changed.connect(self._show_stage)
        for show in (self._show_start, self._show_lengths, self._show_name, self._show_stage):
            show()

    def _show_start(self) -> None:
        session = self.session
        items = [(entry.title, entry.name) for entry in session.models if entry.path is not None]
        fill(self.start, [*items, ("Nothing (random weights)", SCRATCH)], session.start)
        known = session.start_info.task if session.start_info is not None else None
        try:
            kept = kept_in_words(known, session.task())
        except DatasetError as error:
            kept = str(error)
        self.kept.setText(kept or "Choose a training list to see what is kept.")

    def _show_lengths(self) -> None:
        session = self.session
        fill(self.part, PARTS, session.part)
        fill(self.length, [(self._words(length), length) for length in LENGTHS], session.length)
        self.takes.setText(self._time_in_words())

    def _epochs(self, length: Length) -> int | None:
        """Epochs of a length; None when there are no images yet."""
        session = self.session
        if session.counts is None or session.counts.train == 0:
            return None
        epochs = int(settings_for(length, session.part, session.counts.train * session.views)["epochs"])
        return int(session.changes.get("epochs", epochs)) if length == session.length else epochs

    def _words(self, length: Length) -> str:
        epochs = self._epochs(length)
        return length.capitalize() + (f" · {epochs} epochs" if epochs else "")

    def _time_in_words(self) -> str:
        session, epochs = self.session, self._epochs(self.session.length)
        if session.pace is None or session.counts is None or epochs is None:
            return "Not measured yet."
        mixed = session.mix_in is not None
        return f"Takes {in_words(seconds(session.pace, session.counts, epochs, session.views, mixed=mixed))} here."

    def _show_name(self) -> None:
        if self.name.text() != self.session.name:
            with QSignalBlocker(self.name):
                self.name.setText(self.session.name)

    def _show_stage(self) -> None:
        idle, busy = self.session.stage is Stage.IDLE, self.bench.is_measuring
        for field in (self.start, self.part, self.length, self.name):
            field.setEnabled(idle)
        self.time.setEnabled(idle and not busy and self.session.start != SCRATCH)
        self.time.setText("Timing…" if busy else "Time it")

    def _on_start(self) -> None:
        self.bench.choose_start(self.start.currentData())

    def _on_part(self) -> None:
        self.bench.forget_pace()
        self.session.part = self.part.currentData()

    def _on_length(self) -> None:
        self.session.length = self.length.currentData()

    def _on_name(self, text: str) -> None:
        self.session.name = text

    def _on_time(self) -> None:
        self.bench.measure()
