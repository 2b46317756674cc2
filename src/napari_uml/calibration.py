"""How often a model's class is wrong at a given uncertainty: a monotone map, fitted on images that are named."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, NamedTuple, Self

import numpy as np
from pydantic import Field, FiniteFloat, model_validator

from napari_uml.config import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_uml.results import Opinion

Share = Annotated[float, Field(ge=0, le=1)]

BETWEEN, INSIDE = 1, 2
"""Zones of a structure with a stated coverage: between its outer and its inner outline, and inside the inner one."""


class Knot(Settings):
    """One point of the map.

    Attributes
    ----------
    uncertainty
        u of the opinion about the class.
    chance
        Share of the images with that u whose class is wrong.
    low, high
        Its 95 % interval.
    """

    uncertainty: Share
    chance: Share
    low: Share
    high: Share


class Estimate(Settings):
    """A number with its bootstrap 95 % interval over groups; the ends are None with fewer than two groups."""

    value: FiniteFloat
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None

    def __str__(self) -> str:
        interval = "" if self.low is None or self.high is None else f" ({self.low:.3f} to {self.high:.3f})"
        return f"{self.value:.3f}{interval}"


class Contours(Settings):
    """Nested outlines of a structure, by the probability p of its pixels on the calibrated scale.

    Attributes
    ----------
    inner, outer
        Of the pixels with p at or above `inner`, those outside the true structure are at most the share `spared` of
        its size; of its pixels, at most the share `spared` has p below `outer`.
    spared
        See there.
    coverage
        Share of new images of the same kind in which each of the two holds.
    n
        Images that they were fitted on: those with the structure, large enough that one of the pixels drawn is in it.
    """

    inner: Share
    outer: Share
    spared: Share
    coverage: Share
    n: Annotated[int, Field(ge=1)]

    def zones(self, probability: NDArray[np.floating]) -> NDArray[np.uint8]:
        """`INSIDE`, `BETWEEN` or 0 outside, of the structure's calibrated p (any shape)."""
        return (probability >= self.outer).astype(np.uint8) + (probability >= self.inner)


class Chance(NamedTuple):
    """The chance that a class is wrong, with its 95 % interval; all in [0, 1]."""

    value: float
    low: float
    high: float


class Calibration(Settings):
    """What a validation set says of a model's uncertainty.

    Attributes
    ----------
    dataset, split, n
        Name of the data set, the split and the number of images that the map was fitted on.
    knots
        By rising uncertainty; the chance never falls. Between two knots the map is a straight line, beyond the first
        and the last it stays level. Beyond the highest u of the images behind it the map rises to the chance that a
        guess is wrong, at u = 1; there its interval ends at 1.
    referral_threshold
        Above this chance of an error a person should look at the image.
    class_scale, pixel_scale
        Evidence scale tau of the class and of the pixels: the predictor multiplies the evidence by it, so that
        p = alpha / T is as likely as possible on these images. It changes no class chosen. The uncertainties of
        `knots` and `structures` are those after it; None: the evidence stays as the network gives it.
    structures
        By structure, background included: the map for the pixels that are called so, from the pixel's u to the chance
        that it is something else.
    target_risk
        Share of wrong classes that the threshold was chosen for; None: the threshold was chosen otherwise.
    kept_risk, kept_share
        Share of wrong classes among the images that are not referred, and how many of all these are.
    figures
        How far it helps, measured image by image by a calibration that was fitted on other groups: `ece`, `ece_chance`
        (of the map), `nll`, `pixel_nll`, and the same with `/before` for the network's own evidence; `ece/perfect` is
        what so few images give on average when every probability is right.
    folds
        How many parts the groups were split into for `figures`; 0: there are none.
    class_set_threshold
        Classes with at least this p form a set that holds the true one with the chance `set_coverage`.
    set_coverage
        See there.
    contours
        By structure or union.
    reach
        Distance from the training images (`Familiarity`) that most of these images stay below: what is known of errors
        holds so far, where that is further than the gate for unlike images. 0: not measured.
    """

    dataset: Annotated[str, Field(min_length=1)]
    split: Annotated[str, Field(min_length=1)]
    n: Annotated[int, Field(ge=1)]
    knots: Annotated[tuple[Knot, ...], Field(min_length=1)]
    referral_threshold: Share
    class_scale: Estimate | None = None
    pixel_scale: Estimate | None = None
    structures: dict[str, Annotated[tuple[Knot, ...], Field(min_length=1)]] = Field(default_factory=dict)
    target_risk: Share | None = None
    kept_risk: Estimate | None = None
    kept_share: Estimate | None = None
    figures: dict[str, Estimate] = Field(default_factory=dict)
    folds: Annotated[int, Field(ge=0)] = 0
    class_set_threshold: Share | None = None
    set_coverage: Share = 0.9
    contours: dict[str, Contours] = Field(default_factory=dict)
    reach: Annotated[FiniteFloat, Field(ge=0)] = 0.0

    @model_validator(mode="after")
    def _maps_are_monotone(self) -> Self:
        for knots in (self.knots, *self.structures.values()):
            _check_knots(knots)
        return self

    @model_validator(mode="after")
    def _scales_are_positive(self) -> Self:
        if min(self.evidence_scales) <= 0:
            raise ValueError(f"Expected evidence scales above 0, got {self.evidence_scales}.")
        return self

    @property
    def source(self) -> str:
        """The images behind it, for people: "REFUGE val, n = 50"."""
        return f"{self.dataset} {self.split}, n = {self.n}"

    @property
    def evidence_scales(self) -> tuple[float, float]:
        """Tau of the class evidence and of the pixel evidence; 1 where none was fitted."""
        scales = (self.class_scale, self.pixel_scale)
        of_class, of_pixels = (1.0 if scale is None else scale.value for scale in scales)
        return of_class, of_pixels

    def chance(self, uncertainty: float) -> Chance:
        """The chance that a class with this uncertainty (0..1) is wrong."""
        return Chance(*(float(line) for line in chances(self.knots, np.array(uncertainty))))

    def pixel_chance(self, structure: str, uncertainty: NDArray[np.floating]) -> NDArray[np.float64]:
        """The chance that pixels that are called `structure`, with these uncertainties (any shape), are not it.

        Raises
        ------
        ValueError
            When the structure has no map.
        """
        if structure not in self.structures:
            known = ", ".join(self.structures) or "(there are none)"
            raise ValueError(f"Expected a structure with a map ({known}), got {structure!r}.")
        return chances(self.structures[structure], uncertainty)[0]

    def class_set(self, opinion: Opinion) -> tuple[str, ...] | None:
        """The classes that hold the true one with the chance `set_coverage`; None where that was not calibrated.

        It may be empty: no class is as probable as that of nine in ten calibration images.
        """
        threshold = self.class_set_threshold
        if threshold is None:
            return None
        return tuple(n for n, p in zip(opinion.class_names, opinion.probability, strict=True) if p >= threshold)

    def refers(self, uncertainty: float) -> bool:
        """Whether the chance of an error is above the threshold."""
        return self.chance(uncertainty).value > self.referral_threshold


def chances(knots: Sequence[Knot], uncertainty: NDArray[np.floating]) -> tuple[NDArray[np.float64], ...]:
    """Value, low and high of the chance at these uncertainties, each of their shape."""
    at = [knot.uncertainty for knot in knots]
    lines = ([knot.chance for knot in knots], [knot.low for knot in knots], [knot.high for knot in knots])
    return tuple(np.interp(uncertainty, at, line) for line in lines)


def _check_knots(knots: Sequence[Knot]) -> None:
    for before, after in pairwise(knots):
        if not (before.uncertainty < after.uncertainty and before.chance <= after.chance):
            raise ValueError(f"Expected a higher uncertainty and no lower chance than {before}, got {after}.")
    for knot in knots:
        if not knot.low <= knot.chance <= knot.high:
            raise ValueError(f"Expected a chance between low and high, got {knot}.")
