"""I-SPY 1 (ACRIN 6657): breast MRI with the tumour outlined, and the response to chemotherapy before surgery.

The volumes and masks are The Cancer Imaging Archive's `ISPY1-Tumor-SEG-Radiomics` (Chitalia et al. 2022), the outcome
is column PCR of the trial's spreadsheet (Newitt and Hylton 2016).
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_uml.data import nifti
from napari_uml.data.dataset import SPLITS, DatasetInfo, Record, Split, write_dataset
from napari_uml.data.importers.folders import listing, new_folder
from napari_uml.data.importers.tables import read_table
from napari_uml.data.reading import read_image
from napari_uml.errors import DatasetError, ImageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

IMAGES = "**/images_bias-corrected_resampled_zscored_nifti/*/*_0001_*.nii*"
"""The first series after contrast; _0000_ is before, _0002_ the second after."""
MASKS = "**/masks_stv_manual/*.nii*"
PATIENT = re.compile(r"ISPY1?[-_ ]?(\d{4})", re.IGNORECASE)
COLUMNS = {"patient": ("SUBJECTID",), "pcr": ("PCR",)}
CLASS_OF = {"0": "non-pCR", "1": "pCR", "": ""}
"""Class by the cell of column PCR: pathological complete response; an empty cell is not annotated."""


@dataclass(frozen=True, slots=True)
class Patient:
    """Four digits, the volume, the mask of the tumour, and the class (empty where unknown)."""

    number: str
    image: Path
    mask: Path
    label: str


def import_ispy1(
    source: Path | str,
    table: Path | str,
    destination: Path | str,
    *,
    images: str = IMAGES,
    masks: str = MASKS,
    slices: int = 10,
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    overwrite: bool = False,
) -> Path:
    """Make a dataset folder of slices, split by patient.

    Of every patient the slices with tumour that are nearest to its largest section, scaled with the whole volume by
    `scale_to_unit` and stored as PNG of 8 bits.

    Parameters
    ----------
    source
        Folder with the NIfTI volumes and masks.
    table
        The outcome table, .xlsx or .csv, with the columns SUBJECTID and PCR (0, 1 or empty).
    destination
        The dataset folder to be made.
    images, masks
        Patterns (as of `Path.glob`) below the source of one volume and one mask a patient; their paths hold the
        patient's number as in ISPY1_1001.
    slices
        Slices a patient; fewer where the tumour has fewer.
    fractions
        Shares of the patients in train, val and test, drawn in each class apart.
    seed
        Seed of the draw.
    overwrite
        Whether an existing destination is replaced.

    Returns
    -------
    The dataset folder.

    Raises
    ------
    DatasetError
        With every problem found; then nothing is written.
    ValueError
        When `slices` is below 1 or the fractions do not sum to 1.
    """
    _check_arguments(slices, fractions)
    source, destination = Path(source), Path(destination)
    patients = _find_patients(source, Path(table), images, masks)
    split = split_patients({patient.number: patient.label for patient in patients}, fractions, seed)
    with new_folder(destination, source, overwrite=overwrite) as folder:
        records = _write_patients(folder, patients, split, slices)
        write_dataset(folder, _info(slices, seed), records)
    return destination


def split_patients(labels: Mapping[str, str], fractions: tuple[float, float, float], seed: int) -> dict[str, Split]:
    """Draw a split for every patient, each class in the same shares."""
    rng = np.random.default_rng(seed)
    split: dict[str, Split] = {}
    for label in sorted(set(labels.values())):
        patients = rng.permutation(sorted(patient for patient in labels if labels[patient] == label)).tolist()
        val, test = (round(fraction * len(patients)) for fraction in fractions[1:])
        counts = (len(patients) - val - test, val, test)
        split.update(zip(patients, np.repeat(SPLITS, counts).tolist(), strict=True))
    return split


def nearest_slices(mask: NDArray[np.bool_], count: int) -> list[int]:
    """Numbers of the slices (D, H, W) with tumour that are nearest to the one with most of it, in order."""
    area = mask.sum(axis=(1, 2))
    bearing = np.flatnonzero(area)
    order = np.argsort(np.abs(bearing - area.argmax()), kind="stable")
    return sorted(bearing[order[:count]].tolist())


def _check_arguments(slices: int, fractions: tuple[float, float, float]) -> None:
    if slices < 1:
        raise ValueError(f"Expected at least one slice a patient, got {slices}.")
    if min(fractions) < 0 or not math.isclose(sum(fractions), 1):
        raise ValueError(f"Expected three fractions that sum to 1, got {fractions}.")


def _find_patients(source: Path, table: Path, images: str, masks: str) -> list[Patient]:
    outcomes, problems = _outcomes(table)
    image, mask = _by_patient(source, images), _by_patient(source, masks)
    problems += [
        f"Expected NIfTI files {p} below {source}, got none." for p, f in ((images, image), (masks, mask)) if not f
    ]
    checks = {
        "one volume a patient, found several": [p for p in image if len(image[p]) > 1],
        "one mask a patient, found several": [p for p in mask if len(mask[p]) > 1],
        "a volume for every mask, found none": [p for p in mask if image and p not in image],
        "a mask for every volume, found none": [p for p in image if mask and p not in mask],
        "every patient in the outcome table, not found": [p for p in mask if outcomes and p not in outcomes],
    }
    problems += [f"I-SPY 1: expected {what}: {listing(found)}." for what, found in checks.items() if found]
    if problems:
        raise DatasetError(*problems)
    return [Patient(number, image[number][0], mask[number][0], outcomes[number]) for number in mask]


def _outcomes(table: Path) -> tuple[dict[str, str], list[str]]:
    """Class by patient, and what is wrong with the table."""
    rows = read_table(table, COLUMNS)
    if rows is None:
        return {}, [f"Expected a table with the columns SUBJECTID and PCR, {table} has no such sheet."]
    found: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        found[row["patient"][-4:]].add(row["pcr"])
    problems = [
        f"{table.name}: expected PCR 0, 1 or an empty cell, one a patient, got {' and '.join(sorted(cells))} "
        f"for {patient}."
        for patient, cells in found.items()
        if len(cells) > 1 or not cells <= set(CLASS_OF)
    ]
    return {patient: CLASS_OF.get(next(iter(cells)), "") for patient, cells in found.items()}, problems


def _by_patient(source: Path, pattern: str) -> dict[str, list[Path]]:
    found = defaultdict(list)
    for path in sorted(source.glob(pattern)):
        number = PATIENT.search(path.relative_to(source).as_posix())
        if number and not path.name.startswith("."):
            found[number[1]].append(path)
    return dict(found)


def _write_patients(folder: Path, patients: Sequence[Patient], split: Mapping[str, Split], count: int) -> list[Record]:
    records: list[Record] = []
    problems: list[str] = []
    for patient in patients:
        try:
            names = _write_slices(folder, patient, count)
        except ImageError as error:
            problems.append(str(error))
            continue
        place = (patient.label, split[patient.number], f"ISPY1_{patient.number}")
        records += [Record(f"images/{name}.png", f"masks/{name}.png", *place) for name in names]
    if problems:
        raise DatasetError(*problems)
    return records


def _write_slices(folder: Path, patient: Patient, count: int) -> list[str]:
    """Write the slices of a patient, and give their names."""
    image, mask = patient.image, patient.mask
    volume, outline = read_image(image), nifti.decode(mask)
    if not volume.is_stack or outline.pixels.shape != volume.pixels.shape:
        raise ImageError(
            f"{mask.name}: expected the slices {volume.pixels.shape} of {image.name}, got {outline.pixels.shape}."
        )
    if volume.affine is None or outline.affine is None or not np.allclose(volume.affine, outline.affine, atol=1e-2):
        raise ImageError(f"{mask.name}: expected the voxel grid of {image.name}, got another one. Resample it.")
    tumour = outline.pixels > 0
    if not tumour.any():
        raise ImageError(f"{mask.name}: expected a tumour, got an empty mask. Leave this patient out.")
    names = {number: f"ISPY1_{patient.number}_{number:03}" for number in nearest_slices(tumour, count)}
    for number, name in names.items():
        Image.fromarray(np.rint(volume.pixels[number] * 255).astype(np.uint8)).save(folder / "images" / f"{name}.png")
        Image.fromarray(tumour[number].astype(np.uint8)).save(folder / "masks" / f"{name}.png")
    return list(names.values())


def _info(slices: int, seed: int) -> DatasetInfo:
    return DatasetInfo(
        name="I-SPY 1",
        modality="breast MRI, first series after contrast",
        channels=1,
        seg_classes=("background", "tumour"),
        cls_classes=("non-pCR", "pCR"),
        licence="terms of The Cancer Imaging Archive; cite Newitt and Hylton 2016 and Chitalia et al. 2022",
        notes=f"up to {slices} slices with tumour around the largest section; split by patient, seed {seed}",
    )
