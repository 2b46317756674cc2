"""What the network believes, with the legend of the colours that it painted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLabel, QVBoxLayout

from napari_uml.errors import WeightsError
from napari_uml.weights import read_info
from napari_uml.widgets.belief_bars import BeliefBars
from napari_uml.widgets.legend import Legend
from napari_uml.widgets.panel import Panel
from napari_uml.widgets.session import State, missing_input

if TYPE_CHECKING:
    from napari_uml.config import Task
    from napari_uml.widgets.session import Result, Session

EMPTY = "Press Run to see what the network believes."


class OpinionPanel(Panel):
    """Heading, belief bars, legend, and where the answer comes from."""

    def _build(self) -> None:
        self.heading, self.bars, self.legend, self.origin = QLabel(), BeliefBars(), Legend(), QLabel()
        for label in (self.heading, self.origin):
            label.setWordWrap(True)
        self.origin.setStyleSheet("font-size: 8pt;")
        self.origin.setToolTip("Where this answer comes from.")
        self.heading.setToolTip("The class with the most belief. Belief and uncertainty together sum to 1.")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        for part in (self.heading, self.bars, self.legend, self.origin):
            layout.addWidget(part)

    def _connect(self) -> None:
        events = self.session.events
        for signal in (events.result, events.model, events.models, events.state, events.source):
            signal.connect(self._show_result)
        self._show_result()

    def _show_result(self) -> None:
        result = self.session.result
        task = result.loaded.info.task if result else _task_of(self.session)
        opinion = result.prediction.opinion if result else None
        idle = self.session.state is State.IDLE
        waiting = (missing_input(self.session) or EMPTY) if idle else "The network is looking at the image…"
        self.heading.setText(f"Most belief: <b>{opinion.predicted}</b>" if opinion else waiting)
        self.bars.set_opinion(opinion, task.cls_classes if task else ())
        self.bars.setVisible(task is not None)
        self.legend.setVisible(task is not None)
        if task is not None:
            self.legend.set_task(task)
        self.origin.setText(origin(result) if result else "")
        self.origin.setVisible(result is not None)


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
        parts.append(f"slice {request.position[request.reading.stack_axis]}")
    if request.box is None and any(prediction.looked_at):
        parts.append("looked twice")
    if prediction.sigma:
        parts.append(f"noise {prediction.sigma:.2f}")
    parts += [result.loaded.info.title, f"{prediction.seconds:.1f}\N{NO-BREAK SPACE}s"]
    return " · ".join(parts)


def _task_of(session: Session) -> Task | None:
    """What the chosen model looks for, as its file says; None when there is no file that can be read."""
    entry = next((entry for entry in session.models if entry.name == session.model), None)
    if entry is None or entry.path is None:
        return None
    try:
        return read_info(entry.path).task
    except WeightsError:
        return None
