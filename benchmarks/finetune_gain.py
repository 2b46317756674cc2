"""What fine-tuning with few images brings on data that the start model never saw, and what it forgets.

    python benchmarks/finetune_gain.py DATA -o OUT [--small] [--draws 3] [--part all] [--targets drishti]

DATA holds the dataset folders refuge, acrima, drishti, isic and ham10000. A dermoscopy model is trained on isic, and
from its weights a fundus model on refuge and acrima; then each is fine-tuned, as the dock's "quick" does, on n images
of ham10000 or drishti, several draws each, and start and new model are compared on the rest of the target and on the
old validation images. OUT keeps every run and every result, as `finetune_gain.csv` and, summed up, `.md`; the same
command goes on where it stopped. `--targets` does a part, into files of its own, so that two processes can share the
work; begun one after the other, the second waits for a start model that the first one trains. Without `--targets` all
parts come into one table. `--small` does all of it with a few images of 64 x 64 pixels, to try it out.
"""

from __future__ import annotations

import argparse
import csv
import io
import random
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from study import refuse_other

from napari_uml.data.dataset import Dataset, Record, Split, read_dataset, write_dataset
from napari_uml.evaluation.compare import compare
from napari_uml.evaluation.comparison import read_comparison, write_comparison
from napari_uml.files import write_atomic
from napari_uml.inference.predictor import UMLPredictor
from napari_uml.training.lengths import settings_for
from napari_uml.training.plan import MODEL, PLAN, command_words, read_plan
from napari_uml.training.run_state import is_alive, read_state
from napari_uml.weights import read_info

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_uml.evaluation.comparison import Comparison

COLUMNS = ("target", "images", "draw", "on", "figure", "before", "after", "difference", "low", "high", "n", "minutes")
FIGURES = ("dice_present/", "auc")
SMALL = {"image_size": 64, "start_size": 64, "epochs": 1, "batch_size": 4}
LARGEST_REST = 400
"""Images of the rest of the target that the models are compared on, at most, drawn at random."""
VALIDATED = 0.25
"""Share of the drawn images that the best epoch is chosen by; at least two."""
COMPARED = ("target.json", "old-*.json")
"""The comparisons that are kept beside a run."""
WAIT = 10.0
"""Seconds between two looks whether another process still trains a run."""


@dataclass(frozen=True)
class Case:
    """A start model's data and training, the target, the numbers of images to fine-tune on.

    `renamed` pairs a class of the target with what the start's data call it; `parent` is a start model of another case
    whose weights this one begins from.
    """

    start: str
    sources: tuple[str, ...]
    target: str
    images: tuple[int, ...]
    options: tuple[tuple[str, Any], ...]
    parent: str = ""
    renamed: tuple[tuple[str, str], ...] = ()


CASES = (
    Case(
        "dermoscopy",
        ("isic",),
        "ham10000",
        (20, 40, 80),
        options=(("vertical_flip", True), ("epochs", 12), ("start_size", 96), ("image_size", 128)),
        renamed=(("benign_keratosis", "seborrheic_keratosis"),),
    ),
    Case(
        "fundus",
        ("refuge", "acrima"),
        "drishti",
        (10, 20, 37),
        options=(("focus", ("disc",)), ("epochs", 6), ("start_size", 128), ("image_size", 192)),
        parent="dermoscopy",
    ),
)
"""Neither start model saw its target, nor did the parent: the fundus model begins from the dermoscopy model."""


def main() -> None:
    """Train the start models, fine-tune, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--part", choices=("heads", "decoders", "all"), default="all")
    targets = [case.target for case in CASES]
    parser.add_argument("--targets", nargs="+", choices=targets, default=targets, help="to do a part of it")
    parser.add_argument("--small", action="store_true", help="a few small images, to try the script")
    args = parser.parse_args()

    rows, name = [], table_name(args.targets)
    for case in (case for case in CASES if case.target in args.targets):
        if lacking := [n for n in data_of(case, args.output) if not (args.data / n / "index.csv").is_file()]:
            print(f"{case.start}: left out, {args.data} lacks {', '.join(lacking)}", flush=True)
            continue
        for row in measure(case, args):
            rows.append(row)
            print("  ".join(map(str, row)), flush=True)
            write_table(args.output / f"{name}.csv", rows)
    if rows:
        text = summary(rows)
        print(text)
        write_atomic(args.output / f"{name}.md", text)


def table_name(targets: Sequence[str]) -> str:
    """Name of the table's files, with the targets when they are a part."""
    part = [case.target for case in CASES if case.target in targets]
    return "-".join(["finetune_gain", *(part if len(part) < len(CASES) else [])])


def data_of(case: Case, out: Path) -> list[str]:
    """The data sets that a case needs, and those of its parent's start model while that is not trained."""
    names = [*case.sources, case.target]
    while case.parent and not finished(out / case.parent):
        case = parent_of(case)
        names += case.sources
    return names


def parent_of(case: Case) -> Case:
    """The case that a case's start model begins from."""
    return next(other for other in CASES if other.start == case.parent)


def measure(case: Case, args: argparse.Namespace) -> Iterator[tuple[Any, ...]]:
    """The rows of a case."""
    out, small = args.output, args.small
    target = renamed(read_dataset(args.data / case.target), dict(case.renamed))
    start, sources = start_model(case, args), sources_of(case, args)
    for images in case.images[:1] if small else case.images:
        for draw in range(1 if small else args.draws):
            folder = out / f"{case.target}-{images}-{draw}"
            tuned_on, rest = split_target(target, shared(target, sources), images, draw, folder, small)
            model = fine_tuned(start, tuned_on, folder / "run", args.part, small)
            minutes = float(str(read_info(model).training["seconds"])) / 60
            old = [source for source in sources if read_dataset(source).of_split("val")]
            for name, held_out in (("target", rest), *((f"old: {source.name}", source) for source in old)):
                found = compared(start, model, held_out, folder / f"{name.replace(': ', '-')}.json")
                yield from rows_of(found, (case.target, images, draw, name), minutes)


def start_model(case: Case, args: argparse.Namespace) -> Path:
    """A model of a case's sources, which never saw the target, after its parent; a small one has hardly learnt."""
    begins = {"from": start_model(parent_of(case), args)} if case.parent else {"preset": "compact"}
    run: Path = args.output / case.start
    train(run, sources_of(case, args), {**begins, **dict(case.options)}, SMALL if args.small else {})
    return run / MODEL


def sources_of(case: Case, args: argparse.Namespace) -> list[Path]:
    """The folders of a case's sources, of a few images with `--small`."""
    small = args.output / "data"
    return [smaller(args.data / n, small / n, 8) if args.small else args.data / n for n in case.sources]


def fine_tuned(start: Path, folder: Path, run: Path, part: str, small: bool) -> Path:
    """A model that the dock's "quick" makes of the start and a folder."""
    images, focus = len(read_dataset(folder).of_split("train")), UMLPredictor.load(start).info.focus
    settings = dict(settings_for("quick", part, images * (2 if focus else 1)))  # type: ignore[arg-type]
    train(run, [folder], {"from": start}, {**settings, **(SMALL if small else {})})
    return run / MODEL


def train(run: Path, folders: Sequence[Path], options: dict[str, Any], settings: dict[str, Any]) -> None:
    """Train to the end, or go on with a run that was stopped; nothing happens when it is done.

    What was compared with an earlier model of the run is removed. When another process trains it, wait.
    """
    if trained_elsewhere(run):
        print(f"{run}: another process trains it; waiting", flush=True)
    while trained_elsewhere(run):
        time.sleep(WAIT)
    going_on = (run / PLAN).exists()
    if going_on:
        check_same(run, {**options, **settings})
    if finished(run):
        return
    for path in (path for pattern in COMPARED for path in run.parent.glob(pattern)):
        path.unlink(missing_ok=True)
    words = ["--resume"] if going_on else command_words(folders, {**options, **settings})
    subprocess.run([sys.executable, "-m", "napari_uml", "train", *words, "--output", str(run)], check=True)


def finished(run: Path) -> bool:
    """Whether a run's model was written after all epochs; an interrupted run has one of the best epoch so far."""
    if not (run / MODEL).exists():
        return False
    return int(str(read_info(run / MODEL).training["epochs"])) >= read_plan(run).settings.epochs


def trained_elsewhere(run: Path) -> bool:
    """Whether another process trains it now."""
    state = read_state(run)
    return state is not None and not state.ended and is_alive(state)


def check_same(run: Path, wanted: dict[str, Any]) -> None:
    """Stop when a run was begun with other options or settings than are wanted."""
    plan = read_plan(run)
    begun = {
        **plan.settings.model_dump(), "preset": plan.preset, "from": of_run(plan.start),
        "focus": plan.focus.structures if plan.focus else (), "vertical_flip": plan.vertical_flip,
    }  # fmt: skip
    start = {"from": of_run(wanted["from"])} if "from" in wanted else {}
    refuse_other(run, begun, {**wanted, **start})


def of_run(model: Path | str) -> str:
    """Run and file name of a model: OUT may have been moved."""
    return "/".join(Path(model).parts[-2:])


def shared(target: Dataset, sources: Sequence[Path]) -> tuple[str, ...]:
    """Classes that target and sources have by the same name; all of the target's when there are fewer than two."""
    known = {name for source in sources for name in read_dataset(source).info.cls_classes}
    both = tuple(name for name in target.info.cls_classes if name in known)
    return both if len(both) >= 2 else target.info.cls_classes


def split_target(
    target: Dataset, classes: Sequence[str], images: int, draw: int, folder: Path, small: bool
) -> tuple[Path, Path]:
    """Folders with the drawn images (train and val) and with all others (as val); groups stay together."""
    records = [record for record in target.records if record.label in classes or not record.label]
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.group or record.image, []).append(record)
    order = sorted(groups)
    random.Random(draw).shuffle(order)
    tuned: list[tuple[Record, Split]] = []
    while order and len(tuned) < images:
        split: Split = "val" if len(tuned) < max(2, round(VALIDATED * images)) else "train"
        tuned += [(record, split) for record in groups[order.pop()]]
    rest = [record for group in order for record in groups[group]][: 8 if small else LARGEST_REST]
    info = target.info.model_copy(update={"cls_classes": tuple(classes)})
    tuned_on, held_out = folder / "tuned-on", folder / "rest"
    write_dataset(tuned_on, info, [moved(target, record, split, tuned_on) for record, split in tuned])
    write_dataset(held_out, info, [moved(target, r, "val", held_out) for r in rest])
    return tuned_on, held_out


def renamed(dataset: Dataset, names: dict[str, str]) -> Dataset:
    """A data set whose classes have other names."""
    classes = tuple(names.get(name, name) for name in dataset.info.cls_classes)
    records = tuple(replace(record, label=names.get(record.label, record.label)) for record in dataset.records)
    return replace(dataset, info=dataset.info.model_copy(update={"cls_classes": classes}), records=records)


def moved(dataset: Dataset, record: Record, split: Split, folder: Path) -> Record:
    """A record of another split, its files copied into a folder."""
    for path in filter(None, (record.image, record.mask)):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        if not (folder / path).exists():
            shutil.copyfile(dataset.folder / path, folder / path)
    return replace(record, split=split)


def smaller(source: Path, folder: Path, images: int) -> Path:
    """A folder with the first images of every split; made once."""
    if (folder / "index.csv").exists():
        return folder
    dataset = read_dataset(source)
    records = [r for split in ("train", "val") for r in dataset.of_split(split)[:images]]
    write_dataset(folder, dataset.info, [moved(dataset, record, record.split, folder) for record in records])
    return folder


def compared(start: Path, model: Path, folder: Path, path: Path) -> Comparison:
    """Start and new model on the validation images of a folder; read when it was found before."""
    if not path.exists():
        write_comparison(path, compare(UMLPredictor.load(start), UMLPredictor.load(model), folder))
    return read_comparison(path)


def rows_of(found: Comparison, about: tuple[Any, ...], minutes: float) -> Iterator[tuple[Any, ...]]:
    """A row a figure that both models have."""
    before = found.before.metrics if found.before else {}
    for name, change in found.difference.items():
        if name.startswith(FIGURES[0]) or name == FIGURES[1]:
            ends = [None if end is None else round(end, 4) for end in (change.low, change.high)]
            values = [round(v, 4) for v in (before[name].value, found.after.metrics[name].value, change.value)]
            yield (*about, name, *values, *ends, change.n, round(minutes, 1))


def summary(rows: Sequence[tuple[Any, ...]]) -> str:
    """A Markdown table: means over the draws, their smallest and largest change, and how many are not by chance."""
    lines = [
        "| target | images | on | figure | before | after | change: mean (range) | better, worse | minutes |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    of_draws: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in (dict(zip(COLUMNS, row, strict=True)) for row in rows):
        of_draws.setdefault((row["target"], row["images"], row["on"], row["figure"]), []).append(row)
    for (target, images, on, figure), draws in of_draws.items():
        before, after, change = (mean(d[name] for d in draws) for name in ("before", "after", "difference"))
        changes = [d["difference"] for d in draws]
        better = sum(d["low"] is not None and d["low"] > 0 for d in draws)
        worse = sum(d["high"] is not None and d["high"] < 0 for d in draws)
        name = figure.replace("dice_present/", "Dice ").replace("auc", "AUC")
        spread = f"{change:+.3f} ({min(changes):+.3f} to {max(changes):+.3f})"
        told = f"{better}, {worse} of {len(draws)} | {max(d['minutes'] for d in draws):.1f}"
        lines.append(f"| {target} | {images} | {on} | {name} | {before:.3f} | {after:.3f} | {spread} | {told} |")
    return "\n".join(lines) + "\n"


def write_table(path: Path, rows: Sequence[tuple[Any, ...]]) -> None:
    """Write all rows as CSV, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    write_atomic(path, text.getvalue())


if __name__ == "__main__":
    main()
