"""`napari-uml compare`: what a run brought."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_uml.cli.common import follow, progress_bar


def compare(
    run: Annotated[Path, typer.Argument(help="Folder of a training run.")],
    install: Annotated[str, typer.Option(metavar="NAME", help="Also add the model to your models.")] = "",
) -> None:
    """Compare a run's model with the one it started from, on the validation images; write its card beside it.

    RUN then holds comparison.json, comparison.png (truth, before, after) and model.md.
    """
    from napari_uml.evaluation.outcome import judge_run

    with progress_bar() as bar:
        comparison = judge_run(run, install, follow(bar, "validation images"))
    before = {} if comparison.before is None else comparison.before.metrics
    rows = [("figure", "before", "after", "difference")]
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
