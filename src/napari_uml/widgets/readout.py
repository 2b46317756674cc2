"""What a result says of one pixel; no Qt, no napari."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from napari_uml.results import SYMBOLS, dissonance

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_uml.config import Task
    from napari_uml.results import Measure
    from napari_uml.widgets.session import Result

NAMES_WIDTH = 30
"""Characters that the names of all structures may have together."""
NOTHING = "\N{EN DASH}"


@dataclass(frozen=True, slots=True, eq=False)
class PixelOpinion:
    """The opinion about the structure of a pixel.

    Attributes
    ----------
    names
        Q structures, background first.
    probability, belief
        (Q,) each.
    uncertainty, dissonance
        Both in [0, 1].
    predicted
        Number of the structure in the final mask S.
    measure
        What the uncertainty is; without evidence the beliefs are the probabilities, and have no dissonance to show.
    wrong
        Share of the calibration images' pixels called so, with this u, that were something else; None: not known.
    """

    names: tuple[str, ...]
    probability: NDArray[np.float32]
    belief: NDArray[np.float32]
    uncertainty: float
    dissonance: float
    predicted: int
    measure: Measure = "vacuity"
    wrong: float | None = None


def pixel_at(result: Result, element: Sequence[int]) -> PixelOpinion | None:
    """The opinion about a pixel.

    Parameters
    ----------
    result
        An answer about the layer.
    element
        Index along every axis of the layer's array; that along its colours does not matter.

    Returns
    -------
    None where nobody looked: beside the image or the rectangle, or in another slice.
    """
    request, prediction = result.request, result.prediction
    reading = request.reading
    plane = reading.plane_axes(len(request.source.shape))
    row, column = (element[axis] for axis in plane)
    top, left, bottom, right = _bounds(result)
    if not (top <= row < bottom and left <= column < right):
        return None
    stack = reading.stack_axis if request.all_slices else None
    fixed = set(range(len(element))) - {*plane, stack, reading.colour_axis}
    if any(element[axis] != request.position[axis] for axis in fixed):
        return None
    if stack is not None and not 0 <= element[stack] < result.done:
        return None
    at = (row, column) if stack is None else (element[stack], row, column)
    belief = prediction.pixel_belief[(*at[:-2], slice(None), row, column)]
    uncertainty = float(prediction.pixel_uncertainty[at])
    probability = belief + np.float32(uncertainty / len(belief)) if prediction.measure == "vacuity" else belief
    predicted, calibration = int(prediction.mask[at]), result.loaded.info.calibration
    called, wrong = prediction.structure_names[predicted], None
    if calibration is not None and called in calibration.structures and not result.unlike_at(element):
        wrong = float(calibration.pixel_chance(called, np.array(uncertainty)))
    return PixelOpinion(
        prediction.structure_names, probability, belief, uncertainty,
        float(dissonance(belief[:, None])[0]), predicted, prediction.measure, wrong,
    )  # fmt: skip


def _bounds(result: Result) -> tuple[int, int, int, int]:
    box = result.request.box
    if box is not None:
        return box.top, box.left, box.bottom, box.right
    height, width = result.prediction.mask.shape[-2:]
    return 0, 0, height, width


def as_html(task: Task, pixel: PixelOpinion | None, measure: Measure = "vacuity", *, calibrated: bool = False) -> str:
    """A table of three rows: the structures with their colours, probabilities, beliefs; the mask's one is bold.

    Without a pixel the numbers are dashes. A model without evidence has no beliefs, and the entropy for u; one that is
    calibrated has a column for the chance that the pixel is something else.
    """
    if measure == "entropy":
        numbers = [NOTHING] * (len(task.seg_classes) + 1)
        if pixel is not None:
            numbers = [f"{value:.2f}" for value in (*pixel.probability, pixel.uncertainty)]
        return _table([["at the cursor", *_names(task), SYMBOLS[measure]], ["probability", *numbers]], pixel)
    rows = [["at the cursor", *_names(task), "u", "dissonance"]]
    if pixel is None:
        dashes = [NOTHING] * len(task.seg_classes)
        rows += [["probability", *dashes, "", ""], ["belief", *dashes, NOTHING, NOTHING]]
    else:
        ends = [f"{pixel.uncertainty:.2f}", f"{pixel.dissonance:.2f}"]
        rows.append(["probability", *(f"{value:.2f}" for value in pixel.probability), "", ""])
        rows.append(["belief", *(f"{value:.2f}" for value in pixel.belief), *ends])
    if calibrated:
        wrong = NOTHING if pixel is None or pixel.wrong is None else f"{pixel.wrong:.0%}"
        rows = [[*row, end] for row, end in zip(rows, ("wrong", wrong, ""), strict=True)]
    return _table(rows, pixel)


def _table(rows: list[list[str]], pixel: PixelOpinion | None) -> str:
    bold = -1 if pixel is None else 1 + pixel.predicted
    lines = ("".join(_cell(text, n == bold, n == 0) for n, text in enumerate(row)) for row in rows)
    return f"<table width='100%' cellspacing='0'>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _names(task: Task) -> Iterator[str]:
    """Names, shortened when there are many, after a square in the colour of the labels layer."""
    longest = max(4, NAMES_WIDTH // len(task.seg_classes))
    for number, name in enumerate(task.seg_classes):
        short = escape(name if len(name) <= longest else f"{name[:longest]}…")
        yield f'<span style="color:{task.colors[number]}">■</span>&nbsp;{short}' if number else short


def _cell(text: str, bold: bool, left: bool) -> str:
    text = f"<b>{text}</b>" if bold else text
    return f"<td align='{'left' if left else 'right'}'>{text}</td>"


def in_words(pixel: PixelOpinion) -> str:
    """The same as a sentence, for a screen reader."""
    parts = (f"{n} {p:.2f}" for n, p in zip(pixel.names, pixel.probability, strict=True))
    if pixel.measure == "entropy":
        return f"Probability: {', '.join(parts)}; entropy {pixel.uncertainty:.2f}."
    wrong = "" if pixel.wrong is None else f"; wrong in {pixel.wrong:.0%} of such pixels"
    doubts = f"uncertainty {pixel.uncertainty:.2f}, dissonance {pixel.dissonance:.2f}"
    return f"Probability: {', '.join(parts)}; {doubts}{wrong}."
