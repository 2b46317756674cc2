"""`napari-uml compare`: what a run brought, or two models on the same images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from napari_uml.cli.common import OverwriteOption, follow, progress_bar

if TYPE_CHECKING:
    from napari_uml.evaluation.comparison import Comparison


def compare(
    model: Annotated[str, typer.Argument(metavar="RUN|MODEL", help="Folder of a training run, or a model.")],
    other: Annotated[
        str | None, typer.Argument(metavar="[OTHER]", help="Another model; the differences are OTHER minus MODEL.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--on", metavar="DATASET", help="Dataset folder, to compare two models on.")
    ] = None,
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="Which of its images.")] = "val",
    sigma: Annotated[float, typer.Option(min=0, max=1, help="Noise added to the networks' input.")] = 0.0,
    install: Annotated[str, typer.Option(metavar="NAME", help="Also add the run's model to your models.")] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.json", help="Also write the figures of two models.")
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Compare a run's model with the one it started from, on the validation images; or any two models.

    RUN then holds comparison.json, comparison.png (truth, before, after) and model.md. Of two models every figure is
    that of the same images, and the interval of a difference that of the same draws of them.
    """
    if other is None:
        if data or output or sigma or split != "val" or overwrite:
            raise ValueError("Expected two models for --on, --split, --sigma, --output; a run has its own images.")
        from napari_uml.training.outcome import judge_run

        with progress_bar() as bar:
            comparison = judge_run(Path(model), install, follow(bar, "validation images"))
    else:
        if data is None or install:
            raise ValueError("Expected --on DATASET with two models, and --install with a run alone.")
        comparison = _of_models(model, other, data, split, sigma, output, overwrite)
    _show(comparison, ("before", "after") if other is None else (model, other))


def _of_models(
    model: str, other: str, data: Path, split: Literal["train", "val", "test"], sigma: float, output: Path | None,
    overwrite: bool,
) -> Comparison:  # fmt: skip
    from napari_uml.data.dataset import read_dataset
    from napari_uml.evaluation.compare import compare
    from napari_uml.evaluation.comparison import write_comparison
    from napari_uml.evaluation.evaluate import check_split
    from napari_uml.files import make_way
    from napari_uml.inference.predictor import UMLPredictor

    if output is not None:
        make_way(output, overwrite=overwrite)
    models = UMLPredictor.load(model), UMLPredictor.load(other)
    check_split(models[0].info.task, read_dataset(data), split)
    with progress_bar() as bar:
        comparison = compare(*models, data, follow(bar, f"{split} images"), split=split, sigma=sigma)
    if output is not None:
        write_comparison(output, comparison)
    return comparison


def _show(comparison: Comparison, names: tuple[str, str]) -> None:
    before = {} if comparison.before is None else comparison.before.metrics
    rows = [("figure", *names, "difference")]
    rows += [
        (name, str(before.get(name, "-")), str(metric), str(comparison.difference.get(name, "-")))
        for name, metric in comparison.after.metrics.items()
    ]
    width = [max(len(row[i]) for row in rows) for i in range(4)]
    for row in rows:
        typer.echo("  ".join(text.ljust(size) for text, size in zip(row, width, strict=True)).rstrip())
    typer.echo("")
    for line in (comparison.note, f"n = {comparison.after.n}; in brackets: bootstrap 95 % intervals over groups"):
        if line:
            typer.echo(line)
