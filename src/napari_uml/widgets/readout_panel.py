"""What the network holds of the pixel under the cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QVBoxLayout

from napari_uml.widgets.bench import element_at
from napari_uml.widgets.panel import Panel
from napari_uml.widgets.readout import PixelOpinion, as_html, in_words, pixel_at

if TYPE_CHECKING:
    from qtpy.QtGui import QShowEvent

ELSEWHERE = "Point at the analysed image to read a pixel."


class ReadoutPanel(Panel):
    """Follows the mouse over the canvas; as high without a pixel as with one."""

    title = "Pixel under the cursor"
    expanded = True

    def _build(self) -> None:
        self.text = QLabel()
        self.text.setTextFormat(Qt.TextFormat.RichText)
        self.text.setStyleSheet("font-size: 8pt;")
        self.text.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.text.setToolTip(
            "Expected probability and belief of every structure at this pixel; the beliefs and u sum to 1.\n"
            "Dissonance is high where the evidence speaks for several structures at once.\n"
            "Bold: the structure in the final mask."
        )
        self.text.setAccessibleName("Pixel under the cursor")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 0, 4, 0)
        layout.addWidget(self.text)

    def _connect(self) -> None:
        self.bench.viewer.cursor.events.position.connect(self._show_pixel)
        self.session.events.result.connect(self._show_pixel)
        self.session.events.position.connect(self._show_pixel)
        self._show_pixel()

    def pixel(self) -> PixelOpinion | None:
        """The pixel under the cursor; None where there is no result."""
        image, result = self.bench.image, self.session.result
        if image is None or result is None:
            return None
        element = element_at(image, self.bench.viewer.cursor.position)
        return None if element is None else pixel_at(result, element)

    def _show_pixel(self, event: Any = None) -> None:
        if not self.isVisible():
            return
        pixel = self.pixel()
        self.text.setText(ELSEWHERE if pixel is None else as_html(pixel))
        self.text.setAccessibleDescription(ELSEWHERE if pixel is None else in_words(pixel))

    def showEvent(self, event: QShowEvent) -> None:
        """Take the room of three lines, and catch up."""
        super().showEvent(event)
        self.text.setFixedHeight(3 * self.text.fontMetrics().lineSpacing() + 8)
        self._show_pixel()
