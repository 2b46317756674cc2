"""After a run: its model is compared with the one it started from, gets its card, and can be found by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_uml.errors import UMLError
from napari_uml.evaluation.card import model_card
from napari_uml.evaluation.compare import compare, draw_comparison
from napari_uml.evaluation.comparison import COMPARISON, PICTURES, write_comparison
from napari_uml.files import write_atomic
from napari_uml.inference.predictor import UMLPredictor
from napari_uml.training.plan import CARD, MODEL, first_start, read_plan
from napari_uml.weights import import_weights, sha256

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_uml.evaluation.comparison import Comparison


def judge_run(
    run: Path, install: str = "", progress: Callable[[int, int], None] = lambda done, total: None
) -> Comparison:
    """Write `comparison.json`, `comparison.png` and the model card into the folder of a run that is over.

    Parameters
    ----------
    run
        Folder of the run, with `model.safetensors`; the first of its data sets is what the models are compared on.
    install
        Add the model to the user's models under this name; empty: do not.
    progress
        Told how many looks are done of how many.

    Raises
    ------
    UMLError
        When the run has no model yet, something cannot be read or written, or another model has the name.
    DatasetError
        When there is nothing to validate on.
    """
    plan, path = read_plan(run), run / MODEL
    if not path.is_file():
        raise UMLError(f"Expected the model of a run, {run} has none yet; train at least one epoch.")
    start, folder = first_start(plan), plan.datasets[0]
    before = UMLPredictor.load(start) if start else None
    after = UMLPredictor.load(path)
    comparison = compare(before, after, folder, progress)
    draw_comparison(run / PICTURES, before, after, folder)
    write_comparison(run / COMPARISON, comparison)
    # what changes the weights file, such as its calibration, comes before the card, which holds the file's SHA-256
    card = model_card(after.info, [(0.0, comparison.after)], sha256(path), path.stat().st_size)
    write_atomic(run / CARD, card)
    if install:
        import_weights(path, install)  # and the card beside it
    return comparison
