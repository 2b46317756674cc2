"""`napari-uml evaluate`: the figures of a model on a split of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from napari_uml.cli.common import DeviceOption, ModelOption, OverwriteOption, PrecisionOption, progress_bar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.progress import Progress

    from napari_uml.data.dataset import Dataset, Split
    from napari_uml.evaluation.record import MetricsRecord
    from napari_uml.inference.predictor import UMLPredictor


def evaluate(
    dataset: Annotated[Path, typer.Argument(help="Dataset folder.")],
    model: ModelOption,
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="Which images.")] = "val",
    sigma: Annotated[
        list[float] | None,
        typer.Option(
            help="Noise added to the network's input, 0 to 1; several are evaluated in turn.", show_default="0"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE.json", help="Also write the figures; with several sigmas a file each."
        ),
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    overwrite: OverwriteOption = False,
) -> None:
    """Compare a model's answers with the truth: masks, classes and uncertainty, each with a 95 % interval."""
    from napari_uml.data.dataset import read_dataset
    from napari_uml.evaluation.record import format_table, write_record
    from napari_uml.files import make_way
    from napari_uml.inference.noise import check_sigma
    from napari_uml.inference.predictor import UMLPredictor

    sigmas = list(dict.fromkeys(sigma or [0.0]))
    for level in sigmas:
        check_sigma(level)
    files = output_files(output, sigmas)
    for file in files.values():
        make_way(file, overwrite=overwrite)
    images = read_dataset(dataset)
    predictor = UMLPredictor.load(model, device, precision)
    for level in sigmas:
        with progress_bar() as bar:
            record = _evaluate(predictor, images, split, level, seed, bar)
        typer.echo(f"sigma {level:g}: {format_table(record)}\n")
        if level in files:
            write_record(record, files[level], overwrite=overwrite)


def output_files(output: Path | None, sigmas: Sequence[float]) -> dict[float, Path]:
    """The file of every sigma: `output` itself for a single one, else FILE-sigma-0.05.json and so on."""
    if output is None:
        return {}
    if len(sigmas) == 1:
        return {sigmas[0]: output}
    return {sigma: output.with_name(f"{output.stem}-sigma-{sigma:g}{output.suffix}") for sigma in sigmas}


def _evaluate(
    predictor: UMLPredictor, dataset: Dataset, split: Split, sigma: float, seed: int, bar: Progress
) -> MetricsRecord:
    from napari_uml.evaluation.evaluate import record_of, score_images

    images = score_images(predictor, dataset, split, sigma, seed)
    total = len(dataset.of_split(split))
    scores = list(bar.track(images, total=total, description=f"{dataset.info.name}, {split}, sigma {sigma:g}"))
    return record_of(scores, predictor, dataset, split)
