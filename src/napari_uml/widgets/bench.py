"""What ties viewer, session, worker and result layers together, and what every panel is given."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Shapes
from qtpy.QtCore import QObject, QTimer, Signal

from napari_uml.errors import WeightsError
from napari_uml.weights import list_models
from napari_uml.widgets.geometry import placement, rectangle
from napari_uml.widgets.jobs import analyse
from napari_uml.widgets.layer_arrays import array_of, position_in, source_of
from napari_uml.widgets.layers import ResultLayers, is_result
from napari_uml.widgets.preferences import Preferences, read_preferences, use_cache_folder, watch_preferences
from napari_uml.widgets.reading_modes import reading_of_plane
from napari_uml.widgets.session import (
    Loaded,
    Message,
    Progress,
    Result,
    Session,
    State,
    SweepResult,
    missing_input,
)
from napari_uml.widgets.still_window import still_window, when_drawn
from napari_uml.widgets.worker import Runner

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari.viewer
    from napari.layers import Layer
    from qtpy.QtWidgets import QWidget

    from napari_uml.widgets.jobs import Job
    from napari_uml.widgets.session import Predictor, Request

PLACES = ("scale", "translate", "rotate", "shear", "affine", "units")
"""Events of a layer that lies elsewhere now."""
QUICK = 1.0
"""An answer that takes fewer seconds comes at once."""


class Bench(QObject):
    """The one place that writes viewer and worker events into the session, and results into the viewer.

    Parameters
    ----------
    viewer
        The viewer that the dock belongs to.
    session
        Its state; a new one by default.
    load
        Makes a predictor of the names of model, device and precision; for tests.
    parent
        The dock: its window draws when new layers are complete. None: at once.

    Attributes
    ----------
    images_changed
        Emitted when image or Shapes layers were added, removed, renamed or moved.
    moved
        Emitted when the image of the result that is shown lies elsewhere now, or has pixels of another size.
    finished
        Emitted when a run has ended and its answer, if there is one, is shown.
    closing
        Emitted when the dock is closed: work in the background stops.
    """

    images_changed = Signal()
    moved = Signal()
    finished = Signal()
    closing = Signal()

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        session: Session | None = None,
        load: Callable[[str, str, str], Predictor] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._dock = parent
        self.viewer = viewer
        self.session = session or Session()
        self._adding = QTimer(self, singleShot=True)
        self.layers = ResultLayers(viewer, self._adding.start)
        self.runner = Runner(load, self)
        self.shapes: Layer | None = None
        self._running_on: Layer | None = None
        self._rerunning = self._unfinished = False
        self._watched: list[Layer] = []
        self._connect()
        self.preferences = Preferences()
        self._on_preferences()
        self._on_layers()

    @property
    def images(self) -> list[Layer]:
        """The layers that can be analysed, the topmost first."""
        return [layer for layer in reversed(self.viewer.layers) if isinstance(layer, Image) and not is_result(layer)]

    @property
    def shapes_layers(self) -> list[Layer]:
        """The layers that can hold a rectangle, the topmost first."""
        return [layer for layer in reversed(self.viewer.layers) if isinstance(layer, Shapes)]

    @property
    def image(self) -> Layer | None:
        """The chosen layer."""
        return self.layer(self.session.source.key) if self.session.source else None

    def layer(self, key: str) -> Layer | None:
        """The layer of that key (`str(layer.unique_id)`); None when it is gone."""
        return next((layer for layer in self.viewer.layers if str(layer.unique_id) == key), None)

    def choose_image(self, layer: Layer | None) -> None:
        """Choose the layer to analyse."""
        if layer is None:
            self.session.choose(None)
        else:
            before = self.session.source
            self.session.choose(source_of(layer), position_in(layer, self.viewer.dims.point))
            if before != self.session.source and self.viewer.dims.order != (*range(self.viewer.dims.ndim),):
                self._follow_view()
        self.update_box()

    def choose_shapes(self, layer: Layer | None) -> None:
        """Choose the Shapes layer that holds the rectangle."""
        self.shapes = layer
        self.update_box()

    def draw_rectangle(self) -> None:
        """Let the user draw a rectangle, on a new Shapes layer when there is none."""
        if self.image is None:
            return
        if self.shapes is None:
            where = placement(self.image, np.zeros(self.image.ndim))
            style = {"edge_color": "#F0E442", "face_color": "transparent", "edge_width": 2}
            self.shapes = self.viewer.add_layer(Shapes(ndim=self.image.ndim, name="rectangle", **where, **style))
        self.viewer.layers.selection.active = self.shapes
        self.shapes.visible = True  # nothing can be drawn on a hidden layer
        self.shapes.mode = "add_rectangle"

    def update_box(self) -> None:
        """Read the rectangle anew."""
        session, image = self.session, self.image
        if image is None or self.shapes is None or session.source is None or session.reading is None:
            session.box = None
        else:
            session.box = rectangle(self.shapes, image, session.reading, session.source.shape)

    def refresh_models(self) -> None:
        """Look again which models there are."""
        session = self.session
        try:
            session.models = list_models()
        except WeightsError as error:
            self.report(error)
        names, gone = [entry.name for entry in session.models], session.model
        if gone not in names:
            usable = [entry.name for entry in session.models if entry.path is not None and not entry.problem]
            session.model = next(iter(usable or names), "")
            if gone and session.model:
                session.message = Message(f"There is no model {gone} on this computer; {session.model} is chosen now.")

    def run(self) -> None:
        """Analyse what is chosen; nothing happens while a run is in progress."""
        self.start(analyse)

    def start(self, make: Callable[[Request, Any], Job]) -> None:
        """Do a job about what is chosen, made of a request and an array; nothing happens while a run is in progress."""
        if self.session.state is State.IDLE:
            self._submit(make, quiet=False)

    def rerun(self) -> bool:
        """Analyse again because a setting changed; the answer to the setting before is dropped (newest wins).

        Where the last answer came at once, the buttons and the progress bar stay as they are.

        Returns
        -------
        False while another run is in progress, which goes on.
        """
        session = self.session
        if session.state is not State.IDLE and not self._rerunning:
            return False
        last = session.result
        quick = last is not None and last.prediction.seconds < QUICK and last.request.model == session.model
        self._rerunning = self._submit(analyse, quiet=quick and session.state is State.IDLE)
        return True

    def _submit(self, make: Callable[[Request, Any], Job], quiet: bool) -> bool:
        session, image = self.session, self.image
        self.update_box()
        if image is None or missing_input(session):
            return False
        request = session.request()
        self._running_on, self._rerunning, self._unfinished = image, False, True
        session.message = None
        if not quiet:
            session.progress = Progress(0, 0)
            session.state = State.RUNNING
        self.runner.submit(make(request, array_of(image)), request.model, request.device, request.precision)
        return True

    def cancel(self) -> None:
        """Stop after the slice at hand; what is done is kept."""
        if self.session.state is State.RUNNING:
            self.session.state = State.CANCELLING
            self.runner.cancel()

    def close(self) -> None:
        """Stop for good; nothing more is shown."""
        self.closing.emit()
        self.runner.drop()
        self._adding.stop()

    def report(self, error: Exception) -> None:
        """Tell the user of an error in one sentence, with the details for a report."""
        self.session.message = Message.of(error)

    def _connect(self) -> None:
        layers = self.viewer.layers
        for event in (layers.events.inserted, layers.events.removed, layers.events.reordered):
            event.connect(self._on_layers)
        layers.selection.events.active.connect(self._on_active)
        self.viewer.dims.events.current_step.connect(self._on_dims)
        self.viewer.dims.events.order.connect(self._follow_view)
        self.session.events.reading.connect(self._on_dims)
        self.session.events.reading.connect(self.update_box)
        self.runner.yielded.connect(self._on_yielded)
        self.runner.failed.connect(self.report)
        self.runner.finished.connect(self._on_finished)
        self._adding.timeout.connect(self._on_adding)
        watch_preferences(self._on_preferences)

    def _on_preferences(self, _event: object = None) -> None:
        """Start from what the user prefers, and follow when they change it."""
        before, self.preferences = self.preferences, read_preferences()
        use_cache_folder(self.preferences.cache_folder)
        for name in ("model", "device", "precision"):
            if getattr(before, name) != (wanted := getattr(self.preferences, name)):
                setattr(self.session, name, wanted)
        self.refresh_models()

    def _on_layers(self) -> None:
        """Follow the layer list: watch new layers, let go of those that went, choose another image when it went."""
        present = list(self.viewer.layers)
        gone = [layer for layer in self._watched if layer not in present]
        was_running = any(self._drop_run_on(layer) for layer in gone)
        for layer in gone:
            self._unwatch(layer)
        for layer in [layer for layer in present if layer not in self._watched]:
            self._watch(layer)
        if self.shapes not in present:
            self.shapes = next(iter(self.shapes_layers), None)
        if self.image is None:
            self.choose_image(next(iter(self.images), None))
        if was_running:
            self.session.message = Message("The image was removed during the run.")
        self.images_changed.emit()

    def _watch(self, layer: Layer) -> None:
        self._watched.append(layer)
        layer.events.name.connect(self._on_renamed)
        if isinstance(layer, Shapes):
            layer.events.data.connect(self.update_box)
            layer.events.highlight.connect(self.update_box)
        elif isinstance(layer, Image) and not is_result(layer):
            layer.events.data.connect(self._on_data)
            for name in PLACES:
                layer.events[name].connect(self._on_moved)

    def _unwatch(self, layer: Layer) -> None:
        self._watched.remove(layer)
        layer.events.name.disconnect(self._on_renamed)
        if isinstance(layer, Shapes):
            layer.events.data.disconnect(self.update_box)
            layer.events.highlight.disconnect(self.update_box)
        elif isinstance(layer, Image) and not is_result(layer):
            layer.events.data.disconnect(self._on_data)
            for name in PLACES:
                layer.events[name].disconnect(self._on_moved)
            self.session.forget(str(layer.unique_id))
            self.layers.forget(str(layer.unique_id))

    def _on_renamed(self) -> None:
        if self.image is not None:
            self.session.choose(source_of(self.image))
        self.images_changed.emit()

    def _on_moved(self, event: Any) -> None:
        """The image lies elsewhere now, and what is shown of it goes along."""
        result = self.session.kept.get(str(event.source.unique_id))
        if result is not None:
            self.layers.move(event.source, result)
            if self.session.result is result:
                self.moved.emit()

    def _on_data(self, event: Any) -> None:
        """The pixels were replaced: an answer about the old ones is no answer any more."""
        layer = event.source
        was_running = self._drop_run_on(layer)
        self.session.forget(str(layer.unique_id))
        self.layers.remove(layer)
        if self.image == layer:  # a viewer hands out proxies, which are equal but not the same
            self.choose_image(layer)
        if was_running:
            self.session.message = Message("The image changed during the run; press Run again.")

    def _drop_run_on(self, layer: Layer) -> bool:
        """Drop the run that is about a layer, if one is."""
        if layer != self._running_on:
            return False
        self.runner.drop()
        return True

    def _on_active(self) -> None:
        """Choose the image that the user clicked on in the layer list."""
        active = self.viewer.layers.selection.active
        if active is not None and active in self.images:
            self.choose_image(active)

    def _on_dims(self) -> None:
        if self.image is not None:
            self.session.position = position_in(self.image, self.viewer.dims.point)

    def _follow_view(self) -> None:
        """Read the slices that the user sees, who rolled or transposed the axes; a view in 3D shows no slices."""
        image, source, reading, dims = self.image, self.session.source, self.session.reading, self.viewer.dims
        if image is None or source is None or reading is None or dims.ndisplay != 2:
            return
        plane = [axis - dims.ndim + image.ndim for axis in dims.displayed]  # axes are counted from the last one
        seen = reading_of_plane(source.shape, source.rgb, reading.colours, plane)
        if seen is not None:
            self.session.reading = seen

    def _on_yielded(self, value: object) -> None:
        if isinstance(value, Progress):
            self.session.progress = value
        elif isinstance(value, Loaded):
            self.session.loaded = self._preferred(value)
        elif isinstance(value, Message):
            self.session.message = value
        elif isinstance(value, Result) and self._running_on is not None:
            value = replace(value, loaded=self._preferred(value.loaded))
            self.session.accept(value)
            self.layers.show(self._running_on, value)
        elif isinstance(value, SweepResult) and self._running_on is not None:
            self.session.sweep = value

    def _preferred(self, loaded: Loaded) -> Loaded:
        return replace(loaded, info=self.preferences.applied(loaded.info))

    def _on_finished(self) -> None:
        self._running_on, self._rerunning = None, False
        self._rest()

    def _on_adding(self) -> None:
        """Take one step towards a layer; the window draws when the steps pause."""
        with still_window(self._dock) if self._dock is not None else nullcontext():
            self.layers.add_next()
        if self.layers.waiting:
            self._adding.start()
        self._rest()

    def _rest(self) -> None:
        """A run has ended when its answer is shown."""
        if self._dock is None:
            self._end()
        else:
            when_drawn(self._dock, self._end)

    def _end(self) -> None:
        if self._unfinished and not self.runner.is_running and not self.layers.waiting:
            self._unfinished = False
            self.session.state = State.IDLE
            self.finished.emit()
