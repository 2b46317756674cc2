"""What the table scripts share: which runs there are, training one, scoring it, and going on where they stopped.

A study is a folder of runs, one for every data set, variant and seed. A run is trained once (it resumes after an
interruption) and scored once a noise level. The scores are kept apart from the runs, in the repository: what is scored
there is not trained again, and the tables can be made anew from it in seconds, without data.
The validation split of a data set is the test here. The best epoch is the last whose score is within one standard
error of the highest, on a part of the training groups that is not trained on.
"""

from __future__ import annotations

import argparse
import gzip
import json
import platform
import sys
import time
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from napari_uml.baselines.registry import ARCHITECTURES
from napari_uml.config import TrainConfig, preset
from napari_uml.data.dataset import Dataset, read_dataset
from napari_uml.evaluation.evaluate import score_images
from napari_uml.evaluation.segmentation import dice
from napari_uml.files import replacing
from napari_uml.inference.predictor import UMLPredictor
from napari_uml.inference.ways import load_way
from napari_uml.training.checkpoint import LAST
from napari_uml.training.checks import MACHINE
from napari_uml.training.export import export_run
from napari_uml.training.fit import fit
from napari_uml.training.plan import AUGMENTATION, MODEL, PLAN, count_images, read_plan, write_plan
from napari_uml.training.planning import new_plan, resumed_plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_uml.config import Task
    from napari_uml.data.dataset import Record
    from napari_uml.evaluation.scores import ImageScores, MaskScores

SETS: Final = ("busi", "refuge", "isic")
CHOSEN_ON: Final = 0.15
"""Share of the training groups that is not trained on: the best epoch is chosen by it."""
SMALL_IMAGES: Final = 300
"""Images of the small size, to train on and to choose the epoch by."""
SMALL: Final = {"epochs": 6, "batch_size": 6, "image_size": 128, "annealing_epochs": 3, "ema": 0.9}
"""Settings of the small size: many steps for few images, and no average over the usual hundred of them, half a run."""
BINS: Final = 64
"""Bins of the stored histograms of the pixels' uncertainty."""
VERTICAL_FLIP: Final = frozenset({"isic"})
"""Data sets whose images have no up and down."""


@dataclass(frozen=True)
class Variant:
    """A row of a table.

    Attributes
    ----------
    name, title
        Of its folder, and in the table.
    arch, preset
        What is trained; an empty preset is that of the study.
    network, settings
        What it has otherwise than the preset, and than every other run.
    way
        How the trained network looks (see `napari_uml.inference.ways`); it is that of the variant `base`.
    base
        Name of the variant whose weights are used; empty: its own.
    """

    name: str
    title: str
    arch: str = "uml"
    preset: str = ""
    network: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    way: str = ""
    base: str = ""


def of_arch(arch: str) -> Variant:
    """An architecture as it is."""
    return Variant(arch, ARCHITECTURES[arch].title, arch)


@dataclass(frozen=True)
class Study:
    """Where runs lie and how long they take; made from the command line by `arguments`.

    Attributes
    ----------
    data, folder
        Folder of the data sets, and of the runs of this size.
    scores, results
        Folder of the scores of this size, and of the tables.
    sets, seeds
        Data sets by name, and seeds of the runs.
    preset, settings
        Of every run.
    images
        Largest number of images a data set, to train on and to choose the epoch by (and of test images, when it is a
        trial); None: all.
    trial
        Whether the numbers mean nothing, since sizes were given by hand.
    size
        Its name, for files.
    small
        Whether it is of the small size.
    """

    data: Path
    folder: Path
    scores: Path
    results: Path
    sets: tuple[str, ...]
    seeds: tuple[int, ...]
    preset: str
    settings: Mapping[str, Any]
    images: int | None
    trial: bool
    size: str
    small: bool

    @property
    def budget(self) -> str:
        """Size of the runs and their seeds, in words."""
        images = f"at most {self.images} images" if self.images else "all training images"
        return (
            f"Preset {self.preset}, {self.settings['epochs']} epochs at {self.settings['image_size']} x "
            f"{self.settings['image_size']}, {images}, {100 * CHOSEN_ON:g} % of them to choose the epoch, random "
            f"start, recipe modern; seeds {', '.join(map(str, self.seeds))}."
        )


def arguments(description: str, own_preset: str | None = None) -> Study:
    """Read the command line that all tables have; a table of one preset names it."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the data sets")
    parser.add_argument("--sets", nargs="+", default=SETS, help="data sets in it")
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2), help="one run a seed")
    parser.add_argument("--small", action="store_true", help=f"128 x 128, {SMALL_IMAGES} images: minutes a run")
    parser.add_argument("--preset", default=own_preset, help=own_preset or "compact with --small, else paper")
    parser.add_argument("--epochs", type=int, help="for a trial: so many epochs")
    parser.add_argument("--images", type=int, help="for a trial: so many images of every data set")
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmarks"), help="folder of the runs")
    parser.add_argument("--scores", type=Path, default=Path("benchmarks/scores"), help="folder of the scores")
    parser.add_argument("--results", type=Path, default=Path("docs/results"), help="folder of the tables")
    args = parser.parse_args()
    settings = {"epochs": 60, "image_size": 256, **(SMALL if args.small else {})}
    settings |= {"epochs": args.epochs} if args.epochs else {}
    images = args.images or (SMALL_IMAGES if args.small else None)
    size = ("small" if args.small else "full") + (f"-{args.preset}" if args.preset else "")
    trial = bool(args.epochs or args.images)
    size += f"-trial-{settings['epochs']}" if trial else ""
    folder = args.runs / (f"{size}-{images}" if images else size)  # runs of another number of images are others
    return Study(
        args.data, folder, folder / "scores" if trial else args.scores / size, folder if trial else args.results,
        tuple(args.sets), tuple(args.seeds), args.preset or ("compact" if args.small else "paper"), settings, images,
        trial, size, args.small,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Scores:
    """What one run said of the test images, enough for every figure of the tables.

    Attributes
    ----------
    groups, label
        (N,) group, and class number or -1.
    probability, uncertainty
        (N, K) and (N,); None without a class.
    dice, distance
        By structure (N,): Dice of all images, and ASSD in pixels, NaN where a mask lacks it; empty without a mask.
    histograms
        (N, 2, BINS) right and wrong pixels by uncertainty; None without a mask.
    machine
        What scored them.
    augmentation
        Version of what the training images went through (see `napari_uml.training.plan.RunPlan`).
    """

    groups: np.ndarray
    label: np.ndarray
    probability: np.ndarray | None
    uncertainty: np.ndarray | None
    dice: dict[str, np.ndarray]
    distance: dict[str, np.ndarray]
    histograms: np.ndarray | None
    machine: str
    augmentation: int = 1


Found = dict[tuple[str, str, float], list[Scores]]
"""Scores by data set, variant and sigma, a list over the seeds."""


def machine() -> str:
    """What computes here, in words."""
    cuda = torch.cuda.is_available()
    device = torch.cuda.get_device_name() if cuda else f"{platform.machine()} CPU, {torch.get_num_threads()} thread(s)"
    return f"{device}, torch {torch.__version__.partition('+')[0]}"


def run_all(study: Study, variants: Sequence[Variant], sigmas: Sequence[float] = (0.0,)) -> Found:
    """Scores of every run; what is missing is trained and scored.

    An ensemble is one run of all seeds, which are in the name of its scores.

    Raises
    ------
    SystemExit
        When scores are of another recipe, or those of a data set were trained with different versions of the
        augmentation.
    """
    found: Found = {}
    versions: dict[str, int] = {}
    for name in study.sets:
        for variant in variants:
            for seeds in [study.seeds] if variant.way == "ensemble" else [(seed,) for seed in study.seeds]:
                label = "-".join(map(str, (variant.name, *seeds)))
                for sigma in sigmas:
                    path = study.scores / name / f"{label}-sigma-{sigma:g}.json.gz"
                    if not path.exists():
                        for seed in seeds:
                            own = _version_of(study, variant, name, seed)
                            _check_one_version(versions.setdefault(name, own), own, name, path)
                        models = [_trained(study, variant, name, seed) for seed in seeds]
                        _score(study, variant, name, models, sigma, seeds[0], path)
                    scores = read_scores(path, recipe(study, variant))
                    _check_one_version(versions.setdefault(name, scores.augmentation), scores.augmentation, name, path)
                    found.setdefault((name, variant.name, sigma), []).append(scores)
    return found


def _version_of(study: Study, variant: Variant, name: str, seed: int) -> int:
    """Version of the augmentation of a run that is there, or will be."""
    run = _run_of(study, variant, name, seed)
    return read_plan(run).augmentation if (run / PLAN).exists() else AUGMENTATION


def _run_of(study: Study, variant: Variant, name: str, seed: int) -> Path:
    """The folder of a run."""
    return study.folder / name / f"{variant.base or variant.name}-{seed}"


def _check_one_version(others: int, own: int, name: str, path: Path) -> None:
    """Stop when a run differs from the others of its data set in the version of the augmentation."""
    if own != others:
        sys.exit(
            f"The run of {path} has version {own} of the augmentation, others on {name} have {others}; delete their "
            "scores, or choose other folders with --scores and --runs."
        )


def recipe(study: Study, variant: Variant) -> dict[str, Any]:
    """What a run's scores depend on besides data, seed and noise."""
    own = {"arch": variant.arch, "way": variant.way, **variant.network, **variant.settings}
    return {"preset": variant.preset or study.preset, "images": study.images, **study.settings, **own}


def read_scores(path: Path, wanted: Mapping[str, Any]) -> Scores:
    """Read the scores of a run.

    Raises
    ------
    SystemExit
        When they are of another recipe than is wanted.
    """
    record = json.loads(gzip.decompress(path.read_bytes()))
    refuse_other(path, record["recipe"], {**dict.fromkeys(record["recipe"]), **wanted})  # nor may it have more
    content = record["scores"]
    maps = {name: {key: np.array(v, float) for key, v in content[name].items()} for name in ("dice", "distance")}
    arrays = {
        name: None if content[name] is None else np.array(content[name], float)
        for name in ("probability", "uncertainty", "histograms")
    }
    return Scores(
        groups=np.array(content["groups"]),
        label=np.array(content["label"]),
        machine=record["machine"],
        augmentation=record.get("augmentation", 1),
        **maps,
        **arrays,
    )


def splits(study: Study, name: str) -> tuple[Dataset, Dataset]:
    """Training images (a part of them to choose the epoch on), and the test images as the split `val`."""
    dataset = read_dataset(study.data / name)
    chosen = lambda record: zlib.crc32((record.group or record.image).encode()) % 1000 < 1000 * CHOSEN_ON  # noqa: E731
    own = [replace(r, split="val") if chosen(r) else r for r in _some(dataset.of_split("train"), study.images)]
    test = _some(dataset.of_split("val"), study.images if study.trial else None)
    return replace(dataset, records=tuple(own)), replace(dataset, records=tuple(test))


def _some(records: Sequence[Any], limit: int | None) -> Sequence[Any]:
    """At most so many, evenly spread."""
    return records if limit is None else records[:: max(1, -(-len(records) // limit))]


def _trained(study: Study, variant: Variant, name: str, seed: int) -> Path:
    """The weights of a run; it is trained, or goes on, when they are missing."""
    run = _run_of(study, variant, name, seed)
    going_on = (run / LAST).exists()
    training, _ = splits(study, name)
    if going_on or (run / MODEL).exists():
        _check_same(study, variant, name, seed, run)
    if (run / MODEL).exists():
        return run / MODEL
    if going_on:
        _check_one_version(AUGMENTATION, read_plan(run).augmentation, name, run)  # it would end with today's
        plan = resumed_plan(run, [], {}, {})
    else:
        options = {"preset": variant.preset or study.preset, "arch": variant.arch}
        options["name"] = f"{name}-{variant.base or variant.name}"
        options |= {"vertical_flip": True} if name in VERTICAL_FLIP else {}
        plan = new_plan(run, [study.data / name], options, {**study.settings, **variant.settings, "seed": seed})
        images = count_images([training], [])
        network = plan.network.model_copy(update=dict(variant.network))
        plan = plan.model_copy(update={"network": network, "images": images})
        write_plan(run, plan)
    began = time.perf_counter()
    reports = fit(
        plan.settings, plan.network, [training], run, resume=going_on, vertical_flip=plan.vertical_flip
    )  # fmt: skip
    for report in reports:
        score = "" if report.score is None else f", score {report.score:.3f}"
        print(f"{run}: epoch {report.epoch} of {report.epochs}{score}", flush=True)
    export_run(run, gate=False)
    print(f"{run}: trained in {time.perf_counter() - began:.0f} s", flush=True)
    return run / MODEL


def _check_same(study: Study, variant: Variant, name: str, seed: int, run: Path) -> None:
    """Stop when the run in the folder is another one than the study would begin."""
    plan = read_plan(run)
    sizes = plan.network.num_classes, plan.network.num_structures
    network = {**preset(variant.preset or study.preset, *sizes).model_dump(), "arch": variant.arch, **variant.network}
    settings = TrainConfig.model_validate({**study.settings, **variant.settings, "seed": seed}).model_dump()
    begun = {**plan.network.model_dump(), **plan.settings.model_dump(), "vertical_flip": plan.vertical_flip}
    refuse_other(run, begun, {**network, **settings, "vertical_flip": name in VERTICAL_FLIP})


def refuse_other(run: Path, begun: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Stop with one sentence when a run was begun otherwise than is wanted; where it computes (`MACHINE`) may change.

    Parameters
    ----------
    run
        Folder of the run, or file of its scores.
    begun, wanted
        Values by name.

    Raises
    ------
    SystemExit
        With the names and values that differ.
    """
    other = [
        f"{name} {begun.get(name)!r} instead of {value!r}"
        for name, value in wanted.items()
        if name not in MACHINE and begun.get(name) != value
    ]
    if other:
        sys.exit(f"The run in {run} has {', '.join(other)}; choose another folder, or delete it.")


def _score(
    study: Study, variant: Variant, name: str, models: Sequence[Path], sigma: float, seed: int, path: Path
) -> None:
    predictor = load_way(variant.way, models) if variant.way else UMLPredictor.load(models[0])  # type: ignore[arg-type]
    _, test = splits(study, name)
    began = time.perf_counter()
    scores = list(score_images(predictor, test, "val", sigma, 1000 * seed))
    seconds = time.perf_counter() - began
    about = {"variant": variant.name, "set": name, "seed": seed, "sigma": sigma, "seconds": round(seconds, 1)}
    about["augmentation"] = read_plan(models[0].parent).augmentation
    write_scores(path, scores, test.records, predictor.info.task, recipe(study, variant), about)
    print(f"{path}: scored in {seconds:.0f} s", flush=True)


def write_scores(
    path: Path,
    scores: Sequence[ImageScores],
    records: Sequence[Record],
    task: Task,
    made_by: Mapping[str, Any] = MappingProxyType({}),
    about: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Write what a model with a task said of images, for `read_scores`, with the recipe that made the model."""
    labels = [-1 if not r.label else task.cls_classes.index(r.label) for r in records]
    content = _plain(scores, labels, task)
    record = {**about, "recipe": dict(made_by), "machine": machine(), "scores": content}
    with replacing(path) as part:
        part.write_bytes(gzip.compress(json.dumps(record).encode(), mtime=0))


def _surface_distance(mask: MaskScores | None, structure: str) -> float:
    """ASSD in pixels; NaN where there is none."""
    surface = None if mask is None else mask.surfaces.get(structure)
    return np.nan if surface is None or surface.assd is None else surface.assd


def _plain(scores: Sequence[ImageScores], labels: Sequence[int], task: Task) -> dict[str, Any]:
    """The fields of `Scores` as JSON has them."""
    masks = [s.mask for s in scores]
    has_mask, has_class = any(m is not None for m in masks), any(s.label is not None for s in scores)
    confusion = np.stack([np.zeros((len(task.seg_classes),) * 2) if m is None else m.confusion for m in masks])
    unknown = np.array([m is None for m in masks])
    dices = {s: np.where(unknown, np.nan, dice(confusion, task.members(s))).tolist() for s in task.structures}
    distances = {s: [_surface_distance(m, s) for m in masks] for s in task.structures}
    empty = np.zeros((2, 512))
    histograms = np.stack([empty if m is None else m.histograms for m in masks])
    return {
        "groups": [s.group for s in scores],
        "label": list(labels),
        "probability": [s.class_probability.tolist() for s in scores] if has_class else None,
        "uncertainty": [s.class_uncertainty for s in scores] if has_class else None,
        "dice": dices if has_mask else {},
        "distance": distances if has_mask else {},
        "histograms": histograms.reshape(len(scores), 2, BINS, -1).sum(3).tolist() if has_mask else None,
    }
