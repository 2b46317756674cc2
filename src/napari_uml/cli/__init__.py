"""The command line: arguments in, the core at work, words out.

Every command is a plain function in a module of its own, registered here. Modules import what is heavy (torch, napari)
inside the function, so that `napari-uml --help` answers at once.
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from napari_uml import __version__
from napari_uml.cli import (
    calibrate,
    compare,
    demo,
    estimate,
    evaluate,
    importing,
    models,
    predict,
    replay,
    robustness,
    train,
)
from napari_uml.cli.common import DEBUG, EXPECTED_ERRORS, INTERRUPTED, WRONG_INPUT, missing_part, sentences

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(
    name="napari-uml",
    help="Structures, class and uncertainty of medical images. Research use only, not a medical device.",
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("predict")(predict.predict)
app.command("replay")(replay.replay)
app.command("demo")(demo.demo)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("robustness")(robustness.robustness)
app.command("calibrate")(calibrate.calibrate)
app.command("estimate")(estimate.estimate)
app.command("compare")(compare.compare)
app.add_typer(importing.app, name="import")
app.add_typer(models.app, name="models")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 not agreed, 2 wrong input, 130 interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = DEBUG in given
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a pipe on Windows may lack the letters of a file's name
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(args=[a for a in given if a != DEBUG] or ["--help"], standalone_mode=False)
    except EXPECTED_ERRORS as error:
        if debug:
            raise
        for sentence in sentences(error):
            typer.echo(f"napari-uml: {sentence}", err=True)
        code = WRONG_INPUT
    except ModuleNotFoundError as error:
        advice = missing_part(error)
        if debug or advice is None:
            raise
        typer.echo(f"napari-uml: {advice}", err=True)
        code = WRONG_INPUT
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    if code == INTERRUPTED:
        typer.echo("napari-uml: interrupted.", err=True)
    sys.exit(code)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"napari-uml {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
    debug: Annotated[bool, typer.Option(DEBUG, help="Show the traceback of an error.")] = False,
) -> None:
    """`main` takes `--debug` out, wherever it stands."""
