"""From what was typed to a `RunPlan`: for a new run, or for one that goes on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from napari_uml.config import Focus, TrainConfig, UMLConfig, preset
from napari_uml.data.dataset import read_dataset, read_datasets
from napari_uml.data.kept import what_is_kept
from napari_uml.data.tasks import merge_tasks
from napari_uml.errors import UMLError
from napari_uml.training.checks import MACHINE, check_settings
from napari_uml.training.origin import Origin, find_origin
from napari_uml.training.plan import (
    AUGMENTATION,
    BEST,
    CURVES,
    LAST,
    MODEL,
    PICTURE,
    PLAN,
    RunPlan,
    command_line,
    count_images,
    read_plan,
    title_of,
)
from napari_uml.training.transfer import class_encoder
from napari_uml.weights.info import check_pattern

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from napari_uml.config import Task
    from napari_uml.data.dataset import Dataset

    Typed = Mapping[str, Any]


def new_plan(run: Path, folders: Sequence[Path], options: Typed, settings: Typed) -> RunPlan:
    """The plan of a new run; what was not typed has its default, or comes from the model that the run starts from.

    Parameters
    ----------
    run
        Folder of the run; nothing is written.
    folders
        Dataset folders.
    options
        Typed options that are no settings: some of `preset`, `arch`, `from`, `class_encoder`, `pretrained`,
        `learn_norm`, `focus`, `vertical_flip`, `mix_in`, `name`, `title`.
    settings
        Typed fields of `TrainConfig`.

    Raises
    ------
    ValueError
        When an option has no meaning.
    UMLError
        When `run` holds a run already, or data sets or start weights cannot be read.
    """
    there = next((name for name in (LAST, BEST, MODEL, CURVES, PICTURE, "dataset.json") if (run / name).exists()), "")
    if there:
        advice = "choose another folder" if there == "dataset.json" else "go on with --resume or choose another folder"
        raise UMLError(f"Expected a new folder, {run} holds {there}; {advice}.")
    if not folders:
        raise ValueError("Expected one dataset folder or more, got none (a run goes on without, by --resume).")
    mix_in = tuple(folder.resolve() for folder in options.get("mix_in", ()))
    own, mixed = read_datasets(folders), read_datasets(mix_in)
    _check_mixed([folder.resolve() for folder in folders], mixed)
    datasets = [*own, *mixed]
    task = merge_tasks([dataset.info for dataset in datasets])
    origin = find_origin(options["from"]) if "from" in options else None
    encoder = find_origin(options["class_encoder"]) if "class_encoder" in options else None
    origins = [one for one in (encoder, origin) if one is not None]
    network = _network(options, task, origin)
    if encoder is not None:
        class_encoder(encoder.tensors, encoder.network, network)
        network = network.model_copy(update={"class_encoder": encoder.network.class_encoder})
    name = options.get("name") or _name_of(run)
    check_pattern(name)
    plan = RunPlan(
        command=command_line(folders, {**options, **settings, "output": run}),
        datasets=tuple(folder.resolve() for folder in folders),
        mix_in=mix_in,
        images=count_images(own, mixed),
        task=task,
        network=network,
        settings=_settings(settings, origin),
        preset=options.get("preset", ""),
        start=options.get("from", ""),
        class_encoder=options.get("class_encoder", ""),
        learn_norm=options.get("learn_norm", False),
        started_from=_start_in_words(options, task, origin, encoder),
        earlier=tuple(dict.fromkeys(command for one in origins for command in one.commands)),
        focus=_focus(options, task, origin),
        vertical_flip=options.get("vertical_flip", False),
        name=name,
        title=options.get("title") or title_of(name),
        licence=_licence(datasets, origins),
        augmentation=AUGMENTATION,
    )
    check_settings(plan.settings, plan.network, plan.task, plan.focus)
    return plan


def resumed_plan(run: Path, folders: Sequence[Path], options: Typed, settings: Typed) -> RunPlan:
    """The plan that is in the folder of a run; arguments as in `new_plan`, of which only `run` is needed.

    Raises
    ------
    UMLError
        When there is none, when another option was typed than the run was started with (those of `MACHINE` may
        change), or when the data sets have other structures or classes now.
    """
    plan = read_plan(run)
    begun = {
        "preset": plan.preset, "arch": plan.network.arch, "from": plan.start,
        "class_encoder": plan.class_encoder, "pretrained": plan.network.class_encoder.pretrained,
        "learn_norm": plan.learn_norm,
        "focus": list(plan.focus.structures) if plan.focus else [], "vertical_flip": plan.vertical_flip,
        "mix_in": list(plan.mix_in),
        "name": plan.name, "title": plan.title, **plan.settings.model_dump(),
    }  # fmt: skip
    typed = {**options, **settings}
    if "mix_in" in options:
        typed["mix_in"] = [folder.resolve() for folder in options["mix_in"]]
    other = [f"--{name.replace('_', '-')}" for name in typed if name not in MACHINE and typed[name] != begun[name]]
    if folders and tuple(folder.resolve() for folder in folders) != plan.datasets:
        other.insert(0, "data sets")
    if other:
        raise UMLError(
            f"Expected what {run / PLAN} says, got other {', '.join(other)}; leave them out, or train in a new folder."
        )
    if merge_tasks([read_dataset(folder).info for folder in (*plan.datasets, *plan.mix_in)]) != plan.task:
        raise UMLError(f"Expected the data sets as in {run / PLAN}, they have other names now; train in a new folder.")
    return plan.model_copy(update={"settings": _merged(plan.settings, settings)})


def _check_mixed(folders: Sequence[Path], mix_in: Sequence[Dataset]) -> None:
    """Refuse data to mix in that is trained on already, or has nothing to train on."""
    for dataset in mix_in:
        if dataset.folder in folders:
            raise UMLError(f"Expected other data to mix in than is trained on, got {dataset.folder}; leave it out.")
        if not dataset.annotated("train"):
            raise UMLError(
                f"Expected annotated training images to mix in, {dataset.folder} has none: rows of index.csv with the "
                "split train and a mask or a label."
            )


def _settings(typed: Typed, origin: Origin | None) -> TrainConfig:
    base = TrainConfig.paper() if typed.get("recipe") == "paper" else TrainConfig()
    taken_over = {} if origin is None else {"image_size": origin.image_size}
    return _merged(base, {**taken_over, **typed})


def _merged(base: TrainConfig, typed: Typed) -> TrainConfig:
    return TrainConfig.model_validate({**base.model_dump(), **typed})


def _network(options: Typed, task: Task, origin: Origin | None) -> UMLConfig:
    sizes = len(task.cls_classes), len(task.seg_classes)
    if origin is not None and "pretrained" in options:
        raise ValueError("Expected either --pretrained or --from, got both; choose one start.")
    if origin is None or "preset" in options:
        network = preset(options.get("preset", "compact"), *sizes, pretrained=options.get("pretrained", False))
        network = UMLConfig.model_validate({**network.model_dump(), "arch": options.get("arch", "uml")})
        return _thawed(network) if "learn_norm" in options else network
    if options.get("arch", origin.network.arch) != origin.network.arch:
        raise ValueError(
            f"Expected the architecture of the start weights, {origin.network.arch}, got {options['arch']}; leave "
            "--arch or --from out."
        )
    network = origin.network.model_copy(update={"num_classes": sizes[0], "num_structures": sizes[1]})
    return _thawed(network) if "learn_norm" in options else network


def _thawed(network: UMLConfig) -> UMLConfig:
    """The network with batch normalisation of the encoders that learns."""
    encoders = {name: getattr(network, name) for name in ("class_encoder", "seg_encoder")}
    return network.model_copy(
        update={name: encoder.model_copy(update={"frozen_norm": False}) for name, encoder in encoders.items()}
    )


def _focus(options: Typed, task: Task, origin: Origin | None) -> Focus | None:
    if "focus" in options:
        return Focus(structures=tuple(options["focus"]))
    focus = origin.focus if origin else None
    return focus if focus and set(focus.structures) <= set(task.structures) else None


def _start_in_words(options: Typed, task: Task, origin: Origin | None, encoder: Origin | None) -> str:
    if origin is None:
        words = "random weights, encoders from timm" if "pretrained" in options else "random weights"
    else:
        new = what_is_kept(origin.task, task).new
        words = origin.words + (f"; new and untrained: {', '.join(new)}" if new else "")
    return words + (f"; the class encoder from {encoder.words}" if encoder else "")


def _licence(datasets: Sequence[Dataset], origins: Sequence[Origin]) -> str:
    """Terms of the data sets, then of what the origins have seen besides, a line each."""
    terms = {dataset.info.name: dataset.info.licence or "not stated" for dataset in datasets}
    seen = [line for origin in origins for line in origin.licence.splitlines() if line.partition(": ")[0] not in terms]
    return "\n".join(dict.fromkeys([*(f"{name}: {text}" for name, text in terms.items()), *seen]))


def _name_of(run: Path) -> str:
    """A valid name for a model, close to that of the folder."""
    return re.sub("[^a-z0-9_-]+", "-", run.resolve().name.lower()).strip("-_")[:64] or "model"
