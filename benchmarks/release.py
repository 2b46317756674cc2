"""Turn a training run into a shipped model: weights, model card and registry entry under `weights/`.

    python benchmarks/release.py RUN [--version 1] [--average MODEL]
    python benchmarks/release.py NAME --datasets DATASET... [--target-risk 0.05]

RUN is the folder of a run, whose `train.json` has name, title, data sets and command. With `--average` the weights are
the mean of the run's and those of the model that it started from, which errs less on images of another kind than either
(Wortsman et al., "Model soups", ICML 2022; the card says so). With the NAME of a shipped model
its tensors stay and the rest is made anew. The calibration is fitted and the figures are
measured here, on the validation split of every data set, printed, and put into the card. The figures are those after
the calibration; the card has them cross-fitted, too.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from napari_uml.data.dataset import read_dataset
from napari_uml.evaluation.calibrated_weights import calibrate_weights
from napari_uml.evaluation.card import model_card
from napari_uml.evaluation.evaluate import evaluate
from napari_uml.evaluation.record import format_table
from napari_uml.files import write_text
from napari_uml.inference.predictor import UMLPredictor
from napari_uml.training.export import export_run
from napari_uml.training.plan import read_plan
from napari_uml.weights import load_tensors, read_info, save_weights, sha256, write_info

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from napari_uml.data.dataset import Dataset
    from napari_uml.evaluation.record import MetricsRecord

WEIGHTS = Path(__file__).parents[1] / "weights"
SIGMAS = (0.0, 0.05, 0.1)


def main() -> None:
    """Export, calibrate, evaluate, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="folder of the run, or name of a shipped model")
    parser.add_argument("--version", default="1", help="version of the weights of a run")
    parser.add_argument("--average", metavar="MODEL", help="average the weights with those of this weights file")
    parser.add_argument("--datasets", type=Path, nargs="+", default=[], help="what a shipped model was trained on")
    parser.add_argument(
        "--target-risk", type=float, default=0.05, help="share of wrong classes among the images not referred"
    )
    args = parser.parse_args()

    path, folders = WEIGHTS / f"{args.source}.safetensors", args.datasets
    if not path.is_file():
        plan = read_plan(Path(args.source))
        path, folders = WEIGHTS / f"{plan.name}.safetensors", plan.datasets
        export_run(Path(args.source), path, version=args.version)
        if args.average:
            average(path, Path(args.average))
    else:
        write_info(path, read_info(path).model_copy(update={"familiarity": None}))
    datasets = [read_dataset(folder) for folder in folders]
    calibrate_weights(path, datasets, target_risk=args.target_risk)
    predictor = UMLPredictor.load(path)
    records = measure(datasets, predictor)
    write_text(path.with_suffix(".md"), model_card(predictor.info, records, sha256(path), path.stat().st_size))
    register(predictor.info.name, predictor.info.title, path)
    print(f"{path}, {path.stat().st_size / 1e6:.1f} MB")


def average(path: Path, other: Path) -> None:
    """Make the weights of a file the mean of its own and another one's, and say so in its card."""
    info, own, others = read_info(path), load_tensors(path), load_tensors(other)
    if not same_network(own, others):
        raise SystemExit(f"Expected weights of the same network in {other}, got others.")
    mean = {name: t.lerp(others[name], 0.5) if t.is_floating_point() else t for name, t in own.items()}
    words = f"{info.training['started_from']}; its weights are the mean of those of this run and those it started from"
    training = {**info.training, "started_from": words}
    save_weights(path, mean, info.model_copy(update={"training": training, "familiarity": None}))


def same_network(own: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> bool:
    """Whether the tensors have the same names and shapes."""
    return {name: t.shape for name, t in own.items()} == {name: t.shape for name, t in others.items()}


def measure(datasets: Sequence[Dataset], predictor: UMLPredictor) -> list[tuple[float, MetricsRecord]]:
    """Sigma and record of every evaluation, data set by data set."""
    records = []
    for dataset in datasets:
        for sigma in SIGMAS if dataset.of_split("val") else ():
            records.append((sigma, evaluate(predictor, dataset, "val", sigma)))
            print(f"sigma {sigma:g}: {format_table(records[-1][1])}\n", flush=True)
    return records


def register(name: str, title: str, path: Path) -> None:
    """Enter a file into the registry; the addresses of a former version, which has another hash, go."""
    registry = json.loads((WEIGHTS / "registry.json").read_text(encoding="utf-8"))
    registry["models"][name] = {
        "file": path.name, "sha256": sha256(path), "size": path.stat().st_size, "urls": [], "title": title,
    }  # fmt: skip
    write_text(WEIGHTS / "registry.json", json.dumps(registry, indent=2) + "\n")


if __name__ == "__main__":
    main()
