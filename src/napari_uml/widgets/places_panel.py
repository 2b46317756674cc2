"""Buttons that lead to the places where the network is least sure, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Points
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton

from napari_uml.evaluation.places import Place, uncertain_places
from napari_uml.widgets.geometry import placement
from napari_uml.widgets.layers import MARK
from napari_uml.widgets.looking import centre_on
from napari_uml.widgets.panel import Panel

if TYPE_CHECKING:
    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_uml.widgets.session import Result

COUNT = 10
ROLE = "place"


class PlacesPanel(Panel):
    """Moves camera and sliders to the most uncertain place, and to the next ones."""

    divided = False
    tour = (
        "<b>Most uncertain place</b> goes to the square of the image where the network is least sure on average, "
        "<b>Next</b> to the one after it. Correct the mask there first."
    )

    def _build(self) -> None:
        self._places: tuple[Place, ...] = ()
        self._current = -1
        self.most, self.next, self.where = QPushButton("Most uncertain place"), QPushButton("Next"), QLabel()
        self.most.setToolTip("Go to the part of the image with the highest mean uncertainty.")
        self.next.setToolTip(f"Go to the next most uncertain part, up to {COUNT}; then begin again.")
        self.where.setToolTip("Rank of the place in view, and the mean uncertainty inside its square.")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (self.most, self.next, self.where):
            layout.addWidget(part)
        layout.addStretch()

    def _connect(self) -> None:
        self.most.clicked.connect(self._on_most)
        self.next.clicked.connect(self._on_next)
        self.session.events.result.connect(self._show_result)
        self._show_result()

    def _show_result(self) -> None:
        """Forget the places of another answer; its marker would mark nothing."""
        self._places, self._current = (), -1
        self.where.setText("")
        marker = self._marker()
        if marker is not None:
            self.bench.viewer.layers.remove(marker)
        result = self.session.result
        for button in (self.most, self.next):
            button.setEnabled(result is not None and "mask" in result.prediction.answers)

    def _on_most(self) -> None:
        self._go(0)

    def _on_next(self) -> None:
        self._go(self._current + 1)

    def _go(self, number: int) -> None:
        result, image = self.session.result, self.bench.image
        if result is None or image is None:
            return
        self._places = self._places or places_in(result)
        self._current = number % len(self._places)
        place = self._places[self._current]
        element = element_of(place, result)[: image.ndim]
        centre_on(self.bench.viewer, image, element.tolist(), place.side)
        self._mark(image, element, place.side)
        self.where.setText(f"{self._current + 1} of {len(self._places)} · mean u {place.uncertainty:.2f}")

    def _mark(self, image: Layer, element: NDArray[np.float64], side: int) -> None:
        """Put the marker there, and leave the layer active that was."""
        marker, where = self._marker(), placement(image, np.zeros(image.ndim))
        if marker is None:
            layers = self.bench.viewer.layers
            active = layers.selection.active
            marker = self.bench.viewer.add_layer(
                Points(
                    ndim=image.ndim, name="uncertain place", symbol="square", face_color="transparent",
                    border_color="white", border_width=0.02, metadata={MARK: {"role": ROLE}}, **where,
                )
            )  # fmt: skip
            layers.selection.active = active
        for name, value in where.items():
            setattr(marker, name, value)
        marker.data = element[None]
        marker.size = side
        marker.selected_data = set()

    def _marker(self) -> Layer | None:
        marked = (layer for layer in self.bench.viewer.layers if layer.metadata.get(MARK) == {"role": ROLE})
        return next(marked, None)


def places_in(result: Result) -> tuple[Place, ...]:
    """The most uncertain places of what was looked at, in pixels of the whole picture."""
    box, uncertainty = result.request.box, result.prediction.pixel_uncertainty
    if box is None:
        return uncertain_places(uncertainty, COUNT)
    found = uncertain_places(uncertainty[..., box.slices[0], box.slices[1]], COUNT)
    return tuple(
        Place(place.slice_number, place.row + box.top, place.column + box.left, place.side, place.uncertainty)
        for place in found
    )


def element_of(place: Place, result: Result) -> NDArray[np.float64]:
    """Index of a place's centre along every axis of the layer's array."""
    request = result.request
    element = np.array(request.position, dtype=float)
    if request.all_slices and request.reading.stack_axis is not None:
        element[request.reading.stack_axis] = place.slice_number
    element[list(request.reading.plane_axes(len(element)))] = place.row, place.column
    return element
