"""`napari-uml demo`: napari with an analysed sample, or its pictures where there is no display."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_uml.cli.common import OverwriteOption


def demo(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the window and the results into this folder, and end.")
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Open napari on a simulated ultrasound image that the bundled model has analysed."""
    from napari_uml.widgets.demo import save_demo, show_demo

    if output is None:
        show_demo()
        return
    for path in save_demo(output, overwrite=overwrite):
        typer.echo(f"wrote {path}")
