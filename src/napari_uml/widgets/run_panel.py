"""Run, Cancel, how far it is, and what there is to tell."""

from __future__ import annotations

import os.path
import platform
import re
from importlib.metadata import version
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication, QKeySequence
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QShortcut, QSizePolicy, QVBoxLayout, QWidget

from napari_uml import __version__
from napari_uml.widgets.origin import files_of
from napari_uml.widgets.panel import Panel, ProgressBar
from napari_uml.widgets.session import Message, Session, State, ready_reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

RUN_KEYS = "Ctrl+Return"
COPY_TIP = (
    "Copy the error, its details, versions and settings, to be pasted into a bug report. The name of the image, its "
    "file and your home folder are left out; look through it for names of other files."
)
SHORTEST_NAME = 3
"""A shorter name is no use to anybody, and stands in many words of a report."""


class RunPanel(Panel):
    """The two buttons, the progress bar and the message."""

    tour = (
        "Run analyses the image; it also starts with Ctrl+Return. Cancel stops after the slice at hand and keeps what "
        "is done. What there is to tell stands below."
    )

    def _build(self) -> None:
        self.run, self.cancel = QPushButton("Run"), QPushButton("Cancel")
        self.run.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.progress = ProgressBar()
        self.progress.setAccessibleName("Progress of the analysis")
        self.progress.setToolTip("How many slices, or looks of a sweep, are done.")
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.message.setTextFormat(Qt.TextFormat.PlainText)
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.copy = QPushButton("Copy report")
        self.copy.setToolTip(COPY_TIP)
        self._told = QWidget()
        buttons, told, layout = QHBoxLayout(), QHBoxLayout(self._told), QVBoxLayout(self)
        buttons.addWidget(self.run, 2)
        buttons.addWidget(self.cancel, 1)
        told.setContentsMargins(0, 0, 0, 0)
        told.addWidget(self.message, 1)
        told.addWidget(self.copy, 0, Qt.AlignmentFlag.AlignTop)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(buttons)
        layout.addWidget(self.progress)
        layout.addWidget(self._told)

    def _connect(self) -> None:
        self.run.clicked.connect(self.bench.run)
        self.cancel.clicked.connect(self.bench.cancel)
        self.copy.clicked.connect(self._on_copy)
        events = self.session.events
        for signal in (events.state, events.source, events.model, events.models, events.area, events.box):
            signal.connect(self._show_state)
        events.progress.connect(self._show_progress)
        events.message.connect(self._show_message)
        self._show_state()
        self._show_progress()
        self._show_message()

    def add_shortcut(self, dock: QWidget) -> None:
        """Let Ctrl+Return run from anywhere in the dock."""
        shortcut = QShortcut(QKeySequence(RUN_KEYS), dock)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.activated.connect(self.run.click)

    def _show_state(self) -> None:
        reason, state = ready_reason(self.session), self.session.state
        self.run.setEnabled(not reason)
        keys = QKeySequence(RUN_KEYS).toString(QKeySequence.SequenceFormat.NativeText)
        self.run.setToolTip(reason or f"Analyse the image ({keys}).")
        self.cancel.setEnabled(state is State.RUNNING)
        self.cancel.setText("Cancelling…" if state is State.CANCELLING else "Cancel")
        self.cancel.setToolTip("Stop after the slice at hand and keep what is done.")
        self.progress.setVisible(state is not State.IDLE)

    def _show_progress(self) -> None:
        done, total = self.session.progress.done, self.session.progress.total
        if total > 1:
            self.progress.show_progress(done, total, f"{done} of {total}")
        else:
            self.progress.show_progress(0, 0)

    def _show_message(self) -> None:
        message = self.session.message
        self._told.setVisible(message is not None)
        self.message.setText(message.text if message else "")
        self.copy.setVisible(message is not None and message.kind == "error")

    def _on_copy(self) -> None:
        if self.session.message is not None:
            files = files_of(self.bench.image) if self.bench.image is not None else ()
            QGuiApplication.clipboard().setText(report(self.session, self.session.message, files))


def report(session: Session, message: Message, files: Sequence[Path] = ()) -> str:
    """What a developer needs to know of an error.

    The pixels, the name of the image, its files and the home folder are not in it; an error may name other files.
    """
    source = session.source
    names = [name for file in files for name in _names(file)] + ([source.name] if source else [])
    lines = [
        without_names(message.text, names),
        "",
        f"napari-uml {__version__}",
        *(f"{name} {version(name)}" for name in ("napari", "torch", "numpy")),
        f"Python {platform.python_version()} on {platform.platform()}",
        f"Image: shape {source.shape}, rgb {source.rgb}" if source else "Image: none",
        f"Read as: {session.reading}",
        f"Region: {session.area}, {session.box}, {session.slices} slices, at {session.position}",
        f"Model: {session.model} on {session.loaded.device if session.loaded else session.device}",
        f"Sigma {session.sigma}, seed {session.seed}, corruption {session.corruption}",
        "",
        without_names(message.details, names),
    ]
    return "\n".join(lines)


def without_names(text: str, names: Iterable[str]) -> str:
    """A text with `<file>` in place of names, and `~` in place of the home folder."""
    for name in sorted({*names}, key=len, reverse=True):
        if len(name) >= SHORTEST_NAME:
            text = _replaced(text, name, "<file>")
    return _replaced(text, os.path.expanduser("~"), "~")


def _names(file: Path) -> tuple[str, ...]:
    return str(file), file.as_posix(), file.name, file.stem


def _replaced(text: str, name: str, by: str) -> str:
    """A name replaced where it is no part of a word, also as Python writes it in quotes (with double backslashes)."""
    written = "|".join(re.escape(way) for way in (name, repr(name)[1:-1]))
    return re.sub(rf"(?<!\w)(?:{written})(?!\w)", lambda _: by, text)
