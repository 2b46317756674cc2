"""From the best epoch of a run to a weights file that loads by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from napari_uml import __version__
from napari_uml.data.dataset import read_dataset
from napari_uml.data.samples import load_samples
from napari_uml.errors import WeightsError
from napari_uml.evaluation.familiar import fit_familiarity, looked_at
from napari_uml.inference.building import build_network
from napari_uml.inference.predictor import UMLPredictor
from napari_uml.training.checkpoint import BEST, LAST, Checkpoint, load_checkpoint
from napari_uml.training.plan import MODEL, RunPlan, count_images, read_plan
from napari_uml.weights import WeightsInfo, read_info, same_tensors, save_weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from napari_uml.data.dataset import Dataset, Record
    from napari_uml.data.samples import Sample
    from napari_uml.familiarity import Familiarity

NOT_FOR = (
    "Research use only; not a medical device. Not for diagnosis or treatment, nor for images of another kind than the "
    "training data's."
)
INTENSITY_SIZE, INTENSITY_IMAGES = 64, 128
"""The intensity statistics come from so many images of every data set, spread evenly, on a grid of this size."""


def export_run(run: Path, destination: Path | None = None, *, version: str = "1", gate: bool = True) -> WeightsInfo:
    """Write the best epoch of a run as a weights file in half precision.

    A file that is there already keeps its calibration when it has the same tensors. The weights are written before the
    gate is fitted, which can take minutes, and then again with it: a process that is ended meanwhile leaves a model.

    Parameters
    ----------
    run
        Folder of a run: `train.json`, `best.ckpt` and `last.ckpt`. The data sets that it names are read, too.
    destination
        The .safetensors file to write; None: `model.safetensors` in the run's folder.
    version
        Version of the weights.
    gate
        Whether it gets the gate for unlike images, where there are images to fit it on; the network answers for up to
        900 images of every data set for it.

    Raises
    ------
    UMLError
        When the run has no checkpoint yet, its data sets are gone, or the weights are not finite.
    """
    plan, best, last = read_plan(run), load_checkpoint(run / BEST), load_checkpoint(run / LAST)
    own, mixed = ([read_dataset(folder) for folder in folders] for folders in (plan.datasets, plan.mix_in))
    part = [replace(dataset, records=_spread(dataset)) for dataset in (*own, *mixed)]
    info = WeightsInfo(
        name=plan.name,
        title=plan.title,
        version=version,
        config=best.network,
        task=plan.task,
        image_size=best.train.image_size,
        focus=plan.focus,
        training=_history(plan, best, last, count_images(own, mixed)),
        validation=dict(best.metrics),
        intensity=_intensity(load_samples(part, "train", INTENSITY_SIZE, plan.task, plan.focus), plan.task.channels),
        licence=plan.licence,
        not_for=NOT_FOR,
        written_by=f"napari-uml {__version__}",
    )
    path = run / MODEL if destination is None else destination
    info = info.model_copy(update=_fitted(path, best.shown))
    save_weights(path, best.shown, info)
    if not gate or info.familiarity is not None:
        return info
    fitted = _gate([*own, *mixed], info, best.shown, last.train.device)
    if fitted is not None:
        info = info.model_copy(update={"familiarity": fitted})
        save_weights(path, best.shown, info)
    return info


def _history(plan: RunPlan, best: Checkpoint, last: Checkpoint, images: dict[str, dict[str, int]]) -> dict[str, Any]:
    """How it was trained, on the images that are there now where the plan does not say on which."""
    return {
        "datasets": plan.images or images,
        "settings": best.train.model_dump(mode="json"),
        "vertical_flip": plan.vertical_flip,
        "epoch": best.epoch,
        "epochs": last.epoch,
        "seconds": round(last.seconds),
        "start_share": best.start_share,
        "keeps_class": best.keeps_class,
        "earlier": list(plan.earlier),
        "command": plan.command,
        "started_from": plan.started_from,
    }


def _fitted(path: Path, tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Calibration of a file with the same tensors; nothing of another one, or of one that is damaged."""
    if not path.exists():
        return {}
    try:
        former, same = read_info(path), same_tensors(path, tensors)
    except WeightsError:
        return {}
    if not same or former.calibration is None:
        return {}
    kept = {"calibration": former.calibration}
    return {**kept, "familiarity": former.familiarity} if former.calibration.reach else kept  # measured with that gate


def _gate(
    datasets: Sequence[Dataset], info: WeightsInfo, tensors: Mapping[str, torch.Tensor], device: str
) -> Familiarity | None:
    """The gate for unlike images; None with too few of them to make one."""
    train, val = (sum(len(looked_at(dataset, split)) for dataset in datasets) for split in ("train", "val"))
    if train < 2 or not val:
        return None
    return fit_familiarity(datasets, UMLPredictor(info, build_network(info, tensors), device))


def _spread(dataset: Dataset) -> tuple[Record, ...]:
    """Training images from the first to the last, evenly spread."""
    records = dataset.annotated("train")
    return records[:: -(-len(records) // INTENSITY_IMAGES) or 1]


def _intensity(samples: Sequence[Sample], channels: int) -> dict[str, tuple[float, ...]]:
    """Mean and standard deviation of the training images on the [0, 1] scale, one a channel."""
    pixels = torch.stack([sample.image for sample in samples]).float()[:, :channels] / 255
    std, mean = torch.std_mean(pixels, dim=(0, 2, 3))
    return {"mean": tuple(mean.tolist()), "std": tuple(std.tolist())}
