"""Whether bf16 is faster than float32 here: learning, looking at batches, and answering for one image.

    python benchmarks/precision.py [--device cpu] [--size 192] [--rounds 5]

Both precisions take turns, so that what else the machine does falls on both; printed are medians, and the medians of
the turns' ratios. `precision: auto` follows from it (see `napari_uml.inference.devices`).
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
    from collections.abc import Callable

PRECISIONS: Final = ("float32", "bf16")
WEIGHTS: Final = Path(__file__).parents[1] / "weights"
MODELS: Final = {"compact": "fundus-disc", "light": "breast-ultrasound"}
"""A shipped model of each preset."""
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
    for name, model in MODELS.items():
        kinds: dict[str, Callable[[str], float]] = {
            "learning": lambda precision, name=name: pace(name, precision, args)[0],  # type: ignore[misc]
            "looking": lambda precision, name=name: pace(name, precision, args)[1],  # type: ignore[misc]
            "answering": lambda precision, model=model: answer(model, precision, args.device),  # type: ignore[misc]
        }
        for kind, timed in kinds.items():
            turns = [[timed(precision) for precision in PRECISIONS] for _ in range(args.rounds)]
            slow, fast = (median(turn[i] for turn in turns) for i in (0, 1))
            ratio = median(turn[0] / turn[1] for turn in turns)
            print(
                f"{name:8} {kind:10} float32 {1000 * slow:6.0f} ms  bf16 {1000 * fast:6.0f} ms an image: "
                f"bf16 {ratio:.2f} times as fast",
                flush=True,
            )


def pace(name: str, precision: str, args: argparse.Namespace) -> tuple[float, float]:
    """Seconds an image of learning and of looking."""
    config = TrainConfig(device=args.device, precision=precision, image_size=args.size, batch_size=args.batch)
    measured = measure_pace(config, preset(name, 2, 2))
    return measured.train, measured.looking


def answer(model: str, precision: str, device: str) -> float:
    """Seconds of the whole way from an image to a prediction, the median of a few."""
    predictor = UMLPredictor.load(WEIGHTS / f"{model}.safetensors", device, precision)
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
