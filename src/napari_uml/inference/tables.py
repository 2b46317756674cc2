"""`results.csv`: one line per image or slice, made from run records alone."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from napari_uml.files import refuse_existing, replacing
from napari_uml.results import SYMBOLS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from napari_uml.inference.measure import MeasuredValue
    from napari_uml.inference.run_record import OpinionRecord, RunRecord

Row = dict[str, str | int | float]

WHOLE_STACK = "all"
"""What the column `slice` says in the line about a whole stack."""
CLASS_SET = "class set"
"""Heading of the classes that hold the true one with the chance that the model's card states."""
CHANCE, REFER = "chance wrong", "refer"
"""Headings of the chance that the class is wrong, and of whether an expert should look."""
WARNINGS = "warnings"
"""Heading of what is unusual about the image for the model."""


def result_rows(record: RunRecord, folder: str = "") -> list[Row]:
    """The lines about one run, as column and value; with a folder that its results lie in a column for that.

    An image has one line. A stack has a line about the whole, without measurements, then one a slice. Columns: file,
    slice, predicted, `p CLASS`, `belief CLASS`, u; of a calibrated model, but not about the whole of a stack, class
    set, chance wrong (with ` low` and ` high`, its interval) and refer; mean pixel u, the measurements (with ` low` and
    ` high`, the plausible range), warnings, sigma, seed, corruption, rectangle, model, its SHA-256, device, precision.
    A number that is undefined is an empty cell. What a model does not answer has no column, and one without evidence
    has `entropy` for u and no beliefs.
    """
    image, settings, box = record.image, record.settings, record.settings.roi
    start: Row = {"file": image.path or image.name}
    if folder:
        start["folder"] = folder
    end: Row = {
        "sigma": settings.sigma, "seed": settings.seed, "corruption": str(settings.corruption or ""),
        "rectangle": "" if box is None else f"{box.top},{box.left},{box.bottom},{box.right}",
        "model": record.model.name, "model sha256": record.model.sha256,
        "device": record.device, "precision": record.precision,
    }  # fmt: skip
    rows = []
    if image.is_stack:
        mean = sum(one.mean_uncertainty for one in record.slices) / len(record.slices)
        whole = _opinion_cells(record, record.opinion) | _mean_cells(record, mean)
        rows.append(start | {"slice": WHOLE_STACK} | whole | end)
    for number, one in enumerate(record.slices):
        shown = number if image.is_stack else settings.slice_number
        cells = _opinion_cells(record, one.opinion) | _mean_cells(record, one.mean_uncertainty)
        cells |= _measured_cells(one.measurements) | {WARNINGS: " ".join(one.warnings)}
        rows.append(start | {"slice": "" if shown is None else shown} | cells | end)
    return rows


def write_results(
    path: Path, records: Sequence[RunRecord], folders: Sequence[str] = (), *, overwrite: bool = False
) -> None:
    """Write the lines about several runs, in their order, as UTF-8 that spreadsheets recognise.

    Parameters
    ----------
    path, records, overwrite
        What to write where, and whether a file that is there may go.
    folders
        Where the results of each lie, to be told in a column; none: the table has no such column.

    Raises
    ------
    UMLError
        When the file exists and `overwrite` is off, or cannot be written.
    """
    if not overwrite:
        refuse_existing([path])
    told = folders or [""] * len(records)
    rows = [row for record, folder in zip(records, told, strict=True) for row in result_rows(record, folder)]
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, _columns(rows), restval="")
        writer.writeheader()
        writer.writerows(rows)


def _columns(rows: Sequence[Row]) -> list[str]:
    """Every column once; one that only some rows have stands after the column that precedes it there."""
    columns: list[str] = []
    for row in rows:
        place = 0
        for name in row:
            if name not in columns:
                columns.insert(place, name)
            place = columns.index(name) + 1
    return columns


def _opinion_cells(record: RunRecord, opinion: OpinionRecord) -> Row:
    if "class" not in record.answers:
        return {}
    cells: Row = {"predicted": opinion.predicted}
    cells |= {f"p {name}": value for name, value in opinion.probability.items()}
    if opinion.measure == "vacuity":
        cells |= {f"belief {name}": value for name, value in opinion.belief.items()}
    cells |= {SYMBOLS[opinion.measure]: opinion.uncertainty}
    if opinion.class_set is not None:
        cells[CLASS_SET] = " or ".join(opinion.class_set)
    if opinion.chance_wrong is not None:
        cells |= dict(zip((CHANCE, f"{CHANCE} low", f"{CHANCE} high"), opinion.chance_wrong, strict=True))
    if opinion.refer is not None:
        cells[REFER] = "yes" if opinion.refer else "no"
    return cells


def _mean_cells(record: RunRecord, mean: float) -> Row:
    return {f"mean pixel {SYMBOLS[record.measure]}": mean} if "mask" in record.answers else {}


def _measured_cells(measurements: Sequence[MeasuredValue]) -> Row:
    return {name: "" if value is None else value for one in measurements for name, value in _measured(one)}


def _measured(one: MeasuredValue) -> Iterator[tuple[str, float | None]]:
    unit = f" ({one.unit})" if one.unit else ""
    name = f"{one.structure} {one.name}{unit}".strip()
    yield name, one.value
    if one.name != "mean uncertainty":
        yield f"{name} low", one.low
        yield f"{name} high", one.high
