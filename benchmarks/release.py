"""Turn a training run into a shipped model: weights, model card and registry entry under `weights/`.

    python benchmarks/release.py RUN --name breast-ultrasound --title "Breast ultrasound" DATASET...

The figures in the card are printed here, from the validation split of every data set given.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from napari_uml.config import Focus
from napari_uml.data.dataset import read_dataset, write_atomic
from napari_uml.evaluation.card import model_card
from napari_uml.evaluation.evaluate import evaluate
from napari_uml.evaluation.record import format_table
from napari_uml.inference.predictor import UMLPredictor
from napari_uml.training.export import export_run
from napari_uml.weights import sha256

WEIGHTS = Path(__file__).parents[1] / "weights"
SIGMAS = (0.0, 0.05, 0.1)


def main() -> None:
    """Export, evaluate, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("datasets", type=Path, nargs="+")
    parser.add_argument("--name", required=True)
    parser.add_argument("--title", required=True)
    parser.add_argument("--command", required=True, help="what was typed to train it")
    parser.add_argument("--history", default="", help="what the weights started from, in words")
    parser.add_argument("--focus", nargs="*", help="structures to look at twice")
    parser.add_argument("--version", default="1")
    args = parser.parse_args()

    datasets = [read_dataset(folder) for folder in args.datasets]
    path = WEIGHTS / f"{args.name}.safetensors"
    info = export_run(
        args.run, datasets, path, name=args.name, title=args.title, command=args.command, version=args.version,
        focus=Focus(structures=tuple(args.focus)) if args.focus else None, history=args.history,
    )  # fmt: skip
    predictor = UMLPredictor.load(path)
    records = []
    for dataset in datasets:
        for sigma in SIGMAS if dataset.of_split("val") else ():
            record = evaluate(predictor, dataset, "val", sigma)
            print(f"\nsigma {sigma}\n{format_table(record)}", flush=True)
            records.append((sigma, record))
    digest, size = sha256(path), path.stat().st_size
    write_atomic(path.with_suffix(".md"), model_card(info, records, digest, size))
    registry = json.loads((WEIGHTS / "registry.json").read_text(encoding="utf-8"))
    models = registry.setdefault("models", {})
    models[args.name] = {
        "file": path.name, "sha256": digest, "size": size, "urls": models.get(args.name, {}).get("urls", []),
        "title": args.title,
    }  # fmt: skip
    write_atomic(WEIGHTS / "registry.json", json.dumps(registry, indent=2) + "\n")


if __name__ == "__main__":
    main()
