"""`napari-uml import`: dataset folders made of public data sets as their publishers give them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_uml.cli.common import OverwriteOption

app = typer.Typer(help="Make a dataset folder of a public data set.")

Destination = Annotated[Path, typer.Argument(help="The dataset folder to be made.")]


@app.command()
def refuge(
    source: Annotated[Path, typer.Argument(help="Folder with the unpacked zip files, whichever of them are there.")],
    destination: Destination,
    overwrite: OverwriteOption = False,
) -> None:
    """REFUGE: fundus photographs with optic disc and cup, and glaucoma."""
    from napari_uml.data.importers.refuge import import_refuge

    _done(import_refuge(source, destination, overwrite=overwrite))


@app.command()
def ispy1(
    source: Annotated[Path, typer.Argument(help="Folder with the NIfTI volumes and masks.")],
    table: Annotated[Path, typer.Argument(help="Outcome table, .xlsx or .csv, with the columns SUBJECTID and PCR.")],
    destination: Destination,
    slices: Annotated[int, typer.Option(min=1, help="Slices a patient, around the largest section.")] = 10,
    fractions: Annotated[
        tuple[float, float, float], typer.Option(help="Shares of the patients in train, val and test.")
    ] = (0.8, 0.1, 0.1),
    seed: Annotated[int, typer.Option(help="Seed of the split.")] = 0,
    overwrite: OverwriteOption = False,
) -> None:
    """I-SPY 1: breast MRI with the tumour outlined, and the response to chemotherapy."""
    from napari_uml.data.importers.ispy1 import import_ispy1

    _done(import_ispy1(source, table, destination, slices=slices, fractions=fractions, seed=seed, overwrite=overwrite))


def _done(folder: Path) -> None:
    from napari_uml.data.dataset import SPLITS, read_dataset

    dataset = read_dataset(folder)
    counts = ", ".join(f"{len(dataset.of_split(split))} {split}" for split in SPLITS)
    typer.echo(f"{folder}: {dataset.info.name}, {counts}")
