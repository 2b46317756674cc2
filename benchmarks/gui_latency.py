"""How long after a move of the noise slider the layers follow, and how long the window stands still meanwhile.

    python benchmarks/gui_latency.py [MODEL] [--moves 20] [--epochs 6] [-o FILE.csv]

The Analyse dock is measured first, then the Fine-tune dock while it trains on all cores in a process of its own.

MODEL is a name or path of a model; without one a compact network of random weights is used. The window's pulse is a
timer: its largest gap is the longest time that the GUI thread was blocked. Two clocks are printed: wall time, and
the processor time of the whole process, which other programs on a busy machine do not lengthen.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import napari
import napari.viewer
from qtpy.QtCore import QEventLoop, Qt, QTimer
from windows import finetune_dock, simulated_dataset, wait_ms, wait_until

from napari_uml.data.simulated import simulate_ultrasound
from napari_uml.weights import find_weights, import_weights
from napari_uml.widgets.analyse import AnalyseWidget
from napari_uml.widgets.finetune_session import Stage
from napari_uml.widgets.finetune_train_panel import TrainPanel
from napari_uml.widgets.noise_panel import NoisePanel
from napari_uml.widgets.session import State

if TYPE_CHECKING:
    from collections.abc import Callable

BEAT_MS = 5
BUDGETS = "Budgets on two free cores: slider 250 ms, blocked 100 ms."


class Pulse:
    """A timer of the GUI thread that notes the gaps between its beats, ms of wall time and of processor time."""

    def __init__(self) -> None:
        self.gaps: list[tuple[float, float]] = []
        self._last = self._now()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)
        self._timer.start(BEAT_MS)

    def take(self) -> tuple[float, float]:
        """The largest gaps since the last call."""
        wait_ms(100)  # what the last event took shows at the beat after it
        largest = max(g for g, _ in self.gaps), max(g for _, g in self.gaps)
        self.gaps.clear()
        return largest

    def _beat(self) -> None:
        now = self._now()
        self.gaps.append((1e3 * (now[0] - self._last[0]) - BEAT_MS, 1e3 * (now[1] - self._last[1])))
        self._last = now

    @staticmethod
    def _now() -> tuple[float, float]:
        return time.perf_counter(), time.process_time()


def main() -> None:
    """Open a window, run, move the slider, sweep, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help="name or path; random weights without it")
    parser.add_argument("--moves", type=int, default=20, help="moves of the slider")
    parser.add_argument("--epochs", type=int, default=6, help="epochs of training")
    parser.add_argument("-o", "--output", type=Path, help="CSV file to write")
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        os.environ["NAPARI_UML_CACHE"] = folder  # the run and its model are nobody's
        model = find_weights(args.model) if args.model else random_weights(Path(folder))
        rows = measure(str(model), args.moves)
        rows += measure_training(model, simulated_dataset(Path(folder) / "list"), args.epochs)
    print(BUDGETS)
    for name, wall, processor in rows:
        print(f"{name:48} {wall:8.0f} ms {processor:8.0f} ms of processor time")
    if args.output:
        with args.output.open("w", newline="") as file:
            rounded = [(name, round(wall), round(processor)) for name, wall, processor in rows]
            csv.writer(file).writerows([("what", "wall_ms", "processor_ms"), *rounded])


def measure(model: str, moves: int) -> list[tuple[str, float, float]]:
    """What was measured: wall and processor time in ms."""
    viewer = napari.viewer.Viewer()
    viewer.add_image(simulate_ultrasound().pixels, name="sample")
    dock = AnalyseWidget(viewer)
    viewer.window.add_dock_widget(dock)
    dock.session.model = model
    wait_ms(500)
    pulse, rows = Pulse(), []
    wait_ms(200)
    pulse.take()
    until_idle(dock, dock.bench.run)
    rows.append(("blocked during the first run (imports torch)", *pulse.take()))
    until_idle(dock, dock.bench.run)
    rows.append(("blocked during a further run", *pulse.take()))
    waits = [move(dock, 0.01 * (1 + n % 29)) for n in range(moves)]
    medians = [statistics.median(wait[clock] for wait in waits) for clock in (0, 1)]
    rows.append(("slider moved to layers updated, median", *medians))
    rows.append(("blocked while the slider moves", *pulse.take()))
    until_idle(dock, dock.panels[NoisePanel].sweep.start.click)
    rows.append(("blocked during the first sweep (imports pyqtgraph)", *pulse.take()))
    until_idle(dock, dock.panels[NoisePanel].sweep.start.click)
    rows.append(("blocked during a further sweep", *pulse.take()))
    viewer.close()
    return rows


def measure_training(model: Path, folder: Path, epochs: int) -> list[tuple[str, float, float]]:
    """What was measured while a network is trained, compared with its start and added, in ms of both clocks."""
    start = import_weights(model, "start").name
    viewer = napari.viewer.Viewer()
    dock = finetune_dock(viewer, folder, start)
    dock.session.changes = {"epochs": epochs}
    wait_ms(500)
    pulse, rows = Pulse(), []
    wait_ms(200)
    pulse.take()
    dock.panels[TrainPanel].train.click()
    wait_until(lambda: dock.session.stage is not Stage.TRAINING, "training ends", seconds=1800)
    rows.append((f"blocked while {len(dock.session.reports)} epochs are trained", *pulse.take()))
    wait_until(lambda: dock.session.stage is Stage.IDLE, "the comparison ends", seconds=600)
    rows.append(("blocked while old and new model are compared", *pulse.take()))
    if dock.session.comparison is None:
        raise SystemExit(dock.session.message)
    viewer.close()
    return rows


def move(dock: AnalyseWidget, sigma: float) -> tuple[float, float]:
    """Wall and processor time in ms from a move of the slider until the layers show the answer."""
    amount = dock.panels[NoisePanel].sigma
    loop, result = QEventLoop(), dock.session.events.result

    def leave(_: object) -> None:
        loop.quit()  # it leaves when the layers are updated, too, which the same event does

    result.connect(leave)
    began = Pulse._now()
    amount.slider.setValue(round(1000 * sigma))
    loop.exec()
    result.disconnect(leave)
    return tuple(1e3 * (after - before) for after, before in zip(Pulse._now(), began, strict=True))


def until_idle(dock: AnalyseWidget, start: Callable[[], object]) -> None:
    """Start something, and come back when it has ended."""
    loop = QEventLoop()

    def leave(state: State) -> None:
        if state is State.IDLE:
            loop.quit()

    dock.session.events.state.connect(leave)
    start()
    loop.exec()
    dock.session.events.state.disconnect(leave)
    if dock.session.message is not None:
        raise SystemExit(dock.session.message.text)


def random_weights(folder: Path) -> Path:
    """A compact network that has learnt nothing, made in another process because this one must not know torch yet."""
    path = folder / "random.safetensors"
    subprocess.run([sys.executable, "-c", MAKE_WEIGHTS, str(path)], check=True)
    return path


MAKE_WEIGHTS = """
import sys
from napari_uml.config import preset
from napari_uml.data.simulated.ultrasound import TASK
from napari_uml.nn.network import UMLNetwork
from napari_uml.weights import WeightsInfo, save_weights
config = preset("compact", len(TASK.cls_classes), len(TASK.seg_classes))
info = WeightsInfo(
    name="random", title="Random weights", version="0", config=config, task=TASK, image_size=256, training={},
    validation={}, intensity={"mean": [0.3], "std": [0.2]}, licence="CC0", not_for="anything but timing",
    written_by="gui_latency.py",
)
save_weights(sys.argv[1], UMLNetwork(config, download=False).state_dict(), info)
"""


if __name__ == "__main__":
    main()
