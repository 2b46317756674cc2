"""How an answer bears noise or another corruption: the same image, looked at with more and more of it."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from napari_uml.evaluation.segmentation import confusion_matrix, dice
from napari_uml.inference.corruptions import KINDS
from napari_uml.results import Corruption

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_uml.results import Prediction

NOISE: Final = "noise"
SIGMAS: Final = (0.0, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3)
"""Noise levels of a sweep; 0.03 and 0.05 are the paper's."""
DRAWS: Final = 3
GOOD_DICE: Final = 0.8
"""What `in_words` asks of a mask that is still the same."""
UNCERTAINTY, PIXEL_UNCERTAINTY = "uncertainty", "mean pixel uncertainty"
AGREEMENT, TRUTH = "agreement", "agreement with truth"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to try.

    Attributes
    ----------
    over
        `noise`, or a kind of corruption (`napari_uml.inference.corruptions.KINDS`).
    sigma, corruption
        What stays as it is while the other one is varied.
    seeds
        One draw of the noise each.
    """

    over: str = NOISE
    sigma: float = 0.0
    corruption: Corruption | None = None
    seeds: tuple[int, ...] = tuple(range(DRAWS))

    @property
    def strengths(self) -> tuple[float, ...]:
        """In rising order; sigmas when the noise is varied."""
        return SIGMAS if self.over == NOISE else KINDS[self.over].steps

    @property
    def neutral(self) -> float:
        """The strength that changes nothing."""
        return 0.0 if self.over == NOISE else KINDS[self.over].neutral

    @property
    def total(self) -> int:
        """Points there will be: strengths times draws."""
        return len(self.strengths) * len(self.seeds)

    def at(self, strength: float) -> tuple[float, Corruption | None]:
        """Sigma and corruption at a strength."""
        if self.over == NOISE:
            return strength, self.corruption
        return self.sigma, None if strength == self.neutral else Corruption(self.over, strength)


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """What was seen.

    Attributes
    ----------
    plan
        What was tried.
    class_names
        K names; none for a system that tells no classes apart.
    values
        By the name of a curve (the classes' beliefs, `uncertainty`, `mean pixel uncertainty`, `agreement`, perhaps
        `agreement with truth`; only what the system answers) an array (strengths, draws) in [0, 1]; NaN where nothing
        was tried yet. Agreement is the mean Dice over the structures that either mask has, with the mask of the image
        without noise and corruption.
    """

    plan: Plan
    class_names: tuple[str, ...]
    values: dict[str, NDArray[np.float64]]

    @property
    def done(self) -> int:
        """Points that were tried."""
        return int(self._tried.sum())

    @property
    def strengths(self) -> tuple[float, ...]:
        """Those that were tried, once at least."""
        return tuple(np.array(self.plan.strengths)[self._tried.any(axis=1)])

    @property
    def _tried(self) -> NDArray[np.bool_]:
        """(strengths, draws)."""
        return np.isfinite(next(iter(self.values.values())))

    def band(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Mean, lowest and highest value of a curve over the draws, (strengths,) each; NaN where there is none."""
        values = self.values[name]
        known = np.isfinite(values)
        count = known.sum(axis=1)
        mean = np.where(known, values, 0).sum(axis=1) / np.where(count > 0, count, np.nan)
        low, high = np.where(known, values, np.inf).min(axis=1), np.where(known, values, -np.inf).max(axis=1)
        return mean, np.where(count > 0, low, np.nan), np.where(count > 0, high, np.nan)


def sweep(
    predict: Callable[[float, int, Corruption | None], Prediction],
    plan: Plan,
    truth: NDArray[np.integer] | None = None,
) -> Iterator[Sweep]:
    """Look again and again; the first draw of all strengths comes first.

    Parameters
    ----------
    predict
        Gives the prediction of one image (H, W) for sigma, seed and corruption.
    plan
        What to try. Without noise there is nothing random: one look then stands for all draws.
    truth
        (H, W) structure numbers to compare the masks with.

    Yields
    ------
    What is known after every point; to cancel, cease to iterate.

    Raises
    ------
    ValueError
        When the truth has another shape than the image, or numbers that are no structures; a system without a mask
        does not look at it.
    """
    clean = predict(0.0, plan.seeds[0], None)
    scores = _scores(clean, clean, truth)
    seen: dict[tuple[float, Corruption | None, int], dict[str, float]] = {(0.0, None, 0): scores}
    class_names = clean.opinion.class_names if "class" in clean.answers else ()
    values = {name: np.full((len(plan.strengths), len(plan.seeds)), np.nan) for name in scores}
    for draw, seed in enumerate(plan.seeds):
        for point, strength in enumerate(plan.strengths):
            sigma, corruption = plan.at(strength)
            key = (sigma, corruption, seed if sigma else 0)
            if key not in seen:
                seen[key] = _scores(predict(sigma, seed, corruption), clean, truth)
            for name, value in seen[key].items():
                values[name][point, draw] = value
            yield Sweep(plan, class_names, {name: array.copy() for name, array in values.items()})


def agreement(mask: NDArray[np.integer], other: NDArray[np.integer], structures: int) -> float:
    """Mean Dice over the structures that either mask has, background excluded; 1 when neither has any."""
    confusion = confusion_matrix(other, mask, structures)
    present = [n for n in range(1, structures) if confusion[n].sum() + confusion[:, n].sum()]
    return float(np.mean([dice(confusion, (n,)) for n in present])) if present else 1.0


def in_words(sweep: Sweep) -> str:
    """Where the answer breaks, a sentence a part of it; empty before the undisturbed image was looked at."""
    if sweep.plan.neutral not in sweep.strengths:
        return ""
    sentences = []
    if sweep.class_names:
        beliefs = np.array([sweep.band(name)[0] for name in sweep.class_names])
        first = int(beliefs[:, sweep.plan.strengths.index(sweep.plan.neutral)].argmax())
        best = np.where(np.isnan(beliefs), -1, beliefs).argmax(axis=0)
        changed = np.isfinite(beliefs[0]) & (best != first)
        sentences.append(_until(sweep, f"Most belief stays with {sweep.class_names[first]}", changed))
    if AGREEMENT in sweep.values:
        lost = sweep.band(AGREEMENT)[0] < GOOD_DICE
        sentences.append(_until(sweep, f"The mask keeps a Dice of {GOOD_DICE:.2f}", lost))
    return " ".join(sentences)


def to_csv(sweep: Sweep, context: Sequence[tuple[str, str]] = ()) -> str:
    """One row a point, with every draw; the columns of `context` (name, value) come first, the same in every row."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    plan = sweep.plan
    beliefs = [f"belief {name}" if name in sweep.class_names else name for name in sweep.values]
    writer.writerow([*(name for name, _ in context), "sigma", "corruption", "strength", "seed", *beliefs])
    for point, strength in enumerate(plan.strengths):
        sigma, corruption = plan.at(strength)
        damage = ("", "") if corruption is None else (corruption.kind, f"{corruption.strength:g}")
        for draw, seed in enumerate(plan.seeds):
            row = [array[point, draw] for array in sweep.values.values()]
            if np.isfinite(row).all():
                fixed = [value for _, value in context]
                writer.writerow([*fixed, f"{sigma:g}", *damage, seed, *(f"{value:.6f}" for value in row)])
    return text.getvalue()


def _scores(one: Prediction, clean: Prediction, truth: NDArray[np.integer] | None) -> dict[str, float]:
    """The height of every curve."""
    opinion, structures = one.opinion, len(one.structure_names)
    scores: dict[str, float] = {}
    if "class" in one.answers:
        scores |= dict(zip(opinion.class_names, map(float, opinion.belief), strict=True))
        scores[UNCERTAINTY] = float(opinion.uncertainty)
    if "mask" in one.answers:
        scores[PIXEL_UNCERTAINTY] = float(one.pixel_uncertainty.mean(dtype=np.float64))
        scores[AGREEMENT] = agreement(one.mask, clean.mask, structures)
        if truth is not None:
            scores[TRUTH] = agreement(one.mask, truth, structures)
    return scores


def _until(sweep: Sweep, what: str, broken: NDArray[np.bool_]) -> str:
    """Say up to which strength something holds, on either side of the neutral one."""
    strengths, start = sweep.plan.strengths, sweep.plan.strengths.index(sweep.plan.neutral)
    name = "sigma" if sweep.plan.over == NOISE else KINDS[sweep.plan.over].title.lower()
    upward = [n for n in range(start, len(strengths)) if broken[n]]
    downward = [n for n in range(start + 1) if broken[n]]
    if not upward and not downward:
        tried = sweep.strengths
        reach = f"from {tried[0]:g} to" if tried[0] < sweep.plan.neutral else "up to"
        return f"{what} {reach} {name} {tried[-1]:g}, all that was tried."
    sides = []
    if downward:
        sides.append(f"down to {name} {strengths[min(max(downward) + 1, start)]:g}")
    if upward:
        sides.append(f"up to {name} {strengths[max(min(upward) - 1, start)]:g}")
    return f"{what} {' and '.join(sides)}."
