"""Small things for the tests of training and evaluation: a data set, a network, a run's plan and its reports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from napari_uml.config import EncoderConfig, TrainConfig, UMLConfig
from napari_uml.data.dataset import DatasetInfo, Record, write_dataset
from napari_uml.nn.network import UMLNetwork
from napari_uml.results import EpochReport
from napari_uml.training.checkpoint import BEST, LAST, Checkpoint, save_checkpoint
from napari_uml.training.plan import RunPlan, write_plan

INFO = DatasetInfo(
    name="Blobs",
    modality="drawn blobs",
    channels=1,
    seg_classes=("background", "lesion"),
    cls_classes=("benign", "malignant"),
    licence="CC0",
)
SPLITS = {"train": 8, "val": 4}


def tiny_dataset(folder: Path, info: DatasetInfo = INFO) -> Path:
    """Write a dataset folder of 48 x 56 images: dark noise with a bright disc, small when benign and large if not."""
    generator = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    rows, columns = np.mgrid[:48, :56]
    records = []
    for split, count in SPLITS.items():
        for i in range(count):
            disc = (rows - 24) ** 2 + (columns - 20 - 2 * i) ** 2 < (64, 196)[i % 2]
            image = (generator.random((48, 56)) * 60 + 150 * disc).astype(np.uint8)
            name = f"{split}{i}.png"
            Image.fromarray(image).save(folder / "images" / name)
            Image.fromarray(disc.astype(np.uint8)).save(folder / "masks" / name)
            records.append(Record(f"images/{name}", f"masks/{name}", info.cls_classes[i % 2], split, name))
    write_dataset(folder, info, records)
    return folder


def tiny_network(classes: int = 2, structures: int = 2) -> UMLConfig:
    """Return a network of half a million parameters."""
    encoder = EncoderConfig(name="test_resnet")
    return UMLConfig(
        num_classes=classes, num_structures=structures, class_encoder=encoder, seg_encoder=encoder, mixer_project=8,
        mixer_widths=(8, 8, 8, 8), decoder_widths=(8, 8, 8), bottom_width=8, mutual_head_width=8, head="conv",
        head_widths=(8,), evidential_mask=True,
    )  # fmt: skip


def tiny_settings(**changes: object) -> TrainConfig:
    """Return settings for 64 x 64 pixels on the CPU."""
    values = {"epochs": 2, "image_size": 64, "batch_size": 4, "device": "cpu", "precision": "float32", **changes}
    return TrainConfig.model_validate(values)


def tiny_plan(dataset: Path, **changes: object) -> RunPlan:
    """Return the plan of a run on `tiny_dataset`."""
    values = {
        "command": "napari-uml train blobs -o run", "datasets": (dataset,), "task": INFO.model_dump(include=TASK),
        "network": tiny_network(), "settings": tiny_settings(), "preset": "compact", "name": "blobs",
        "title": "Drawn blobs", "licence": "Blobs: CC0", **changes,
    }  # fmt: skip
    return RunPlan.model_validate(values)


TASK = {"modality", "channels", "seg_classes", "cls_classes", "seg_colors", "unions", "measurements"}


def tiny_report(run: Path, epoch: int = 1, **changes: object) -> EpochReport:
    """Return the report of an epoch, of two unless changed."""
    values = {
        "epochs": 2, "losses": {"total": 3.0 / epoch, "mutual": 1.0 / epoch, "class": 0.5 / epoch, "mask": 1.5 / epoch},
        "metrics": {"dice_present/lesion": 0.5, "acc": 0.75, "auc": 0.875, "u_image": 0.3, "u_pixel": 0.2},
        "learning_rate": 1e-3 / epoch, "score": 0.5, "is_best": True, "seconds": 2.0, "images_per_second": 4.0,
        "eta_seconds": 130.0, "memory_mb": 500.0, "last": run / LAST, "best": run / BEST, **changes,
    }  # fmt: skip
    return EpochReport(epoch=epoch, **values)


def tiny_checkpoint(run: Path, plan: RunPlan, epoch: int = 1) -> Checkpoint:
    """Write the best and last checkpoint of a run that has not learnt anything, and its plan."""
    write_plan(run, plan)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        weights = UMLNetwork(plan.network).state_dict()
    checkpoint = Checkpoint(
        network=plan.network, train=plan.settings, epoch=epoch, weights=weights, averaged={}, optimizer={},
        scheduler={}, best_score=0.5, best_epoch=epoch, seconds=90.0, metrics={"dice_present/lesion": 0.5, "auc": 0.75},
    )  # fmt: skip
    for name in (BEST, LAST):
        save_checkpoint(run / name, checkpoint)
    return checkpoint
