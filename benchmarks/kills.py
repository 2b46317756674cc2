"""Kill the training process of the Fine-tune dock at random moments, and see what is left.

    python benchmarks/kills.py [--kills 10] [--seed 0]

A window opens with a training list of simulated scans. The process is killed as `kill -9` does, now before its first
epoch, now in the middle of writing; after each kill the window must say so, the list and the best checkpoint must be
whole, and Resume must go on. After the last one the run is trained to its end and its model is used.
"""

from __future__ import annotations

import argparse
import os
import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import napari
import napari.viewer
import psutil
from windows import finetune_dock, simulated_dataset, wait_ms, wait_until

from napari_uml.data.training_list import TrainingList
from napari_uml.inference.predictor import UMLPredictor
from napari_uml.training.checkpoint import BEST, load_checkpoint
from napari_uml.training.run_state import read_state
from napari_uml.widgets.finetune_session import Stage
from napari_uml.widgets.finetune_train_panel import TrainPanel

if TYPE_CHECKING:
    from napari_uml.widgets.finetune import FinetuneWidget

LONGEST = 4.0
"""Seconds within which a kill comes after the start, or after an epoch was done."""


def main() -> None:
    """Kill, look, resume, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    moments = random.Random(args.seed)
    with TemporaryDirectory() as folder:
        os.environ["NAPARI_UML_CACHE"] = folder  # runs and models of its own
        images = simulated_dataset(Path(folder) / "list")
        dock = finetune_dock(napari.viewer.Viewer(), images, "breast-ultrasound")
        rows = TrainingList.open(images).records
        dock.session.changes = {"image_size": 64, "epochs": 60, "batch_size": 4}
        for number in range(args.kills):
            begin(dock)
            seconds, after = moments.uniform(0, LONGEST), ("the start", "an epoch")[number % 3 > 0]
            if after == "an epoch":
                done = len(dock.session.reports)
                wait_until(lambda done=done: len(dock.session.reports) > done, "an epoch is done")
            print(f"kill {number + 1:2}, {seconds:3.1f} s after {after}: {killed(dock, seconds)}", flush=True)
            if TrainingList.open(images).records != rows:
                raise SystemExit("The training list changed.")
        begin(dock)
        wait_until(lambda: dock.session.stage is Stage.IDLE, "the run ends")
        if dock.session.comparison is None:
            raise SystemExit(f"No model came of it: {dock.session.message}")
        UMLPredictor.load(dock.session.installed)
        print(f"then trained to the end: {len(dock.session.reports)} epochs shown, the model loads by its name")
        dock.bench.viewer.close()


def begin(dock: FinetuneWidget) -> None:
    """Press Resume where there is a run to go on with, else Train."""
    panel = dock.panels[TrainPanel]
    (panel.resume if panel.resume.isVisible() and panel.resume.isEnabled() else panel.train).click()
    if dock.session.stage is not Stage.TRAINING:
        raise SystemExit(f"Training does not start: {panel.message.text()}")


def killed(dock: FinetuneWidget, seconds: float) -> str:
    """Kill the process after a while; what the window says, and what is on disk."""
    session = dock.session
    wait_ms(round(1000 * seconds))
    (process,) = [child for child in psutil.Process().children() if "train" in child.cmdline()]
    process.kill()
    wait_until(lambda: session.stage is Stage.IDLE, "the window notices")
    state, best = read_state(session.run), session.run / BEST
    epoch = f"best checkpoint of epoch {load_checkpoint(best).epoch} is whole" if best.exists() else "no epoch was done"
    alive = "" if state is None or state.ended == "" else f", state {state.ended!r}"
    return f"{epoch}{alive}; the window says: {session.message.text if session.message else 'nothing'}"


if __name__ == "__main__":
    main()
