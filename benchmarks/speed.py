"""How fast the networks answer, how much memory an answer takes, and how fast the dock opens.

    python benchmarks/speed.py [--device cpu] [--size 256] [--rounds 5] [-o FOLDER]

The reference is the paper's network computed as the paper prints it: float32, one operation after another, mixers whose
attention projects before it pools. `paper` has the same weights with what `UMLPredictor` does to a network: batch
normalisation folded, mixers that multiply their matrices first, channels last, the precision of `auto`. Both take
turns, so that what else the machine does falls on both; printed are medians of the turns and of their ratios, and on
how many pixels both masks agree. The budgets were set against the authors' program, which is not this reference. Memory
(on Linux) is the largest resident size of a new process that analyses one image; the dock is opened in a new process,
too. -o writes the table, `speed.csv` and `.md`.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import torch
from study import machine

from napari_uml.baselines.registry import make_network
from napari_uml.config import UMLConfig, preset
from napari_uml.data.simulated.ultrasound import TASK
from napari_uml.files import write_text
from napari_uml.inference.devices import choose_precision
from napari_uml.inference.folding import fold_batch_norm, halve
from napari_uml.inference.predictor import AUTOCAST
from napari_uml.nn.mixer import Mixer
from napari_uml.weights import WeightsInfo, save_weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

PRESETS: Final = ("paper", "compact", "light")
BUDGETS: Final = {
    "paper": "4 times as fast",
    "compact": "40 times as fast",
    "memory": "1.2 GB (compact)",
    "dock": "1 s, without torch",
}
Row = tuple[str, str, str]
"""What, its figure, its budget."""


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("-o", "--output", type=Path, help="folder for the table")
    args = parser.parse_args()

    rows = forward_passes(args.device, args.size, args.rounds)
    rows += [memory("compact, random weights", args.size), memory("breast-ultrasound", args.size), dock()]
    about = f"{machine()}, {args.size} x {args.size}, medians of {args.rounds} turns."
    print(about)
    for what, figure, budget in rows:
        print(f"{what:44} {figure:58} {budget}".rstrip())
    if args.output:
        write_table(args.output, about, rows)


def write_table(folder: Path, about: str, rows: list[Row]) -> None:
    """Write `speed.csv` and `speed.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("what", "figure", "budget"), *rows])
    write_text(folder / "speed.csv", text.getvalue())
    lines = ["# Speed and memory", "", f"`python benchmarks/speed.py {' '.join(sys.argv[1:])}`", "", about, ""]
    lines += ["| what | measured | budget |", "|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    write_text(folder / "speed.md", "\n".join(lines) + "\n")


@torch.no_grad()
def forward_passes(device: str, size: int, rounds: int) -> list[Row]:
    """A row a preset: milliseconds, how often as fast as the reference, agreement of the mask."""
    image = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0)).to(device)
    reference = network_of("paper").to(device)
    as_printed(reference)
    precision = choose_precision("auto", device)
    tuned = {name: tune(network_of(name), device, precision) for name in PRESETS}
    runs = {"reference": lambda: reference(image)}
    runs |= {name: lambda network=network: look(network, image, precision) for name, network in tuned.items()}
    for run in runs.values():
        run()
    turns = [{name: seconds(run, device) for name, run in runs.items()} for _ in range(rounds)]
    times = {name: 1000 * median(turn[name] for turn in turns) for name in runs}
    rows = [("the paper's network as printed, float32", f"{times['reference']:.0f} ms", "")]
    for name in PRESETS:
        ratio = median(turn["reference"] / turn[name] for turn in turns)
        figure = f"{times[name]:.0f} ms, {ratio:.1f} times as fast"
        if name == "paper":
            masks = [run().mask_logits[0].argmax(1) for run in (runs["reference"], runs["paper"])]
            figure += f", same mask on {(masks[0] == masks[1]).float().mean():.2%} of the pixels"
        rows.append((f"`{name}`, {precision}", figure, BUDGETS.get(name, "")))
    return rows


def network_of(name: str) -> nn.Module:
    """A preset with random weights, the same ones every time."""
    torch.manual_seed(0)
    return make_network(preset(name, 3, 2), download=False).eval()


def tune(network: nn.Module, device: str, precision: str) -> nn.Module:
    """What `UMLPredictor` does to a network."""
    if device == "cpu" and precision in AUTOCAST:
        halve(fold_batch_norm(network), AUTOCAST[precision])
    return fold_batch_norm(network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def look(network: nn.Module, image: Tensor, precision: str) -> object:
    """What `UMLPredictor` does with a batch."""
    dtype = AUTOCAST.get(precision)
    batch = image.contiguous(memory_format=torch.channels_last)
    with torch.autocast(image.device.type, dtype, enabled=dtype is not None):
        return network(batch)


def as_printed(network: nn.Module) -> None:
    """Make mixers project every pixel, attend and reduce one after the other, as the paper prints it."""
    for module in network.modules():
        if isinstance(module, Mixer):
            module.forward = partial(step_by_step, module)


def step_by_step(mixer: Mixer, class_features: Tensor, mask_features: Tensor) -> Tensor:
    """The same function as `Mixer.forward`; attention projects before it pools."""
    x = torch.cat([mixer.project_class(class_features), mixer.project_mask(mask_features)], dim=1)
    x, attention = mixer.shuffle(x), mixer.attention
    pixels = x.flatten(2).transpose(1, 2)  # (B, hw, C)
    query = attention.channel_query(x).flatten(2).softmax(dim=2)  # (B, 1, hw)
    pooled = torch.matmul(query, attention.channel_value(pixels)).squeeze(1)  # (B, C/2)
    y = torch.sigmoid(attention.norm(attention.channel_out(pooled)))[:, None, :] * pixels
    query = attention.spatial_query(y).mean(dim=1, keepdim=True)  # (B, 1, C/2)
    score = torch.matmul(query, attention.spatial_value(y).transpose(1, 2))  # (B, 1, hw)
    attended = (torch.sigmoid(score).transpose(1, 2) * y + y).transpose(1, 2).reshape(x.shape)
    return mixer.reduce(attended)  # type: ignore[no-any-return]


def seconds(run: Callable[[], object], device: str) -> float:
    """Of one call, all its work done."""
    began = time.perf_counter()
    run()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - began


def memory(model: str, size: int) -> Row:
    """The largest resident size of a process that loads a model and analyses one image."""
    with TemporaryDirectory() as folder:
        name = model
        if model.startswith("compact"):
            name = str(Path(folder) / "random.safetensors")
            save_random(Path(name), size)
        peak = json.loads(subprocess.run([sys.executable, "-c", PREDICT, name], **OUTPUT).stdout)
    return f"memory of a process with one answer, {model}", f"{peak / 1e9:.2f} GB", BUDGETS["memory"]


def save_random(path: Path, size: int) -> None:
    """A compact network that has learnt nothing."""
    config: UMLConfig = preset("compact", len(TASK.cls_classes), len(TASK.seg_classes))
    info = WeightsInfo(
        name="random", title="Random weights", version="0", config=config, task=TASK, image_size=size, training={},
        validation={}, intensity={"mean": (0.3,), "std": (0.2,)}, licence="CC0", not_for="anything but timing",
        written_by="speed.py",
    )  # fmt: skip
    save_weights(path, make_network(config, download=False).state_dict(), info)


def dock() -> Row:
    """Seconds from asking napari for the dock until it is there."""
    found = json.loads(subprocess.run([sys.executable, "-c", OPEN_DOCK], **OUTPUT).stdout.splitlines()[-1])
    torch_too = "torch imported" if found["torch"] else "torch not imported"
    return "the Analyse dock opens", f"{found['seconds']:.2f} s, {torch_too}", BUDGETS["dock"]


OUTPUT: Final = {"check": True, "stdout": subprocess.PIPE, "text": True}

PREDICT = """
import sys
import numpy as np
from napari_uml import UMLPredictor
image = np.random.default_rng(0).random((512, 512), dtype=np.float32)
UMLPredictor.load(sys.argv[1]).predict(image)
status = dict(line.split(":") for line in open("/proc/self/status"))  # ru_maxrss would count the parent's, too
print(1024 * int(status["VmHWM"].split()[0]))
"""

OPEN_DOCK = """
import json, sys, time
import napari
from qtpy.QtWidgets import QApplication
viewer = napari.Viewer()
QApplication.processEvents()
began = time.perf_counter()
viewer.window.add_plugin_dock_widget("napari-uml", "Analyse (UML)")
QApplication.processEvents()
print(json.dumps({"seconds": time.perf_counter() - began, "torch": "torch" in sys.modules}))
"""


if __name__ == "__main__":
    main()
