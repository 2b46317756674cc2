"""Whether a model's gate for unfamiliar images sees what is unlike its training images.

    python benchmarks/ood.py MODEL --trained-on DATASET... --others DATASET... [-o FOLDER]

The gate is the one in the weights. Printed is, for the images of every set of --trained-on as they are and mirrored,
for their validation images with noise and other damages, and for the images of the other sets, the AUROC of the
distance against the clean validation images, with its 95 % interval, and the share above the threshold. An AUROC of
0.5 says that the gate sees nothing. -o writes the table, `ood-MODEL.csv` and `.md`.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch

from napari_uml.data.dataset import read_dataset
from napari_uml.evaluation.answer_table import RESAMPLES, estimate
from napari_uml.evaluation.classification import auroc
from napari_uml.evaluation.familiar import looked_at, looks_at, mirrored
from napari_uml.evaluation.robustness import PANEL
from napari_uml.files import write_text
from napari_uml.inference.corruptions import corrupt
from napari_uml.inference.noise import add_noise
from napari_uml.inference.predictor import UMLPredictor
from napari_uml.results import Corruption

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_uml.data.dataset import Dataset, Split
    from napari_uml.evaluation.familiar import Change
    from napari_uml.familiarity import Familiarity

ORDER: tuple[Split, ...] = ("val", "test", "train")
SIGMAS = (0.05, 0.1, 0.2)
Measured: TypeAlias = "tuple[NDArray[np.float64], list[str]]"
"""The distances (N,) of images, and their groups."""
Row: TypeAlias = tuple[str, int, float, float, float, float]
HEADER = ("images", "n", "auroc", "low", "high", "above the threshold")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="name or path of a model")
    parser.add_argument("--trained-on", type=Path, nargs="+", required=True, help="its data sets")
    parser.add_argument("--others", type=Path, nargs="*", default=[], help="sets of another modality or origin")
    parser.add_argument("-o", "--output", type=Path, help="folder for the table")
    args = parser.parse_args()

    predictor, datasets = UMLPredictor.load(args.model), [read_dataset(folder) for folder in args.trained_on]
    info, gate = predictor.info, predictor.info.familiarity
    if gate is None:
        sys.exit(f"Expected a model with a gate for unlike images, {info.name} has none.")
    about = (
        f"Gate of version {info.version}, fitted on {gate.n} training images of {gate.dataset}; threshold "
        f"{gate.threshold:.2f} from {gate.n_val} validation images; AUROC against the clean validation images"
    )
    if args.output:
        args.output.mkdir(parents=True, exist_ok=True)
    print(about)
    rows = list(measure(gate, predictor, datasets, [read_dataset(folder) for folder in args.others]))
    for row in rows:
        print("{:<36} n = {:<4} AUROC {:.3f} ({:.3f} to {:.3f}), above the threshold {:.1%}".format(*row))
    if args.output:
        write_table(args.output / f"ood-{info.name}", about, rows)


def write_table(path: Path, about: str, rows: list[Row]) -> None:
    """Write `.csv` and `.md`."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([HEADER, *rows])
    write_text(path.with_name(f"{path.name}.csv"), text.getvalue())
    command = f"`python benchmarks/ood.py {' '.join(sys.argv[1:])}`"
    lines = [
        f"# Images unlike the training images of {path.name.removeprefix('ood-')}",
        "",
        command,
        "",
        f"{about}.",
        "",
        "| images | n | AUROC | above the threshold |",
        "|---|---|---|---|",
    ]
    lines += ["| {} | {} | {:.3f} ({:.3f} to {:.3f}) | {:.1%} |".format(*row) for row in rows]
    write_text(path.with_name(f"{path.name}.md"), "\n".join(lines) + "\n")


def measure(
    gate: Familiarity, predictor: UMLPredictor, datasets: list[Dataset], others: list[Dataset]
) -> Iterator[Row]:
    """A row for every set, sigma and damage; of a set without validation images, its test or training images."""

    def measured(sets: list[Dataset], split: Split, *change: Change) -> Measured:
        return looks_at(sets, predictor, split, *change).distances(gate).max(axis=1), groups_of(sets, split)

    clean = measured(datasets, "val")
    for dataset in datasets:
        split = first_split(dataset)
        yield row(f"{dataset.info.name}, {split}", gate, clean, measured([dataset], split))
        yield row(f"{dataset.info.name}, {split}, mirrored", gate, clean, measured([dataset], split, mirrored))
    damages: dict[str, Change] = {f"noise, sigma {sigma:g}": partial(noisy, sigma=sigma) for sigma in SIGMAS}
    for kind, strengths in PANEL.items():
        damages |= {f"{kind} {s:g}": partial(damaged, corruption=Corruption(kind, s)) for s in strengths}
    for name, damage in damages.items():
        yield row(name, gate, clean, measured(datasets, "val", damage))
    for other in others:
        split = first_split(other)
        yield row(f"{other.info.name}, {split}", gate, clean, measured([other], split))


def first_split(dataset: Dataset) -> Split:
    """The one of most interest that has images."""
    return next(split for split in ORDER if dataset.of_split(split))


def groups_of(datasets: list[Dataset], split: Split) -> list[str]:
    """Data set and group of every image that `looks_at` looks at."""
    return [f"{dataset.info.name}/{r.group or r.image}" for dataset in datasets for r in looked_at(dataset, split)]


def noisy(view: NDArray[np.float32], channels: int, seed: int, sigma: float) -> NDArray[np.floating]:
    """A view (S, S, 3) with the noise that the predictor adds; grey images have one channel of it."""
    image = torch.from_numpy(np.moveaxis(view, -1, 0).copy())
    return np.moveaxis(add_noise(image, sigma, seed, grey=channels == 1).numpy(), 0, -1)


def damaged(view: NDArray[np.float32], channels: int, seed: int, corruption: Corruption) -> NDArray[np.floating]:
    """A view (S, S, 3) with another damage, none of which is random; grey images are damaged in one channel."""
    picture = corrupt(np.moveaxis(view[..., :channels], -1, 0), corruption)
    return np.broadcast_to(np.moveaxis(picture, 0, -1), view.shape)


def row(name: str, gate: Familiarity, clean: Measured, other: Measured) -> Row:
    """A line of the table; the bootstrap draws groups, so that an image and its damaged copy stay together."""
    score = np.concatenate([clean[0], other[0]])
    positive, groups = np.arange(len(score)) >= len(clean[0]), np.array([*clean[1], *other[1]])
    found = estimate(lambda draws: auroc(draws, score, positive), groups, 0, RESAMPLES)
    low, high = (found.value if end is None else end for end in (found.low, found.high))
    return name, len(other[0]), found.value, low, high, float((other[0] > gate.threshold).mean())


if __name__ == "__main__":
    main()
