"""`napari-uml demo`: napari with an analysed sample, or its pictures in a folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from napari_uml.cli.common import OverwriteOption
from napari_uml.errors import UMLError


def demo(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the window and the results into this folder, and end.")
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Open napari on a simulated ultrasound image that the bundled model has analysed."""
    if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"} & os.environ.keys():
        raise UMLError(
            "Expected a display to open napari on, there is none; run it under xvfb-run, say, with -o FOLDER."
        )
    from napari_uml.widgets.demo import save_demo, show_demo

    if output is None:
        show_demo()
        return
    for path in save_demo(output, overwrite=overwrite):
        typer.echo(f"wrote {path}")
