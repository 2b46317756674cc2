"""Two models on the same images, such as the one that a run started from and its own; figures and pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from napari_uml.baselines.registry import architecture_of
from napari_uml.config import IGNORE
from napari_uml.data.dataset import read_dataset, read_pair
from napari_uml.evaluation.comparison import Comparison
from napari_uml.evaluation.evaluate import check_split, record_of, score_images
from napari_uml.evaluation.metrics import metrics_difference
from napari_uml.files import replacing
from napari_uml.inference.page import as_bytes, fitted, size_within, tint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_uml.data.dataset import Dataset, Record, Split
    from napari_uml.evaluation.scores import ImageScores
    from napari_uml.inference.predictor import UMLPredictor

IMAGES: Final = 3
SIDE: Final = 160
"""Pixels of the longer side of every small picture."""
GAP: Final = 4
FLATTERED: Final = ("ece", "ece_adaptive", "nll", "brier")
"""Figures that a calibration makes better on the very images that it was fitted on."""
UNCERTAINTIES: Final = ("u_image", "u_pixel")


def compare(
    before: UMLPredictor | None,
    after: UMLPredictor,
    folder: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    split: Split = "val",
    sigma: float = 0.0,
) -> Comparison:
    """Measure both models on a split of a dataset folder.

    When one of them alone was calibrated on that split, the difference has no figures of calibration: they would
    flatter it. When one has u and the other entropy, it has no mean uncertainties.

    Parameters
    ----------
    before, after
        The start model, if there was one, and the new one.
    folder
        The dataset folder.
    progress
        Told how many looks are done of how many.
    split, sigma
        Which images, and the Gaussian noise that both models get alike, on the [0, 1] scale.

    Raises
    ------
    DatasetError
        When the split is empty or its files cannot be read.
    """
    dataset = read_dataset(folder)
    note = "" if before is not None else "The new model started from random weights."
    if before is not None:
        unknown = _unknown(before, dataset)
        if unknown:
            before, note = None, f"The start model does not know {', '.join(unknown)}, so it is not compared."
    check_split(after.info.task, dataset, split)
    looks = len(dataset.of_split(split)) * (1 if before is None else 2)
    scored = _Counted(progress, looks)
    new = scored.all(score_images(after, dataset, split, sigma))
    record = record_of(new, after, dataset, split)
    if before is None:
        return Comparison(before=None, after=record, note=note)
    old = scored.all(score_images(before, dataset, split, sigma))
    difference = metrics_difference(old, new, (before.info.task, after.info.task))
    if _calibrated_on(before, dataset, split) != _calibrated_on(after, dataset, split):
        difference = {name: metric for name, metric in difference.items() if name not in FLATTERED}
    if architecture_of(before.info.config).measure != architecture_of(after.info.config).measure:
        difference = {name: metric for name, metric in difference.items() if name not in UNCERTAINTIES}
    difference = {name: metric for name, metric in difference.items() if name in record.metrics}  # in what is annotated
    return Comparison(before=record_of(old, before, dataset, split), after=record, difference=difference)


def draw_comparison(path: Path, before: UMLPredictor | None, after: UMLPredictor, folder: Path) -> None:
    """Write a picture with a row an image: the truth, what the start model found, and what the new one finds.

    Raises
    ------
    UMLError
        When it cannot be written.
    """
    dataset = read_dataset(folder)
    models = [after] if before is None or _unknown(before, dataset) else [before, after]
    drawn = [record for record in dataset.of_split("val") if record.mask] or list(dataset.of_split("val"))
    numbers = np.unique(np.linspace(0, len(drawn) - 1, min(IMAGES, len(drawn))).round().astype(int))
    rows = [_row(dataset, drawn[number], models) for number in numbers]
    with replacing(path) as part:
        Image.fromarray(np.concatenate(rows)).save(part, "PNG")


@dataclass(slots=True)
class _Counted:
    """Counts looks over several rounds."""

    progress: Callable[[int, int], None]
    total: int
    done: int = 0

    def all(self, scores: Iterator[ImageScores]) -> list[ImageScores]:
        kept = []
        for score in scores:
            kept.append(score)
            self.done += 1
            self.progress(self.done, self.total)
        return kept


def _unknown(model: UMLPredictor, dataset: Dataset) -> list[str]:
    """Names of the data set that a model does not know."""
    known = {*model.info.task.seg_classes, *model.info.task.cls_classes}
    return [name for name in (*dataset.info.seg_classes, *dataset.info.cls_classes) if name not in known]


def _calibrated_on(model: UMLPredictor, dataset: Dataset, split: Split) -> bool:
    """Whether a model was calibrated on a split; a calibration on several data sets joins their names by commas."""
    fitted = model.info.calibration
    return fitted is not None and fitted.split == split and f", {dataset.info.name}, " in f", {fitted.dataset}, "


def _row(dataset: Dataset, record: Record, models: list[UMLPredictor]) -> NDArray[np.uint8]:
    pixels, mask = read_pair(dataset, record)
    truth = np.zeros(pixels.shape[:2], dtype=np.uint8) if mask is None else np.where(mask == IGNORE, np.uint8(0), mask)
    cells = [_cell(pixels, truth, dataset.info.colors)]
    cells += [_cell(pixels, model.predict(pixels).mask, model.info.task.colors) for model in models]
    return np.pad(np.concatenate(cells, axis=1), ((0, GAP), (0, 0), (0, 0)))


def _cell(pixels: NDArray[np.float32], mask: NDArray[np.uint8], colors: tuple[str, ...]) -> NDArray[np.uint8]:
    """A square picture of an image with the structures' colours and outlines, black beside a narrow image."""
    size = size_within(SIDE, *mask.shape)
    picture = as_bytes(tint(fitted(pixels, size), fitted(mask, size), colors))
    return np.pad(picture, ((0, SIDE - size[1]), (0, SIDE - size[0] + GAP), (0, 0)))
