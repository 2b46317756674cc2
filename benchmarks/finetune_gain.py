"""What fine-tuning with few images brings on data that the start model never saw, and what it forgets.

    python benchmarks/finetune_gain.py DATA -o OUT [--small] [--draws 3] [--first-draw 0] [--part all]
        [--targets drishti] [--images 10 20] [--starts fundus=MODEL.safetensors] [--learn-class]

DATA holds the dataset folders refuge, acrima, drishti, isic and ham10000. A dermoscopy model is trained on isic, a
fundus model on refuge and acrima (or `--starts` names weights that were trained on these); then each is fine-tuned, as
the dock's "quick" does, on n images of ham10000 or drishti, several draws each, and start and new model are compared on
the rest of the target and on the old validation images. OUT keeps every run and what it said of every image, and the
results as `finetune_gain.csv` and, summed up, `.md`; the same command goes on where it stopped. `--targets` and
`--images` do a part, into files of its own, so that two processes can share the work. Without them all parts come into
one table. `--small` does all of it with a few images of 64 x 64 pixels, to try it out.
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
from typing import TYPE_CHECKING, Any

import numpy as np
from study import Scores, read_scores, refuse_other, write_scores
from study_table import RESAMPLES, SEED, figures, over_seeds

from napari_uml.data.dataset import Dataset, Record, Split, read_dataset, write_dataset
from napari_uml.data.splitting import suggest_split
from napari_uml.evaluation.bootstrap import interval, resample
from napari_uml.evaluation.evaluate import score_images
from napari_uml.files import write_text
from napari_uml.inference.predictor import UMLPredictor
from napari_uml.training.lengths import settings_for
from napari_uml.training.plan import MODEL, PLAN, command_words, read_plan
from napari_uml.training.run_state import is_alive, read_state
from napari_uml.weights import read_info

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COLUMNS = ("target", "images", "draw", "on", "figure", "before", "after", "difference", "low", "high", "n", "minutes")
FIGURES = ("Dice", "AUC")
ALL = "all"
"""What stands for the draw in the rows of all draws together."""
SMALL = {"image_size": 64, "start_size": 64, "epochs": 1, "batch_size": 4}
LARGEST_REST = 400
"""Images of the rest of the target that the models are compared on, at most, drawn at random."""
EACH = 4
"""Patients or lesions of every class among those drawn, at least: with fewer the dock's check warns of the class."""
SCORED = "*.json.gz"
"""What the models said of the images, kept beside a run."""
WAIT = 10.0
"""Seconds between two looks whether another process still trains a run."""


@dataclass(frozen=True)
class Case:
    """A start model's data and training, the target, the numbers of images to fine-tune on.

    `renamed` pairs a class of the target with what the start's data call it.
    """

    start: str
    sources: tuple[str, ...]
    target: str
    images: tuple[int, ...]
    options: tuple[tuple[str, Any], ...]
    renamed: tuple[tuple[str, str], ...] = ()


BEGINNING = {"preset": "light", "pretrained": True, "batch_size": 8}
"""Of both start models: encoders that were taught on photographs of things."""

CASES = (
    Case(
        "dermoscopy",
        ("isic",),
        "ham10000",
        (20, 40, 80),
        options=(
            ("vertical_flip", True), ("epochs", 9), ("start_size", 112), ("image_size", 160), ("learning_rate", 5e-4),
            ("annealing_epochs", 3),
        ),
        renamed=(("benign_keratosis", "seborrheic_keratosis"),),
    ),
    Case(
        "fundus",
        ("refuge", "acrima"),
        "drishti",
        (10, 20, 37),
        options=(
            ("focus", ("disc",)), ("epochs", 14), ("start_size", 160), ("image_size", 256), ("kl_scale", 0.5),
            ("annealing_epochs", 4), ("balanced", 0.6),
        ),
    ),
)  # fmt: skip
"""Neither start model saw its target."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What the start model and the new one of a draw said of the same images.

    Attributes
    ----------
    about
        Target, number of images, draw, and what was looked at.
    before, after
        Of the start model and the new one.
    minutes
        Of the training.
    """

    about: tuple[str, int, int, str]
    before: Scores
    after: Scores
    minutes: float


def main() -> None:
    """Train the start models, fine-tune, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--first-draw", type=int, default=0, help="number of the first draw; others draw other images")
    parser.add_argument("--part", choices=("heads", "decoders", "all"), default="all")
    targets = [case.target for case in CASES]
    parser.add_argument("--targets", nargs="+", choices=targets, default=targets, help="to do a part of it")
    numbers = sorted({images for case in CASES for images in case.images})
    parser.add_argument("--images", nargs="+", type=int, choices=numbers, default=(), help="to do a part of it")
    parser.add_argument("--starts", nargs="+", type=start_of, default=(), help="CASE=MODEL: not trained, but this one")
    learn = "let the class encoder learn where quick keeps it, into an OUT of its own, to see what keeping it is worth"
    parser.add_argument("--learn-class", action="store_true", help=learn)
    parser.add_argument("--small", action="store_true", help="a few small images, to try the script")
    args = parser.parse_args()

    found, name = [], table_name(args.targets, args.images)
    for case in (case for case in CASES if case.target in args.targets):
        if lacking := [n for n in (*case.sources, case.target) if not (args.data / n / "index.csv").is_file()]:
            print(f"{case.start}: left out, {args.data} lacks {', '.join(lacking)}", flush=True)
            continue
        for measured in measure(case, args):
            found.append(measured)
            print("\n".join("  ".join(map(str, row)) for row in rows_of([measured])), flush=True)
    if found:
        rows = rows_of(found)
        text = summary(rows)
        print(text)
        write_table(args.output / f"{name}.csv", rows)
        write_text(args.output / f"{name}.md", text)


def start_of(text: str) -> tuple[str, Path]:
    """CASE=MODEL of the command line."""
    case, _, model = text.partition("=")
    if case not in {case.start for case in CASES} or not Path(model).is_file():
        starts = " or ".join(case.start for case in CASES)
        raise argparse.ArgumentTypeError(f"expected {starts}, =, and a file of weights, got {text!r}")
    return case, Path(model)


def table_name(targets: Sequence[str], images: Sequence[int] = ()) -> str:
    """Name of the table's files, with the targets and numbers of images when they are a part."""
    part = [case.target for case in CASES if case.target in targets]
    return "-".join(["finetune_gain", *(part if len(part) < len(CASES) else []), *map(str, images)])


def measure(case: Case, args: argparse.Namespace) -> Iterator[Measured]:
    """What start and new models say, one after the other."""
    out, small = args.output, args.small
    target = renamed(read_dataset(args.data / case.target), dict(case.renamed))
    start, sources = start_model(case, args), sources_of(case, args)
    wanted = [images for images in case.images if images in args.images or not args.images]
    for images in wanted[:1] if small else wanted:
        for draw in range(args.first_draw, args.first_draw + (1 if small else args.draws)):
            folder = out / f"{case.target}-{images}-{draw}"
            tuned_on, rest = split_target(target, shared(target, sources), images, draw, folder, small)
            changes = {**({"class_anchor": 0.0} if args.learn_class else {}), **(SMALL if small else {})}
            model = fine_tuned(start, tuned_on, folder / "run", args.part, changes)
            minutes = float(str(read_info(model).training["seconds"])) / 60
            old = [source for source in sources if read_dataset(source).of_split("val")]
            for name, held_out in (("target", rest), *((f"old: {source.name}", source) for source in old)):
                file = f"{name.replace(': ', '-')}.json.gz"
                # of the old images the start model says the same in every draw
                first = folder / f"start-{file}" if held_out == rest else out / f"start-{file}"
                before, after = scored(start, held_out, first), scored(model, held_out, folder / file)
                yield Measured((case.target, images, draw, name), before, after, minutes)


def start_model(case: Case, args: argparse.Namespace) -> Path:
    """A model of a case's sources, which never saw the target; a small one has hardly learnt."""
    given = dict(args.starts).get(case.start)
    if given is not None:
        return given  # type: ignore[no-any-return]
    run: Path = args.output / case.start
    beginning = {**BEGINNING, **({"preset": "compact", "pretrained": False} if args.small else {})}
    train(run, sources_of(case, args), {**beginning, **dict(case.options)}, SMALL if args.small else {})
    return run / MODEL


def sources_of(case: Case, args: argparse.Namespace) -> list[Path]:
    """The folders of a case's sources, of a few images with `--small`."""
    small = args.output / "data"
    return [smaller(args.data / n, small / n, 8) if args.small else args.data / n for n in case.sources]


def fine_tuned(start: Path, folder: Path, run: Path, part: str, changes: dict[str, Any]) -> Path:
    """A model that the dock's "quick", but for some settings, makes of the start and a folder."""
    images, focus = len(read_dataset(folder).of_split("train")), UMLPredictor.load(start).info.focus
    settings = dict(settings_for("quick", part, images * (2 if focus else 1)))  # type: ignore[arg-type]
    train(run, [folder], {"from": start}, {**settings, **changes})
    return run / MODEL


def train(run: Path, folders: Sequence[Path], options: dict[str, Any], settings: dict[str, Any]) -> None:
    """Train to the end, or go on with a run that was stopped; nothing happens when it is done.

    What an earlier model of the run said is removed. When another process trains it, wait.
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
    for path in run.parent.glob(SCORED):
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
        "pretrained": plan.network.class_encoder.pretrained,
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
    """Folders with the drawn images, split as the dock suggests, and with all others (as val); groups stay together."""
    records = [record for record in target.records if record.label in classes or not record.label]
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.group or record.image, []).append(replace(record, split="train"))
    order = sorted(groups)
    random.Random(draw).shuffle(order)
    for label in classes:  # some of every class to the front, in the order that they have
        first = [group for group in order if groups[group][0].label == label][:EACH]
        order = first + [group for group in order if group not in first]
    tuned: list[Record] = []
    while order and len(tuned) < images:
        tuned += groups[order.pop(0)]
    splits = suggest_split(tuned, seed=draw).splits
    rest = [record for group in order for record in groups[group]][: 8 if small else LARGEST_REST]
    info = target.info.model_copy(update={"cls_classes": tuple(classes)})
    tuned_on, held_out = folder / "tuned-on", folder / "rest"
    write_dataset(tuned_on, info, [moved(target, record, splits[record.image], tuned_on) for record in tuned])
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


def scored(model: Path, folder: Path, path: Path) -> Scores:
    """What a model says of the validation images of a folder; read when it was asked before."""
    if not path.exists():
        predictor, dataset = UMLPredictor.load(model), read_dataset(folder)
        scores = list(score_images(predictor, dataset, "val"))
        write_scores(path, scores, dataset.of_split("val"), predictor.info.task)
    return read_scores(path, {})


def rows_of(found: Sequence[Measured]) -> list[tuple[Any, ...]]:
    """A row a figure and draw, with a bootstrap interval of the change; then one of all draws, if there are several.

    Patients or lesions are drawn for both models together, and for all draws together, so that one who is in the rest
    of several draws counts there as often; the draws are drawn, too.
    """
    rows = []
    for draws in of_draws(found):
        target, images, _, on = draws[0].about
        names = np.unique(np.concatenate([measured.before.groups for measured in draws]))
        drawn = np.concatenate([np.ones((1, len(names))), *resample(names, RESAMPLES, SEED)])
        before, after = [], []
        for measured in draws:
            own = drawn[:, np.searchsorted(names, measured.before.groups)]
            before.append(wanted_figures(measured.before, own))
            after.append(wanted_figures(measured.after, own))
            n, minutes = len(measured.before.groups), measured.minutes
            rows += [(*measured.about, *row, n, round(minutes, 1)) for row in changes(before[-1], after[-1])]
        if len(draws) > 1:
            both = changes(over_seeds(before, len(drawn)), over_seeds(after, len(drawn)))
            slowest = round(max(measured.minutes for measured in draws), 1)
            rows += [(target, images, ALL, on, *row, len(names), slowest) for row in both]
    return rows


def of_draws(found: Sequence[Measured]) -> list[list[Measured]]:
    """The draws of one target, number of images, and what was looked at, together."""
    draws: dict[tuple[Any, ...], list[Measured]] = {}
    for measured in found:
        target, images, _, on = measured.about
        draws.setdefault((target, images, on), []).append(measured)
    return list(draws.values())


def wanted_figures(scores: Scores, draws: np.ndarray) -> dict[str, np.ndarray]:
    """Dice and AUC by name, (R,) for (R, N) draws."""
    all_figures = figures(scores, draws)
    return {name: all_figures[name] for wanted in FIGURES for name in all_figures if name.split()[0] == wanted}


def changes(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> Iterator[tuple[Any, ...]]:
    """Figure, before, after, change and its interval; the first of (R,) values is that of the images as they are."""
    for name in (name for name in before if name in after):
        change = after[name] - before[name]
        if np.isfinite(change[0]):
            low, high = interval(change[0], change[1:]) or (change[0], change[0])
            values = (before[name][0], after[name][0], change[0], low, high)
            yield (name, *(round(float(value), 4) for value in values))


def summary(rows: Sequence[tuple[Any, ...]]) -> str:
    """A Markdown table of the draws together, and how many of them are better or worse not by chance."""
    lines = [
        "| target | images | on | figure | before | after | change (95 % interval) | better, worse | minutes |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    named = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    alike = lambda row: (row["target"], row["images"], row["on"], row["figure"])  # noqa: E731
    for row in named:
        draws = [other for other in named if other["draw"] != ALL and alike(other) == alike(row)]
        if row["draw"] != ALL and len(draws) > 1:
            continue
        better, worse = sum(d["low"] > 0 for d in draws), sum(d["high"] < 0 for d in draws)
        change = f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"
        cells = (
            row["target"], row["images"], row["on"], row["figure"], f"{row['before']:.3f}", f"{row['after']:.3f}",
            change, f"{better}, {worse} of {len(draws)}", row["minutes"],
        )  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def write_table(path: Path, rows: Sequence[tuple[Any, ...]]) -> None:
    """Write all rows as CSV, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    write_text(path, text.getvalue())


if __name__ == "__main__":
    main()
