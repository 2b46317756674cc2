"""A robustness run as files: JSON to go on from, CSV and plot to look at, a table to print."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Final

import numpy as np
from pydantic import ValidationError

from napari_uml.errors import UMLError
from napari_uml.evaluation.robustness import NOISE, Condition, Robustness, rise_over_sigma
from napari_uml.files import replacing
from napari_uml.inference.corruptions import KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_uml.evaluation.robustness import Row

COLUMNS: Final = ("acc", "f1_weighted", "auc", "dice/", "assd/", "u_image", "u_pixel", "auroc_shift/")
"""Table 2's figures, and those of the uncertainty, by how their names begin."""
DPI: Final = 120
MARKERS: Final = "osD^vPX*"
AXES_A_LINE: Final = 4
"""Axes side by side in the plot."""


def read_robustness(path: Path) -> Robustness | None:
    """A former run; None when there is none.

    Raises
    ------
    UMLError
        When the file is something else.
    """
    if not path.exists():
        return None
    try:
        return Robustness.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UMLError(f"{path} is not the record of a robustness run; choose another folder.") from error


def write_robustness(result: Robustness, folder: Path) -> tuple[Path, Path, Path]:
    """Write `robustness.json`, `.csv` and `.png` into a folder and return their paths; older ones are replaced."""
    paths = (folder / "robustness.json", folder / "robustness.csv", folder / "robustness.png")
    contents = ((result.model_dump_json(indent=1) + "\n").encode(), _csv(result).encode(), plot(result))
    for path, content in zip(paths, contents, strict=True):
        with replacing(path) as part:
            part.write_bytes(content)
    return paths


def shown_names(result: Robustness) -> tuple[str, ...]:
    """The figures of the table and the CSV."""
    names = dict.fromkeys(name for row in result.rows for name in row.metrics)
    return tuple(
        name for start in COLUMNS for name in names if name == start or (name.startswith(start) and "/" in start)
    )


def format_rows(result: Robustness) -> str:
    """A line a condition, values alone; then how u rises with sigma."""
    names = shown_names(result)
    rows = [["condition", *names]]
    for row in result.rows:
        cells = [f"{row.metrics[name].value:.3f}" if name in row.metrics else "-" for name in names]
        rows.append([str(row.condition), *cells])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    for name, metric in rise_over_sigma(result).items():
        lines.append(f"{name} over sigma: {metric}")
    heading = f"{result.model} on {result.dataset}, {result.split}, {len(result.groups)} images"
    return "\n".join([heading, "", *lines])


def plot(result: Robustness) -> bytes:
    """A PNG: an axis a kind of damage, with Dice of every structure, AUC and both uncertainties over its strength."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kinds = list(dict.fromkeys(row.condition.kind for row in result.rows))
    columns = min(len(kinds), AXES_A_LINE)
    lines = -(-len(kinds) // columns)
    figure = Figure(figsize=(3.2 * columns, 3.4 * lines), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
    names = [name for name in shown_names(result) if name.startswith(("dice/", "auc", "u_")) and "shift" not in name]
    for axis in axes[len(kinds) :]:
        axis.remove()
    for axis, kind in zip(axes[: len(kinds)], kinds, strict=True):
        rows = _of_kind(result, kind)
        strengths = sorted({row.condition.strength for row in rows})
        for number, name in enumerate(names):
            style = {
                "linestyle": "--" if name.startswith("u_") else "-",
                "marker": MARKERS[number % len(MARKERS)],
                "markersize": 4,
            }
            axis.plot(strengths, _means(rows, strengths, name), color=f"C{number}", label=name, **style)
        axis.set(xlabel="noise sigma" if kind == NOISE else KINDS[kind].title, ylim=(0, 1))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    figure.suptitle(f"{result.model} on {result.dataset}, {result.split}, n = {len(result.groups)}", fontsize=9)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _of_kind(result: Robustness, kind: str) -> list[Row]:
    """The rows of a kind of damage, and the clean one at the strength that changes nothing."""
    rows = [row for row in result.rows if row.condition.kind == kind]
    clean = result.row(Condition(kind=NOISE, strength=0.0, seed=result.rows[0].condition.seed))
    if kind == NOISE or clean is None:
        return rows
    neutral = Condition(kind=kind, strength=KINDS[kind].neutral)
    return [clean.model_copy(update={"condition": neutral}), *rows]


def _means(rows: Sequence[Row], strengths: Sequence[float], name: str) -> list[float]:
    """Mean over the draws at every strength; NaN, a gap in the line, where the figure is undefined."""
    means = []
    for strength in strengths:
        same = [row.metrics[name].value for row in rows if row.condition.strength == strength and name in row.metrics]
        means.append(float(np.mean(same)) if same else float("nan"))
    return means


def _csv(result: Robustness) -> str:
    """A row a condition; value, low and high of every figure."""
    text, names = io.StringIO(), shown_names(result)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["kind", "strength", "seed", "n", *(f"{n}{end}" for n in names for end in ("", " low", " high"))])
    for row in result.rows:
        cells: list[object] = [row.condition.kind, row.condition.strength, row.condition.seed, len(result.groups)]
        for name in names:
            metric = row.metrics.get(name)
            cells += ["", "", ""] if metric is None else [metric.value, metric.low, metric.high]
        writer.writerow(cells)
    return text.getvalue()
