"""What a calibration is fitted on: the evidence for the class of every image, and for a draw of its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_uml.baselines.registry import architecture_of
from napari_uml.config import IGNORE
from napari_uml.data.dataset import read_pair
from napari_uml.data.tasks import renumbered
from napari_uml.evaluation.evaluate import check_split

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_uml.data.dataset import Dataset, Split
    from napari_uml.inference.predictor import UMLPredictor
    from napari_uml.results import Prediction
    from napari_uml.weights import WeightsInfo

PIXELS = 2048
"""Pixels drawn from an image: its pixels are alike, more of them say little more."""
OUTLINE_PIXELS = 16 * PIXELS
"""Drawn for the outlines of structures, of which some take less than a hundredth of the image."""


@dataclass(frozen=True, slots=True, eq=False)
class PixelAnswers:
    """Pixels drawn evenly from those of an image whose truth is known.

    Attributes
    ----------
    evidence
        (P, Q) evidence of every structure.
    called, truth
        (P,) number of the structure in the mask, and the true one.
    """

    evidence: NDArray[np.float64]
    called: NDArray[np.intp]
    truth: NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """The answer for one image.

    Attributes
    ----------
    group
        Data set and group: what the bootstrap draws together.
    class_evidence
        (K,) evidence of every class.
    label
        True class, 0..K-1; None: not annotated.
    pixels, outline
        Few pixels, and many; None: none is annotated, or the mask does not rest on evidence.
    """

    group: str
    class_evidence: NDArray[np.float64]
    label: int | None
    pixels: PixelAnswers | None
    outline: PixelAnswers | None


def read_answers(predictor: UMLPredictor, datasets: Sequence[Dataset], split: Split, seed: int = 0) -> Iterator[Answer]:
    """The answers for every image of one split; no file of another split is opened.

    Parameters
    ----------
    predictor
        The model, loaded with `calibrated=False`.
    datasets, split
        Which images; the model must know every structure and class of them by name.
    seed
        Of the draw of pixels.

    Raises
    ------
    ValueError
        When the model gives no evidence for a class.
    DatasetError
        With every problem of a split, as in `evaluate`.
    """
    if not gives_class_evidence(predictor.info):
        title = architecture_of(predictor.info.config).title
        raise ValueError(f"Expected a model that gives evidence for a class, {title} does not; calibrate another one.")
    task, generator = predictor.info.task, np.random.default_rng(seed)
    for dataset in datasets:
        check_split(task, dataset, split)
    for dataset in datasets:
        for record in dataset.of_split(split):
            image, mask = read_pair(dataset, record)
            prediction, truth = predictor.predict(image), renumbered(mask, dataset.info, task)
            yield Answer(
                group=f"{dataset.info.name}/{record.group or record.image}",
                class_evidence=prediction.opinion.evidence,
                label=task.cls_classes.index(record.label) if record.label else None,
                pixels=draw_pixels(prediction, truth, generator, PIXELS),
                outline=draw_pixels(prediction, truth, generator, OUTLINE_PIXELS),
            )


def gives_class_evidence(info: WeightsInfo) -> bool:
    """Whether a model answers the class, and by evidence; if not, there is nothing that a calibration could scale."""
    architecture = architecture_of(info.config)
    return "class" in architecture.answers and architecture.measure == "vacuity"


def draw_pixels(
    prediction: Prediction, true_mask: NDArray[np.uint8] | None, generator: np.random.Generator, most: int
) -> PixelAnswers | None:
    """At most so many pixels whose truth is known; None when there is none, or no mask that rests on evidence."""
    if "mask" not in prediction.answers or prediction.measure != "vacuity":
        return None
    known = np.flatnonzero(true_mask != IGNORE) if true_mask is not None else np.empty(0, dtype=np.intp)
    if true_mask is None or not known.size:
        return None
    chosen = generator.choice(known, min(most, known.size), replace=False)
    names = len(prediction.structure_names)
    belief = prediction.pixel_belief.reshape(names, -1)[:, chosen].T.astype(np.float64)
    u = prediction.pixel_uncertainty.ravel()[chosen].astype(np.float64)
    return PixelAnswers(
        evidence=belief * names / u[:, None],
        called=prediction.mask.ravel()[chosen].astype(np.intp),
        truth=true_mask.ravel()[chosen].astype(np.intp),
    )
