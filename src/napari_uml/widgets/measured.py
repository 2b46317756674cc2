"""The measurements of a result as a table of words and as CSV; no Qt."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_uml.inference.measure import measure_slice

if TYPE_CHECKING:
    from napari_uml.config import Task
    from napari_uml.inference.measure import MeasuredValue
    from napari_uml.widgets.session import Result

HEADER = ("Measurement", "Value", "Plausible")
CSV_HEADER = ("image", "slice", "structure", "measurement", "unit", "value", "low", "high")
ABSENT = "not in the image"


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured on one slice.

    Attributes
    ----------
    image
        Name of the layer.
    slice_number
        None for a single image.
    task
        Of the model that found the structures.
    values
        What the model declares first, then the structures.
    """

    image: str
    slice_number: int | None
    task: Task
    values: tuple[MeasuredValue, ...]


def measure_result(
    result: Result, slice_number: int | None, pixel_size: tuple[tuple[float, float], str] | None
) -> Measured:
    """Measure a slice of a stack by its number, or an image (None); areas in pixels alone without a pixel's size."""
    spacing, units = pixel_size or (None, "")
    task = result.loaded.info.task
    index = slice_number if slice_number is not None and result.request.all_slices else 0
    values: tuple[MeasuredValue, ...] = ()
    if "mask" in result.prediction.answers:
        values = tuple(measure_slice(result.prediction, index, task, spacing=spacing, units=units))
    declared_first = tuple(sorted(values, key=lambda value: bool(value.structure)))
    return Measured(result.request.source.name, slice_number, task, declared_first)


def words(value: MeasuredValue, task: Task) -> tuple[str, str, str]:
    """Name, value and plausible range of a measurement, for people; an undefined one says why."""
    name = f"{value.structure} {value.name.removesuffix(' of image')}".strip()
    if value.value is None:
        return name, _why_undefined(value, task), ""
    return name, _number(value, value.value), _range(value)


def as_csv(measured: Measured, separator: str = ",") -> str:
    """The unrounded numbers, an undefined one as an empty cell; with a tab as separator fit to be pasted."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    where = (measured.image, "" if measured.slice_number is None else measured.slice_number)
    for one in measured.values:
        numbers = ("" if number is None else number for number in (one.value, one.low, one.high))
        writer.writerow((*where, one.structure, one.name, one.unit, *numbers))
    return text.getvalue()


def _why_undefined(value: MeasuredValue, task: Task) -> str:
    if value.structure:
        return ABSENT
    whole = next(" and ".join(m.to) for m in task.measurements if m.name == value.name)
    return f"undefined: no {whole} found"


def _range(value: MeasuredValue) -> str:
    if value.low is None:
        return ""
    if value.high is None:
        return f"{_number(value, value.low)} or more"
    unit = "" if value.name.startswith("share") else value.unit
    low, high = (_number(value, number).removesuffix(f"\N{NO-BREAK SPACE}{unit}") for number in (value.low, value.high))
    return f"{low} to {high}"


def _number(value: MeasuredValue, number: float) -> str:
    if value.name == "share of image":
        return f"{100 * number:.1f}\N{NO-BREAK SPACE}%"
    if value.unit == "px":
        return f"{number:,.0f}\N{NO-BREAK SPACE}px".replace(",", "\N{NARROW NO-BREAK SPACE}")
    if value.unit:
        digits = ".3g" if number < 1000 else ".0f"
        return f"{number:{digits}}\N{NO-BREAK SPACE}{value.unit}"
    return f"{number:.2f}"
