"""The curves of a run: a CSV file with a row an epoch, and a picture of it."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Final

from napari_uml.config import OKABE_ITO
from napari_uml.errors import UMLError
from napari_uml.files import replacing, write_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from napari_uml.results import EpochReport

LOSS, DICE = "loss/", "dice_present/"
COLORS: Final = (*OKABE_ITO[1:4], *OKABE_ITO[5:])  # without black and without yellow, which is faint on white

Row = dict[str, float]


def add_epoch(path: Path, report: EpochReport) -> None:
    """Add an epoch to the CSV file; rows of this epoch and later ones, left by a run that was taken up again, go.

    Raises
    ------
    UMLError
        When the file cannot be read or written.
    """
    row = {
        "epoch": float(report.epoch),
        **{f"{LOSS}{name}": value for name, value in report.losses.items()},
        **report.metrics,
        **({} if report.score is None else {"score": report.score, "best": float(report.is_best)}),
        "learning_rate": report.learning_rate,
        "seconds": report.seconds,
    }
    earlier = [r for r in read_curves(path) if r["epoch"] < report.epoch] if path.exists() else []
    _write(path, [*earlier, row])


def read_curves(path: Path) -> list[Row]:
    """The rows of the CSV file by column; a figure that an epoch does not have is absent.

    Raises
    ------
    UMLError
        When it cannot be read, or a spreadsheet saved it in a form of its own.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [{name: float(cell) for name, cell in row.items() if cell} for row in csv.DictReader(file)]
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise UMLError(f"Expected the curves that training wrote in {path}, got: {error}. Restore the file.") from error
    if any("epoch" not in row for row in rows):
        raise UMLError(f"Expected the curves that training wrote in {path}, it has no column epoch. Restore the file.")
    return rows


def draw_curves(path: Path, picture: Path, title: str = "") -> None:
    """Draw the CSV file: losses, Dice of every structure, AUC and accuracy, learning rate; PNG, 1500 x 1000 pixels.

    Raises
    ------
    UMLError
        When the file cannot be read, or the picture not be written.
    """
    from matplotlib.figure import Figure

    rows = read_curves(path)
    figure = Figure(figsize=(10, 20 / 3), dpi=150, layout="constrained")
    losses, dice, classes, rate = figure.subplots(2, 2, sharex=True).flat
    names = list(dict.fromkeys(name for row in rows for name in row))
    _panel(losses, rows, {name: name.removeprefix(LOSS) for name in names if name.startswith(LOSS)}, "training loss")
    _panel(dice, rows, {n: n.removeprefix(DICE) for n in names if n.startswith(DICE)}, "validation Dice")
    shown = {"auc": "AUC", "acc": "accuracy"}
    _panel(classes, rows, {n: text for n, text in shown.items() if n in names}, "validation AUC and accuracy")
    _panel(rate, rows, {"learning_rate": "learning rate"}, "learning rate")
    for axes in (dice, classes):
        axes.set_ylim(0, 1)
    losses.set_ylim(bottom=0)
    for axes in (classes, rate):
        axes.set_xlabel("epoch")
    best = [row["epoch"] for row in rows if row.get("best")]
    if best:
        for axes in (losses, dice, classes, rate):
            axes.axvline(best[-1], color="0.6", linestyle=":", linewidth=1.2, zorder=0)
        title = f"{title}, best epoch {best[-1]:.0f} (dotted)".removeprefix(", ")
    figure.suptitle(title)
    with replacing(picture) as part:
        figure.savefig(part, format="png")  # a Figure without pyplot draws with Agg, on any machine


def _panel(axes: Axes, rows: Sequence[Row], names: dict[str, str], title: str) -> None:
    """Lines of some columns, labelled."""
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title, fontsize=11, loc="left")
    axes.grid(alpha=0.25)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    for number, (name, label) in enumerate(names.items()):
        points = [(row["epoch"], row[name]) for row in rows if name in row]
        marker = "o" if len(points) < 30 else ""
        axes.plot(*zip(*points, strict=True), label=label, color=COLORS[number % len(COLORS)], marker=marker, ms=3)
    if len(names) > 1:
        axes.legend(fontsize=9, framealpha=0.8)
    if not names:
        axes.text(0.5, 0.5, "no such images to validate on", ha="center", color="0.4", transform=axes.transAxes)


def _write(path: Path, rows: Sequence[Row]) -> None:
    names = dict.fromkeys(name for row in rows for name in row)
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in rows)
    write_text(path, text.getvalue())
