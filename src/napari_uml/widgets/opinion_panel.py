"""What the network believes, with the legend of the colours that it painted."""

from __future__ import annotations

from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QVBoxLayout

from napari_uml.errors import WeightsError
from napari_uml.inference.trust import trust_in
from napari_uml.results import PARTS, SILENT
from napari_uml.weights import read_info
from napari_uml.widgets.belief_bars import BeliefBars
from napari_uml.widgets.layer_arrays import element_at
from napari_uml.widgets.legend import Legend
from napari_uml.widgets.panel import Panel
from napari_uml.widgets.readout import PixelOpinion, pixel_at
from napari_uml.widgets.session import State, missing_input, same_pixels
from napari_uml.widgets.small_print import print_small
from napari_uml.widgets.trust_line import TrustLine

if TYPE_CHECKING:
    from napari_uml.weights import WeightsInfo
    from napari_uml.widgets.session import Result, Session

EMPTY = "Press Run to see what the network believes."
VOLUME_TIP = (
    "The opinion about the whole stack: averaging belief fusion, which is the opinion that the mean evidence of all "
    "analysed slices holds.\nMore slices do not make it surer by themselves."
)


class OpinionPanel(Panel):
    """Heading, belief bars (of a stack: of the slice in view and of the volume), trust, legend, and origin."""

    def _build(self) -> None:
        self.heading, self.legend, self.origin, self.trust = QLabel(), Legend(), QLabel(), TrustLine()
        self.bars, self.volume_bars = BeliefBars(), BeliefBars(named=False)
        self.slice_title, self.volume_title = QLabel(), QLabel("Volume")
        self.volume_title.setToolTip(VOLUME_TIP)
        self.sets = sets = QGridLayout()
        sets.setSpacing(1)
        sets.setColumnStretch(0, 5)
        for column, (title, bars) in enumerate([(self.slice_title, self.bars), (self.volume_title, self.volume_bars)]):
            title.setAlignment(Qt.AlignmentFlag.AlignRight)
            sets.addWidget(title, 0, column)
            sets.addWidget(bars, 1, column)
        for label in (self.heading, self.origin):
            label.setWordWrap(True)
        print_small(self.origin)
        self.origin.setToolTip("Where this answer comes from.")
        self.heading.setToolTip("The class with the most belief. Belief and uncertainty together sum to 1.")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.heading)
        layout.addLayout(sets)
        for part in (self.trust, self.legend, self.origin):
            layout.addWidget(part)

    def _connect(self) -> None:
        events = self.session.events
        for signal in (events.result, events.model, events.models, events.state, events.source):
            signal.connect(self._show_result)
        for signal in (events.area, events.box, events.slices, events.reading, events.position):
            signal.connect(self._show_origin)
        events.position.connect(self._show_slice)
        self.bench.viewer.cursor.events.position.connect(self._show_pixel)
        self._show_result()

    def _show_result(self) -> None:
        result = self.session.result
        info = result.loaded.info if result else _info_of(self.session)
        task = info.task if info else None
        idle = self.session.state is State.IDLE
        waiting = (missing_input(self.session) or EMPTY) if idle else "The network is looking at the image…"
        self.heading.setText(waiting)
        self.bars.set_opinion(None, task.cls_classes if task else ())
        answers = result.prediction.answers if result else PARTS
        self.bars.setVisible(task is not None and "class" in answers)
        self.legend.setVisible(task is not None and "mask" in answers)
        if info is not None:
            measure = result.prediction.measure if result else "vacuity"
            judged = info.calibration is not None and bool(info.calibration.structures)
            self.legend.set_task(info.task, measure, calibrated=judged)
        self._show_volume()
        self._show_slice()
        self._show_origin()

    def _show_origin(self) -> None:
        """Where the answer comes from, and whether it answers what is chosen now."""
        result = self.session.result
        text = escape(origin(result)) if result else ""
        if result and (since := chosen_since(self.session, result)):
            text += f"<br><b>Chosen since: {', '.join(since)}. Press Run to analyse that.</b>"
        self.origin.setText(text)
        self.origin.setVisible(result is not None)

    def _show_slice(self) -> None:
        """Follow the slider of a stack; nothing changes for an image."""
        result = self.session.result
        answers = result.prediction.answers if result else ()
        self.trust.setVisible("class" in answers)
        if result is None or "class" not in answers:
            self.heading.setText(SILENT["class"] if result else self.heading.text())
            self._show_pixel()
            return
        opinion = result.opinion_at(self.session.position)
        text = f"{opinion.superlative}: <b>{escape(opinion.predicted)}</b>"
        if (number := result.only_slice) is not None:
            text = f"Slice {number} · {text}"
        if result.done > 1:
            number = result.slice_at(self.session.position)
            self.slice_title.setText(f"Slice {number}")
            text += f" · in the volume: <b>{escape(result.prediction.opinion.predicted)}</b>"
        if "mask" not in answers:
            text += f"<br>{SILENT['mask']}"
        self.heading.setText(text)
        self.bars.set_opinion(opinion)
        unlike = result.unlike_at(self.session.position)
        self.trust.set_trust(trust_in(opinion, result.loaded.info.calibration, unlike=unlike))
        self._show_pixel()

    def pixel(self) -> PixelOpinion | None:
        """What the network holds of the pixel under the cursor; None where there is no result."""
        image, result = self.bench.image, self.session.result
        if image is None or result is None or result.request.source.key != str(image.unique_id):
            return None
        element = element_at(image, self.bench.viewer.cursor.position)
        return None if element is None else pixel_at(result, element)

    def _show_pixel(self) -> None:
        if self.isVisible():
            self.legend.set_pixel(self.pixel())

    def _show_volume(self) -> None:
        result = self.session.result
        several = result is not None and result.done > 1 and "class" in result.prediction.answers
        for part in (self.slice_title, self.volume_title, self.volume_bars):
            part.setVisible(several)
        self.sets.setColumnStretch(1, 3 if several else 0)
        self.sets.setHorizontalSpacing(6 if several else 0)
        if result is not None and several:
            self.volume_bars.set_opinion(result.prediction.opinion)
            self.volume_bars.setToolTip(f"{self.volume_bars.accessibleDescription()}\n{VOLUME_TIP}")


def chosen_since(session: Session, result: Result) -> tuple[str, ...]:
    """What is chosen otherwise now than when a result about the same layer was asked for, in words: "another model"."""
    asked = result.request
    box = session.box if session.area == "rectangle" else None
    all_slices = asked.reading.stack_axis is not None and session.slices == "all"
    same_slices = same_pixels(replace(asked, position=session.position, all_slices=all_slices), asked)
    differs = {
        "another model": session.model != asked.model,
        "another region": box != asked.box,
        "another way to read it": session.reading != asked.reading,
        "other slices" if all_slices or asked.all_slices else "another slice": not same_slices,
    }
    return tuple(words for words, so in differs.items() if so)


def origin(result: Result) -> str:
    """Image, part, model and time of a result, in one line."""
    request, prediction = result.request, result.prediction
    parts = [request.source.name]
    if request.box is not None:
        parts.append("a rectangle")
    if request.all_slices:
        done = f"{result.done} of " if result.done < result.total else ""
        parts.append(f"{done}{result.total} slices")
    elif request.reading.stack_axis is not None:
        parts.append(f"slice {result.only_slice}")
    if request.box is None and any(prediction.looked_at):
        parts.append("looked twice")
    if prediction.corruption is not None:
        parts.append(f"{prediction.corruption.kind} {prediction.corruption.strength:g}")
    if prediction.sigma:
        parts.append(f"noise {prediction.sigma:g}")
    parts += [result.loaded.info.title, f"{prediction.seconds:.1f}\N{NO-BREAK SPACE}s"]
    return " · ".join(parts)


def _info_of(session: Session) -> WeightsInfo | None:
    """What the chosen model's file says; None when there is no file that can be read."""
    entry = next((entry for entry in session.models if entry.name == session.model), None)
    if entry is None or entry.path is None:
        return None
    try:
        return read_info(entry.path)
    except WeightsError:
        return None
