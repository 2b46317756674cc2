"""`napari-uml predict`: images in, a folder of results out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_uml.cli.common import (
    WRONG_INPUT,
    DeviceOption,
    ModelOption,
    OverwriteOption,
    PrecisionOption,
    ending_like_ctrl_c,
    follow,
    progress_bar,
    sentences,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_uml.inference.cohort import Answered
    from napari_uml.inference.predictor import UMLPredictor
    from napari_uml.inference.run_record import RunRecord, RunSettings
    from napari_uml.results import Box


def predict(
    images: Annotated[
        list[Path],
        typer.Argument(readable=False, help="PNG, JPEG, BMP, TIFF, DICOM or NIfTI files, and folders of them."),
    ],
    model: ModelOption,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results; it is made.")],
    sigma: Annotated[
        float, typer.Option(help="Noise added to the network's input; 0 to 1, the image spans 0 to 1.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise.")] = 0,
    corruption: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND=STRENGTH",
            help="Done to the network's input before noise: blur (its sigma in pixels), contrast (share that is lost), "
            "brightness (added), exposure (share of the light), jpeg (100 minus the quality), downsampling (times).",
        ),
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    roi: Annotated[
        str | None, typer.Option(metavar="TOP,LEFT,BOTTOM,RIGHT", help="Look at this rectangle only.")
    ] = None,
    slice_number: Annotated[
        int | None, typer.Option("--slice", help="Look at this slice of a stack only, from 0; without it, at all.")
    ] = None,
    outlines: Annotated[
        bool, typer.Option("--outlines", help="Also write zones-STRUCTURE.tif: the calibrated inner and outer outline.")
    ] = False,
    by_uncertainty: Annotated[
        bool, typer.Option("--by-uncertainty", help="List the most uncertain image first in results.csv.")
    ] = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Find structures, class and uncertainty; write labels, uncertainty, overlay, table and run record.

    The results of one image lie in the output folder itself, those of several in a folder each; results.csv is about
    all of them. A folder stands for the images in it, or for the one DICOM series. An image that cannot be analysed is
    reported, and the others are done; one that looks unlike the images that the model was trained on is analysed, with
    a warning here and in the table.
    """
    from napari_uml.files import check_writable, refuse_existing
    from napari_uml.inference.cohort import former_answer, images_of, refuse_to_overwrite, result_folders, write_table
    from napari_uml.inference.corruptions import parse_corruption
    from napari_uml.inference.predictor import UMLPredictor
    from napari_uml.inference.run_record import RunSettings
    from napari_uml.inference.saving import RESULTS
    from napari_uml.inference.zones import zone_files

    if corruption and len(corruption) > 1:
        raise ValueError(f"Expected one --corruption, got {len(corruption)} ({', '.join(corruption)}); choose one.")
    settings = RunSettings(
        sigma=sigma, seed=seed, roi=parse_box(roi), slice_number=slice_number,
        corruption=parse_corruption(corruption[0]) if corruption else None,
    )  # fmt: skip
    images = [image for path in images for image in images_of(path)]
    folders = result_folders(images, output)
    if not overwrite:
        refuse_to_overwrite(images, folders, output)
    predictor = UMLPredictor.load(model, device, precision)
    zones = zone_files(predictor.info) if outlines else ()
    if not overwrite:
        refuse_existing([folder / name for folder in folders for name in zones])
    check_writable(output)
    answers: list[Answered | None] = []
    try:
        with ending_like_ctrl_c():
            for answer in _predict_all(predictor, images, folders, settings, outlines, overwrite):
                answers.append(answer)
    finally:  # an interrupted cohort keeps what is done, and what was there before of the others
        kept = [*answers, *(former_answer(folder) for folder in folders[len(answers) :])]
        write_table(output / RESULTS, [one for one in kept if one is not None], by_uncertainty=by_uncertainty)
    records = [answer.record for answer in answers if answer is not None]
    _tell(records)
    if len(images) > 1:
        typer.echo(
            f"{len(records)} of {len(images)} images done" + (f"; all results in {output / RESULTS}" if records else "")
        )
    if len(records) < len(images):
        raise typer.Exit(WRONG_INPUT)


def _tell(records: Sequence[RunRecord]) -> None:
    """Print the opinions, and what is unusual about the images."""
    from napari_uml.inference.run_record import warnings_of

    for record in records:
        typer.echo(in_words(record))
        for sentence in warnings_of(record):
            typer.echo(f"{record.image.name}: {sentence}", err=True)


def parse_box(text: str | None) -> Box | None:
    """A rectangle from "top,left,bottom,right".

    Raises
    ------
    ValueError
        When the text is not four whole numbers in order.
    """
    from napari_uml.results import Box

    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 4 or not all(part.isdecimal() for part in parts):
        raise ValueError(f"Expected four whole numbers top,left,bottom,right for --roi, got {text!r}.")
    return Box(*map(int, parts))


def in_words(record: RunRecord) -> str:
    """The opinion in one line, with what the calibration says of it."""
    from napari_uml.inference.trust import percent
    from napari_uml.results import SILENT

    if "class" not in record.answers:
        return f"{record.image.name}: {SILENT['class']}"
    opinion = record.opinion
    what, doubt = ("belief", "uncertainty") if opinion.measure == "vacuity" else ("probability", "entropy")
    beliefs = ", ".join(f"{name} {belief:.2f}" for name, belief in opinion.belief.items())
    known = "" if opinion.chance_wrong is None else f"; wrong in {percent(opinion.chance_wrong.value)} of such images"
    advice = "; let an expert look" if opinion.refer else ""
    answer = f"{opinion.predicted} ({what}: {beliefs}; {doubt} {opinion.uncertainty:.2f}{known}{advice})"
    return f"{record.image.name}: {answer}"


def _predict_all(
    predictor: UMLPredictor,
    images: Sequence[Path],
    folders: Sequence[Path],
    settings: RunSettings,
    outlines: bool,
    overwrite: bool,
) -> Iterator[Answered | None]:
    """Every image, once it is saved; None, and a report, for one of several that cannot be analysed."""
    from napari_uml.errors import UMLError
    from napari_uml.inference.cohort import analyse_file

    with progress_bar() as bar:
        all_images = bar.add_task("images", total=len(images), visible=len(images) > 1)
        for path, folder in zip(images, folders, strict=True):
            try:
                yield analyse_file(
                    predictor, path, folder, settings, outlines=outlines, overwrite=overwrite,
                    progress=follow(bar, path.name),
                )  # fmt: skip
            except (UMLError, ValueError) as error:
                if len(images) == 1:
                    raise
                for sentence in sentences(error):
                    typer.echo(f"napari-uml: {sentence}", err=True)
                yield None
            bar.advance(all_images)
