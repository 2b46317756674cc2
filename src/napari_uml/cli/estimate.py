"""`napari-uml estimate`: how fast this machine trains."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from napari_uml.cli.options import with_options_of
from napari_uml.config import TrainConfig


@with_options_of(TrainConfig, "Settings of the training", {"--recipe paper": TrainConfig.paper()})
def estimate(
    *,
    start: Annotated[
        str, typer.Option("--from", metavar="MODEL", help="What would be trained: a model, weights file or run.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
    settings: dict[str, Any],
) -> None:
    """Time a few steps of training with made-up images; nothing is written."""
    from napari_uml.training.estimate import measure_pace
    from napari_uml.training.memory import keep_freed_memory
    from napari_uml.training.origin import find_origin

    keep_freed_memory()
    origin = find_origin(start)
    config = TrainConfig.model_validate({"image_size": origin.image_size, **settings})
    pace = measure_pace(config, origin.network)
    if as_json:
        typer.echo(pace.model_dump_json())
    else:
        typer.echo(
            f"{1 / pace.train:.1f} images/s to learn from, {1 / pace.looking:.1f} images/s to validate on, "
            f"{pace.memory_mb:.0f} MB"
        )
