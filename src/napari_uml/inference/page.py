"""A page of pictures, bars and text, placed in pixels, and the pictures themselves: image, structures, uncertainty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.morphology import dilation
from skimage.segmentation import find_boundaries

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Picture = NDArray[np.float32]
"""(H, W, 3) RGB in [0, 1]."""

UNCERTAINTY_COLORS = np.array(
    [[0.06, 0.05, 0.08], [0.45, 0.00, 0.55], [0.75, 0.05, 0.65], [0.95, 0.35, 0.78], [1.00, 0.88, 0.96]]
)
"""RGB at u = 0, 1/4, ... 1: dark where the network is sure, violet to white where it is not."""

MARGIN, LINE = 30, 36
"""Pixels around everything, and of a line of text."""
DPI = 150
FILL = 0.3
"""Opacity of the structures' colours."""
NOT_LOOKED_AT = 0.8
"""Grey where nobody looked."""


class Page:
    """A white page of `width` x `height` pixels; every place is in pixels from its left and top."""

    def __init__(self, width: int, height: int) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.width, self.height = width, height
        self._figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
        FigureCanvasAgg(self._figure)
        self._axes = self._figure.add_axes((0, 0, 1, 1))
        self._axes.set_axis_off()
        self._axes.set(xlim=(0, width), ylim=(height, 0))

    def save(self, path: Path) -> None:
        """Write a PNG file."""
        self._figure.savefig(path, dpi=DPI)

    def picture(self, picture: Picture, left: float, top: float) -> None:
        """A picture, pixel by pixel."""
        height, width = picture.shape[:2]
        extent = (left, left + width, top + height, top)
        self._axes.imshow(picture, extent=extent, interpolation="nearest", aspect="auto")
        self._axes.set(xlim=(0, self.width), ylim=(self.height, 0))

    def text(
        self,
        left: float,
        middle: float,
        text: str,
        *,
        size: float = 10,
        bold: bool = False,
        color: str = "black",
        align: Literal["left", "center"] = "left",
        room: float | None = None,
    ) -> None:
        """A line of text; what does not fit into `room` (by default up to the right margin) is cut off."""
        shown = self._axes.text(
            left, middle, text.replace("$", r"\$"), fontsize=size, weight="bold" if bold else "normal", color=color,
            ha=align, va="center",
        )  # fmt: skip
        room = self.width - MARGIN - left if room is None else room
        while align == "left" and text and (width := shown.get_window_extent().width) > room:
            text = text[: min(len(text) - 1, int(len(text) * room / width))].rstrip()
            shown.set_text(text.replace("$", r"\$") + "…")

    def bar(self, left: float, middle: float, width: float, color: str, hatch: str = "") -> None:
        """A bar of colour as high as a letter."""
        self._rectangle(left, middle - 11, width, 22, facecolor=color, hatch=hatch, edgecolor="white", linewidth=0)

    def frame(self, left: float, top: float, width: float, height: float) -> None:
        """A dashed outline that shows on light and dark."""
        self._rectangle(left, top, width, height, fill=False, edgecolor="black", linewidth=1.5)
        self._rectangle(left, top, width, height, fill=False, edgecolor="white", linewidth=1.5, linestyle=(0, (4, 4)))

    def scale(self, left: float, middle: float, width: float) -> None:
        """The colours of u from 0 to 1."""
        u = np.broadcast_to(np.linspace(0, 0.999, int(width), dtype=np.float32), (22, int(width)))
        self.picture(shade(u), round(left), round(middle - 11))

    def _rectangle(self, left: float, top: float, width: float, height: float, **style: Any) -> None:
        from matplotlib.patches import Rectangle

        self._axes.add_patch(Rectangle((left, top), width, height, **style))


def fitted(pixels: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """An image (H, W[, 3]) in [0, 1], a map (H, W) or a mask (H, W) of uint8, brought to (width, height)."""
    if pixels.ndim == 3:
        return np.stack([fitted(pixels[..., channel], size) for channel in range(3)], axis=-1)
    if pixels.dtype == np.uint8:
        return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST))
    how = Image.Resampling.BILINEAR if size[0] > pixels.shape[1] else Image.Resampling.BOX
    return np.asarray(Image.fromarray(pixels).resize(size, how)).clip(0, 1)


def size_within(longest: int, height: int, width: int) -> tuple[int, int]:
    """Width and height, at least 1, of a picture whose longer side is to have so many pixels."""
    scale = longest / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def as_bytes(picture: Picture) -> NDArray[np.uint8]:
    """A picture as 8-bit numbers."""
    return (picture.clip(0, 1) * 255).round().astype(np.uint8)


def tint(image: NDArray[np.float32], mask: NDArray[np.uint8], colors: Sequence[str]) -> Picture:
    """An image (H, W[, 3]) with the structures' colours laid over it, and their outlines."""
    from matplotlib.colors import to_rgb

    table = np.array([to_rgb(color) for color in colors], dtype=np.float32)
    opacity = np.where(mask > 0, FILL, 0).astype(np.float32)
    opacity[find_boundaries(mask, connectivity=2, mode="thick")] = 1
    # an outline has pixels on both sides: those of the background take the colour of their structure
    nearest = dilation(mask, np.ones((3, 3), dtype=np.uint8))
    base = image[..., None] if image.ndim == 2 else image
    opacity = opacity[..., None]
    return (base * (1 - opacity) + table[np.where(mask > 0, mask, nearest)] * opacity).astype(np.float32)


def shade(uncertainty: NDArray[np.float32], mask: NDArray[np.uint8] | None = None) -> Picture:
    """The colours of u (H, W); where u is 1 nobody looked, which is grey. A mask (H, W) adds its outlines in white."""
    stops = np.linspace(0, 1, len(UNCERTAINTY_COLORS))
    picture = np.stack([np.interp(uncertainty, stops, channel) for channel in UNCERTAINTY_COLORS.T], axis=-1)
    picture[uncertainty >= 1] = NOT_LOOKED_AT
    if mask is not None:
        picture[find_boundaries(mask, mode="inner")] = 1
    return picture.astype(np.float32)
