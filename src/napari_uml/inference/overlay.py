"""`overlay.png`: the structures, the uncertainty, a legend and the opinion in words, on one page for people."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from napari_uml.files import refuse_existing, replacing
from napari_uml.inference.page import LINE, MARGIN, Page, fitted, shade, size_within, tint
from napari_uml.results import SILENT, SYMBOLS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_uml.config import Task
    from napari_uml.results import Box, Opinion, Prediction

RESEARCH_ONLY = "Research use only, not a medical device."

PANEL = 750
"""Longer side of each of the two pictures, pixels; every image is brought to it."""
NARROWEST = 500
"""Least width of the column below a picture, pixels."""
WIDE = 2.0
"""Width by height from which the two pictures stand one above the other, twice as large."""
HEADER, FOOTER = 2 * LINE, LINE + LINE // 2
"""Pixels for the title, and for the line at the bottom."""
WHOSE = {"mask": "mask", "mutual": "mutual mask"}
BAR_COLOR, DOUBT_COLOR = "#0072B2", "#A3238E"


def write_overlay(
    path: Path,
    pixels: NDArray[np.float32],
    prediction: Prediction,
    task: Task,
    *,
    title: str = "",
    overwrite: bool = False,
) -> None:
    """Draw a prediction as one page for people; of a stack the slice that has most of the structures.

    Parameters
    ----------
    path
        A .png file.
    pixels
        What was predicted on, in [0, 1]: (H, W) or (H, W, 3), a stack (D, H, W) or (D, H, W, 3).
    prediction
        The answer.
    task
        Names and colours of the structures.
    title
        What the image is called.

    Raises
    ------
    UMLError
        When the file exists and `overwrite` is off, or cannot be written.
    """
    if not overwrite:
        refuse_existing([path])
    with warnings.catch_warnings(), replacing(path) as part:
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a letter that the font lacks shows as a box
        draw_overlay(pixels, prediction, task, title).save(part)


def draw_overlay(pixels: NDArray[np.float32], prediction: Prediction, task: Task, title: str = "") -> Page:
    """The page that `write_overlay` writes."""
    number = shown_slice(prediction)
    at = ... if number is None else number
    mask, uncertainty, box = prediction.mask[at], prediction.pixel_uncertainty[at], prediction.looked_at[number or 0]
    size = _picture_size(*mask.shape)
    fitted_mask = fitted(mask, size)
    heading = "Structures" if "mask" in prediction.answers else "Image"
    pictures = {heading: tint(fitted(pixels[at], size), fitted_mask, task.colors)}
    if "mask" in prediction.answers:
        pictures[uncertainty_heading(prediction)] = shade(fitted(uncertainty, size), fitted_mask)
    corners, column, below = _places(size)
    rows = max(len(task.cls_classes) + 1, len(task.seg_classes) + 2)
    page = Page(corners[1][0] + max(size[0], column) + MARGIN, below + (rows + 1) * LINE + FOOTER)
    which = "" if number is None else f", slice {number} (0 to {len(prediction.opinions) - 1})"
    page.text(MARGIN, MARGIN + LINE // 2, title + which, size=13, bold=True)
    for (heading, picture), (left, top) in zip(pictures.items(), corners, strict=False):
        page.text(left, top - LINE // 2, heading, bold=True)
        page.picture(picture, left, top)
        _draw_box(page, box, mask.shape, size, left, top)
    _draw_opinion(page, MARGIN, below, column, prediction)
    _draw_legend(page, 2 * MARGIN + column, below, column, prediction, mask, uncertainty, task)
    page.text(MARGIN, page.height - LINE, _footer(prediction), size=8, color="#555555")
    return page


def uncertainty_heading(prediction: Prediction) -> str:
    """What the map of the uncertainty is, for people."""
    whose = WHOSE[prediction.mask_map]
    return f"Uncertainty u of the {whose}" if prediction.measure == "vacuity" else f"Entropy of the {whose}"


def shown_slice(prediction: Prediction) -> int | None:
    """The slice of a stack that has most pixels of structures, the middle one without any; None for an image."""
    if prediction.mask.ndim == 2:
        return None
    found = np.count_nonzero(prediction.mask, axis=(1, 2))
    return int(found.argmax()) if found.any() else len(found) // 2


def _picture_size(height: int, width: int) -> tuple[int, int]:
    """Width and height of a picture on the page."""
    return size_within(2 * PANEL + MARGIN if width >= WIDE * height else PANEL, height, width)


def _places(size: tuple[int, int]) -> tuple[list[tuple[int, int]], int, int]:
    """Corners of the two pictures, width of the two columns below them, and where those begin."""
    width, height = size
    first = (MARGIN, HEADER + LINE)
    if width > PANEL:
        second = (MARGIN, first[1] + height + 2 * LINE)
        return [first, second], (width - MARGIN) // 2, second[1] + height + LINE
    column = max(width, NARROWEST)
    return [first, (2 * MARGIN + column, first[1])], column, first[1] + height + LINE


def _draw_box(page: Page, box: Box | None, shape: tuple[int, ...], size: tuple[int, int], left: int, top: int) -> None:
    if box is not None:
        across, down = size[0] / shape[1], size[1] / shape[0]
        corner = (left + box.left * across, top + box.top * down)
        page.frame(*corner, box.shape[1] * across, box.shape[0] * down)


def _draw_opinion(page: Page, left: int, top: int, width: int, prediction: Prediction) -> None:
    """One line that says it, then a bar a class and one for u."""
    if "class" not in prediction.answers:
        page.text(left, top, SILENT["class"], bold=True, room=width)
        return
    opinion = prediction.opinion
    said = opinion.superlative
    said = f"Whole stack, {said.lower()}" if len(prediction.opinions) > 1 else said
    page.text(left, top, f"{said}: {opinion.predicted} ({opinion.belief.max():.2f})", bold=True, room=width)
    masses = [*zip(opinion.class_names, opinion.belief, strict=True), (_doubt(opinion), opinion.uncertainty)]
    begin, length = left + 0.42 * width, 0.46 * width
    for row, (name, mass) in enumerate(masses, start=1):
        y, last = top + row * LINE, row == len(masses)
        page.text(left, y, name, room=0.4 * width)
        page.bar(begin, y, length, "#EEEEEE")
        page.bar(begin, y, length * float(mass), DOUBT_COLOR if last else BAR_COLOR, hatch="////" if last else "")
        page.text(begin + length + 12, y, f"{mass:.2f}")


def _draw_legend(
    page: Page,
    left: int,
    top: int,
    width: int,
    prediction: Prediction,
    mask: NDArray[np.uint8],
    uncertainty: NDArray[np.float32],
    task: Task,
) -> None:
    """A line a structure with its share and mean u, then the scale of the uncertainty."""
    if "mask" not in prediction.answers:
        page.text(left, top, SILENT["mask"], bold=True, room=width)
        return
    page.text(left, top, "Found", bold=True)
    symbol = SYMBOLS[prediction.measure]
    row = 1
    for number, (name, color) in enumerate(zip(task.seg_classes, task.colors, strict=True)):
        if number == 0:
            continue
        page.bar(left, top + row * LINE, 22, color)
        page.text(left + 34, top + row * LINE, name, room=0.3 * width)
        page.text(left + 0.36 * width, top + row * LINE, _found(mask == number, uncertainty, symbol))
        row += 1
    y = top + row * LINE
    page.scale(left, y, 0.6 * width)
    page.text(left + 0.6 * width + 12, y, f"mean {uncertainty[uncertainty < 1].mean():.2f}")
    page.text(left, y + LINE, f"{symbol} = 0: sure", size=8)
    page.text(left + 0.6 * width, y + LINE, f"{symbol} = 1: knows nothing", size=8, align="center")
    if prediction.looked_at != (None,) * len(prediction.looked_at):
        page.text(left, y + 2 * LINE, "dashed: the part that was looked at", size=8)


def _doubt(opinion: Opinion) -> str:
    return "uncertainty" if opinion.measure == "vacuity" else "entropy"


def _found(inside: NDArray[np.bool_], uncertainty: NDArray[np.float32], symbol: str) -> str:
    if not inside.any():
        return "not found"
    share = inside.mean()
    return (
        f"{f'{share:.1%}' if share >= 0.001 else '< 0.1%'} of the image, mean {symbol} {uncertainty[inside].mean():.2f}"
    )


def _footer(prediction: Prediction) -> str:
    noise = f", noise sigma {prediction.sigma:g} (seed {prediction.seed})" if prediction.sigma else ""
    corruption = f", {prediction.corruption}" if prediction.corruption else ""
    return f"{RESEARCH_ONLY} Model {prediction.model}{corruption}{noise}."
