"""What to analyse: the image layer, the part of it, and how its axes are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QButtonGroup, QComboBox, QHBoxLayout, QPushButton, QRadioButton, QWidget

from napari_uml.widgets.loading import LoadButton
from napari_uml.widgets.panel import Panel, add_row, fill, form, narrow
from napari_uml.widgets.reading_modes import possible_readings

if TYPE_CHECKING:
    from napari_uml.results import Box


class InputPanel(Panel):
    """Image, region and reading."""

    tour = (
        "Open an image with Load, or drop a file on the window. Choose what to analyse: the whole image, a rectangle "
        "that you draw, one slice or all; and how its axes are read."
    )

    def _build(self) -> None:
        self.image = narrow(QComboBox())
        self.reading = narrow(QComboBox())
        self.shapes = narrow(QComboBox())
        self.shapes.setMinimumContentsLength(8)
        self.draw = QPushButton("Draw")
        self.draw.setToolTip("Draw a rectangle on the image with the mouse; a Shapes layer is made for it.")
        self.whole, self.rectangle = QRadioButton("Whole image"), QRadioButton("Rectangle")
        self.one, self.all = QRadioButton("This slice"), QRadioButton("All slices")
        self._form = form(self)
        self.load = LoadButton(self.bench)
        add_row(self._form, "Image", _side_by_side(self.image, self.load), "The image layer to analyse.")
        add_row(self._form, "Region", _side_by_side(self.whole, self.rectangle), "Which part of the image to analyse.")
        self._drawn = _side_by_side(self.shapes, self.draw)
        add_row(self._form, "Drawn on", self._drawn, "The Shapes layer with the rectangle; the selected one counts.")
        self._sliced = _side_by_side(self.one, self.all)
        add_row(self._form, "Slices", self._sliced, "Analyse the slice that the viewer shows, or all of them.")
        add_row(self._form, "Read as", self.reading, "Which axes are the picture, and what the others mean.")
        self.image.setPlaceholderText("No image open")
        self.reading.setPlaceholderText("Open an image first")
        self.shapes.setPlaceholderText("Nothing drawn yet")

    def _connect(self) -> None:
        for group in ((self.whole, self.rectangle), (self.one, self.all)):
            buttons = QButtonGroup(self)
            for button in group:
                buttons.addButton(button)
        self.image.activated.connect(self._on_image)
        self.shapes.activated.connect(self._on_shapes)
        self.draw.clicked.connect(self.bench.draw_rectangle)
        self.reading.activated.connect(self._on_reading)
        self.rectangle.toggled.connect(self._on_area)
        self.all.toggled.connect(self._on_slices)
        self.bench.images_changed.connect(self._show_layers)
        events = self.session.events
        for signal in (events.source, events.reading):
            signal.connect(self._show_layers)
        for signal in (events.area, events.slices, events.position, events.box):
            signal.connect(self._show_region)
        self._show_layers()

    def _show_layers(self) -> None:
        session, bench = self.session, self.bench
        source = session.source
        fill(self.image, ((layer.name, str(layer.unique_id)) for layer in bench.images), source and source.key)
        shapes = bench.shapes
        fill(
            self.shapes,
            ((layer.name, str(layer.unique_id)) for layer in bench.shapes_layers),
            None if shapes is None else str(shapes.unique_id),
        )
        readings = possible_readings(source.shape, source.rgb) if source else ()
        fill(self.reading, ((reading.title, reading) for reading in readings), session.reading)
        self.image.setEnabled(source is not None)
        self.reading.setEnabled(len(readings) > 1)
        self._show_region()

    def _show_region(self) -> None:
        session = self.session
        rectangle = session.area == "rectangle"
        with QSignalBlocker(self.rectangle), QSignalBlocker(self.all):
            (self.rectangle if rectangle else self.whole).setChecked(True)
            (self.all if session.slices == "all" else self.one).setChecked(True)
        self.rectangle.setToolTip(_size(session.box) if session.box else "A rectangle drawn on a Shapes layer.")
        self._form.setRowVisible(self._drawn, rectangle)
        axis = session.reading.stack_axis if session.reading else None
        self._form.setRowVisible(self._sliced, axis is not None)
        if axis is not None and session.source is not None and session.position:
            length = session.source.shape[axis]
            self.one.setText(f"This one ({session.position[axis]} / {length - 1})")
            self.all.setText(f"All {length}")

    def _on_image(self) -> None:
        self.bench.choose_image(self.bench.layer(self.image.currentData()))

    def _on_shapes(self) -> None:
        self.bench.choose_shapes(self.bench.layer(self.shapes.currentData()))

    def _on_reading(self) -> None:
        self.session.reading = self.reading.currentData()

    def _on_area(self, rectangle: bool) -> None:
        self.session.area = "rectangle" if rectangle else "whole"
        self.bench.update_box()

    def _on_slices(self, every: bool) -> None:
        self.session.slices = "all" if every else "current"


def _side_by_side(*parts: QWidget) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for part in parts:
        layout.addWidget(part, 1 if isinstance(part, QComboBox) else 0)
    if not any(isinstance(part, QComboBox) for part in parts):
        layout.addStretch()
    return row


def _size(box: Box) -> str:
    height, width = box.shape
    return f"A rectangle of {width} by {height} pixels."
