"""How long napari takes to close while the dock works: from the click on the window's cross to the end of the process.

    python benchmarks/closing.py [MODEL] [--repeats 3] [-o FILE.csv]

MODEL is the name or path of a model, breast-ultrasound by default. Every closing is a new process.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import subprocess
import sys
import time
from pathlib import Path

import napari
import napari.viewer
from qtpy.QtCore import QTimer

from napari_uml.data.simulated import simulate_ultrasound
from napari_uml.widgets.analyse import AnalyseWidget
from napari_uml.widgets.noise_panel import NoisePanel
from napari_uml.widgets.samples import ultrasound_sweep
from napari_uml.widgets.session import Session, State

BUDGET = "Budget on two free cores: 3 s."
IMPORT_MS = (100, 700, 1500, 2500)
"""When to close after the first Run, while torch is being imported and the model loaded."""

CASES = {f"first run, after {ms / 1000:g} s": f"import:{ms}" for ms in IMPORT_MS} | {
    "run over 20 slices": "stack",
    "sweep": "sweep",
}


def main() -> None:
    """Time every case, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="breast-ultrasound", help="name or path of a model")
    parser.add_argument("--repeats", type=int, default=3, help="closings of every case")
    parser.add_argument("-o", "--output", type=Path, help="CSV file to write")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        work_and_close(args.model, args.case)
        return
    rows = [(name, *measure(args.model, case, args.repeats)) for name, case in CASES.items()]
    print(BUDGET)
    for name, median, longest in rows:
        print(f"closed during {name:26} median {median:5.2f} s, longest {longest:5.2f} s")
    if args.output:
        with args.output.open("w", newline="") as file:
            rounded = [(name, round(median, 2), round(longest, 2)) for name, median, longest in rows]
            csv.writer(file).writerows([("closed_during", "median_s", "longest_s"), *rounded])


def measure(model: str, case: str, repeats: int) -> tuple[float, float]:
    """Median and longest time of a case, seconds."""
    seconds = []
    for _ in range(repeats):
        command = [sys.executable, __file__, model, "--case", case]
        clicked = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
        seconds.append(time.time() - float(clicked))
    return statistics.median(seconds), max(seconds)


def work_and_close(model: str, case: str) -> None:
    """Open a window, start the work of a case, close in the middle of it; prints the time of the click."""
    viewer = napari.viewer.Viewer()
    dock = AnalyseWidget(viewer)
    viewer.window.add_dock_widget(dock)
    session: Session = dock.session
    if case == "stack":
        data, keywords, _ = ultrasound_sweep()[0]
        viewer.add_image(data, **keywords)
        session.slices = "all"
    else:
        viewer.add_image(simulate_ultrasound().pixels)
    session.model = model

    def close() -> None:
        if session.state is not State.RUNNING:
            raise SystemExit(f"Expected work in progress, it was {session.state}.")
        print(time.time(), flush=True)
        viewer.close()

    if case.startswith("import:"):
        QTimer.singleShot(int(case.removeprefix("import:")), close)
    else:
        session.events.progress.connect(lambda progress: progress.done == 3 and QTimer.singleShot(0, close))
    if case == "sweep":
        dock.panels[NoisePanel].sweep.start.click()
    else:
        dock.bench.run()
    napari.run()


if __name__ == "__main__":
    main()
