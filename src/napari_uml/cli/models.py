"""`napari-uml models`: which models there are, what they are, and adding, combining, fetching, renaming, removing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_uml.cli.common import OverwriteOption
from napari_uml.config import Way

if TYPE_CHECKING:
    from rich.console import Console

    from napari_uml.weights import ModelEntry

app = typer.Typer(help="List, inspect, check, add and fetch models.")

PIPE_WIDTH = 200
"""Columns of a table that goes into a file or a pipe."""

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Model = Annotated[str, typer.Argument(help="Name of a model or path of a weights file.")]
OwnModel = Annotated[str, typer.Argument(help="Name of a model that you added.")]


@app.command("list")
def list_all(as_json: JsonOption = False) -> None:
    """List the models at hand, and those that can be fetched."""
    from rich.markup import escape
    from rich.table import Table

    from napari_uml.weights import list_models

    rows = [_row(entry) for entry in list_models()]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "title", "where"):
        table.add_column(heading)
    table.add_column("MB", justify="right")
    for row in rows:
        where = f"{row['source']} (unusable)" if row["problem"] else row["source"]
        table.add_row(row["name"], escape(row["title"]), where, f"{row['size'] / 1e6:.1f}")
    _console().print(table)
    for row in rows:
        if row["problem"]:
            typer.echo(f"{row['name']}: {row['problem']}", err=True)


@app.command()
def info(model: Model, as_json: JsonOption = False) -> None:
    """Show the card of a model: figures, data, terms, what it is not for."""
    from rich.markdown import Markdown

    from napari_uml.weights import find_weights, read_info

    if as_json:
        typer.echo(read_info(find_weights(model)).model_dump_json(indent=2))
        return
    card = _card(model)
    if sys.stdout.isatty():
        _console().print(Markdown(card))
    else:
        typer.echo(card)


@app.command()
def verify(model: Model) -> None:
    """Read a model's file anew and check all of it."""
    from napari_uml.weights import verify

    typer.echo(f"{model} is whole, SHA-256 {verify(model)}")


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="A .safetensors file; nothing else is ever opened.")],
    name: Annotated[str | None, typer.Option(help="Name to find it by.", show_default="its own")] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Check a weights file and copy it to your models."""
    from napari_uml.weights import import_weights

    added = import_weights(file, name, overwrite=overwrite)
    typer.echo(f"added {name or added.name}: {added.title}")


@app.command()
def combine(
    way: Annotated[Way, typer.Argument(help="How to look several times.")],
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="One model; two or more for an ensemble.")],
    name: Annotated[str | None, typer.Option(help="Name to find it by.", show_default="MODEL-WAY")] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Make one of your models of trained ones: dropout, test-time augmentation, or an ensemble.

    Its uncertainty is the entropy of the mean of its looks, and is not calibrated.
    """
    from tempfile import TemporaryDirectory

    from napari_uml.inference.ways import combine_weights
    from napari_uml.weights import import_weights, save_weights

    info, tensors = combine_weights(way, models)
    name = name or info.name
    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        save_weights(file, tensors, info.model_copy(update={"name": name}))
        import_weights(file, name, overwrite=overwrite)
    typer.echo(f"added {name}: {info.title}")


@app.command()
def fetch(model: Annotated[str, typer.Argument(help="Name of a model that comes with napari-uml.")]) -> None:
    """Download a model's weights, unless they are here."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    from napari_uml.weights import fetch

    columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
    terminal = sys.stderr.isatty()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not terminal) as bar:
        task = bar.add_task(model)
        path = fetch(model, lambda have, size: bar.update(task, completed=have, total=size))
    typer.echo(f"{model} is in {path}")


@app.command()
def rename(model: OwnModel, new_name: Annotated[str, typer.Argument(help="The name it gets.")]) -> None:
    """Rename one of your models."""
    from napari_uml.weights import rename_weights

    typer.echo(f"{model} is {rename_weights(model, new_name).stem} now")


@app.command()
def remove(model: OwnModel) -> None:
    """Delete the file of one of your models."""
    from napari_uml.weights import delete_weights

    delete_weights(model)
    typer.echo(f"removed {model}")


def _row(entry: ModelEntry) -> dict[str, Any]:
    return {
        "name": entry.name, "title": entry.title, "source": entry.source, "path": str(entry.path or ""),
        "size": entry.size, "problem": entry.problem,
    }  # fmt: skip


def _card(model: str) -> str:
    """The card that came with the model, else one made of what its file says."""
    from napari_uml.evaluation.card import model_card
    from napari_uml.weights import find_weights, list_models, read_info, sha256

    for entry in list_models():
        if entry.name == model and entry.card:
            return entry.card.read_text(encoding="utf-8")
    path = find_weights(model)
    return model_card(read_info(path), [], sha256(path), path.stat().st_size)


def _console() -> Console:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
