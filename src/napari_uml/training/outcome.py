"""After a run: its model is compared with the one it started from, gets its card, and can be found by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from napari_uml.baselines.registry import architecture_of
from napari_uml.data.dataset import read_dataset
from napari_uml.errors import UMLError
from napari_uml.evaluation.answers import gives_class_evidence
from napari_uml.evaluation.calibrated_weights import calibrate_weights
from napari_uml.evaluation.card import model_card
from napari_uml.evaluation.compare import compare, draw_comparison
from napari_uml.evaluation.comparison import COMPARISON, PICTURES, write_comparison
from napari_uml.files import write_text
from napari_uml.inference.predictor import UMLPredictor
from napari_uml.training.plan import CARD, MODEL, first_start, read_plan
from napari_uml.weights import check_name, import_weights, read_info, sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari_uml.data.dataset import Dataset
    from napari_uml.evaluation.comparison import Comparison
    from napari_uml.weights import WeightsInfo


ENOUGH: Final = 20
"""Validation images with a class from which a model is calibrated; fewer say nothing of the chance of an error."""


def judge_run(
    run: Path, install: str = "", progress: Callable[[int, int], None] = lambda done, total: None
) -> Comparison:
    """Calibrate the model of a run that is over, and write `comparison.json`, `comparison.png` and its card beside it.

    A calibration that it has stays. With fewer than `ENOUGH` validation images that have a class, or when it gives no
    evidence for a class, it gets none, and the note of the comparison says so.

    Parameters
    ----------
    run
        Folder of the run, with `model.safetensors`; the first of its data sets that has validation images is what the
        models are compared on.
    install
        Add the model to the user's models under this name; empty: do not.
    progress
        Told how many looks are done of how many.

    Raises
    ------
    ValueError
        When `install` is no valid name, or that of a registered model.
    UMLError
        When the run has no model yet, something cannot be read or written, or another model has the name.
    DatasetError
        When there is nothing to validate on.
    """
    plan, path = read_plan(run), run / MODEL
    if not path.is_file():
        raise UMLError(f"Expected the model of a run, {run} has none yet; train at least one epoch.")
    if install:
        check_name(install, path)
    start, datasets = first_start(plan), [read_dataset(one) for one in plan.datasets]
    folder = next((one.folder for one in datasets if one.of_split("val")), datasets[0].folder)
    info = read_info(path)
    reason = "" if info.calibration else _why_uncalibrated(info, datasets)
    if not reason and info.calibration is None:
        calibrate_weights(path, datasets, [read_dataset(one) for one in plan.mix_in])
    before = UMLPredictor.load(start) if start else None
    after = UMLPredictor.load(path)
    comparison = compare(before, after, folder, progress)
    comparison = comparison.model_copy(update={"note": f"{comparison.note} {reason}".strip()})
    draw_comparison(run / PICTURES, before, after, folder)
    card = model_card(after.info, [(0.0, comparison.after)], sha256(path), path.stat().st_size)
    write_text(run / CARD, card)
    if install:
        import_weights(path, install)  # and the card beside it
    write_comparison(run / COMPARISON, comparison)  # last: a run without it is offered again
    return comparison


def _why_uncalibrated(info: WeightsInfo, datasets: Sequence[Dataset]) -> str:
    """Why a new model cannot be calibrated, as a sentence; empty when it can."""
    labelled = sum(bool(record.label) for dataset in datasets for record in dataset.of_split("val"))
    if not gives_class_evidence(info):
        title = architecture_of(info.config).title
        return f"The new model is not calibrated: {title} gives no evidence for a class."
    if labelled < ENOUGH:
        return f"The new model is not calibrated: {ENOUGH} validation images need a class, {labelled} have one."
    return ""
