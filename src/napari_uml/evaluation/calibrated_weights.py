"""Write into a weights file what its validation images say of its uncertainty, and how its training images look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_uml.evaluation.answers import read_answers
from napari_uml.evaluation.calibrate import calibrate
from napari_uml.evaluation.familiar import fit_familiarity
from napari_uml.inference.predictor import UMLPredictor
from napari_uml.weights import write_info

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_uml.data.dataset import Dataset


def calibrate_weights(
    path: Path, datasets: Sequence[Dataset], mix_in: Sequence[Dataset] = (), target_risk: float = 0.05
) -> None:
    """Fit the calibration, and the gate where there is none, on what a model was trained on; the tensors stay.

    Parameters
    ----------
    path
        The weights file.
    datasets
        Their validation images are calibrated on; the gate needs their training images, too.
    mix_in
        What was trained on as well: only the gate looks at it.
    target_risk
        See `calibrate`.

    Raises
    ------
    ValueError
        When no validation image has a class, or the model gives no evidence for one.
    DatasetError, ImageError
        When the images cannot be read.
    """
    predictor = UMLPredictor.load(path, calibrated=False)
    validated = [dataset for dataset in datasets if dataset.of_split("val")]
    answers = list(read_answers(predictor, validated, "val"))
    name = ", ".join(dataset.info.name for dataset in validated)
    fitted = calibrate(answers, predictor.info.task, dataset=name, split="val", target_risk=target_risk)
    gate = predictor.info.familiarity or fit_familiarity([*datasets, *mix_in], predictor)
    write_info(path, predictor.info.model_copy(update={"calibration": fitted, "familiarity": gate}))
