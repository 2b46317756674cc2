"""Take the pictures of the docks that the documentation shows; everything in them is simulated.

    xvfb-run -a -s "-screen 0 1280x720x24" python benchmarks/screenshots.py [-o docs/images]

A list of simulated scans is checked, annotated, trained on, killed and trained again, and a folder of them becomes a
worklist, in napari at 1280 x 720 pixels.
"""

from __future__ import annotations

import argparse
import os
import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import napari
import napari.viewer
import psutil
from windows import finetune_dock, simulated_dataset, wait_ms, wait_until

from napari_uml.data.dataset import read_dataset, write_dataset
from napari_uml.widgets.demo import SIZE, WINDOW, save_demo
from napari_uml.widgets.finetune_session import Stage
from napari_uml.widgets.finetune_train_panel import TrainPanel
from napari_uml.widgets.worklist import WorklistWidget

if TYPE_CHECKING:
    from napari_uml.widgets.finetune import FinetuneWidget

MODEL = "breast-ultrasound"
UNANNOTATED, UNREADABLE = 3, "images/0.png"
SETTLED_MS = 1500


def main() -> None:
    """Open, act, photograph."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/images"))
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        os.environ["NAPARI_UML_CACHE"] = folder  # lists, runs and models of its own
        save_demo(Path(folder) / "demo")
        shutil.copyfile(Path(folder) / "demo" / WINDOW, args.output / "window.png")
        photograph_worklist(Path(folder), args.output)
        photograph_list(unfinished(simulated_dataset(Path(folder) / "moles")), args.output)
        photograph_training(simulated_dataset(Path(folder) / "clinic"), args.output)


def photograph_worklist(folder: Path, output: Path) -> None:
    """A folder that was analysed, with its most uncertain image opened."""
    images = simulated_dataset(folder / "scans") / "images"
    viewer = napari.viewer.Viewer()
    viewer.window.resize(*SIZE)
    dock = WorklistWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Worklist (UML)")
    dock.analyse(images, folder / "results")
    wait_until(lambda: len(dock.answers.answers) == len(list(images.iterdir())), "all images are analysed")
    wait_ms(SETTLED_MS)
    dock.next.click()
    photograph(viewer, output / "worklist.png")
    viewer.close()


def photograph_list(folder: Path, output: Path) -> None:
    """The list after a check that found problems, with an image to annotate."""
    dock = opened(folder)
    rows = dock.training_list
    rows.check()
    wait_until(lambda: bool(rows.problems()), "the check finds something")
    rows.view.next.click()
    wait_until(lambda: bool(rows.annotator.image), "an image is proposed")
    photograph(dock.bench.viewer, output / "training-list.png")
    dock.bench.viewer.close()


def photograph_training(folder: Path, output: Path) -> None:
    """The dock that is ready, trains, has failed, and is done."""
    dock = opened(folder)
    dock.bench.viewer.open(folder / read_dataset(folder).records[1].image)
    photograph(dock.bench.viewer, output / "finetune-ready.png")
    dock.session.changes = {"epochs": 12, "image_size": 128, "learning_rate": 1e-3}
    panel = dock.panels[TrainPanel]
    panel.train.click()
    wait_until(lambda: len(dock.session.reports) >= 4, "four epochs are done")
    photograph(dock.bench.viewer, output / "finetune-running.png")
    (process,) = [child for child in psutil.Process().children() if "train" in child.cmdline()]
    process.kill()
    wait_until(lambda: dock.session.stage is Stage.IDLE, "the window notices")
    photograph(dock.bench.viewer, output / "finetune-failed.png")
    panel.resume.click()
    wait_until(lambda: dock.session.comparison is not None, "the model is compared", seconds=900)
    photograph(dock.bench.viewer, output / "finetune-finished.png")
    dock.bench.viewer.close()


def opened(folder: Path) -> FinetuneWidget:
    """A window with the dock and a list."""
    viewer = napari.viewer.Viewer()
    viewer.window.resize(*SIZE)
    return finetune_dock(viewer, folder, MODEL)


def unfinished(folder: Path) -> Path:
    """The data set with one file that is broken, and a few images without mask and class."""
    dataset = read_dataset(folder)
    records = [
        replace(record, mask="", label="") if number < UNANNOTATED else record
        for number, record in enumerate(reversed(dataset.records))
    ]
    write_dataset(folder, dataset.info, records[::-1])
    (folder / UNREADABLE).write_bytes(b"not an image")
    return folder


def photograph(viewer: napari.viewer.Viewer, path: Path) -> None:
    """Write the window as it is when nothing moves any more."""
    wait_ms(SETTLED_MS)
    viewer.screenshot(path, canvas_only=False, flash=False)
    print(path, flush=True)


if __name__ == "__main__":
    main()
