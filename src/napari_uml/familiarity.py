"""How far an image lies from a model's training images, by plain statistics of the network's input; no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Self

import numpy as np
from pydantic import Field, FiniteFloat, model_validator

from napari_uml.config import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

STATISTICS: Final = 35
"""How many numbers `picture_statistics` gives."""
_LEVELS = 6
_BLOCKS = 4
_LEAST = 1e-3  # a quarter of a grey level

Row = Annotated[tuple[FiniteFloat, ...], Field(min_length=STATISTICS, max_length=STATISTICS)]


class Familiarity(Settings):
    """The training images, summed up: an image is unfamiliar when its Mahalanobis distance from them is large.

    Attributes
    ----------
    dataset, n, n_val
        Names of the data sets, and how many training and validation images were looked at.
    centre, spread
        Mean and standard deviation of every statistic over the training images.
    precision
        Inverse of the shrunk covariance of the statistics once centred and divided by their spread.
    threshold
        Images further away than this are unfamiliar.
    false_alarms
        Share of new images of the same kind that are further away, at most; from the validation images.
    """

    dataset: str
    n: Annotated[int, Field(ge=2)]
    n_val: Annotated[int, Field(ge=1)]
    centre: Row
    spread: Row
    precision: Annotated[tuple[Row, ...], Field(min_length=STATISTICS, max_length=STATISTICS)]
    threshold: Annotated[FiniteFloat, Field(ge=0)]
    false_alarms: Annotated[float, Field(gt=0, lt=1)]

    @model_validator(mode="after")
    def _spread_is_positive(self) -> Self:
        if min(self.spread) <= 0:
            raise ValueError("Expected a spread above 0 of every statistic.")
        return self

    def distance(self, statistics: NDArray[np.floating]) -> float:
        """Mahalanobis distance by the square root of the number of statistics: about 1 for a training image."""
        off = (np.asarray(statistics, dtype=np.float64) - self.centre) / self.spread
        return float(np.sqrt(max(off @ np.array(self.precision) @ off, 0.0) / STATISTICS))


def picture_statistics(view: NDArray[np.floating]) -> NDArray[np.float64]:
    """What an image looks like at large.

    Brightness (mean, deviation, five quantiles), detail at six scales and noise (logarithms), colour (five), and the
    brightness of 4 x 4 blocks against the mean.

    Parameters
    ----------
    view
        (S, S, 3) in [0, 1], see `napari_uml.data.view.network_view`; S at least 32.
    """
    grey = np.asarray(view, dtype=np.float64).mean(axis=-1)
    red_green, green_blue = view[..., 0] - view[..., 1], view[..., 1] - view[..., 2]
    colour = (red_green.mean(), green_blue.mean(), red_green.std(), green_blue.std(), np.ptp(view, axis=-1).mean())
    brightness = (grey.mean(), grey.std(), *np.quantile(grey, (0.05, 0.25, 0.5, 0.75, 0.95)))
    blocks = _halved(grey, grey.shape[0] // _BLOCKS)[:_BLOCKS, :_BLOCKS] - grey.mean()
    return np.array([*brightness, *_details(grey), _noise(grey), *colour, *blocks.ravel()])


def _details(grey: NDArray[np.float64]) -> list[float]:
    """Logarithm of the deviation that each halving of the picture takes away, finest first."""
    found = []
    for _ in range(_LEVELS):
        small = _halved(grey, 2)
        back = small.repeat(2, axis=0).repeat(2, axis=1)
        found.append(float(np.log((grey[: back.shape[0], : back.shape[1]] - back).std() + _LEAST)))
        if min(small.shape) < 2:
            small = grey
        grey = small
    return found


def _noise(grey: NDArray[np.float64]) -> float:
    """Logarithm of the median second difference along both axes, which borders hardly change."""
    across = grey[:-1, :-1] - grey[1:, :-1] - grey[:-1, 1:] + grey[1:, 1:]
    return float(np.log(np.median(np.abs(across)) + _LEAST))


def _halved(grey: NDArray[np.float64], by: int) -> NDArray[np.float64]:
    """Means of blocks of `by` x `by` pixels; what is left over at the end is cut off."""
    rows, columns = grey.shape[0] // by, grey.shape[1] // by
    return np.asarray(grey[: rows * by, : columns * by].reshape(rows, by, columns, by).mean(axis=(1, 3)))
