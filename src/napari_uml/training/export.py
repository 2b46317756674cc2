"""From the best checkpoint of a run to a weights file that loads by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_uml import __version__
from napari_uml.data.samples import load_samples, merge_tasks
from napari_uml.training.checkpoint import BEST, load_checkpoint
from napari_uml.weights import WeightsInfo, save_weights

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_uml.config import Focus
    from napari_uml.data.dataset import Dataset
    from napari_uml.data.samples import Sample

NOT_FOR = (
    "Research use only; not a medical device. Not for diagnosis or treatment, nor for images of another kind than the "
    "training data's."
)


def export_run(
    run: Path,
    datasets: Sequence[Dataset],
    destination: Path,
    *,
    name: str,
    title: str,
    command: str,
    version: str = "1",
    focus: Focus | None = None,
    history: str = "",
) -> WeightsInfo:
    """Write the best epoch of a run as a weights file in half precision.

    Parameters
    ----------
    run
        Folder with `best.ckpt`.
    datasets
        What it was trained on; their licences and sizes go into the file.
    destination
        The .safetensors file to write.
    name, title, version
        Name for the command line, plain name, version of the weights.
    command
        What was typed to train it.
    focus
        How it looks twice.
    history
        What the weights started from, in words.

    Raises
    ------
    WeightsError
        When the run has no checkpoint, or the weights are not finite.
    """
    checkpoint = load_checkpoint(run / BEST)
    config = checkpoint.train
    task = merge_tasks([dataset.info for dataset in datasets])
    info = WeightsInfo(
        name=name,
        title=title,
        version=version,
        config=checkpoint.network,
        task=task,
        image_size=config.image_size,
        focus=focus,
        training={
            "datasets": {d.info.name: {split: len(d.of_split(split)) for split in ("train", "val")} for d in datasets},
            "settings": config.model_dump(mode="json"),
            "epoch": checkpoint.epoch,
            "seconds": round(checkpoint.seconds),
            "command": command,
            "started_from": history or "random weights",
        },
        validation=dict(checkpoint.metrics),
        intensity=_intensity(load_samples(datasets, "train", 64, task, focus), task.channels),
        licence="; ".join(f"{d.info.name}: {d.info.licence}" for d in datasets),
        not_for=NOT_FOR,
        written_by=f"napari-uml {__version__}",
    )
    save_weights(destination, checkpoint.shown, info)
    return info


def _intensity(samples: Sequence[Sample], channels: int) -> dict[str, tuple[float, ...]]:
    """Mean and standard deviation of the training images on the [0, 1] scale, one a channel."""
    pixels = torch.stack([sample.image for sample in samples]).float()[:, :channels] / 255
    std, mean = torch.std_mean(pixels, dim=(0, 2, 3))
    return {"mean": tuple(mean.tolist()), "std": tuple(std.tolist())}
