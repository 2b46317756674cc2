"""What the scripts that open a window share: waiting while it works, and a Fine-tune dock with simulated scans."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image
from qtpy.QtCore import QEventLoop, QTimer

from napari_uml.data.dataset import DatasetInfo, Record, Split, write_dataset
from napari_uml.data.simulated import simulate_ultrasound
from napari_uml.data.simulated.ultrasound import TASK
from napari_uml.widgets.finetune import FinetuneWidget

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import napari.viewer

LOOK_MS: Final = 20
TRAIN, VALIDATE = 12, 4


def wait_ms(milliseconds: int) -> None:
    """Let the window work."""
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def wait_until(holds: Callable[[], bool], what: str, seconds: float = 300.0) -> None:
    """Let the window work until something holds; ends the script when it never does."""
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            raise SystemExit(f"Waited {seconds:g} s in vain: {what}.")
        wait_ms(LOOK_MS)


def simulated_dataset(folder: Path) -> Path:
    """Write a data set of simulated scans, benign and malignant in turn."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    records = []
    for number in range(TRAIN + VALIDATE):
        label = ("benign", "malignant")[number % 2]
        scan = simulate_ultrasound(seed=number, kind=label)
        image, mask = f"images/{number}.png", f"masks/{number}.png"
        Image.fromarray(scan.pixels).save(folder / image)
        Image.fromarray(scan.mask.astype(np.uint8)).save(folder / mask)
        split: Split = "train" if number < TRAIN else "val"
        records.append(Record(image, mask, label, split, str(number)))
    write_dataset(folder, DatasetInfo(name="Simulated ultrasound", **TASK.model_dump()), records)
    return folder


def finetune_dock(viewer: napari.viewer.Viewer, folder: Path, start: str) -> FinetuneWidget:
    """The dock in a window, with a training list and a model to start from."""
    dock = FinetuneWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Fine-tune (UML)")
    dock.training_list.open(folder)
    wait_until(lambda: dock.session.counts is not None, "the training list is read")
    dock.bench.choose_start(start)
    return dock
