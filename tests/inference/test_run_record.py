"""The run record holds what made a result, and the table of results is made from it."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_uml.errors import UMLError
from napari_uml.inference.run_record import RunRecord, RunSettings, make_record, read_run
from napari_uml.inference.tables import result_rows, write_results
from napari_uml.results import Box

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_uml.data.reading import LoadedImage
    from napari_uml.results import Prediction
    from napari_uml.weights import WeightsInfo


@pytest.fixture
def make_run(
    info: WeightsInfo, make_prediction: Callable[..., Prediction], make_image: Callable[..., LoadedImage]
) -> Callable[..., RunRecord]:
    """Return a function that makes the record of a run on a rim of 12 pixels around a cup of 4."""

    def make(slices: int | None = None, **image: object) -> RunRecord:
        mask = np.zeros((8, 10), dtype=np.uint8)
        mask[2:6, 3:7] = 1
        mask[3:5, 4:6] = 2
        if slices is not None:
            mask = np.stack([mask] * slices)
        loaded = make_image(mask.shape, Path("scan.tif"), slices is not None, **image)
        settings = RunSettings(sigma=0.05, seed=7, roi=Box(0, 0, 8, 9))
        prediction = make_prediction(mask, sigma=0.05, seed=7)
        return make_record(loaded, prediction, info, settings, weights_sha256="ab", device_description="CPU, 1 thread")

    return make


def test_record_survives_its_file(make_run: Callable[..., RunRecord], tmp_path: Path) -> None:
    record = make_run(slices=2, affine=np.eye(4), spacing=(3.0, 0.5, 0.5), units=("mm",) * 3)
    (tmp_path / "run.json").write_text(record.model_dump_json(indent=2))
    assert read_run(tmp_path / "run.json") == record


def test_record_names_everything_that_made_the_result(make_run: Callable[..., RunRecord]) -> None:
    record = make_run()
    assert {"napari-uml", "python", "torch", "timm", "numpy", "system"} == set(record.versions)
    assert (record.model.name, record.model.version, record.model.sha256) == ("tiny", "3", "ab")
    assert (record.device, record.device_description, record.precision) == ("cpu", "CPU, 1 thread", "float32")
    assert record.settings == RunSettings(sigma=0.05, seed=7, roi=Box(0, 0, 8, 9))
    assert record.opinion.belief == pytest.approx({"normal": 1 / 8, "glaucoma": 5 / 8})
    assert record.opinion.uncertainty == pytest.approx(2 / 8)
    assert record.opinion.probability == pytest.approx({"normal": 2 / 8, "glaucoma": 6 / 8})
    assert record.slices[0].shares == pytest.approx({"background": 64 / 80, "rim": 12 / 80, "cup": 4 / 80})
    assert record.slices[0].mean_uncertainty == pytest.approx(0.25)


def test_image_without_a_file_has_the_hash_of_its_pixels(
    make_run: Callable[..., RunRecord], make_image: Callable[..., LoadedImage]
) -> None:
    image = make_run().image
    pixels = make_image((8, 10), Path("scan.tif")).pixels
    assert (image.name, image.path) == ("scan.tif", None)
    assert image.sha256 == hashlib.sha256(pixels.tobytes()).hexdigest()


def test_image_of_a_file_has_its_place_and_the_hash_of_its_bytes(
    make_run: Callable[..., RunRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("scan.tif").write_bytes(b"some bytes")
    image = make_run(files=(Path("scan.tif"),)).image
    assert image.path == str(tmp_path / "scan.tif")
    assert image.sha256 == hashlib.sha256(b"some bytes").hexdigest()


@pytest.mark.parametrize(
    ("spacing", "units", "areas"),
    [
        (None, ("pixel", "pixel"), {"px": 16}),
        ((0.5, 0.25), ("mm", "mm"), {"px": 16, "mm²": 2}),
        ((0.5, 0.25), ("um", "um"), {"px": 16, "um²": 2}),
        ((0.5, 0.25), ("pixel", "pixel"), {"px": 16}),
    ],
)
def test_areas_are_physical_where_the_pixel_size_is_known(
    make_run: Callable[..., RunRecord],
    spacing: tuple[float, ...] | None,
    units: tuple[str, ...],
    areas: dict[str, float],
) -> None:
    measured = make_run(spacing=spacing, units=units).slices[0].measurements
    assert {m.unit: m.value for m in measured if (m.structure, m.name) == ("disc", "area")} == pytest.approx(areas)


def test_image_has_one_line_and_its_numbers_are_the_records(make_run: Callable[..., RunRecord]) -> None:
    (row,) = result_rows(make_run())
    expected = {
        "file": "scan.tif", "slice": "", "predicted": "glaucoma", "p normal": 0.25, "p glaucoma": 0.75,
        "belief normal": 0.125, "belief glaucoma": 0.625, "u": 0.25, "mean pixel u": 0.25, "disc area (px)": 16,
        "cup mean uncertainty": 0.25, "vertical cup/disc ratio": 0.5, "sigma": 0.05, "seed": 7, "model": "tiny",
        "device": "cpu", "precision": "float32",
    }  # fmt: skip
    assert {name: row[name] for name in expected} == pytest.approx(expected)


def test_stack_has_a_line_about_the_whole_and_one_a_slice(make_run: Callable[..., RunRecord]) -> None:
    rows = result_rows(make_run(slices=3))
    assert [row["slice"] for row in rows] == ["all", 0, 1, 2]
    assert "disc area (px)" not in rows[0]
    assert rows[0]["u"] == pytest.approx(0.25)


def test_table_has_a_column_for_whatever_one_of_the_runs_has(
    make_run: Callable[..., RunRecord], tmp_path: Path
) -> None:
    path = tmp_path / "results.csv"
    write_results(path, [make_run(), make_run(spacing=(0.5, 0.25), units=("mm", "mm"))])
    with path.open(newline="", encoding="utf-8-sig") as file:
        first, second = csv.DictReader(file)
    names = list(first)
    assert len(set(names)) == len(names)
    assert names.index("disc area (mm²)") == names.index("disc area (px) high") + 1
    assert (first["disc area (mm²)"], second["disc area (mm²)"]) == ("", "2.0")
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")


def test_table_that_is_there_is_kept(make_run: Callable[..., RunRecord], tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("mine")
    with pytest.raises(UMLError, match="is there already"):
        write_results(tmp_path / "results.csv", [make_run()])
    assert (tmp_path / "results.csv").read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read: No such file"),
        ("", "no run record"),
        ("{}", "no run record that this version can read .created is missing"),
        ('{"format_version": 2}', "format_version: Input should be 1"),
    ],
)
def test_file_that_is_no_record_is_refused(tmp_path: Path, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    with pytest.raises(UMLError, match=words):
        read_run(tmp_path / "run.json")
