"""What the Analyse dock knows: the choices, the state of the run and the results; no Qt, no napari, no torch."""

from __future__ import annotations

import traceback
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self

from psygnal import SignalGroupDescriptor

from napari_uml.errors import UMLError
from napari_uml.widgets.reading_modes import Reading, guess_reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_uml.evaluation.sweep import Sweep
    from napari_uml.results import Box, Corruption, Opinion, Prediction
    from napari_uml.weights import ModelEntry, WeightsInfo


class DeviceLike(Protocol):
    """What the dock shows of `napari_uml.inference.devices.Device`."""

    @property
    def description(self) -> str:
        """For people: "CPU, 2 threads"."""

    @property
    def reason(self) -> str:
        """Why no GPU is used; empty when one is."""


class Predictor(Protocol):
    """What the dock needs of `napari_uml.inference.predictor.UMLPredictor`."""

    info: WeightsInfo
    precision: str
    sha256: str

    @property
    def device(self) -> DeviceLike:
        """The device in use; another one after it ran out of memory."""

    def predict_slices(
        self, image: NDArray[Any], sigma: float = 0.0, seed: int = 0, roi: Box | None = None, stack: bool = False,
        details: bool = False, corruption: Corruption | None = None,
    ) -> Iterator[Prediction]:  # fmt: skip
        """A prediction a slice, as soon as it is there."""

    def seen(self, image: NDArray[Any], prediction: Prediction) -> NDArray[Any]:
        """What the network saw when it made a prediction of an image: (S, S) or (S, S, 3) in [0, 1]."""


class State(StrEnum):
    """What the worker is doing."""

    IDLE = "idle"
    RUNNING = "running"
    CANCELLING = "cancelling"


@dataclass(frozen=True, slots=True)
class Source:
    """An image layer as plain values.

    Attributes
    ----------
    key
        Names the layer as long as napari runs, whatever its name becomes.
    name
        Its name.
    shape
        Of its array, the colours of an RGB layer included.
    rgb
        Whether the last axis is shown as colours.
    """

    key: str
    name: str
    shape: tuple[int, ...]
    rgb: bool


@dataclass(frozen=True, slots=True)
class Request:
    """Everything that decides a result; with it the result can be repeated.

    Attributes
    ----------
    source, reading
        The layer, and how its axes are read.
    position
        Index along every axis, for those that are not read as a whole.
    all_slices
        Whether every slice of a stack is analysed, rather than the one at `position`.
    box
        The rectangle to look at; None: the whole image.
    model, device, precision, sigma, seed
        As `UMLPredictor.load` and `predict` take them.
    details
        Whether the masks in between are wanted, too; they do not change the answer.
    corruption
        What is done to the network's input before the noise is added.
    with_input
        Whether what the network saw is wanted, too.
    """

    source: Source
    reading: Reading
    position: tuple[int, ...]
    all_slices: bool
    box: Box | None
    model: str
    device: str
    precision: str
    sigma: float
    seed: int
    details: bool = False
    corruption: Corruption | None = None
    with_input: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """The model in memory.

    Attributes
    ----------
    info, sha256
        What the weights say of themselves, and their hash.
    device, reason
        "CPU, 2 threads, bf16", and why that is no GPU (empty when it is one).
    """

    info: WeightsInfo
    sha256: str
    device: str
    reason: str

    @classmethod
    def of(cls, predictor: Predictor) -> Loaded:
        """The same of a predictor, as it is now."""
        line = f"{predictor.device.description}, {predictor.precision}"
        return cls(predictor.info, predictor.sha256, line, predictor.device.reason)


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """An answer and the question.

    Attributes
    ----------
    request, loaded
        What was asked, and the model that answered.
    prediction
        The answer; of a cancelled stack the first slices alone.
    total
        Slices asked for.
    seen
        What the network saw of the slice in view, (S, S) or (S, S, 3) in [0, 1]; None when it was not asked for.
    """

    request: Request
    loaded: Loaded
    prediction: Prediction
    total: int
    seen: NDArray[Any] | None = None

    @property
    def done(self) -> int:
        """Slices answered."""
        return len(self.prediction.opinions)

    @property
    def only_slice(self) -> int | None:
        """Number of the one slice of a stack that was analysed; None for an image, and when all of them were."""
        axis = self.request.reading.stack_axis
        return None if axis is None or self.request.all_slices else self.request.position[axis]

    def slice_at(self, position: Sequence[int]) -> int:
        """Number of the analysed slice at that position of the layer; the last one beyond the end, 0 for an image."""
        axis = self.request.reading.stack_axis
        number = position[axis] if axis is not None and self.request.all_slices else 0
        return min(number, self.done - 1)

    def unlike_at(self, position: Sequence[int]) -> bool:
        """Whether the slice at that position of the layer is unlike the training images."""
        unlike = self.prediction.unlike
        return bool(unlike) and unlike[self.slice_at(position)]

    def opinion_at(self, position: Sequence[int]) -> Opinion:
        """The opinion about the slice at that position of the layer; the last one beyond the end."""
        return self.prediction.opinions[self.slice_at(position)]


@dataclass(frozen=True, slots=True, eq=False)
class SweepResult:
    """How the answer to a question bears noise or a corruption, as far as it is known."""

    request: Request
    loaded: Loaded
    sweep: Sweep

    def is_about(self, result: Result) -> bool:
        """Whether it is about the same pixels and weights as a result."""
        same = self.loaded.sha256 == result.loaded.sha256
        return same and same_pixels(self.request, result.request)


@dataclass(frozen=True, slots=True)
class Progress:
    """Slices done, of how many."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Message:
    """One sentence for the user; an error has details for a report."""

    text: str
    kind: Literal["info", "error"] = "info"
    details: str = ""

    @classmethod
    def of(cls, error: Exception) -> Self:
        """An error in one sentence, with the details for a report."""
        known = isinstance(error, (UMLError, ValueError))
        text = str(error) if known else f"An error inside napari-uml, please send the report: {error!r}"
        return cls(text, "error", "".join(traceback.format_exception(error)))


@dataclass
class Session:
    """The state that all panels of the dock share; every field has a signal in `events`, emitted when it changes.

    Only the GUI thread assigns to it.

    Attributes
    ----------
    source, reading, position
        The chosen layer, how it is read, and where its sliders are (an index for every axis).
    area, box
        Whether the whole image is analysed or a rectangle, and that rectangle if one is drawn.
    slices
        Whether the current slice of a stack is analysed, or all of them.
    models, model
        The models there are, and the name of the chosen one.
    device, precision
        As `UMLPredictor.load` takes them.
    sigma, seed
        Of the noise on the network's input.
    details
        Whether the next run brings the masks in between.
    corruption
        What is done to the network's input before the noise is added; None: nothing.
    show_input
        Whether the next run brings what the network saw.
    sweep
        The last sweep over noise or a corruption; it may be about another layer.
    state, progress
        What the worker does, and how far it is.
    loaded
        The model in memory; None before the first run.
    result
        The last result of the chosen layer; None when it has none.
    message
        The last thing to tell the user; None when all is well.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    source: Source | None = None
    reading: Reading | None = None
    position: tuple[int, ...] = ()
    area: Literal["whole", "rectangle"] = "whole"
    box: Box | None = None
    slices: Literal["current", "all"] = "current"
    models: tuple[ModelEntry, ...] = ()
    model: str = ""
    device: str = "auto"
    precision: str = "auto"
    sigma: float = 0.0
    seed: int = 0
    details: bool = False
    corruption: Corruption | None = None
    show_input: bool = False
    sweep: SweepResult | None = None
    state: State = State.IDLE
    progress: Progress = Progress(0, 0)
    loaded: Loaded | None = None
    result: Result | None = None
    message: Message | None = None
    kept: dict[str, Result] = field(default_factory=dict, repr=False)

    def choose(self, source: Source | None, position: tuple[int, ...] | None = None) -> None:
        """Take another layer, or the same one with another shape or name; its last result comes back with it.

        Parameters
        ----------
        source
            The layer; None: there is none.
        position
            Where its sliders are; None: where they were.
        """
        with ExitStack() as at_once:  # nobody sees the new layer with the answer or the reading of the old one
            for name in reversed(("source", "reading", "position", "box", "message", "result")):  # sent in this order
                at_once.enter_context(getattr(self.events, name).paused())
            self._take(source)
            if position is not None:
                self.position = position

    def _take(self, source: Source | None) -> None:
        before, self.source = self.source, source
        if before is None or source is None or before.key != source.key:
            self.message = None
        if source is None:
            self.reading = self.result = None
            return
        if before is None or (before.key, before.shape, before.rgb) != (source.key, source.shape, source.rgb):
            self.box = None
            self.reading = guess_reading(source.shape, source.rgb)
        self.result = self.kept.get(source.key)

    def accept(self, result: Result) -> None:
        """Keep a result; it is shown if it is about the chosen layer."""
        key = result.request.source.key
        self.kept[key] = result
        self.loaded = result.loaded
        if self.source is not None and self.source.key == key:
            self.result = result

    def forget(self, key: str) -> None:
        """Drop what is known of a layer that is gone."""
        self.kept.pop(key, None)
        if self.sweep is not None and self.sweep.request.source.key == key:
            self.sweep = None
        if self.result is not None and self.result.request.source.key == key:
            self.result = None

    def request(self) -> Request:
        """What Run would ask now.

        Raises
        ------
        ValueError
            When something is missing (`missing_input` says what).
        """
        problem = missing_input(self)
        if problem or self.source is None or self.reading is None:
            raise ValueError(problem)
        return Request(
            source=self.source, reading=self.reading, position=self.position,
            all_slices=self.reading.stack_axis is not None and self.slices == "all",
            box=self.box if self.area == "rectangle" else None,
            model=self.model, device=self.device, precision=self.precision, sigma=self.sigma, seed=self.seed,
            details=self.details, corruption=self.corruption, with_input=self.show_input,
        )  # fmt: skip


def same_pixels(one: Request, other: Request) -> bool:
    """Whether two requests are about the same slice or slices and rectangle of one layer, read alike."""
    if (one.source.key, one.reading, one.all_slices, one.box) != (
        other.source.key, other.reading, other.all_slices, other.box,
    ):  # fmt: skip
        return False
    read = {*one.reading.plane_axes(len(one.source.shape)), one.reading.colour_axis}
    if one.all_slices:
        read.add(one.reading.stack_axis)
    there = zip(one.position, other.position, strict=True)
    return all(axis in read or a == b for axis, (a, b) in enumerate(there))


def missing_input(session: Session) -> str:
    """What keeps a run from being asked for, in one sentence; empty when nothing does."""
    if session.source is None:
        return "Open an image first: drop a file on the window, or try File > Open Sample."
    if not session.model:
        return "Choose a model first." if session.models else "There is no model on this computer."
    entry = next((entry for entry in session.models if entry.name == session.model), None)
    if entry is not None and entry.problem:
        return entry.problem
    if entry is not None and entry.path is None:
        return f"The weights are not on this computer: run `napari-uml models fetch {entry.name}` in a terminal."
    if session.area == "rectangle" and session.box is None:
        return "Draw a rectangle on the image first."
    return ""


def ready_reason(session: Session) -> str:
    """Why Run is disabled, in one sentence; empty when it is enabled."""
    if session.state is not State.IDLE:
        return "A run is in progress."
    return missing_input(session)
