"""`napari-uml train`: the options; `training_run` does it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from napari_uml.cli.options import with_options_of
from napari_uml.config import PRESETS, Arch, TrainConfig


@with_options_of(TrainConfig, "Settings of the training", {"--recipe paper": TrainConfig.paper()})
def train(
    datasets: Annotated[
        list[Path] | None, typer.Argument(metavar="DATASET...", help="Dataset folders, trained on together.")
    ] = None,
    *,
    run: Annotated[
        Path, typer.Option("--output", "-o", metavar="RUN", help="Folder for settings, checkpoints, curves and model.")
    ],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in RUN, with its settings and data sets.")
    ] = False,
    preset: Annotated[
        str | None, typer.Option(help=f"{', '.join(PRESETS)}.", show_default="compact, or the network of --from")
    ] = None,
    arch: Annotated[
        Arch | None,
        typer.Option(help=f"What to train: {', '.join(get_args(Arch))}.", show_default="uml, or that of --from"),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="MODEL", help="Start from a model, a weights file, or the folder of a run."),
    ] = None,
    class_encoder: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Take the class encoder from this one, such as one of --arch ec, which learns classes several times "
            "as fast.",
        ),
    ] = None,
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="Start the encoders from timm's weights, which are downloaded.")
    ] = False,
    learn_norm: Annotated[
        bool,
        typer.Option(
            "--learn-norm", help="Let the encoders' batch normalisation learn, where --from or the preset freezes it."
        ),
    ] = False,
    focus: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STRUCTURE", help="Look twice at images where this is small: whole, and a crop around it."
        ),
    ] = None,
    vertical_flip: Annotated[
        bool, typer.Option("--vertical-flip", help="Also turn images upside down: for skin, not for ultrasound.")
    ] = False,
    mix_in: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DATASET", help="Train on this as well, at most as often as on DATASET, against forgetting."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the model.", show_default="made from RUN")] = None,
    title: Annotated[str | None, typer.Option(help="Name for people.", show_default="made from the name")] = None,
    events: Annotated[
        Path | None, typer.Option(help="Append what happens as JSON lines to this file or pipe; - is the output.")
    ] = None,
    settings: dict[str, Any],
) -> None:
    """Train a network on dataset folders.

    Interrupt it whenever you like: RUN/model.safetensors then holds the best epoch so far.
    It goes on, to the same numbers as without the interruption, with: napari-uml train --resume -o RUN
    """
    from napari_uml.cli.training_run import show_run
    from napari_uml.training.planning import new_plan, resumed_plan

    named = {
        "preset": preset, "arch": arch, "from": start, "class_encoder": class_encoder, "pretrained": pretrained,
        "learn_norm": learn_norm, "focus": focus, "vertical_flip": vertical_flip, "mix_in": mix_in,
        "name": name, "title": title,
    }  # fmt: skip
    options = {option: value for option, value in named.items() if value}
    plan = (resumed_plan if resume else new_plan)(run, datasets or [], options, settings)
    show_run(plan, run, events, new=not resume)
