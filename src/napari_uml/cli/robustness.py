"""`napari-uml robustness`: what noise and other damages do to a model's answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from napari_uml.cli.common import DeviceOption, ModelOption, OverwriteOption, PrecisionOption, progress_bar


def robustness(
    dataset: Annotated[Path, typer.Argument(help="Dataset folder.")],
    model: ModelOption,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FOLDER", help="For robustness.json, .csv and .png."),
    ],
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="Which images.")] = "val",
    sigma: Annotated[
        list[float] | None,
        typer.Option(min=0, max=1, help="Noise; may be repeated.", show_default="0, 0.03, 0.05, 0.1, 0.2"),
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="Draws of the noise for every sigma.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise.")] = 0,
    panel: Annotated[bool, typer.Option(help="Also blur, contrast, brightness, exposure, JPEG, down-sampling.")] = True,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    overwrite: OverwriteOption = False,
) -> None:
    """Evaluate a model on clean, noisy and otherwise damaged images, with its uncertainty.

    The files are written after every condition. A run that was stopped goes on where it stopped when it is called again
    with the same model, images and folder; --overwrite starts anew.
    """
    from napari_uml.data.dataset import read_dataset
    from napari_uml.evaluation.robustness import SIGMAS, conditions, measure
    from napari_uml.evaluation.robustness_output import format_rows, read_robustness, write_robustness
    from napari_uml.files import make_folder
    from napari_uml.inference.predictor import UMLPredictor

    wanted = conditions(sigma or SIGMAS, draws, seed, panel)
    result = None if overwrite else read_robustness(output / "robustness.json")
    images = read_dataset(dataset)
    predictor = UMLPredictor.load(model, device, precision)
    make_folder(output)
    steps = measure(predictor, images, split, wanted, result)
    to_do = [condition for condition in wanted if result is None or result.row(condition) is None]
    if len(to_do) < len(wanted):
        typer.echo(f"{len(wanted) - len(to_do)} of {len(wanted)} conditions are done already.", err=True)
    with progress_bar() as bar:
        for result in bar.track(steps, total=len(to_do), description=f"{images.info.name}, {split}"):
            write_robustness(result, output)
            typer.echo(str(result.rows[-1].condition), err=True)
    if result is not None:
        typer.echo(format_rows(result))
        typer.echo(f"Written: {', '.join(map(str, write_robustness(result, output)))}")
