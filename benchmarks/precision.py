"""Whether bf16 is faster than float32 here: learning, looking at batches, and a shipped model's answer for one image.

    python benchmarks/precision.py [--device cpu] [--size 192] [--rounds 5]

Both precisions take turns, so that what else the machine does falls on both; printed are medians, and the medians of
the turns' ratios. An answer is for an image of 512 x 512, at the model's own size. `precision: auto`
follows from it (see `napari_uml.inference.devices`).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from napari_uml.config import TrainConfig, preset
from napari_uml.inference.predictor import UMLPredictor
from napari_uml.training.estimate import measure_pace

if TYPE_CHECKING:
    from napari_uml.training.pace import Pace

PRECISIONS: Final = ("float32", "bf16")
WEIGHTS: Final = Path(__file__).parents[1] / "weights"
PRESETS: Final = ("compact", "light")
MODEL: Final = "breast-ultrasound"
ANSWERS: Final = 4


def main() -> None:
    """Time, print a line a preset and kind of work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()

    print(f"{args.device}, {torch.get_num_threads()} threads, {args.size} x {args.size}, batches of {args.batch}")
    for name in PRESETS:
        turns = [[pace(name, precision, args) for precision in PRECISIONS] for _ in range(args.rounds)]
        tell(f"{name}, learning", [(slow.train, fast.train) for slow, fast in turns])
        tell(f"{name}, looking", [(slow.looking, fast.looking) for slow, fast in turns])
    tell(
        f"{MODEL}, answering",
        [(answer("float32", args.device), answer("bf16", args.device)) for _ in range(args.rounds)],
    )


def tell(what: str, turns: list[tuple[float, float]]) -> None:
    """A line of medians; the turns are seconds an image in float32 and in bf16."""
    slow, fast = (1000 * median(turn[i] for turn in turns) for i in (0, 1))
    ratio = median(slow / fast for slow, fast in turns)
    print(f"{what:28} float32 {slow:5.0f} ms, bf16 {fast:5.0f} ms an image: {ratio:.2f} times as fast", flush=True)


def pace(name: str, precision: str, args: argparse.Namespace) -> Pace:
    """Of learning and of looking."""
    config = TrainConfig(device=args.device, precision=precision, image_size=args.size, batch_size=args.batch)
    return measure_pace(config, preset(name, 2, 2))


def answer(precision: str, device: str) -> float:
    """Seconds of the whole way from an image to a prediction, the median of a few."""
    predictor = UMLPredictor.load(WEIGHTS / f"{MODEL}.safetensors", device, precision)
    image = np.random.default_rng(0).random((512, 512, 3), dtype=np.float32)
    predictor.predict(image)
    times = []
    for _ in range(ANSWERS):
        began = time.perf_counter()
        predictor.predict(image)
        times.append(time.perf_counter() - began)
    return median(times)


if __name__ == "__main__":
    main()
