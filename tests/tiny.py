"""Small things for the tests of network and training: a data set, a network and settings that take a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_uml.config import EncoderConfig, TrainConfig, UMLConfig
from napari_uml.data.dataset import DatasetInfo, Record, write_dataset

if TYPE_CHECKING:
    from pathlib import Path

INFO = DatasetInfo(
    name="Blobs",
    modality="drawn blobs",
    channels=1,
    seg_classes=("background", "lesion"),
    cls_classes=("benign", "malignant"),
    licence="CC0",
)
COUNTS = {"train": 8, "val": 4}


def tiny_dataset(folder: Path, info: DatasetInfo = INFO) -> Path:
    """Write images of 48 x 56 pixels: dark noise with a bright disc, small when benign and large if not."""
    generator = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    rows, columns = np.mgrid[:48, :56]
    records = []
    for split, count in COUNTS.items():
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
    """Return a network of a quarter of a million parameters."""
    encoder = EncoderConfig(name="test_resnet")
    return UMLConfig(
        num_classes=classes, num_structures=structures, class_encoder=encoder, seg_encoder=encoder, mixer_project=8,
        mixer_widths=(8, 8, 8, 8), decoder_widths=(8, 8, 8), bottom_width=8, mutual_head_width=8, head="conv",
        head_widths=(8,), evidential_mask=True,
    )  # fmt: skip


def tiny_settings(**changes: object) -> TrainConfig:
    """Return settings for 32 x 32 pixels on the CPU."""
    values = {"epochs": 2, "image_size": 32, "batch_size": 4, "device": "cpu", "precision": "float32", **changes}
    return TrainConfig.model_validate(values)
