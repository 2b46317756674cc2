"""Dataset folders made of small files in the publishers' shapes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
import openpyxl
import pytest
from PIL import Image

from napari_uml.data.dataset import check_images, read_dataset
from napari_uml.data.importers.ispy1 import import_ispy1, nearest_slices, split_patients
from napari_uml.data.importers.refuge import import_refuge
from napari_uml.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RNG = np.random.default_rng(0)


def sheet(path: Path, *rows: tuple[object, ...], title: str = "Sheet1", before: str = "") -> None:
    """Write a spreadsheet, with another sheet before the one of interest if wanted."""
    book = openpyxl.Workbook()
    page = book.active
    if before:
        page.title = before
        page.append(("SUBJECTID", "age"))
        page = book.create_sheet()
    page.title = title
    for row in rows:
        page.append(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)


# REFUGE


def photograph(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 255, (24, 32, 3), dtype=np.uint8)).save(path)


def disc(path: Path) -> None:
    """A mask as published: 255 around, 128 rim, 0 cup."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.full((24, 32), 255, np.uint8)
    mask[8:16, 8:20] = 128
    mask[10:13, 10:15] = 0
    Image.fromarray(mask).save(path)


def fill_training(images: Path, masks: Path) -> None:
    for name, kind in (("g0001", "Glaucoma"), ("n0001", "Non-Glaucoma"), ("n0360", "Non-Glaucoma")):
        photograph(images / "Training400" / kind / f"{name}.jpg")
        disc(masks / "Disc_Cup_Masks" / kind / f"{name}.bmp")
    sheet(masks / "Fovea_location.xlsx", ("ID", "ImgName", "Fovea_X", "Fovea_Y"), (1, "g0001.jpg", 5.5, 6.5))


def fill_validation(images: Path, truth: Path) -> None:
    for name in ("V0001", "V0002"):
        photograph(images / f"{name}.jpg")
        disc(truth / "Disc_Cup_Masks" / f"{name}.bmp")
    names = ("ID", "ImgName", "Fovea_X", "Fovea_Y", "Glaucoma Label")
    sheet(truth / "Fovea_locations.xlsx", names, (1, "V0001.jpg", 5.5, 6.5, 1), (2, "V0002.jpg", 5.5, 6.5, 0))


def fill_test(images: Path, truth: Path) -> None:
    for name, kind in (("T0001", "G"), ("T0400", "N")):
        photograph(images / "Test400" / f"{name}.jpg")
        disc(truth / "Disc_Cup_Masks" / kind / f"{name}.bmp")
    names = ("ID", "ImgName", "Label(Glaucoma=1)", "Fovea_X", "Fovea_Y")
    rows = (1, "T0001.jpg", 1, 5.5, 6.5), (2, "T0400.jpg", 0, 5.5, 6.5)
    sheet(truth / "Glaucoma_label_and_Fovea_location.xlsx", names, *rows)


@pytest.fixture
def refuge(tmp_path: Path) -> Path:
    """The six zip files unpacked into one folder."""
    folder = tmp_path / "REFUGE"
    fill_training(folder, folder / "Annotation-Training400")
    fill_validation(folder / "REFUGE-Validation400", folder / "REFUGE-Validation400-GT")
    fill_test(folder, folder / "REFUGE-Test-GT")
    return folder


@pytest.fixture
def refuge2(tmp_path: Path) -> Path:
    """The same inside REFUGE2's zip, with what else is in there."""
    folder = tmp_path / "REFUGE2" / "Train"
    fill_training(folder / "REFUGE1-train", folder / "REFUGE1-train" / "Annotation-Training400")
    fill_validation(folder / "REFUGE1-val" / "REFUGE-Validation400", folder / "REFUGE1-val")
    fill_test(folder / "REFUGE1-test", folder / "REFUGE1-test")
    photograph(tmp_path / "REFUGE2" / "Validation" / "V0401.jpg")
    photograph(folder / "REFUGE1-test" / "Disc_Cup_Fovea_Illustration" / "T0001.jpg")
    photograph(tmp_path / "REFUGE2" / "__MACOSX" / "Training400" / "._g0001.jpg")
    return tmp_path / "REFUGE2"


LABELS = {
    "g0001": "glaucoma", "n0001": "normal", "n0360": "normal", "V0001": "glaucoma", "V0002": "normal",
    "T0001": "glaucoma", "T0400": "normal",
}  # fmt: skip


@pytest.mark.parametrize("packing", ["refuge", "refuge2"])
def test_refuge_takes_every_label_from_where_its_part_keeps_it(
    tmp_path: Path, packing: str, request: pytest.FixtureRequest
) -> None:
    folder = import_refuge(request.getfixturevalue(packing), tmp_path / "out")
    dataset = read_dataset(folder)
    assert {record.group: record.label for record in dataset.records} == LABELS
    assert Counter(record.split for record in dataset.records) == {"train": 3, "val": 2, "test": 2}
    assert check_images(dataset) == []


def test_refuge_masks_become_background_rim_and_cup(tmp_path: Path, refuge: Path) -> None:
    dataset = read_dataset(import_refuge(refuge, tmp_path / "out"))
    mask = dataset.read_mask(dataset.records[0])
    assert mask is not None
    assert dataset.info.seg_classes == ("background", "rim", "cup")
    assert (mask[0, 0], mask[9, 9], mask[11, 11]) == (0, 1, 2)
    assert np.bincount(mask.ravel()).tolist() == [24 * 32 - 96, 96 - 15, 15]


def test_refuge_photographs_are_copied_untouched(tmp_path: Path, refuge: Path) -> None:
    folder = import_refuge(refuge, tmp_path / "out")
    source = refuge / "Training400" / "Glaucoma" / "g0001.jpg"
    assert (folder / "images" / "g0001.jpg").read_bytes() == source.read_bytes()


def test_refuge_declares_the_disc_and_the_cup_to_disc_ratio(tmp_path: Path, refuge: Path) -> None:
    info = read_dataset(import_refuge(refuge, tmp_path / "out")).info
    assert info.structures == ("rim", "cup", "disc")
    assert info.measurements[0].name == "vertical cup/disc ratio"
    assert info.cls_classes == ("normal", "glaucoma")


def test_one_part_of_refuge_is_enough(tmp_path: Path, refuge: Path) -> None:
    dataset = read_dataset(import_refuge(refuge / "REFUGE-Validation400-GT" / "..", tmp_path / "all"))
    assert len(dataset.records) == 7
    fill_test(tmp_path / "part", tmp_path / "part")
    part = read_dataset(import_refuge(tmp_path / "part", tmp_path / "out"))
    assert {record.split for record in part.records} == {"test"}


def test_a_refuge_mask_saved_in_colours_is_read(tmp_path: Path, refuge: Path) -> None:
    path = refuge / "REFUGE-Test-GT" / "Disc_Cup_Masks" / "G" / "T0001.bmp"
    Image.open(path).convert("RGB").save(path)
    dataset = read_dataset(import_refuge(refuge, tmp_path / "out"))
    record = next(record for record in dataset.records if record.group == "T0001")
    mask = dataset.read_mask(record)
    assert mask is not None
    assert mask.max() == 2


def no_mask(folder: Path) -> None:
    (folder / "Annotation-Training400" / "Disc_Cup_Masks" / "Glaucoma" / "g0001.bmp").unlink()


def no_photograph(folder: Path) -> None:
    (folder / "Test400" / "T0001.jpg").unlink()


def no_table(folder: Path) -> None:
    (folder / "REFUGE-Validation400-GT" / "Fovea_locations.xlsx").unlink()


def odd_label(folder: Path) -> None:
    sheet(
        folder / "REFUGE-Validation400-GT" / "Fovea_locations.xlsx",
        ("ImgName", "Glaucoma Label"), ("V0001.jpg", 1), ("V0002.jpg", "yes"),
    )  # fmt: skip


def odd_grey(folder: Path) -> None:
    path = folder / "REFUGE-Test-GT" / "Disc_Cup_Masks" / "N" / "T0400.bmp"
    Image.fromarray(np.full((24, 32), 64, np.uint8)).save(path)


def other_size(folder: Path) -> None:
    path = folder / "REFUGE-Test-GT" / "Disc_Cup_Masks" / "N" / "T0400.bmp"
    Image.fromarray(np.full((24, 30), 255, np.uint8)).save(path)


def misplaced(folder: Path) -> None:
    training = folder / "Training400"
    (training / "Glaucoma" / "g0001.jpg").rename(training / "Non-Glaucoma" / "g0001.jpg")


def twice(folder: Path) -> None:
    photograph(folder / "copy" / "T0001.jpg")


def broken_table(folder: Path) -> None:
    (folder / "REFUGE-Test-GT" / "Glaucoma_label_and_Fovea_location.xlsx").write_text("no spreadsheet")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (no_mask, r"REFUGE train: expected a mask .* found none: g0001\."),
        (no_photograph, r"REFUGE test: expected a photograph for every mask, found none: T0001\."),
        (no_table, r"REFUGE val: expected a diagnosis .* found none in a spreadsheet: V0001, V0002\."),
        (odd_label, r"REFUGE val: expected the diagnosis 0 or 1, found others: V0002\."),
        (odd_grey, r"T0400\.bmp: expected the grey values 255 .* got 64\."),
        (other_size, r"T0400\.bmp: expected the size \(24, 32\) of T0400\.jpg, got \(24, 30\)\."),
        (misplaced, r"REFUGE train: expected g in the folder Glaucoma .* found others: g0001\."),
        (twice, r"REFUGE test: expected photographs in one place, found in several: T0001\."),
        (broken_table, r"Expected a table, .*Glaucoma_label_and_Fovea_location\.xlsx cannot be read"),
    ],
)
def test_a_problem_of_refuge_is_named_and_nothing_written(
    tmp_path: Path, refuge: Path, spoil: Callable[[Path], None], sentence: str
) -> None:
    spoil(refuge)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(DatasetError, match=sentence):
        import_refuge(refuge, tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == before


def test_all_problems_of_refuge_are_listed_at_once(tmp_path: Path, refuge: Path) -> None:
    for spoil in (no_mask, no_photograph, no_table, misplaced):
        spoil(refuge)
    with pytest.raises(DatasetError) as caught:
        import_refuge(refuge, tmp_path / "out")
    assert len(caught.value.problems) == 4


def test_a_folder_without_refuge_says_what_it_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"Expected REFUGE's photographs \(g0001\.jpg"):
        import_refuge(tmp_path, tmp_path / "out")


# the folder written


def test_an_existing_folder_is_kept_unless_asked(tmp_path: Path, refuge: Path) -> None:
    folder = import_refuge(refuge, tmp_path / "out")
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(DatasetError, match=r"Expected a new folder, got .*out, which exists\."):
        import_refuge(refuge, folder)
    assert (folder / "mine.txt").exists()
    import_refuge(refuge, folder, overwrite=True)
    assert not (folder / "mine.txt").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["REFUGE", "out"]


def test_only_a_dataset_folder_is_ever_replaced(tmp_path: Path, refuge: Path) -> None:
    (tmp_path / "holiday").mkdir()
    with pytest.raises(DatasetError, match="which is no dataset folder"):
        import_refuge(refuge, tmp_path / "holiday", overwrite=True)
    with pytest.raises(DatasetError, match="Expected a folder apart from the source"):
        import_refuge(refuge, tmp_path, overwrite=True)


def test_a_failed_overwrite_leaves_the_old_folder_as_it_was(tmp_path: Path, refuge: Path) -> None:
    folder = import_refuge(refuge, tmp_path / "out")
    odd_grey(refuge)
    with pytest.raises(DatasetError, match="grey values"):
        import_refuge(refuge, folder, overwrite=True)
    assert check_images(read_dataset(folder)) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["REFUGE", "out"]


def test_a_disk_that_cannot_be_written_is_said(tmp_path: Path, refuge: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DatasetError, match=r"Expected to write .* it failed"):
        import_refuge(refuge, tmp_path / "file" / "out")


# I-SPY 1

AFFINE = nibabel.affines.from_matvec(np.diag((1.0, -1.0, 1.0)), (-10.0, 20.0, 5.0))
DEPTH = 30


def patient(folder: Path, number: int, peak: int = 14, reach: int = 9, affine: np.ndarray = AFFINE) -> None:
    """Three series and the manual mask of a patient, with a tumour whose largest section is slice `peak`."""
    mask = np.zeros((20, 24, DEPTH), np.uint8)
    for z in range(max(0, peak - reach), min(DEPTH, peak + reach + 1)):
        side = reach + 1 - abs(z - peak)
        mask[5 : 5 + side, 6 : 6 + side, z] = 1
    images = folder / "NIfTI-Files" / "images_bias-corrected_resampled_zscored_nifti" / f"ISPY1_{number}"
    images.mkdir(parents=True)
    for phase in range(3):
        volume = np.random.default_rng(number + phase).normal(size=mask.shape).astype(np.float32) + 3 * mask * phase
        name = f"ISPY1_{number}_DCE_000{phase}_N3_zscored.nii.gz"
        nibabel.save(nibabel.Nifti1Image(volume, AFFINE), images / name)
    masks = folder / "NIfTI-Files" / "masks_stv_manual"
    masks.mkdir(exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(mask, affine), masks / f"ISPY1_{number}.nii.gz")


@pytest.fixture
def ispy1(tmp_path: Path) -> tuple[Path, Path]:
    """Four patients, and the trial's spreadsheet with one patient more."""
    folder, table = tmp_path / "ISPY1", tmp_path / "outcome.xlsx"
    for number in (1001, 1002, 1003, 1004):
        patient(folder, number)
    rows = (1001, "2009", 0), (1002, "2009", 1.0), (1003, "2009", 0), (1004, "2009", None), (1234, "2009", 1)
    sheet(table, ("SUBJECTID", "DataExtractDt", "PCR"), *rows, title="Outcomes", before="Clinical")
    return folder, table


def test_ispy1_has_ten_slices_around_the_largest_section_of_every_patient(
    tmp_path: Path, ispy1: tuple[Path, Path]
) -> None:
    dataset = read_dataset(import_ispy1(*ispy1, tmp_path / "out"))
    assert Counter(r.group for r in dataset.records) == dict.fromkeys(
        ("ISPY1_1001", "ISPY1_1002", "ISPY1_1003", "ISPY1_1004"), 10
    )
    masks = [dataset.read_mask(r) for r in dataset.records if r.group == "ISPY1_1001"]
    areas = [int(mask.sum()) for mask in masks if mask is not None]
    assert len(areas) == 10
    assert max(areas) == 100
    assert areas[4] == 100 or areas[5] == 100
    assert check_images(dataset) == []


def test_ispy1_labels_are_the_response_and_empty_where_it_is_unknown(tmp_path: Path, ispy1: tuple[Path, Path]) -> None:
    dataset = read_dataset(import_ispy1(*ispy1, tmp_path / "out"))
    assert {record.group[-4:]: record.label for record in dataset.records} == {
        "1001": "non-pCR", "1002": "pCR", "1003": "non-pCR", "1004": "",
    }  # fmt: skip


def test_ispy1_never_splits_a_patient(tmp_path: Path, ispy1: tuple[Path, Path]) -> None:
    dataset = read_dataset(import_ispy1(*ispy1, tmp_path / "out", fractions=(0.4, 0.3, 0.3), seed=3))
    splits: dict[str, set[str]] = {}
    for record in dataset.records:
        splits.setdefault(record.group, set()).add(record.split)
    assert all(len(found) == 1 for found in splits.values())


def test_ispy1_slices_are_the_first_series_after_contrast_under_their_masks(
    tmp_path: Path, ispy1: tuple[Path, Path]
) -> None:
    folder = import_ispy1(*ispy1, tmp_path / "out")
    dataset = read_dataset(folder)
    for record in dataset.records[:3]:
        image = np.asarray(Image.open(folder / record.image))
        mask = dataset.read_mask(record)
        assert mask is not None
        assert image.dtype == np.uint8
        assert image[mask == 1].mean() > image[mask == 0].mean() + 40  # +3 standard deviations, so not _0000_


def test_ispy1_reads_a_csv_and_older_names(tmp_path: Path) -> None:
    patient(tmp_path / "new", 1001)
    old = tmp_path / "old"
    (old / "Dataset ISPY" / "ISPY_1001").mkdir(parents=True)
    (old / "masks").mkdir()
    volume = next((tmp_path / "new").rglob("*_0001_*"))
    volume.rename(old / "Dataset ISPY" / "ISPY_1001" / "DCEMRI_1.nii.gz")
    next((tmp_path / "new").rglob("masks_stv_manual/*")).rename(old / "masks" / "ISPY_1001_tumor_mask.nii.gz")
    (tmp_path / "outcome.csv").write_text("SUBJECTID;PCR\n1001.0;1.0\n")
    folder = import_ispy1(
        old,
        tmp_path / "outcome.csv",
        tmp_path / "out",
        images="Dataset ISPY/*/DCEMRI_1.nii*",
        masks="masks/*",
        slices=4,
    )
    assert [record.label for record in read_dataset(folder).records] == ["pCR"] * 4


def without_volume(folder: Path, table: Path) -> None:
    next(folder.rglob("ISPY1_1001_DCE_0001*")).unlink()


def without_mask(folder: Path, table: Path) -> None:
    next(folder.rglob("masks_stv_manual/ISPY1_1002*")).unlink()


def without_outcome(folder: Path, table: Path) -> None:
    sheet(table, ("SUBJECTID", "PCR"), (1001, 0), (1002, 1), (1003, 0))


def odd_outcome(folder: Path, table: Path) -> None:
    sheet(table, ("SUBJECTID", "PCR"), (1001, 0), (1002, "maybe"), (1003, 0), (1004, 1), (1004, 0))


def no_columns(folder: Path, table: Path) -> None:
    sheet(table, ("patient", "outcome"), (1001, 0))


def no_outcome_table(folder: Path, table: Path) -> None:
    table.unlink()


def no_volumes(folder: Path, table: Path) -> None:
    for path in folder.rglob("*.nii.gz"):
        path.unlink()


def other_grid(folder: Path, table: Path) -> None:
    patient(folder, 1005, affine=AFFINE @ np.diag((1.0, 1.0, 2.0, 1.0)))
    without_outcome(folder, table)
    book = openpyxl.load_workbook(table)
    book.active.append((1004, 1))
    book.active.append((1005, 1))
    book.save(table)


def empty_mask(folder: Path, table: Path) -> None:
    path = next(folder.rglob("masks_stv_manual/ISPY1_1002*"))
    nibabel.save(nibabel.Nifti1Image(np.zeros((20, 24, DEPTH), np.uint8), AFFINE), path)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (without_volume, r"expected a volume for every mask, found none: 1001\."),
        (without_mask, r"expected a mask for every volume, found none: 1002\."),
        (without_outcome, r"expected every patient in the outcome table, not found: 1004\."),
        (odd_outcome, r"(?s)expected PCR 0, 1 or an empty cell.* got maybe for 1002\..* got 0 and 1 for 1004\."),
        (no_columns, r"Expected a table with the columns SUBJECTID and PCR, .* has no such sheet"),
        (no_outcome_table, r"Expected a table, .* cannot be read"),
        (no_volumes, r"(?s)Expected NIfTI files .*_0001_.*Expected NIfTI files .*masks_stv_manual"),
        (other_grid, r"ISPY1_1005\.nii\.gz: expected the voxel grid of ISPY1_1005_DCE_0001"),
        (empty_mask, r"ISPY1_1002\.nii\.gz: expected a tumour, got an empty mask"),
    ],
)
def test_a_problem_of_ispy1_is_named_and_nothing_written(
    tmp_path: Path, ispy1: tuple[Path, Path], spoil: Callable[[Path, Path], None], sentence: str
) -> None:
    spoil(*ispy1)
    with pytest.raises(DatasetError, match=sentence):
        import_ispy1(*ispy1, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) in (["ISPY1"], ["ISPY1", "outcome.xlsx"])


@pytest.mark.parametrize("options", [{"slices": 0}, {"fractions": (0.8, 0.1, 0.2)}, {"fractions": (1.2, -0.1, -0.1)}])
def test_a_bad_argument_is_refused(tmp_path: Path, ispy1: tuple[Path, Path], options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Expected"):
        import_ispy1(*ispy1, tmp_path / "out", **options)


@pytest.mark.parametrize(
    ("areas", "count", "expected"),
    [
        ([0, 1, 2, 9, 2, 1, 0], 3, [2, 3, 4]),
        ([0, 1, 2, 9, 2, 1, 0], 10, [1, 2, 3, 4, 5]),
        ([9, 1, 2, 3, 4, 5, 6], 4, [0, 1, 2, 3]),
        ([1, 1, 0, 0, 9, 0, 1], 3, [1, 4, 6]),
    ],
)
def test_slices_with_tumour_nearest_to_the_largest_section(areas: list[int], count: int, expected: list[int]) -> None:
    mask = np.arange(10) < np.array(areas)[:, None, None]
    assert nearest_slices(mask, count) == expected


def test_every_class_is_split_in_the_same_shares() -> None:
    labels = {f"{i:04}": "pCR" if i < 43 else "non-pCR" for i in range(157)}
    split = split_patients(labels, (0.8, 0.1, 0.1), seed=0)
    counts = Counter((labels[number], part) for number, part in split.items())
    assert counts == {
        ("pCR", "train"): 35, ("pCR", "val"): 4, ("pCR", "test"): 4,
        ("non-pCR", "train"): 92, ("non-pCR", "val"): 11, ("non-pCR", "test"): 11,
    }  # fmt: skip


def test_a_split_follows_its_seed() -> None:
    labels = {f"{i:04}": "pCR" for i in range(50)}
    fractions = (0.6, 0.2, 0.2)
    assert split_patients(labels, fractions, 1) == split_patients(dict(reversed(labels.items())), fractions, 1)
    assert split_patients(labels, fractions, 1) != split_patients(labels, fractions, 2)
