"""Run a model over a split of a data set and score it on the images' own grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_uml.data.dataset import IGNORE
from napari_uml.data.reading import read_image
from napari_uml.errors import DatasetError
from napari_uml.evaluation.metrics import metrics_record
from napari_uml.evaluation.record import MetricsRecord
from napari_uml.evaluation.scores import ImageScores, image_scores

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_uml.config import Task
    from napari_uml.data.dataset import Dataset, Record, Split
    from napari_uml.inference.predictor import UMLPredictor


def evaluate(
    predictor: UMLPredictor, dataset: Dataset, split: Split, sigma: float = 0.0, seed: int = 0
) -> MetricsRecord:
    """Every figure of a model on a split, with bootstrap 95 % intervals over groups.

    Parameters
    ----------
    predictor
        The model; it must know every structure and class of the data set by name.
    dataset, split
        What to evaluate on.
    sigma, seed
        Gaussian noise on the [0, 1] scale, added to the network's input; image i gets the seed `seed + i`.

    Raises
    ------
    DatasetError
        When the split is empty, or has structures or classes that the model does not know.
    """
    scores = list(score_images(predictor, dataset, split, sigma, seed))
    return record_of(scores, predictor, dataset, split)


def score_images(
    predictor: UMLPredictor, dataset: Dataset, split: Split, sigma: float = 0.0, seed: int = 0
) -> Iterator[ImageScores]:
    """The scores image by image, for progress; arguments and errors as `evaluate`."""
    task, records = predictor.info.task, dataset.of_split(split)
    check_names(task, dataset, records)
    for number, record in enumerate(records):
        pixels = read_image(dataset.folder / record.image).pixels
        prediction = predictor.predict(pixels, sigma, seed + number)
        opinion = prediction.opinion
        yield image_scores(
            task,
            group=record.group or record.image,
            mask=prediction.mask,
            pixel_uncertainty=prediction.pixel_uncertainty,
            class_probability=opinion.probability,
            class_uncertainty=opinion.uncertainty,
            true_mask=_renumbered(dataset.read_mask(record), dataset.info, task),
            label=task.cls_classes.index(record.label) if record.label else None,
        )


def record_of(scores: Sequence[ImageScores], predictor: UMLPredictor, dataset: Dataset, split: Split) -> MetricsRecord:
    """The metrics record of the scores of a split."""
    metrics = metrics_record(scores, predictor.info.task)
    return MetricsRecord(
        model=predictor.info.name, dataset=dataset.info.name, split=split, n=len(scores), metrics=metrics
    )


def check_names(task: Task, dataset: Dataset, records: Sequence[Record]) -> None:
    """Refuse an empty split, and structures or classes that the model does not know.

    Raises
    ------
    DatasetError
        With every problem.
    """
    problems = [] if records else [f"Expected images in the split, {dataset.info.name} has none."]
    wanted = {
        "structures": (dataset.info.seg_classes, task.seg_classes),
        "classes": (dataset.info.cls_classes, task.cls_classes),
    }
    for kind, (names, known) in wanted.items():
        unknown = [name for name in names if name not in known]
        if unknown:
            problems.append(
                f"Expected {kind} that the model knows ({', '.join(known)}), {dataset.info.name} has {', '.join(unknown)}."
            )
    if problems:
        raise DatasetError(*problems)


def _renumbered(mask: NDArray[np.uint8] | None, old: Task, new: Task) -> NDArray[np.uint8] | None:
    """A mask with the numbers that its structures have in another task."""
    if mask is None or old.seg_classes == new.seg_classes:
        return mask
    renumbered = mask.copy()
    for number, name in enumerate(old.seg_classes):
        renumbered[mask == number] = new.seg_classes.index(name)
    renumbered[mask == IGNORE] = IGNORE
    return renumbered
