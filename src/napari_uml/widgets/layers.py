"""The results in the viewer: a labels layer and an uncertainty layer for every analysed image."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from napari.layers import Image, Labels
from napari.utils.colormaps import Colormap, DirectLabelColormap

from napari_uml.widgets.geometry import placement
from napari_uml.widgets.reading_modes import put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import napari.viewer
    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_uml.config import Task
    from napari_uml.widgets.session import Result

MARK = "napari-uml"
"""Key of a layer's metadata that says which result it shows, so that a reopened dock finds it again."""
CORRECTED = "napari-uml corrected"
"""Key that takes the place of `MARK` when the user paints on the layer, which is theirs from then on."""
WRITTEN = "napari-uml written"
"""Key of a labels layer's metadata with the checksum of what was last written, which tells corrections made by a
program from what the network said."""
READING = "napari-uml reading"
"""Key of a layer's metadata that says how the image was read, see `Reading`."""

INPUT_ROLE: Final = "network input"
"""Role of the layer with what the network saw, which has a grid of its own, so that `move` leaves it alone."""
KEPT_TRUE: Final = ("colormap", "features")
"""Parts of a layer's style that go with its data; the others the user may have changed."""

UNCERTAINTY_COLORS = np.array(
    [
        [0.25, 0.00, 0.40, 0.00],
        [0.45, 0.00, 0.55, 0.30],
        [0.75, 0.05, 0.65, 0.60],
        [0.95, 0.35, 0.78, 0.85],
        [1.00, 0.88, 0.96, 1.00],
    ]
)
"""RGBA at u = 0, 1/4, ... 1: clear where the network is sure, violet to white where it is not.

No structure has these colours."""


def is_result(layer: Layer) -> bool:
    """Whether a layer shows a result, so that it is no image to analyse."""
    return MARK in layer.metadata


def add_written(
    viewer: napari.viewer.Viewer, about: str, role: str, data: NDArray[Any], given: dict[str, Any]
) -> Layer:
    """Add a layer with a result that was written earlier, which a new result of the same image takes the place of.

    Parameters
    ----------
    viewer
        Where it goes.
    about
        `str(layer.unique_id)` of the image layer; anything else when the image is gone.
    role
        `structures`, as labels, or `uncertainty`.
    data
        Its array.
    given
        As napari's layers take it, style included.
    """
    layer = Labels(data, **given) if role == "structures" else Image(data, **given)
    layer.metadata = {**layer.metadata, MARK: {"of": about, "role": role}, WRITTEN: _checksum(layer)}
    if isinstance(layer, Labels):
        layer.events.paint.connect(_hand_over)
    return viewer.add_layer(layer)


def take_away(viewer: napari.viewer.Viewer, about: str) -> bool:
    """Remove all results of an image, but for labels that the user changed; returns whether there are such."""
    kept = False
    for layer in list(viewer.layers):
        mark = layer.metadata.get(MARK) or layer.metadata.get(CORRECTED) or {}
        if mark.get("of") != about:
            continue
        if CORRECTED in layer.metadata or _hand_over_if_changed(layer):
            kept = True
        else:
            viewer.layers.remove(layer)
    return kept


class ResultLayers:
    """Puts results into a viewer, in place where it can.

    A layer that the user deleted is made anew; one that the user painted on is left to them, and a new one is made.

    Parameters
    ----------
    viewer
        Where the layers go.
    soon
        Sees to it that `add_next` is called soon, and again as long as layers are `waiting`: napari takes nearly a
        tenth of a second for a new layer, so it comes in several events. Without it new layers are added at once.
    """

    def __init__(self, viewer: napari.viewer.Viewer, soon: Callable[[], object] | None = None) -> None:
        self._viewer, self._soon = viewer, soon
        self._layers: dict[tuple[str, str], Layer] = {}
        self._waiting: dict[tuple[str, str], Iterator[None]] = {}

    @property
    def waiting(self) -> bool:
        """Whether there are layers still to be added."""
        return bool(self._waiting)

    def add_next(self) -> None:
        """Take one step towards the layer that has waited longest, if any."""
        for key, steps in self._waiting.items():
            if next(steps, "done") == "done":
                self._waiting = {known: others for known, others in self._waiting.items() if known != key}
            return

    def show(self, source: Layer, result: Result) -> None:
        """Show a result where its source lies.

        Parameters
        ----------
        source
            The image layer that the result is about.
        result
            Of a part of the image, too. One of a model that finds no structures has no layers, and those of an earlier
            answer go.
        """
        prediction, task = result.prediction, result.loaded.info.task
        if "mask" not in prediction.answers:
            self._remove_shown(source)
            return
        self._put(source, result, "uncertainty", prediction.pixel_uncertainty, uncertainty_style())
        self._put(source, result, "structures", prediction.mask.copy(), mask_style(task))

    def show_extra(self, source: Layer, result: Result, role: str, array: NDArray[Any], style: dict[str, Any]) -> None:
        """Show a further map of a result; as labels when the style has `features`, else as an image.

        Parameters
        ----------
        source, result
            As for `show`.
        role
            Names the layer; one layer a role.
        array
            (H, W) or (D, H, W), on the grid of the image.
        style
            As napari's layers take it, and `contour`, the width of a labels layer's outlines.
        """
        self._put(source, result, role, array, style)

    def get(self, source: Layer, role: str) -> Layer | None:
        """The layer in the viewer that shows a result of `source`; none that the user painted on."""
        key = (str(source.unique_id), role)
        layer = self._layers.get(key)
        if layer is None or MARK not in layer.metadata:
            layer = self._find(*key)
        return layer if layer is not None and layer in self._viewer.layers else None

    def hide_extra(self, role: str) -> None:
        """Remove the further maps of that role, whatever image they are about."""
        self._waiting = {known: add for known, add in self._waiting.items() if known[1] != role}
        for layer in list(self._viewer.layers):
            if layer.metadata.get(MARK, {}).get("role") == role:
                self._viewer.layers.remove(layer)

    def move(self, source: Layer, result: Result) -> None:
        """Bring the layers that show a result of `source` to where it lies now, also those the user painted on."""
        where = _placed(np.zeros(result.prediction.mask.shape, np.uint8), source, result)[1]
        for layer in self._viewer.layers:
            mark = layer.metadata.get(MARK) or layer.metadata.get(CORRECTED) or {}
            if mark.get("of") == str(source.unique_id) and mark.get("role") != INPUT_ROLE:
                _set(layer, where)

    def remove(self, source: Layer) -> None:
        """Remove every layer that shows a result of `source`; those that the user painted on stay."""
        key = str(source.unique_id)
        self._waiting = {known: add for known, add in self._waiting.items() if known[0] != key}
        for layer in [layer for layer in self._viewer.layers if layer.metadata.get(MARK, {}).get("of") == key]:
            if not _hand_over_if_changed(layer):
                self._viewer.layers.remove(layer)
        self.forget(key)

    def cancel(self, key: str) -> None:
        """Add nothing more about a layer that is gone or shows something else now; what was added is still shown."""
        kept = {known: add for known, add in self._waiting.items() if known[0] != key or known in self._layers}
        self._waiting = kept

    def forget(self, key: str) -> None:
        """Leave the results of a layer that is gone to the user."""
        self.cancel(key)
        self._layers = {known: layer for known, layer in self._layers.items() if known[0] != key}

    def _remove_shown(self, source: Layer) -> None:
        self.cancel(str(source.unique_id))
        for role in ("uncertainty", "structures"):
            layer = self.get(source, role)
            if layer is not None:
                self._viewer.layers.remove(layer)

    def _find(self, key: str, role: str) -> Layer | None:
        mark = {"of": key, "role": role}
        return next((layer for layer in self._viewer.layers if layer.metadata.get(MARK) == mark), None)

    def _put(self, source: Layer, result: Result, role: str, array: NDArray[Any], style: dict[str, Any]) -> None:
        key = (str(source.unique_id), role)
        data, where = _placed(array, source, result)
        metadata = {MARK: {"of": key[0], "role": role}, READING: result.request.reading}
        layer = self.get(source, role)
        if layer is not None and _hand_over_if_changed(layer):
            layer = None
        if layer is not None and layer.ndim == data.ndim:
            _update(layer, data, where, style)
            layer.metadata = {**layer.metadata, **metadata, WRITTEN: _checksum(layer)}
            self._layers[key] = layer
            return
        self._layers.pop(key, None)
        self._waiting[key] = self._add(
            key, data, {"name": f"{source.name} {role}", "metadata": metadata, **where}, style
        )
        if self._soon is not None:
            self._soon()
            return
        while self._waiting:
            self.add_next()

    def _add(
        self, key: tuple[str, str], data: NDArray[Any], given: dict[str, Any], style: dict[str, Any]
    ) -> Iterator[None]:
        """Make a layer, add it, show it: three steps, because napari draws what it adds before it comes back."""
        layer: Layer
        if "features" in style:
            known = {name: value for name, value in style.items() if name != "contour"}
            layer = Labels(data, visible=False, **given, **known)
            layer.contour = style.get("contour", 0)
            layer.metadata[WRITTEN] = _checksum(layer)
            layer.events.paint.connect(_hand_over)
        else:
            layer = Image(data, visible=False, **given, **style)
        yield
        self._layers[key] = self._viewer.add_layer(layer)
        yield
        layer.visible = True


def _update(layer: Layer, data: NDArray[Any], where: dict[str, Any], style: dict[str, Any]) -> None:
    layer.data = data
    _set(layer, {**where, **{name: value for name, value in style.items() if name in KEPT_TRUE}})
    if isinstance(layer, Labels):
        layer.events.paint.connect(_hand_over)  # a copy that the user made has the mark, but not this; never twice


def _set(layer: Layer, values: dict[str, Any]) -> None:
    for name, value in values.items():
        if not _has(layer, name, value):  # every change draws the layer anew
            setattr(layer, name, value)


def _checksum(layer: Layer) -> int | None:
    """Of a labels layer's numbers; images are not corrected."""
    return zlib.crc32(np.ascontiguousarray(layer.data).tobytes()) if isinstance(layer, Labels) else None


def _hand_over_if_changed(layer: Layer) -> bool:
    """Give a labels layer to the user whose numbers are not those that were last written, by whatever program."""
    written = layer.metadata.get(WRITTEN)
    if written is None or written == _checksum(layer):
        return False
    _give(layer)
    return True


def _hand_over(event: Any) -> None:
    """Give a layer to the user: a correction is never overwritten by the next run.

    It is no method, so that it outlives the dock: a layer that is found again by its mark is still handed over.
    """
    _give(event.source)


def _give(painted: Layer) -> None:
    metadata = dict(painted.metadata)
    metadata[CORRECTED] = metadata.pop(MARK, None)
    painted.metadata = metadata
    painted.events.paint.disconnect(_hand_over)


def _has(layer: Layer, name: str, value: Any) -> bool:
    """Whether a layer has a setting already."""
    if name == "features":
        return bool(layer.features.to_dict("list") == value)
    if name == "colormap":
        return _same_colors(layer.colormap, value)
    if name == "affine":
        return bool(np.array_equal(layer.affine.affine_matrix, value))
    return bool(np.array_equal(getattr(layer, name), value))


def _same_colors(one: Colormap | DirectLabelColormap, other: Colormap | DirectLabelColormap) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, Colormap):
        return bool(np.array_equal(one.colors, other.colors))
    mine, others = one.color_dict, other.color_dict
    return mine.keys() == others.keys() and all(np.array_equal(mine[key], others[key]) for key in mine)


def _placed(array: NDArray[Any], source: Layer, result: Result) -> tuple[NDArray[Any], dict[str, Any]]:
    request = result.request
    data, offset = put(array, request.reading, request.position, request.source.shape, request.source.rgb, request.box)
    return data, placement(source, offset)


def mask_style(task: Task) -> dict[str, Any]:
    """Names and colours of a labels layer that shows a mask."""
    colors: dict[int | None, str] = {None: "transparent", 0: "transparent"}
    colors |= {number: color for number, color in enumerate(task.colors) if number > 0}
    return {
        "colormap": DirectLabelColormap(color_dict=colors),
        "features": {"index": list(range(len(task.seg_classes))), "structure": list(task.seg_classes)},
        "opacity": 0.4,
    }


def uncertainty_style() -> dict[str, Any]:
    """Colours of a layer that shows an uncertainty from 0 to 1."""
    return {
        "colormap": Colormap(UNCERTAINTY_COLORS, name="uncertainty"),
        "contrast_limits": (0.0, 1.0),
        "blending": "translucent",
        "opacity": 0.8,
    }
