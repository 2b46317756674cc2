"""Fit the gate for unfamiliar images: training images make the distance, validation images the threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_uml.data.dataset import read_pair
from napari_uml.data.view import network_view
from napari_uml.evaluation.conformal import lower_quantile
from napari_uml.familiarity import STATISTICS, Familiarity, mirrored, picture_statistics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_uml.data.dataset import Dataset, Record, Split
    from napari_uml.weights import WeightsInfo

MOST_IMAGES = 300
"""Of every data set and split, spread evenly."""
LEAST_SPREAD = 0.01
"""So that a statistic in which all training images are the same does not decide alone."""
ALIKE = 0.95
"""Quantile of the training images' distances that is made the same in everything and in detail."""


def fit_familiarity(datasets: Sequence[Dataset], info: WeightsInfo, false_alarms: float = 0.05) -> Familiarity:
    """The gate of a model from its data sets.

    Training mirrors images left to right, so the mirrored ones count as training images here, too: a data set may show
    right eyes alone.

    Parameters
    ----------
    datasets
        What the model was trained on; training and validation images are read.
    info
        Its input: size and channels.
    false_alarms
        Share of new images of the same kind to be called unfamiliar, at most; 1 / (n + 1) when n validation images are
        too few for it.

    Raises
    ------
    ValueError
        With fewer than two training images, or none to set the threshold on.
    ImageError
        When an image cannot be read.
    """
    train, val = (statistics_of(datasets, info, split) for split in ("train", "val"))
    if len(train) < 2 or not len(val):
        raise ValueError(f"Expected two training images and one to validate on, got {len(train)} and {len(val)}.")
    known = np.concatenate([train, mirrored(train)])
    centre, spread = known.mean(axis=0), np.maximum(known.std(axis=0), LEAST_SPREAD)
    rate = max(false_alarms, 1 / (len(val) + 1))
    gate = Familiarity(
        dataset=", ".join(dataset.info.name for dataset in datasets),
        n=len(train),
        n_val=len(val),
        centre=_rounded(centre),
        spread=_rounded(spread),
        precision=tuple(_rounded(row) for row in _precision((known - centre) / spread)),
        threshold=0.0,
        false_alarms=rate,
    )
    if np.linalg.matrix_rank(np.array(gate.precision)) == STATISTICS:  # else all training images are the same
        unscaled = gate.model_copy(update={"detail_scale": 1.0})
        everything, detail = np.quantile([unscaled.distances(row) for row in known], ALIKE, axis=0)
        gate = gate.model_copy(update={"detail_scale": float(everything / detail)})
    distances = np.array([gate.distance(row) for row in val])
    return gate.model_copy(update={"threshold": -lower_quantile(-distances, 1 - rate)})


def statistics_of(datasets: Sequence[Dataset], info: WeightsInfo, split: Split) -> NDArray[np.float64]:
    """Statistics (N, 35) of the images of a split as the model sees them, `MOST_IMAGES` of every data set at most."""
    rows = []
    for dataset in datasets:
        for record in looked_at(dataset, split):
            pixels, _ = read_pair(dataset, record)
            rows.append(picture_statistics(network_view(pixels, info.image_size, info.task.channels)))
    return np.array(rows)


def reach_of(datasets: Sequence[Dataset], info: WeightsInfo, split: Split) -> float:
    """The distance that the images of a split stay below but for the false alarms of the gate; 0 without a gate."""
    gate = info.familiarity
    if gate is None:
        return 0.0
    distances = [gate.distance(row) for row in statistics_of(datasets, info, split)]
    return float(np.quantile(distances, 1 - gate.false_alarms))


def looked_at(dataset: Dataset, split: Split) -> tuple[Record, ...]:
    """The images of a split, or `MOST_IMAGES` spread evenly over them."""
    records = dataset.of_split(split)
    return records[:: -(-len(records) // MOST_IMAGES) or 1]


def _precision(standard: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse covariance, shrunk as Ledoit and Wolf (2004) advise, so that few images have one, too."""
    from sklearn.covariance import LedoitWolf

    return np.asarray(LedoitWolf(assume_centered=True).fit(standard).precision_)


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    """Six digits are enough, and keep the file's header short."""
    return tuple(float(f"{value:.6g}") for value in values)
