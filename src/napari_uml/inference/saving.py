"""A prediction as files: labels, uncertainty, overlay and run record; without napari, Qt or torch."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import tifffile

from napari_uml.data.dicom import is_dicom
from napari_uml.errors import ImageError, UMLError
from napari_uml.files import refuse_existing, remove, replacing, write_text
from napari_uml.inference.overlay import write_overlay

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_uml.config import Task
    from napari_uml.data.reading import LoadedImage
    from napari_uml.inference.run_record import RunRecord
    from napari_uml.results import Prediction

log = logging.getLogger(__name__)

LABELS: Final = "labels.tif"
UNCERTAINTY: Final = "uncertainty.tif"
OVERLAY: Final = "overlay.png"
RUN: Final = "run.json"
RESULTS: Final = "results.csv"
NIFTI_LABELS: Final = "labels.nii.gz"
NIFTI_UNCERTAINTY: Final = "uncertainty.nii.gz"
DICOM_LABELS: Final = "labels.dcm"
_ON_SOURCE: Final = (NIFTI_LABELS, NIFTI_UNCERTAINTY, DICOM_LABELS)
"""What lies on the grid of the file that was read, and so is written of the whole image alone."""


@dataclass(frozen=True, slots=True)
class Written:
    """The files that were written, and why a DICOM image got no Segmentation; empty when it did, or is none."""

    files: tuple[Path, ...]
    left_out: str = ""


def file_names(image_path: Path) -> tuple[str, ...]:
    """Names of the files that `save_prediction` may write for an image; the table is `write_results`'."""
    return (LABELS, UNCERTAINTY, OVERLAY, RUN, *_on_source(image_path))


def result_paths(folder: Path, image: LoadedImage, prediction: Prediction, record: RunRecord) -> dict[str, Path]:
    """The files that `save_prediction` writes for an answer, by name."""
    whole, silent = record.settings.slice_number is None, "mask" not in prediction.answers
    names = (OVERLAY, RUN) if silent else file_names(image.path)
    return {name: folder / name for name in names if whole or name not in _ON_SOURCE}


def save_prediction(
    folder: Path,
    image: LoadedImage,
    prediction: Prediction,
    record: RunRecord,
    task: Task,
    *,
    overwrite: bool = False,
) -> Written:
    """Write everything about one image or stack into a folder, which is made.

    `labels.tif` uint8 and `uncertainty.tif` float32, with the size of a pixel in millimetres in their resolution tags;
    `overlay.png`; `run.json`. Of a whole NIfTI volume also `labels.nii.gz` and `uncertainty.nii.gz`, on the volume's
    own grid; of a whole DICOM image, or series with a file a slice, `labels.dcm`, a DICOM Segmentation, where highdicom
    is installed and the files say what it needs; if not, the reason is logged and returned.
    A model that finds no structures has no labels and no map of the uncertainty.

    Parameters
    ----------
    folder
        Where to write.
    image
        What was predicted on.
    prediction, record
        The answer, and `make_record` of it.
    task
        Of the model.
    overwrite
        Replace what is there; what an earlier answer had and this one has not goes.

    Raises
    ------
    UMLError
        When a file is there already and `overwrite` is off, is one of the image itself, or cannot be written.
    """
    paths = result_paths(folder, image, prediction, record)
    refuse_images(paths.values(), image)
    if not overwrite:
        refuse_existing(paths.values())
    if "mask" in prediction.answers:
        write_tiff(paths[LABELS], prediction.mask, image.spacing, image.units)
        write_tiff(paths[UNCERTAINTY], prediction.pixel_uncertainty, image.spacing, image.units)
    if overwrite:
        _remove_others(folder, image, paths.values())
    write_overlay(paths[OVERLAY], image.pixels, prediction, task, title=_title(record), overwrite=True)
    for name, values in ((NIFTI_LABELS, prediction.mask), (NIFTI_UNCERTAINTY, prediction.pixel_uncertainty)):
        if name in paths:
            _write_nifti(paths[name], values, image)
    left_out = _write_dicom(paths[DICOM_LABELS], prediction, record, image, task) if DICOM_LABELS in paths else ""
    if left_out:
        log.warning("%s: %s", record.image.name, left_out)
        del paths[DICOM_LABELS]
    write_text(paths[RUN], record.model_dump_json(indent=2) + "\n")
    return Written(tuple(paths.values()), left_out)


def refuse_images(paths: Iterable[Path], image: LoadedImage) -> None:
    """Refuse to write over the image that is analysed, whatever else may be overwritten.

    Raises
    ------
    UMLError
        When one of the paths is a file of the image.
    """
    own = own_files(image)
    for path in paths:
        if path.resolve() in own:
            raise UMLError(f"Expected another folder for the results, {path} is the image itself; choose another one.")


def own_files(image: LoadedImage) -> set[Path]:
    """The files that an image was read from, as absolute paths."""
    return {path.resolve() for path in (image.path, *image.files)}


def write_tiff(
    path: Path, values: NDArray[Any], spacing: tuple[float, ...] | None = None, units: tuple[str, ...] = ()
) -> None:
    """Write a map (H, W) or a stack (D, H, W) with the size of its pixels, in the tags and as ImageJ reads it.

    Parameters
    ----------
    path
        A .tif file; one that is there is replaced.
    values
        uint8, uint16 or float32.
    spacing, units
        As `LoadedImage` has them; kept where they are millimetres.

    Raises
    ------
    UMLError
        When the file cannot be written.
    """
    metadata: dict[str, object] = {"axes": "ZYX" if values.ndim == 3 else "YX"}
    options: dict[str, Any] = {}
    if spacing is not None and units[-1] == "mm":
        down, across = (millimetres / 10 for millimetres in spacing[-2:])
        options = {"resolution": (1 / across, 1 / down), "resolutionunit": "CENTIMETER"}
        metadata["unit"] = "cm"
        if values.ndim == 3 and units[0] == "mm":
            metadata["spacing"] = spacing[0] / 10
    with replacing(path) as part:
        tifffile.imwrite(part, values, imagej=True, metadata=metadata, compression="zlib", **options)


def _write_nifti(path: Path, mask: NDArray[Any], image: LoadedImage) -> None:
    from napari_uml.data.nifti import write_like

    with replacing(path) as part:
        write_like(image.path, mask, part)


def _write_dicom(path: Path, prediction: Prediction, record: RunRecord, image: LoadedImage, task: Task) -> str:
    """Write a DICOM Segmentation; where that cannot be, none is there, and this is why."""
    from napari_uml.data.dicom_seg import write_segmentation

    names, model = (task.seg_classes, task.colors), record.model
    try:
        with replacing(path) as part:
            write_segmentation(image.files, prediction.mask, *names, model.name, model.version, part)
    except ImageError as error:
        remove(path)  # of an earlier answer
        return f"no {DICOM_LABELS} was written. {error}"
    return ""


def _remove_others(folder: Path, image: LoadedImage, kept: Iterable[Path]) -> None:
    """Remove what an earlier answer about the image left and this one has not; the image's own files stay."""
    own = own_files(image)
    for path in {folder / name for name in file_names(image.path)} - set(kept):
        if path.resolve() not in own:
            remove(path)


def _on_source(path: Path) -> tuple[str, ...]:
    """What is written beside the TIFFs, by the kind of the image."""
    if path.name.lower().endswith((".nii", ".nii.gz")):
        return (NIFTI_LABELS, NIFTI_UNCERTAINTY)
    try:
        return (DICOM_LABELS,) if path.is_dir() or (path.is_file() and is_dicom(path)) else ()
    except OSError:  # what cannot be read has no results; reading it says why
        return ()


def _title(record: RunRecord) -> str:
    number = record.settings.slice_number
    return record.image.name if number is None else f"{record.image.name}, slice {number}"
