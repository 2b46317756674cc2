"""How far an image lies from a model's training images: by plain statistics of the network's input, and by features.

No torch: the features are the network's, and come from who has run it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, NamedTuple, Self

import numpy as np
from pydantic import Field, FiniteFloat, model_validator

from napari_uml.config import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

STATISTICS: Final = 35
"""How many numbers `picture_statistics` gives."""
DETAIL: Final = (1, 7, 8, 9, 10, 13)
"""Those that blur, noise, compression and low contrast change: deviation, detail at the four finest scales, noise."""
LIGHT: Final = (0, 2, 3, 4, 5, 6)
"""Those that the exposure changes: mean and quantiles of the brightness."""
_LEVELS = 6
_BLOCKS = 4
_LEAST = 1e-3  # a quarter of a grey level

Row = Annotated[tuple[FiniteFloat, ...], Field(min_length=STATISTICS, max_length=STATISTICS)]
Positive = Annotated[FiniteFloat, Field(gt=0)]


class Distances(NamedTuple):
    """How far an image is away, in ranges that are alike: about 1 for a training image; 0 what does not count."""

    everything: float
    detail: float = 0.0
    light: float = 0.0
    features: float = 0.0


class FeatureSpace(Settings):
    """What the network made of the training images: a normal distribution, exact along its widest axes.

    Attributes
    ----------
    centre, spread
        (C,) mean and standard deviation of every feature, see `UMLOutput.features`.
    axes, variances
        (R, C) orthonormal directions of the standardised features, and (R,) their variances.
    rest
        Variance along every other direction.
    scale
        What the distance is multiplied by, so that it has the range of that in statistics.
    """

    centre: tuple[FiniteFloat, ...]
    spread: tuple[Positive, ...]
    axes: tuple[tuple[FiniteFloat, ...], ...]
    variances: tuple[Positive, ...]
    rest: Positive
    scale: Annotated[FiniteFloat, Field(ge=0)] = 1.0

    @model_validator(mode="after")
    def _sizes_fit_together(self) -> Self:
        sizes = {len(self.centre), len(self.spread), *map(len, self.axes)}
        if len(sizes) != 1 or len(self.axes) != len(self.variances):
            raise ValueError(f"Expected as many numbers of every feature, got {sorted(sizes)}.")
        return self

    def distance(self, features: NDArray[np.floating]) -> float:
        """Mahalanobis distance of (C,) features by the square root of C, scaled.

        Raises
        ------
        ValueError
            When there are more or fewer features.
        """
        if np.shape(features) != np.shape(self.centre):
            raise ValueError(f"Expected {len(self.centre)} features, got {np.shape(features)}.")
        off = (np.asarray(features, dtype=np.float64) - self.centre) / self.spread
        along = np.array(self.axes).reshape(-1, len(off)) @ off
        beside = max(float(off @ off - along @ along), 0.0)
        length = float((along**2 / self.variances).sum()) + beside / self.rest
        return self.scale * float(np.sqrt(length / len(off)))


class Familiarity(Settings):
    """The training images, summed up: an image is unfamiliar when its Mahalanobis distance from them is large.

    Where training images differ much in colour and layout, a blurred or a dark one is not far off in all statistics
    together. So the distances in detail and in light alone count, too. Another organ may look alike in all of these:
    it is known by the network's features.

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
    detail_scale, light_scale
        What the distances in detail and in light are multiplied by, so that they have the range of that in everything;
        0: it does not count, as in files from before it did.
    features
        The network's features of the training images; None: they do not count.
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
    detail_scale: Annotated[FiniteFloat, Field(ge=0)] = 0.0
    light_scale: Annotated[FiniteFloat, Field(ge=0)] = 0.0
    features: FeatureSpace | None = None
    false_alarms: Annotated[float, Field(gt=0, lt=1)]

    @model_validator(mode="after")
    def _gives_distances(self) -> Self:
        if min(self.spread) <= 0:
            raise ValueError("Expected a spread above 0 of every statistic.")
        parts = self.detail_scale or self.light_scale
        if parts and np.linalg.matrix_rank(np.array(self.precision)) < STATISTICS:
            raise ValueError("Expected a precision that has an inverse.")
        return self

    def distance(self, statistics: NDArray[np.floating], features: NDArray[np.floating] | None = None) -> float:
        """The largest of `distances`, to compare with the threshold."""
        return max(self.distances(statistics, features))

    def distances(self, statistics: NDArray[np.floating], features: NDArray[np.floating] | None = None) -> Distances:
        """Distance in all statistics, and scaled in those of detail, in those of light, and in features.

        Each is the Mahalanobis distance by the square root of the number of values: about 1 for a training image.

        Parameters
        ----------
        statistics
            (35,) from `picture_statistics`.
        features
            (C,) what the network made of it; None: not known, and not counted.
        """
        off, precision = (np.asarray(statistics) - self.centre) / self.spread, np.array(self.precision)
        return Distances(
            everything=_length(off, precision),
            detail=self.detail_scale and self.detail_scale * _length_in(DETAIL, off, precision),
            light=self.light_scale and self.light_scale * _length_in(LIGHT, off, precision),
            features=0.0 if self.features is None or features is None else self.features.distance(features),
        )


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


def _length_in(part: tuple[int, ...], off: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    """Of some statistics, as if there were no others."""
    alone = np.linalg.inv(np.linalg.inv(precision)[np.ix_(part, part)])
    return _length(off[list(part)], alone)


def _length(off: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    return float(np.sqrt(max(float(off @ precision @ off), 0.0) / len(off)))


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
