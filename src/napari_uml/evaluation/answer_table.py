"""The answers of a split as one table, a row an image or a pixel, and estimates from it with their intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_uml.calibration import Estimate
from napari_uml.evaluation.bootstrap import drawn_mean, interval, resample, share_interval
from napari_uml.evaluation.evidence_scale import best_scales, loss_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_uml.evaluation.answers import Answer
    from napari_uml.evaluation.bootstrap import Array, Statistic

RESAMPLES = 500


@dataclass(frozen=True, slots=True, eq=False)
class AnswerTable:
    """Answers about classes or pixels, one row each.

    Attributes
    ----------
    evidence
        (N, K) or (N, Q).
    called, truth
        (N,) number found and true number.
    weight
        (N,) how many images each counts for; those of one image sum to 1.
    groups, image
        (N,) name of the group, and number of the image.
    """

    evidence: Array
    called: NDArray[np.intp]
    truth: NDArray[np.intp]
    weight: Array
    groups: NDArray[np.str_]
    image: NDArray[np.intp]

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """(N,) whether the number found is wrong."""
        return np.asarray(self.called != self.truth)

    def part(self, chosen: NDArray[np.bool_]) -> AnswerTable:
        """The answers that are chosen (N,)."""
        return AnswerTable(
            self.evidence[chosen], self.called[chosen], self.truth[chosen], self.weight[chosen], self.groups[chosen],
            self.image[chosen],
        )  # fmt: skip

    def scale(self, seed: int, resamples: int = RESAMPLES) -> Estimate:
        """The evidence scale tau with its interval; without resamples alone."""
        names, of_group = np.unique(self.groups, return_inverse=True)
        table = loss_table(self.evidence, self.truth, self.weight, of_group)
        return estimate(lambda draws: best_scales(draws, table), names, seed, resamples)

    def mean(self, values: NDArray[np.bool_], used: NDArray[np.bool_], seed: int) -> Estimate:
        """Share of True among the values (N,) that are used."""
        return estimate(
            lambda draws: drawn_mean(draws[:, used], values[used].astype(np.float64)), self.groups, seed, RESAMPLES,
            share_of=len(np.unique(self.groups[used])),
        )  # fmt: skip


def estimate(statistic: Statistic, groups: NDArray[np.str_], seed: int, resamples: int, share_of: int = 0) -> Estimate:
    """A statistic of (R, N) draws on the answers as they are, with its bootstrap interval over their groups.

    One that is a share of some groups (`share_of`) has an interval even where it is 0 or 1.
    """
    value = float(statistic(np.ones((1, len(groups))))[0])
    drawn = [statistic(draws) for draws in resample(groups, resamples, seed)]
    ends = None
    if drawn and len(np.unique(groups)) > 1:
        resampled = np.concatenate(drawn)
        ends = share_interval(value, resampled, share_of) if share_of else interval(value, resampled)
    low, high = ends or (None, None)
    return Estimate(value=value, low=low, high=high)


def class_answers(answers: Sequence[Answer]) -> AnswerTable | None:
    """The answers about the class of those that have one; None when none has."""
    known = [(number, a, a.label) for number, a in enumerate(answers) if a.label is not None]
    if not known:
        return None
    evidence = np.stack([a.class_evidence for _, a, _ in known])
    return AnswerTable(
        evidence=evidence,
        called=evidence.argmax(axis=1),
        truth=np.array([label for _, _, label in known], dtype=np.intp),
        weight=np.ones(len(known)),
        groups=np.array([a.group for _, a, _ in known]),
        image=np.array([number for number, _, _ in known], dtype=np.intp),
    )


def pixel_answers(answers: Sequence[Answer]) -> AnswerTable | None:
    """The answers about pixels of the images with a mask; None when there is none."""
    known = [(number, a.group, a.pixels) for number, a in enumerate(answers) if a.pixels is not None]
    if not known:
        return None
    counts = [len(pixels.truth) for _, _, pixels in known]
    return AnswerTable(
        evidence=np.concatenate([pixels.evidence for _, _, pixels in known]),
        called=np.concatenate([pixels.called for _, _, pixels in known]),
        truth=np.concatenate([pixels.truth for _, _, pixels in known]),
        weight=np.repeat(1 / np.array(counts), counts),
        groups=np.repeat(np.array([group for _, group, _ in known]), counts),
        image=np.repeat(np.array([number for number, _, _ in known], dtype=np.intp), counts),
    )
