"""What noise and other damages do to a model's answers and to its uncertainty (Table 2, and beyond).

Every condition is one pass over a split. A `Robustness` grows row by row and is written after each, so that a run that
was stopped goes on where it stopped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.stats import rankdata

from napari_uml.config import Settings
from napari_uml.evaluation.answer_table import RESAMPLES, estimate
from napari_uml.evaluation.classification import auroc
from napari_uml.evaluation.evaluate import record_of, score_images
from napari_uml.evaluation.record import Metric
from napari_uml.results import Corruption

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_uml.data.dataset import Dataset, Split
    from napari_uml.evaluation.bootstrap import Array
    from napari_uml.evaluation.scores import ImageScores
    from napari_uml.inference.predictor import UMLPredictor

SIGMAS: Final = (0.0, 0.03, 0.05, 0.1, 0.2)
DRAWS: Final = 3
PANEL: Final[dict[str, tuple[float, ...]]] = {
    "blur": (1, 2, 4),
    "contrast": (0.3, 0.6, 0.9),
    "brightness": (-0.4, -0.2, 0.2, 0.4),
    "exposure": (0.5, 0.7, 1.3),
    "jpeg": (50, 80, 95),
    "downsampling": (2, 4, 8),
}
"""Strengths of the other damages: mild, strong, hardly bearable."""
NOISE: Final = "noise"
UNCERTAINTIES: Final = ("u_image", "u_pixel")


class Condition(Settings):
    """What was done to the images: `noise` with sigma and seed, or a kind of `corruptions.KINDS` with its strength."""

    kind: str
    strength: float
    seed: int = 0

    def __str__(self) -> str:
        drawn = f", seed {self.seed}" if self.kind == NOISE and self.strength else ""
        return f"{self.kind} {self.strength:g}{drawn}"


class Row(Settings):
    """The answers under one condition.

    Attributes
    ----------
    condition
        What was done.
    metrics
        As in a metrics record, and `auroc_shift/u_image` and `auroc_shift/u_pixel`: does u tell these images from the
        clean ones? The clean row has none.
    u_image, u_pixel
        Of every image, in the order of the data set.
    """

    condition: Condition
    metrics: dict[str, Metric]
    u_image: tuple[float, ...]
    u_pixel: tuple[float, ...]


class Robustness(Settings):
    """All rows of a model on a split.

    Attributes
    ----------
    model, weights_sha256, dataset, split, groups
        What was measured on what; the group of every image.
    device, precision
        What computed.
    rows
        One a condition, the clean one first.
    """

    model: str
    weights_sha256: str
    dataset: str
    split: str
    groups: tuple[str, ...]
    device: str
    precision: str
    rows: tuple[Row, ...] = ()

    def row(self, condition: Condition) -> Row | None:
        """The row of a condition; None when it is still to come."""
        return next((row for row in self.rows if row.condition == condition), None)


def conditions(
    sigmas: Sequence[float] = SIGMAS, draws: int = DRAWS, seed: int = 0, panel: bool = True
) -> tuple[Condition, ...]:
    """Clean images first, then noise, with as many draws a sigma as asked for, then the panel of other damages."""
    noisy = [
        Condition(kind=NOISE, strength=sigma, seed=seed + 1000 * draw)  # image i has the seed + i
        for sigma in sorted({*sigmas} - {0.0})
        for draw in range(draws)
    ]
    others = [Condition(kind=kind, strength=s) for kind, strengths in PANEL.items() for s in strengths]
    return (Condition(kind=NOISE, strength=0.0), *noisy, *(others if panel else ()))


def measure(
    predictor: UMLPredictor, dataset: Dataset, split: Split, wanted: Sequence[Condition], done: Robustness | None = None
) -> Iterator[Robustness]:
    """One more row after the other; rows that are done already are not measured again.

    Parameters
    ----------
    predictor, dataset, split
        What to measure on what.
    wanted
        From `conditions`.
    done
        Of a former run.

    Raises
    ------
    ValueError
        When the former run was of another model, data set or split.
    DatasetError
        As `evaluate`.
    """
    records = dataset.of_split(split)
    start = Robustness(
        model=predictor.info.name,
        weights_sha256=predictor.sha256,
        dataset=dataset.info.name,
        split=split,
        groups=tuple(record.group or record.image for record in records),
        device=predictor.device.name,
        precision=predictor.precision,
    )
    if done is not None and done.model_copy(update={"rows": ()}) != start:
        raise ValueError(
            f"Expected a former run of {_origin(start)}, got one of {_origin(done)}; choose another folder or allow "
            "overwriting."
        )
    return _measured(predictor, dataset, split, wanted, start if done is None else done)


def _measured(
    predictor: UMLPredictor, dataset: Dataset, split: Split, wanted: Sequence[Condition], so_far: Robustness
) -> Iterator[Robustness]:
    for condition in wanted:
        if so_far.row(condition) is None:
            row = _row(predictor, dataset, split, condition, so_far.rows[0] if so_far.rows else None)
            so_far = so_far.model_copy(update={"rows": (*so_far.rows, row)})
            yield so_far


def rise_over_sigma(result: Robustness) -> dict[str, Metric]:
    """Spearman correlation of the mean u with sigma, over the grid of sigmas; nothing with fewer than three.

    1 when it rises with every step; the interval is the bootstrap's over groups.
    """
    by_sigma: dict[float, list[Row]] = {}
    for row in result.rows:
        if row.condition.kind == NOISE:
            by_sigma.setdefault(row.condition.strength, []).append(row)
    if len(by_sigma) < 3:
        return {}
    groups, found = np.array(result.groups), {}
    for name in UNCERTAINTIES:
        u = np.array([np.mean([getattr(row, name) for row in rows], axis=0) for _, rows in sorted(by_sigma.items())])
        if u.min() == 1:  # not answered
            continue

        def correlation(draws: Array, u: Array = u) -> Array:
            ranks = rankdata(draws @ u.T, axis=1)
            steps = np.arange(1, len(u) + 1)
            return np.array([np.corrcoef(r, steps)[0, 1] if np.ptp(r) else 0.0 for r in ranks])

        found[f"spearman/{name}"] = _metric(estimate(correlation, groups, 0, RESAMPLES), len(groups))
    return found


def _origin(result: Robustness) -> str:
    """What was measured on what, for a message."""
    model = f"{result.model} ({result.weights_sha256[:12]}, {result.device}, {result.precision})"
    return f"{model} on {result.dataset}, {result.split}, {len(result.groups)} images"


def _row(predictor: UMLPredictor, dataset: Dataset, split: Split, condition: Condition, clean: Row | None) -> Row:
    noisy = condition.kind == NOISE
    sigma, seed = (condition.strength, condition.seed) if noisy else (0.0, 0)
    corruption = None if noisy else Corruption(condition.kind, condition.strength)
    scores = list(score_images(predictor, dataset, split, sigma, seed, corruption))
    metrics = dict(record_of(scores, predictor, dataset, split).metrics)
    row = Row(
        condition=condition,
        metrics=metrics,
        u_image=tuple(s.class_uncertainty for s in scores),
        u_pixel=tuple(s.pixel_uncertainty for s in scores),
    )
    if clean is None:
        return row
    return row.model_copy(update={"metrics": metrics | _shift(row, clean, scores)})


def _shift(row: Row, clean: Row, scores: Sequence[ImageScores]) -> dict[str, Metric]:
    """AUROC of u for telling damaged images from clean ones; an image and its damaged copy are drawn together."""
    groups = np.array([s.group for s in scores] * 2)
    damaged = np.repeat([False, True], len(scores))
    found = {}
    for name in UNCERTAINTIES:
        u = np.array([*getattr(clean, name), *getattr(row, name)])
        if u.min() == 1:  # not answered
            continue

        def statistic(draws: Array, u: Array = u) -> Array:
            return auroc(draws, u, damaged)

        found[f"auroc_shift/{name}"] = _metric(estimate(statistic, groups, 0, RESAMPLES), len(scores))
    return found


def _metric(found: Settings, n: int) -> Metric:
    return Metric(**found.model_dump(), n=n)
