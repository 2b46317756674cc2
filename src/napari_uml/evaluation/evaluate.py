"""Run a model over a split of a data set and score it on the images' own grid."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_uml.data.dataset import check_images, read_pair
from napari_uml.data.tasks import renumbered
from napari_uml.errors import DatasetError
from napari_uml.evaluation.experts import read_disputed
from napari_uml.evaluation.metrics import metrics_record
from napari_uml.evaluation.record import MetricsRecord
from napari_uml.evaluation.scores import ImageScores, image_scores

STRUCTURE_FIGURES = ("dice/", "dice_present/", "iou/", "assd/", "hd95/", "nsd/")
"""How the names of the figures of a structure begin."""

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_uml.config import Task
    from napari_uml.data.dataset import Dataset, Split
    from napari_uml.inference.predictor import UMLPredictor
    from napari_uml.results import Corruption


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
        With every problem of the split: empty, files that cannot be read, masks that do not fit, structures or classes
        that the model does not know.
    """
    scores = list(score_images(predictor, dataset, split, sigma, seed))
    return record_of(scores, predictor, dataset, split)


def score_images(
    predictor: UMLPredictor,
    dataset: Dataset,
    split: Split,
    sigma: float = 0.0,
    seed: int = 0,
    corruption: Corruption | None = None,
) -> Iterator[ImageScores]:
    """The scores image by image, for progress; arguments and errors as `evaluate`, and a damage as `predict` takes."""
    records, task = dataset.of_split(split), predictor.info.task
    check_split(task, dataset, split)
    for number, record in enumerate(records):
        pixels, mask = read_pair(dataset, record)
        prediction = predictor.predict(pixels, sigma, seed + number, corruption=corruption)
        opinion = prediction.opinion
        yield image_scores(
            task,
            group=record.group or record.image,
            mask=prediction.mask,
            pixel_uncertainty=prediction.pixel_uncertainty,
            class_probability=opinion.probability,
            class_uncertainty=opinion.uncertainty,
            true_mask=renumbered(mask, dataset.info, task) if "mask" in prediction.answers else None,
            label=task.cls_classes.index(record.label) if record.label and "class" in prediction.answers else None,
            disputed=read_disputed(dataset, record),
            pixel_doubt=prediction.pixel_doubt,
        )


def record_of(scores: Sequence[ImageScores], predictor: UMLPredictor, dataset: Dataset, split: Split) -> MetricsRecord:
    """The metrics record of the scores of a split, without structures that only the model knows.

    What the model does not answer has no figures either.
    """
    task, known = predictor.info.task, {*dataset.info.seg_classes}
    foreign = [
        name for name in task.structures if not known.issuperset(task.seg_classes[i] for i in task.members(name))
    ]
    doubts = {"u_image": [s.class_uncertainty for s in scores], "u_pixel": [s.pixel_uncertainty for s in scores]}
    silent = {name for name, values in doubts.items() if min(values) == 1}  # u = 1 everywhere: not answered
    metrics = {
        name: metric
        for name, metric in metrics_record(scores, task).items()
        if not (name.startswith(STRUCTURE_FIGURES) and name.partition("/")[2] in foreign) and name not in silent
    }
    return MetricsRecord(
        model=predictor.info.name, dataset=dataset.info.name, split=split, n=len(scores), metrics=metrics
    )


def check_split(task: Task, dataset: Dataset, split: Split) -> None:
    """Refuse a split that cannot be evaluated with a model of that task.

    Raises
    ------
    DatasetError
        With every problem; see `evaluate`.
    """
    records, info = dataset.of_split(split), dataset.info
    problems = [] if records else [f"Expected images in the split {split}, {info.name} has none."]
    for kind, names, known in (
        ("structures", info.seg_classes, task.seg_classes),
        ("classes", info.cls_classes, task.cls_classes),
    ):
        unknown = [name for name in names if name not in known]
        if unknown:
            problems.append(
                f"Expected {kind} that the model knows ({', '.join(known)}), {info.name} has {', '.join(unknown)}."
            )
    problems += check_images(replace(dataset, records=records))
    if problems:
        raise DatasetError(*problems)
