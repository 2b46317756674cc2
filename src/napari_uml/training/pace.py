"""What a few timed steps say of the time that a run takes; no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from napari_uml.config import Settings

if TYPE_CHECKING:
    from napari_uml.training.lengths import Counts

START_SECONDS: Final = 10.0
"""To import torch, read the images and write the model; small beside the rest, and not measured."""


class Pace(Settings):
    """Seconds for an image on this machine.

    Attributes
    ----------
    train, looking
        To learn from an image, and to look at it without learning, for validation.
    memory_mb
        Peak memory of the process that measured.
    """

    train: Annotated[float, Field(gt=0)]
    looking: Annotated[float, Field(gt=0)]
    memory_mb: float


def seconds(pace: Pace, counts: Counts, epochs: int, views: int = 1, *, mixed: bool = False) -> float:
    """Time of a whole run, s.

    Parameters
    ----------
    pace, counts, epochs
        Of this machine, and of the run.
    views
        How often an image comes in an epoch: 2 where it is also looked at closer.
    mixed
        Whether as many images of other data are mixed in.
    """
    train = counts.train * (2 if mixed else 1)
    return START_SECONDS + epochs * views * (train * pace.train + counts.validate * pace.looking)


def in_words(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 90:
        return f"about {max(10, round(seconds, -1)):.0f} s"
    if seconds < 90 * 60:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"
