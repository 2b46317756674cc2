"""Fit the gate for unfamiliar images: training images make the distance, validation images the threshold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_uml.data.dataset import read_pair
from napari_uml.data.view import network_view
from napari_uml.evaluation.conformal import lower_quantile
from napari_uml.familiarity import STATISTICS, Distances, Familiarity, FeatureSpace, picture_statistics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from sklearn.covariance import LedoitWolf

    from napari_uml.data.dataset import Dataset, Record, Split
    from napari_uml.inference.predictor import UMLPredictor

Change = Callable[["NDArray[np.float32]", int, int], "NDArray[np.floating]"]

MOST_IMAGES = 300
"""Of every data set and split, spread evenly."""
LEAST_SPREAD = 0.01
"""So that a statistic in which all training images are the same does not decide alone."""
ALIKE = 0.95
"""Quantile of the distances that is made the same in everything, in parts of it, and in features."""
AXES, MOST_NUMBERS = 32, 20_000
"""Directions of the features that are kept exactly, fewer of many features: they are in the header of a file."""
LEAST_VARIANCE = 1e-3
"""Of standardised features, whose mean variance is 1."""


def fit_familiarity(datasets: Sequence[Dataset], predictor: UMLPredictor, false_alarms: float = 0.05) -> Familiarity:
    """The gate of a model from its data sets.

    Training mirrors images left to right, so the mirrored ones count as training images here, too: a data set may show
    right eyes alone. The network has seen the training images, and makes less extreme features of them than of new
    ones; so it is the validation images that bring the distance in features to the range of that in statistics.

    Parameters
    ----------
    datasets
        What the model was trained on; training and validation images are read.
    predictor
        The model.
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
    n, n_val = (sum(len(looked_at(dataset, split)) for dataset in datasets) for split in ("train", "val"))
    if n < 2 or not n_val:
        raise ValueError(f"Expected two training images and one to validate on, got {n} and {n_val}.")
    train = looks_at(datasets, predictor, "train", as_it_is, mirrored)
    val = looks_at(datasets, predictor, "val")
    known = train.statistics
    centre, spread = known.mean(axis=0), np.maximum(known.std(axis=0), LEAST_SPREAD)
    rate = max(false_alarms, 1 / (n_val + 1))
    gate = Familiarity(
        dataset=", ".join(dataset.info.name for dataset in datasets),
        n=n,
        n_val=n_val,
        centre=_rounded(centre),
        spread=_rounded(spread),
        precision=tuple(_rounded(row) for row in _covariance((known - centre) / spread).precision_),
        threshold=0.0,
        features=None if train.features is None else _feature_space(train.features),
        false_alarms=rate,
    )
    gate = _in_one_range(gate, train, val)
    return gate.model_copy(update={"threshold": -lower_quantile(-val.distances(gate).max(axis=1), 1 - rate)})


def _in_one_range(gate: Familiarity, train: Looks, val: Looks) -> Familiarity:
    """The gate with scales that make its distances alike: in parts on the training images, in features on new ones."""
    if np.linalg.matrix_rank(np.array(gate.precision)) == STATISTICS:  # else all training images are the same
        unscaled = gate.model_copy(update={"detail_scale": 1.0, "light_scale": 1.0})
        found = Distances(*np.quantile([unscaled.distances(row) for row in train.statistics], ALIKE, axis=0))
        scales = {"detail_scale": found.everything / found.detail, "light_scale": found.everything / found.light}
        gate = gate.model_copy(update=scales)
    if gate.features is None:
        return gate
    seen = Distances(*np.quantile(val.distances(gate), ALIKE, axis=0))
    scale = max(seen.everything, seen.detail, seen.light) / max(seen.features, LEAST_SPREAD)
    return gate.model_copy(update={"features": gate.features.model_copy(update={"scale": float(scale)})})


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """What a gate is told of images: statistics (N, 35), and features (N, C) where the model has some."""

    statistics: NDArray[np.float64]
    features: NDArray[np.float64] | None

    def distances(self, gate: Familiarity) -> NDArray[np.float64]:
        """`Familiarity.distances` of every image, (N, 4)."""
        features = [None] * len(self.statistics) if self.features is None else self.features
        return np.array([gate.distances(*one) for one in zip(self.statistics, features, strict=True)])


def as_it_is(view: NDArray[np.float32], channels: int = 3, number: int = 0) -> NDArray[np.float32]:
    """A view (S, S, 3) without a change; for `looks_at`."""
    return view


def mirrored(view: NDArray[np.float32], channels: int = 3, number: int = 0) -> NDArray[np.float32]:
    """A view (S, S, 3) with left and right exchanged; for `looks_at`."""
    return view[:, ::-1]


def looks_at(datasets: Sequence[Dataset], predictor: UMLPredictor, split: Split, *changes: Change) -> Looks:
    """Look at the images of a split as the model sees them, `MOST_IMAGES` of every data set at most.

    Parameters
    ----------
    datasets, predictor, split
        Which images, and the model.
    changes
        What is done to a view (S, S, 3) first, given also its channels that are not copies (1 or 3) and its number;
        with several every image is looked at after each. None: `as_it_is`.
    """
    info = predictor.info
    statistics: list[NDArray[np.float64]] = []
    features: list[NDArray[np.float64]] = []
    pairs = [(dataset, record) for dataset in datasets for record in looked_at(dataset, split)]
    for number, (dataset, record) in enumerate(pairs):
        pixels, _ = read_pair(dataset, record)
        view = network_view(pixels, info.image_size, info.task.channels)
        channels = 1 if pixels.ndim == 2 or info.task.channels == 1 else 3
        for change in changes or (as_it_is,):
            changed = change(view, channels, number)
            # a model gives features always or never
            seen = predictor.features(changed) if len(features) == len(statistics) else None
            statistics.append(picture_statistics(changed))
            if seen is not None:
                features.append(seen)
    return Looks(np.array(statistics), np.array(features) if features else None)


def reach_of(datasets: Sequence[Dataset], predictor: UMLPredictor, split: Split) -> float:
    """The distance that the images of a split stay below but for the false alarms of the gate; 0 without a gate."""
    gate = predictor.info.familiarity
    if gate is None:
        return 0.0
    distances = looks_at(datasets, predictor, split).distances(gate).max(axis=1)
    return float(np.quantile(distances, 1 - gate.false_alarms))


def looked_at(dataset: Dataset, split: Split) -> tuple[Record, ...]:
    """The images of a split, or `MOST_IMAGES` spread evenly over them; of `train` those that are annotated.

    Nothing is learnt from the others.
    """
    records = dataset.annotated(split) if split == "train" else dataset.of_split(split)
    return records[:: -(-len(records) // MOST_IMAGES) or 1]


def _covariance(standard: NDArray[np.float64]) -> LedoitWolf:
    """Covariance and its inverse, shrunk as Ledoit and Wolf (2004) advise, so that few images have one, too."""
    from sklearn.covariance import LedoitWolf

    return LedoitWolf(assume_centered=True).fit(standard)


def _feature_space(features: NDArray[np.float64]) -> FeatureSpace:
    """The shrunk covariance of features (N, C) along its widest axes, and its mean along the others."""
    centre, spread = features.mean(axis=0), np.maximum(features.std(axis=0), LEAST_SPREAD)
    variances, axes = np.linalg.eigh(_covariance((features - centre) / spread).covariance_)
    kept = min(AXES, MOST_NUMBERS // len(centre), len(centre) - 1)
    widest = slice(None, -kept - 1, -1)
    return FeatureSpace(
        centre=_rounded(centre),
        spread=_rounded(spread),
        axes=tuple(_rounded(axis, digits=4) for axis in axes.T[widest]),
        variances=_rounded(np.maximum(variances[widest], LEAST_VARIANCE)),
        rest=max(float(variances[:-kept].mean()), LEAST_VARIANCE),
    )


def _rounded(values: NDArray[np.float64], digits: int = 6) -> tuple[float, ...]:
    """Few digits are enough, and keep the file's header short."""
    return tuple(float(f"{value:.{digits}g}") for value in values)
