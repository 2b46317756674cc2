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

    from rich.progress import Progress

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
    from napari_uml.data.reading import images_in
    from napari_uml.files import check_writable, refuse_existing
    from napari_uml.inference.corruptions import parse_corruption
    from napari_uml.inference.predictor import UMLPredictor
    from napari_uml.inference.run_record import RunSettings
    from napari_uml.inference.saving import RESULTS, file_names
    from napari_uml.inference.zones import zone_files

    if corruption and len(corruption) > 1:
        raise ValueError(f"Expected one --corruption, got {len(corruption)} ({', '.join(corruption)}); choose one.")
    settings = RunSettings(
        sigma=sigma, seed=seed, roi=parse_box(roi), slice_number=slice_number,
        corruption=parse_corruption(corruption[0]) if corruption else None,
    )  # fmt: skip
    images = [image for path in images for image in images_in(path)]
    folders = result_folders(images, output)
    table = output / RESULTS
    if not overwrite:
        refuse_existing(
            [table, *(f / name for image, f in zip(images, folders, strict=True) for name in file_names(image))]
        )
    predictor = UMLPredictor.load(model, device, precision)
    zones = zone_files(predictor.info) if outlines else ()
    if not overwrite:
        refuse_existing([folder / name for folder in folders for name in zones])
    check_writable(output)
    answers: list[RunRecord | None] = []
    try:
        with ending_like_ctrl_c():
            for answer in _predict_all(predictor, images, folders, settings, outlines, overwrite):
                answers.append(answer)
    finally:  # an interrupted cohort keeps what is done, and what was there before of the others
        kept = [*answers, *(_former(folder) for folder in folders[len(answers) :])]
        _write_table(table, kept, folders, by_uncertainty)
    records = [record for record in answers if record is not None]
    _tell(records)
    if len(images) > 1:
        typer.echo(f"{len(records)} of {len(images)} images done" + (f"; all results in {table}" if records else ""))
    if len(records) < len(images):
        raise typer.Exit(WRONG_INPUT)


def _write_table(
    path: Path, records: Sequence[RunRecord | None], folders: Sequence[Path], by_uncertainty: bool
) -> None:
    """Write results.csv about the images that have a record, with their folders where there are several."""
    from napari_uml.inference.tables import write_results

    told = [(record, folder) for record, folder in zip(records, folders, strict=True) if record is not None]
    if by_uncertainty:
        told.sort(key=lambda answer: _doubt(answer[0]), reverse=True)
    if told:
        names = [folder.name for _, folder in told] if len(folders) > 1 else []
        write_results(path, [record for record, _ in told], names, overwrite=True)


def _tell(records: Sequence[RunRecord]) -> None:
    """Print the opinions, and what is unusual about the images."""
    from napari_uml.inference.run_record import warnings_of

    for record in records:
        typer.echo(in_words(record))
        for sentence in warnings_of(record):
            typer.echo(f"{record.image.name}: {sentence}", err=True)


def _doubt(record: RunRecord) -> tuple[float, float]:
    """The u of the class, then of the pixels: a model that tells no class has u = 1 for all."""
    return record.opinion.uncertainty, max(one.mean_uncertainty for one in record.slices)


def _former(folder: Path) -> RunRecord | None:
    """What an earlier run left in a folder; None when there is nothing that can be read."""
    from napari_uml.errors import UMLError
    from napari_uml.inference.run_record import read_run
    from napari_uml.inference.saving import RUN

    try:
        return read_run(folder / RUN)
    except UMLError:
        return None


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


def result_folders(images: Sequence[Path], output: Path) -> list[Path]:
    """A folder for the results of each image: `output` for a single one, else one named after each, all different.

    Images of the same name get -2, -3 and so on, in their order.
    """
    if len(images) == 1:
        return [output]
    taken: set[str] = set()
    folders = []
    for image in images:
        stem = image.name.removesuffix(".gz") if image.name.lower().endswith(".nii.gz") else image.name
        stem = Path(stem).stem or "image"
        name, count = stem, 1
        while name.lower() in taken:
            count += 1
            name = f"{stem}-{count}"
        taken.add(name.lower())
        folders.append(output / name)
    return folders


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
) -> Iterator[RunRecord | None]:
    """The record of every image, once it is saved; None, and a report, for one of several that cannot be analysed."""
    from napari_uml.errors import UMLError

    with progress_bar() as bar:
        all_images = bar.add_task("images", total=len(images), visible=len(images) > 1)
        for path, folder in zip(images, folders, strict=True):
            try:
                yield _predict_one(predictor, path, folder, settings, outlines, overwrite, bar)
            except (UMLError, ValueError) as error:
                if len(images) == 1:
                    raise
                for sentence in sentences(error):
                    typer.echo(f"napari-uml: {sentence}", err=True)
                yield None
            bar.advance(all_images)


def _predict_one(
    predictor: UMLPredictor,
    path: Path,
    folder: Path,
    settings: RunSettings,
    outlines: bool,
    overwrite: bool,
    bar: Progress,
) -> RunRecord:
    from napari_uml.data.reading import read_image
    from napari_uml.inference.analysis import analyse
    from napari_uml.inference.saving import save_prediction
    from napari_uml.inference.zones import outline_zones, remove_zones, save_zones

    done = analyse(predictor, read_image(path), settings, follow(bar, path.name))
    if overwrite:
        remove_zones(folder)
    if outlines:
        zones = outline_zones(done.prediction, predictor.info, settings.roi)
        save_zones(folder, done.image, zones, overwrite=overwrite)
    save_prediction(folder, done.image, done.prediction, done.record, predictor.info.task, overwrite=overwrite)
    return done.record
