"""Figures of a study with intervals, and differences from a reference: printed, as CSV and as Markdown."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from napari_uml.evaluation import classification, uncertainty
from napari_uml.evaluation.bootstrap import drawn_mean, interval, resample
from napari_uml.files import write_text
from napari_uml.training.plan import AUGMENTATION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from study import Found, Scores, Study

RESAMPLES: Final = 2000
SEED: Final = 0
LOWER_IS_BETTER: Final = ("ASSD", "ECE", "NLL", "AURC")
NOTE: Final = (
    "In brackets: bootstrap 95 % intervals; groups of test images and seeds are drawn together. A triangle marks a "
    "figure whose difference from {reference}, on the same draws, has an interval that leaves out 0: ▲ better, "
    "▼ worse. Dice counts all images (both masks empty is 1), ASSD is in pixels of the stored images and counts "
    "those with the structure in both masks, so that it leaves out what a system misses; a difference "
    "of two ASSD counts the images where both rows have one, seed by seed, and need not be that of the two figures. "
    "ECE, NLL (of the class) and AURC (images ranked by u, or by what a system has in its place) are uncalibrated; of "
    "these and ASSD less is better. "
    "The class and the mask come from the last epoch whose score is within one standard error of the highest, on 15 % "
    "of the training groups, which are not trained on; the figures are on images that had no part in training or in "
    "that choice."
)


@dataclass(frozen=True)
class Cell:
    """A figure with its interval, and the difference from the reference with its own; None where not defined."""

    value: float
    low: float
    high: float
    difference: tuple[float, float, float] | None = None

    def mark(self, column: str) -> str:
        """A triangle up (better) or down (worse) when the difference is not by chance."""
        if self.difference is None or self.difference[1] <= 0 <= self.difference[2]:
            return ""
        better = (self.difference[0] > 0) != column.startswith(LOWER_IS_BETTER)
        return " ▲" if better else " ▼"


def figures(scores: Scores, draws: np.ndarray) -> dict[str, np.ndarray]:
    """Every figure of one run by the name of its column, (R,) for (R, N) draws; what it does not answer is absent."""
    columns: dict[str, np.ndarray] = {}
    known = scores.label >= 0
    if scores.probability is not None and scores.uncertainty is not None and known.any():
        p, label, used = scores.probability[known], scores.label[known], draws[:, known]
        predicted = p.argmax(1)
        columns["ACC"] = classification.accuracy(used, label=label, predicted=predicted)
        columns["F1"] = classification.f1_weighted(used, label=label, predicted=predicted)
        columns["AUC"] = classification.macro_auroc(used, label=label, probability=p)
        wrong = predicted != label
        u = scores.uncertainty[known]
        columns["ECE"] = uncertainty.calibration_error(used, confidence=p.max(1), correct=~wrong)
        columns["NLL"] = drawn_mean(used, uncertainty.negative_log_likelihood(p, label))
        columns["AURC"] = uncertainty.risk_coverage_area(used, uncertainty=u, wrong=wrong)
        columns["AUROC wrong class"] = classification.auroc(used, score=u, positive=wrong)
    for title, values in (("Dice", scores.dice), ("ASSD", scores.distance)):
        for structure, value in values.items():
            there = np.isfinite(value)
            columns[f"{title} {structure}"] = drawn_mean(draws[:, there], value[there])
    if scores.histograms is not None:
        columns["AUROC wrong pixel"] = uncertainty.pixel_auroc(draws, scores.histograms)
    return columns


def cells(
    rows: Mapping[str, Sequence[Scores]], reference: str, resamples: int = RESAMPLES
) -> dict[str, dict[str, Cell]]:
    """Cells by row and column.

    Parameters
    ----------
    rows
        Scores of the seeds of every row, all on the same images in the same order.
    reference
        The row that the others are compared with, on the same draws.
    resamples
        Bootstrap resamples.

    Raises
    ------
    ValueError
        When the images of the rows have different groups.
    """
    groups = next(iter(rows.values()))[0].groups
    for row, runs in rows.items():
        if not all(np.array_equal(scores.groups, groups) for scores in runs):
            raise ValueError(f"Expected scores of the same images in every row, {row} has others; score it again.")
    drawn = np.concatenate(list(resample(groups, resamples, SEED)))
    draws = np.concatenate([np.ones((1, len(groups))), drawn])  # the first: the images as they are
    found = {row: over_seeds([figures(scores, draws) for scores in seeds], len(draws)) for row, seeds in rows.items()}
    made = {}
    for row, columns in found.items():
        apart: dict[str, np.ndarray] = {}
        if row != reference:
            base = found[reference]
            apart = {name: values - base[name] for name, values in columns.items() if name in base}
            apart |= over_seeds(_distances_apart(rows[row], rows[reference], draws), len(draws))
        made[row] = {name: _cell(values, apart.get(name)) for name, values in columns.items()}
    return made


def over_seeds(each: Sequence[dict[str, np.ndarray]], draws: int) -> dict[str, np.ndarray]:
    """Means of (R,) values over the seeds, which are drawn anew, too, except in the first draw."""
    generator = np.random.default_rng(SEED)  # the same seeds for every row
    chance = np.full(len(each), 1 / len(each))
    weight = generator.multinomial(len(each), chance, size=draws) / len(each)
    weight[0] = chance
    return {name: np.sum([w * one[name] for w, one in zip(weight.T, each, strict=True)], axis=0) for name in each[0]}


def _distances_apart(
    row: Sequence[Scores], reference: Sequence[Scores], draws: np.ndarray
) -> list[dict[str, np.ndarray]]:
    """Differences of ASSD over the images where both have one, (R,), seed by seed; a single run meets every seed."""
    seeds = max(len(row), len(reference))
    pairs = zip(*(list(runs) * (seeds // len(runs)) for runs in (row, reference)), strict=True)
    each = []
    for one, other in pairs:
        apart = {name: one.distance[name] - other.distance[name] for name in one.distance if name in other.distance}
        both = {name: np.isfinite(values) for name, values in apart.items()}
        each.append({f"ASSD {n}": drawn_mean(draws[:, both[n]], values[both[n]]) for n, values in apart.items()})
    return each


def _cell(values: np.ndarray, difference: np.ndarray | None) -> Cell:
    low, high = interval(values[0], values[1:]) or (values[0], values[0])
    if difference is None:
        return Cell(values[0], low, high)
    ends = interval(difference[0], difference[1:])
    return Cell(values[0], low, high, None if ends is None else (difference[0], *ends))


def publish(
    name: str,
    study: Study,
    dataset: str,
    tables: Mapping[str, Mapping[str, Mapping[str, Cell]]],
    reference: str,
    about: str,
    found: Found,
) -> Path:
    """Print the tables of a data set (by heading), write `NAME-SIZE-DATASET.csv` and `.md`; returns the latter."""
    of_set = [scores for (on, *_), runs in found.items() for scores in runs if on == dataset]
    machines, version = sorted({scores.machine for scores in of_set}), of_set[0].augmentation
    command = f"python benchmarks/{name}.py" + (" --small" if study.small else "") + f" --sets {dataset}"
    title = name.replace("table", "Table ").capitalize()
    parts = [f"# {title}, {dataset}: {about}", f"`{command}`", study.budget]
    parts += [f"Augmentation of version {version} (today's is {AUGMENTATION}). Scored on: {'; '.join(machines)}."]
    parts += ["A trial run: its numbers mean nothing."] if study.trial else []
    for heading, rows in tables.items():
        parts += [f"## {heading}", markdown(rows)] if heading else [markdown(rows)]
    parts.append(NOTE.format(reference=reference))
    text = "\n\n".join(parts) + "\n"
    print(text)
    study.results.mkdir(parents=True, exist_ok=True)
    path = study.results / f"{name}-{study.size}-{dataset}.md"
    write_text(path.with_suffix(".csv"), as_csv(tables))
    write_text(path, text)
    return path


def markdown(rows: Mapping[str, Mapping[str, Cell]]) -> str:
    """A Markdown table; a dash where a row has no such figure."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (1 + len(columns)) + "|"]
    for row, found in rows.items():
        texts = [_text(found[c], c) if c in found else "-" for c in columns]
        lines.append(f"| {row} | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def as_csv(tables: Mapping[str, Mapping[str, Mapping[str, Cell]]]) -> str:
    """A line a figure: table, row, figure, value, its interval, difference from the reference and its interval."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["table", "row", "figure", "value", "low", "high", "difference", "difference_low", "difference_high"]
    )
    for heading, rows in tables.items():
        for row, found in rows.items():
            for column, cell in found.items():
                numbers = [cell.value, cell.low, cell.high, *(cell.difference or ())]
                writer.writerow([heading, row, column, *(f"{number:.6g}" for number in numbers)])
    return text.getvalue()


def _text(cell: Cell, column: str) -> str:
    if not np.isfinite(cell.value):
        return "-"
    return f"{cell.value:.3f} ({cell.low:.3f} to {cell.high:.3f}){cell.mark(column)}"
