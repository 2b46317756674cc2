"""How often a model's class is wrong at a given uncertainty: a monotone map, fitted on images that are named."""

from __future__ import annotations

from typing import Annotated, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from napari_uml.config import Settings

Share = Annotated[float, Field(ge=0, le=1)]


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
        and the last it stays level.
    referral_threshold
        Above this chance of an error a person should look at the image.
    """

    dataset: Annotated[str, Field(min_length=1)]
    split: Annotated[str, Field(min_length=1)]
    n: Annotated[int, Field(ge=1)]
    knots: Annotated[tuple[Knot, ...], Field(min_length=1)]
    referral_threshold: Share

    @model_validator(mode="after")
    def _map_is_monotone(self) -> Self:
        for before, after in zip(self.knots, self.knots[1:], strict=False):
            if not (before.uncertainty < after.uncertainty and before.chance <= after.chance):
                raise ValueError(f"Expected a higher uncertainty and no lower chance than {before}, got {after}.")
        for knot in self.knots:
            if not knot.low <= knot.chance <= knot.high:
                raise ValueError(f"Expected a chance between low and high, got {knot}.")
        return self

    @property
    def source(self) -> str:
        """The images behind it, for people: "REFUGE val, n = 50"."""
        return f"{self.dataset} {self.split}, n = {self.n}"

    def chance(self, uncertainty: float) -> Chance:
        """The chance that a class with this uncertainty (0..1) is wrong."""
        at = [knot.uncertainty for knot in self.knots]
        lines = ([knot.chance for knot in self.knots], [k.low for k in self.knots], [k.high for k in self.knots])
        return Chance(*(float(np.interp(uncertainty, at, line)) for line in lines))

    def refers(self, uncertainty: float) -> bool:
        """Whether the chance of an error is above the threshold."""
        return self.chance(uncertainty).value > self.referral_threshold
