"""`predict`, `replay` and `demo` as a user types them: the numbers of Python, clear sentences, exit codes."""

from __future__ import annotations

import csv
import json
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
import pydicom
import pytest
import tifffile
import torch
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from napari_uml import cli
from napari_uml.calibration import Calibration, Contours, Knot
from napari_uml.cli import main
from napari_uml.cli.predict import in_words, parse_box
from napari_uml.data.reading import read_image
from napari_uml.errors import ImageError, MemoryLimitError
from napari_uml.inference import analysis
from napari_uml.inference.analysis import analyse
from napari_uml.inference.cohort import analyse_file, images_of, result_folders
from napari_uml.inference.predictor import UMLPredictor
from napari_uml.inference.report import write_report
from napari_uml.inference.run_record import RunSettings, make_record, read_run, warnings_of
from napari_uml.inference.zones import zone_files
from napari_uml.results import Box, Corruption
from napari_uml.weights import import_weights, read_info, sha256, write_info

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_uml.weights import WeightsInfo

BOTH = "normal or glaucoma"
PIXELS = np.random.default_rng(3).integers(0, 256, (40, 48), dtype=np.uint8)


def write_dicom(path: Path) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header = FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
    header.Rows, header.Columns = PIXELS.shape
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 12, 11, 0
    header.PixelSpacing, header.Modality = [0.5, 0.25], "US"
    header.PixelData = (PIXELS.astype(np.uint16) * 16).tobytes()
    pydicom.dcmwrite(path, header)


def write_nifti(path: Path) -> None:
    voxels = np.stack([PIXELS.T, PIXELS.T[::-1], PIXELS.T[:, ::-1]], axis=-1)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([-0.5, -0.5, 2.0, 1.0])), path)


WRITERS: dict[str, Callable[[Path], None]] = {
    "photo.png": lambda path: Image.fromarray(PIXELS).save(path),
    "deep.tif": lambda path: tifffile.imwrite(path, PIXELS.astype(np.uint16) * 257),
    "scan.dcm": write_dicom,
    "volume.nii.gz": write_nifti,
}


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], weights: Path) -> Callable[..., tuple[int, str, str]]:
    """Return a function that types a command; it returns exit code, output and errors."""

    def typed(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return left.value.code or 0, said.out, said.err

    return typed


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    WRITERS["photo.png"](tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_a_corrupted_run_is_recorded_and_replay_agrees(
    run: Callable[..., tuple[int, str, str]], weights: Path, photo: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = ("-m", weights, "--device", "cpu", "--precision", "float32", "--corruption", "blur=2")
    assert run("predict", photo, "-o", out, *options)[0] == 0
    blur = Corruption("blur", 2.0)
    assert read_run(out / "run.json").settings.corruption == blur
    predictor, pixels = UMLPredictor.load(weights, "cpu", "float32"), read_image(photo).pixels
    expected = predictor.predict(pixels, corruption=blur)
    np.testing.assert_array_equal(tifffile.imread(out / "uncertainty.tif"), expected.pixel_uncertainty)
    assert (expected.pixel_uncertainty != predictor.predict(pixels).pixel_uncertainty).any()
    assert "to the last bit" in run("replay", out / "run.json")[1]


@pytest.mark.parametrize("name", WRITERS)
def test_command_gives_the_numbers_of_python_and_replay_agrees(
    run: Callable[..., tuple[int, str, str]], weights: Path, tmp_path: Path, name: str
) -> None:
    WRITERS[name](tmp_path / name)
    out = tmp_path / "out"
    options = ("-m", weights, "--device", "cpu", "--precision", "float32", "--sigma", 0.05, "--seed", 2)
    code, said, errors = run("predict", tmp_path / name, "-o", out, *options)
    assert (code, errors.count("\n")) == (0, 1)
    assert "The image is grey, the model was trained on colour images." in errors
    image = read_image(tmp_path / name)
    expected = UMLPredictor.load(weights, "cpu", "float32").predict(image.pixels, 0.05, 2, stack=image.is_stack)
    np.testing.assert_array_equal(tifffile.imread(out / "labels.tif"), expected.mask)
    np.testing.assert_array_equal(tifffile.imread(out / "uncertainty.tif"), expected.pixel_uncertainty)
    record = read_run(out / "run.json")
    for one, opinion in zip(record.slices, expected.opinions, strict=True):
        assert list(one.opinion.belief.values()) == [float(belief) for belief in opinion.belief]
    assert f"{name}: {expected.opinion.predicted}" in said
    assert read_image(out / "labels.tif").spacing == pytest.approx(image.spacing)
    assert (out / "labels.nii.gz").exists() is image.is_stack
    assert run("replay", out / "run.json") == (0, f"The numbers agree to the last bit (on {cpu()}, float32).\n", "")


def cpu() -> str:
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}"


@pytest.fixture
def calibrated(weights: Path, tmp_path: Path) -> Path:
    """Weights with a class set that holds every class, and outlines of the union alone."""
    contours = {"disc": Contours(inner=0.7, outer=0.3, spared=0.05, coverage=0.9, n=20)}
    knots = (Knot(uncertainty=0, chance=0.1, low=0, high=0.2),)
    calibration = Calibration(
        dataset="x", split="val", n=20, knots=knots, referral_threshold=0.5, class_set_threshold=0.0, contours=contours
    )
    write_info(weights, read_info(weights).model_copy(update={"calibration": calibration}), tmp_path / "c.safetensors")
    return tmp_path / "c.safetensors"


def test_class_set_and_outlines_of_a_calibrated_model_are_written(
    run: Callable[..., tuple[int, str, str]], calibrated: Path, photo: Path, tmp_path: Path
) -> None:
    out, options = tmp_path / "out", ("-m", calibrated, "--device", "cpu", "--precision", "float32", "--outlines")
    assert run("predict", photo, "-o", out, *options)[0] == 0
    with (out / "results.csv").open(newline="", encoding="utf-8-sig") as file:
        (row,) = csv.DictReader(file)
    assert (row["class set"], row["refer"]) == (BOTH, "no")
    assert [float(row[f"chance wrong{end}"]) for end in ("", " low", " high")] == [0.1, 0.0, 0.2]
    p = UMLPredictor.load(calibrated, "cpu", "float32").predict(read_image(photo).pixels).pixel_probability
    disc = p[1] + p[2]
    zones = (disc >= 0.3) * 1 + (disc >= 0.7)
    np.testing.assert_array_equal(tifffile.imread(out / "zones-disc.tif"), zones)
    for name in ("labels.tif", "uncertainty.tif", "overlay.png", "run.json", "results.csv"):
        (out / name).unlink()
    code, _, errors = run("predict", photo, "-o", out, *options)
    assert code == 2
    assert "zones-disc.tif" in errors
    assert not (out / "labels.tif").exists()
    (out / "zones-mine.tif").write_text("no structure of any model")
    (out / "zones-Disc.tif").write_text("of a former model with this name")
    assert run("predict", photo, "-o", out, *options[:-1], "--overwrite")[0] == 0
    assert not (out / "zones-disc.tif").exists()
    assert [path.name for path in out.glob("zones-*")] == ["zones-mine.tif"]


def test_report_says_what_the_calibration_knows_of_an_image_but_not_of_a_stack(
    calibrated: Path, photo: Path, tmp_path: Path
) -> None:
    write_nifti(tmp_path / "volume.nii.gz")
    predictor, pages = UMLPredictor.load(calibrated, "cpu", "float32"), []
    for path in (photo, tmp_path / "volume.nii.gz"):
        image = read_image(path)
        done = analyse(predictor, image, RunSettings())
        write_report(tmp_path / "r.html", image.pixels, done.prediction, done.record, predictor.info, overwrite=True)
        pages.append((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "With 90\N{NO-BREAK SPACE}% coverage: <b>" in pages[0]
    assert "<b>10\N{NO-BREAK SPACE}%</b> (x val, n = 20)" in pages[0]
    assert "coverage" not in pages[1]
    assert "calibrated for a slice, not for the whole stack" in pages[1]


def test_outlines_of_several_images_and_of_a_rectangle_lie_beside_their_labels(
    run: Callable[..., tuple[int, str, str]], calibrated: Path, photo: Path, tmp_path: Path
) -> None:
    out, volume = tmp_path / "out", tmp_path / "volume.nii.gz"
    write_nifti(volume)
    code = run("predict", photo, volume, "-o", out, "-m", calibrated, "--outlines", "--roi", "8,0,40,16")[0]
    assert code == 0
    for name in ("photo", "volume"):
        zones = tifffile.imread(out / name / "zones-disc.tif")
        assert zones.shape == tifffile.imread(out / name / "labels.tif").shape
        assert zones[..., 8:40, :16].any()
        assert not zones[..., :8, :].any()
        assert not zones[..., 16:].any()
    with (out / "results.csv").open(newline="", encoding="utf-8-sig") as file:
        sets = [(row["slice"], row["class set"]) for row in csv.DictReader(file)]
    assert sets == [("", BOTH), ("all", ""), ("0", BOTH), ("1", BOTH), ("2", BOTH)]


def test_outlines_of_structures_with_similar_names_have_files_of_their_own(info: WeightsInfo) -> None:
    contours = dict.fromkeys(("Left cup", "left_cup", "a/b"), Contours(inner=1, outer=0, spared=0, coverage=0.9, n=9))
    knots = (Knot(uncertainty=0, chance=0.1, low=0, high=0.2),)
    calibration = Calibration(dataset="x", split="val", n=9, knots=knots, referral_threshold=0.5, contours=contours)
    names = zone_files(info.model_copy(update={"calibration": calibration}))
    assert names == ("zones-Left_cup.tif", "zones-left_cup-2.tif", "zones-a_b.tif")


def test_outlines_of_a_model_without_them_are_refused(
    run: Callable[..., tuple[int, str, str]], weights: Path, photo: Path, tmp_path: Path
) -> None:
    code, _, errors = run("predict", photo, "-o", tmp_path / "out", "-m", weights, "--outlines")
    assert code == 2
    assert "Expected a model whose outlines were calibrated, tiny has none" in errors
    assert not (tmp_path / "out").exists()


def test_table_has_a_line_an_image_and_a_slice_in_the_order_typed(
    run: Callable[..., tuple[int, str, str]], weights: Path, tmp_path: Path
) -> None:
    for name, write in WRITERS.items():
        write(tmp_path / name)
    images = [tmp_path / name for name in ("volume.nii.gz", "photo.png", "deep.tif")]
    assert run("predict", *images, "-m", weights, "-o", tmp_path / "out")[0] == 0
    with (tmp_path / "out" / "results.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = [(row["file"], row["slice"]) for row in csv.DictReader(file)]
    volume, photo, deep = map(str, images)
    assert rows == [(volume, "all"), (volume, "0"), (volume, "1"), (volume, "2"), (photo, ""), (deep, "")]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["deep", "photo", "results.csv", "volume"]


def test_a_folder_stands_for_its_images_and_the_most_uncertain_may_come_first(
    run: Callable[..., tuple[int, str, str]], weights: Path, tmp_path: Path
) -> None:
    (folder := tmp_path / "images").mkdir()
    for name in ("b.png", "a.png", "c.png"):
        WRITERS["photo.png"](folder / name)
    (folder / "notes.txt").write_text("left, right", encoding="utf-8")
    Image.fromarray(255 - np.asarray(Image.open(folder / "b.png"))).save(folder / "b.png")
    command = ("predict", folder, "-m", weights, "-o", tmp_path / "out")
    assert run(*command)[0] == 0
    with (tmp_path / "out" / "results.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = [(row["folder"], float(row["u"])) for row in csv.DictReader(file)]
    assert [name for name, _ in rows] == ["a", "b", "c"]
    assert run(*command, "--by-uncertainty", "--overwrite")[0] == 0
    with (tmp_path / "out" / "results.csv").open(newline="", encoding="utf-8-sig") as file:
        assert [row["folder"] for row in csv.DictReader(file)] == [n for n, _ in sorted(rows, key=lambda row: -row[1])]


def test_one_slice_of_a_stack_is_looked_at_alone(
    run: Callable[..., tuple[int, str, str]], weights: Path, tmp_path: Path
) -> None:
    write_nifti(tmp_path / "volume.nii")
    assert run("predict", tmp_path / "volume.nii", "-m", weights, "-o", tmp_path / "out", "--slice", 1)[0] == 0
    expected = UMLPredictor.load(weights, "cpu").predict(read_image(tmp_path / "volume.nii").pixels[1])
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out" / "labels.tif"), expected.mask)
    assert not (tmp_path / "out" / "labels.nii.gz").exists()
    assert run("replay", tmp_path / "out" / "run.json")[0] == 0


def test_rectangle_is_recorded_and_replayed(
    run: Callable[..., tuple[int, str, str]], weights: Path, photo: Path, tmp_path: Path
) -> None:
    assert run("predict", photo, "-m", weights, "-o", tmp_path / "out", "--roi", "5,6,30,40")[0] == 0
    record = read_run(tmp_path / "out" / "run.json")
    assert record.settings.roi == record.slices[0].looked_at == Box(5, 6, 30, 40)
    assert record.slices[0].mean_uncertainty < 0.999  # of the rectangle, not of the rest
    assert run("replay", tmp_path / "out" / "run.json")[0] == 0


def test_images_of_one_name_get_folders_of_their_own(tmp_path: Path) -> None:
    names = ("a/scan.png", "b/scan.png", "scan-2.tif", "Scan.nii.gz", "c")
    folders = result_folders([tmp_path / name for name in names], tmp_path / "out")
    assert [folder.name for folder in folders] == ["scan", "scan-2", "scan-2-2", "Scan-3", "c"]


def test_an_image_that_the_memory_is_too_small_for_is_one_sentence(
    weights: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = UMLPredictor.load(weights, "cpu", "float32")

    def too_large(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(analysis, "analyse", too_large)
    with pytest.raises(MemoryLimitError, match=r"photo\.png: the memory is too small for it; close"):
        analyse_file(predictor, photo, tmp_path / "out", RunSettings())


def test_folders_of_results_lie_in_the_output_folder_whatever_the_image_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scans" / "inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "scans" / "inner")
    folders = result_folders([Path(name) for name in ("..", ".", "...png", "a..png", "a .png")], Path("out"))
    assert [str(folder.relative_to("out")) for folder in folders] == ["scans", "inner", "image", "a", "a-2"]


def test_results_beside_the_image_are_no_images(tmp_path: Path) -> None:
    for name in ("overlay.png", "scan.png", "labels.tif"):
        (tmp_path / name).touch()
    assert [path.name for path in images_of(tmp_path)] == ["labels.tif", "overlay.png", "scan.png"]
    (tmp_path / "run.json").touch()
    assert [path.name for path in images_of(tmp_path)] == ["scan.png"]
    assert images_of(tmp_path / "overlay.png") == [tmp_path / "overlay.png"]  # it was asked for
    (tmp_path / "scan.png").unlink()
    with pytest.raises(ImageError, match="got one with results alone"):
        images_of(tmp_path)


def test_image_that_cannot_be_read_is_reported_and_the_others_are_done(
    run: Callable[..., tuple[int, str, str]], weights: Path, photo: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.png").write_text("no image")
    code, said, errors = run("predict", tmp_path / "bad.png", photo, "-m", weights, "-o", tmp_path / "out")
    assert code == 2
    error, warning = errors.splitlines()
    assert "bad.png: expected an image" in error
    assert warning.startswith("photo.png: The image is grey")
    assert "1 of 2 images done" in said
    assert (tmp_path / "out" / "photo" / "run.json").exists()


def test_nothing_is_overwritten_unasked(
    run: Callable[..., tuple[int, str, str]], weights: Path, photo: Path, tmp_path: Path
) -> None:
    command = ("predict", photo, "-m", weights, "-o", tmp_path / "out")
    assert run(*command)[0] == 0
    before = (tmp_path / "out" / "run.json").read_bytes()
    code, _, errors = run(*command, "--seed", 1)
    assert (code, (tmp_path / "out" / "run.json").read_bytes()) == (2, before)
    assert "is there already" in errors
    assert run(*command, "--seed", 1, "--overwrite")[0] == 0
    assert (tmp_path / "out" / "run.json").read_bytes() != before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--roi", "1,2,3"), "four whole numbers top,left,bottom,right"),
        (("--roi", "5,5,5,9"), "top < bottom"),
        (("--roi", "0,0,41,10"), "rectangle inside the image of 40 x 48 pixels"),
        (("--sigma", "2"), "sigma from 0 to 1"),
        (("--sigma", "much"), "Invalid value for '--sigma'"),
        (("--corruption", "fog=1"), "Expected a corruption among blur"),
        (("--corruption", "blur"), "KIND=STRENGTH such as blur=2"),
        (("--slice", "0"), "expected a stack to take slice 0 from"),
        (("--device", "cuda:77"), "Expected a device among"),
        (("--precision", "int4"), "Expected a precision among"),
        (("--nonsense",), "No such option"),
        (("-m", "no-such-model"), "no-such-model"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    run: Callable[..., tuple[int, str, str]],
    weights: Path,
    photo: Path,
    tmp_path: Path,
    options: tuple[str, ...],
    words: str,
) -> None:
    code, said, errors = run("predict", photo, "-m", weights, "-o", tmp_path / "out", *options)
    assert (code, said) == (2, "")
    assert len(errors.splitlines()) == 1
    assert words in errors
    assert not (tmp_path / "out").exists()


def test_missing_image_and_missing_command_are_one_line(
    run: Callable[..., tuple[int, str, str]], weights: Path, tmp_path: Path
) -> None:
    for arguments in (("predict", tmp_path / "no.png", "-m", weights, "-o", tmp_path), ("nonsense",), ("predict",)):
        code, _, errors = run(*arguments)
        assert code == 2
        assert len(errors.splitlines()) == 1


def test_a_library_that_is_not_installed_is_one_line_with_what_brings_it(
    run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, photo: Path
) -> None:
    def missing(name: str) -> Callable[..., int]:
        def app(**_: object) -> int:
            raise ModuleNotFoundError(name=name)

        return app

    monkeypatch.setattr(cli, "app", missing("sklearn.metrics"))
    code, _, errors = run("train", photo)
    assert code == 2
    assert 'This needs sklearn, which is not installed. Run pip install "napari-uml[train]".' in errors
    monkeypatch.setattr(cli, "app", missing("napari_uml.nothing"))
    with pytest.raises(ModuleNotFoundError):
        run("train", photo)


def test_debug_shows_the_traceback(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--roi"):
        main(["predict", "no.png", "-m", str(weights), "-o", str(tmp_path), "--roi", "1", "--debug"])


def test_interrupt_is_one_line_and_exit_code_130(
    run: Callable[..., tuple[int, str, str]],
    weights: Path,
    photo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(UMLPredictor, "load", interrupt)
    assert run("predict", photo, "-m", weights, "-o", tmp_path / "out") == (130, "", "napari-uml: interrupted.\n")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def cohort(photo: Path, tmp_path: Path) -> tuple[Path, ...]:
    """Return three photographs."""
    Image.fromarray(PIXELS[::-1]).save(tmp_path / "second.png")
    Image.fromarray(PIXELS[:, ::-1]).save(tmp_path / "third.png")
    return photo, tmp_path / "second.png", tmp_path / "third.png"


@pytest.fixture
def end_at_second(monkeypatch: pytest.MonkeyPatch) -> Callable[[signal.Signals], None]:
    """Return a function that lets the system ask for the end when the second image is looked at."""

    def arrange(request: signal.Signals) -> None:
        predict, asked = UMLPredictor.predict_slices, []

        def interrupted(*arguments: object, **named: object) -> object:
            asked.append(arguments)
            if len(asked) == 2:
                signal.raise_signal(request)
            return predict(*arguments, **named)

        monkeypatch.setattr(UMLPredictor, "predict_slices", interrupted)

    return arrange


@pytest.mark.parametrize("request_", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "shutdown"])
def test_interrupted_cohort_keeps_what_is_done(
    run: Callable[..., tuple[int, str, str]],
    weights: Path,
    cohort: tuple[Path, ...],
    tmp_path: Path,
    end_at_second: Callable[[signal.Signals], None],
    request_: signal.Signals,
) -> None:
    end_at_second(request_)
    assert run("predict", *cohort, "-m", weights, "-o", tmp_path / "out")[0] == 130
    assert [row["file"] for row in rows_of(tmp_path / "out" / "results.csv")] == [str(cohort[0])]


def test_interrupted_repetition_keeps_the_rows_of_what_was_not_done_again(
    run: Callable[..., tuple[int, str, str]],
    weights: Path,
    cohort: tuple[Path, ...],
    tmp_path: Path,
    end_at_second: Callable[[signal.Signals], None],
) -> None:
    arguments = ("predict", *cohort, "-m", weights, "-o", tmp_path / "out")
    assert run(*arguments)[0] == 0
    end_at_second(signal.SIGTERM)
    assert run(*arguments, "--overwrite", "--sigma", "0.1")[0] == 130
    rows = rows_of(tmp_path / "out" / "results.csv")
    assert [(row["file"], float(row["sigma"])) for row in rows] == list(zip(map(str, cohort), (0.1, 0, 0), strict=True))
    assert [row["folder"] for row in rows] == [path.stem for path in cohort]


def test_table_tells_damage_rectangle_and_weights_apart(
    run: Callable[..., tuple[int, str, str]],
    weights: Path,
    photo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NAPARI_UML_CACHE", str(tmp_path / "cache"))
    import_weights(weights, "clinic")
    options = ("--roi", "5,6,30,40", "--corruption", "blur=2")
    assert run("predict", photo, "-m", "clinic", "-o", tmp_path / "out", *options)[0] == 0
    (row,) = rows_of(tmp_path / "out" / "results.csv")
    assert (row["corruption"], row["rectangle"], row["model"]) == ("blur=2.0", "5,6,30,40", "clinic")
    assert row["model sha256"] == sha256(weights)
    assert "folder" not in row


def test_two_damages_are_refused(
    run: Callable[..., tuple[int, str, str]], weights: Path, photo: Path, tmp_path: Path
) -> None:
    options = ("--corruption", "blur=2", "--corruption", "jpeg=20")
    code, _, errors = run("predict", photo, "-m", weights, "-o", tmp_path / "out", *options)
    assert code == 2
    assert "Expected one --corruption, got 2 (blur=2, jpeg=20)" in errors


def test_results_cannot_go_below_a_file(run: Callable[..., tuple[int, str, str]], weights: Path, photo: Path) -> None:
    code, _, errors = run("predict", photo, photo, "-m", weights, "-o", photo / "out")
    assert (code, errors.count("\n")) == (2, 1)
    assert "is a file; choose another one" in errors


def test_without_arguments_the_help_lists_the_commands(run: Callable[..., tuple[int, str, str]]) -> None:
    code, said, _ = run()
    assert code == 0
    assert all(command in said for command in ("predict", "replay", "demo"))


@pytest.fixture
def recorded(run: Callable[..., tuple[int, str, str]], weights: Path, photo: Path, tmp_path: Path) -> Path:
    run("predict", photo, "-m", weights, "-o", tmp_path / "out", "--device", "cpu", "--precision", "float32")
    return tmp_path / "out" / "run.json"


def edit(path: Path, change: Callable[[dict], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_replay_that_does_not_agree_says_by_how_much_and_exits_with_1(
    run: Callable[..., tuple[int, str, str]], recorded: Path
) -> None:
    def change(content: dict) -> None:
        content["opinion"]["uncertainty"] += 0.02

    edit(recorded, change)
    code, said, _ = run("replay", recorded)
    assert code == 1
    assert "DO NOT agree: the largest difference is 0.02 (uncertainty), the tolerance 0;" in said


def test_replay_with_another_precision_agrees_within_a_hundredth(
    run: Callable[..., tuple[int, str, str]], recorded: Path
) -> None:
    code, said, _ = run("replay", recorded, "--precision", "bf16")
    assert code == 0
    assert "the tolerance 0.01" in said
    assert f"recorded on {cpu()}, float32, repeated on {cpu()}, bf16" in said


def test_replay_says_that_the_recorded_device_is_not_here(
    run: Callable[..., tuple[int, str, str]], recorded: Path
) -> None:
    edit(recorded, lambda content: content.update(device="cuda:9", device_description="Some GPU"))
    code, _, errors = run("replay", recorded)
    assert code == 0
    assert "recorded on cuda:9, which is not here" in errors


def test_replay_says_what_is_gone_and_takes_its_new_place(
    run: Callable[..., tuple[int, str, str]], recorded: Path, photo: Path, tmp_path: Path
) -> None:
    moved = photo.rename(tmp_path / "moved.png")
    code, _, errors = run("replay", recorded)
    assert code == 2
    assert "photo.png, it is no longer there. Name the file with --image" in errors
    assert run("replay", recorded, "--image", moved)[0] == 0
    Image.fromarray(PIXELS[::-1]).save(moved)
    code, _, errors = run("replay", recorded, "--image", moved)
    assert code == 2
    assert "moved.png has changed since the recorded run" in errors


def test_replay_refuses_other_weights(run: Callable[..., tuple[int, str, str]], recorded: Path, tmp_path: Path) -> None:
    edit(recorded, lambda content: content["model"].update(path=str(tmp_path / "gone"), sha256="0" * 64))
    code, _, errors = run("replay", recorded)
    assert code == 2
    assert "they are not on this computer; name their file with --model" in errors


@pytest.mark.parametrize("text", ["1 , 2,3, 4", "1,2,3,4"])
def test_rectangle_is_read_from_text(text: str) -> None:
    assert parse_box(text) == Box(1, 2, 3, 4)


def test_folder_of_results_that_is_there_stops_the_demo(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    (tmp_path / "window.png").touch()
    code, _, errors = run("demo", "--output", tmp_path)
    assert code == 2
    assert "window.png is there already" in errors


def test_an_image_unlike_the_training_images_is_warned_of_everywhere(
    run: Callable[..., tuple[int, str, str]], weights: Path, photo: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, _, err = run("predict", photo, "-o", out, "-m", weights, "--device", "cpu")
    (warning,) = read_run(out / "run.json").slices[0].warnings
    assert "The image is grey, the model was trained on colour images" in warning
    assert (code, err) == (0, f"{photo.name}: {warning}\n")
    with (out / "results.csv").open(encoding="utf-8-sig", newline="") as file:
        assert [row["warnings"] for row in csv.DictReader(file)] == [warning]


def test_of_a_stack_the_first_unusual_slice_is_told(
    info: WeightsInfo, make_image: Any, make_prediction: Any, tmp_path: Path
) -> None:
    usual = 0.5 + np.linspace(-0.3, 0.3, 32 * 32, dtype=np.float32).reshape(32, 32)
    image = make_image((3, 32, 32), tmp_path / "scan.tif", True)
    image = replace(image, pixels=np.stack([usual, usual / 2 + 0.5, usual / 2 + 0.5]))
    grey = info.task.model_copy(update={"channels": 1})
    of_grey = {"task": grey, "image_size": 32, "intensity": {"mean": (0.5,), "std": (0.15,)}}
    prediction, model = make_prediction(np.zeros((3, 32, 32), np.uint8)), info.model_copy(update=of_grey)
    record = make_record(image, prediction, model, RunSettings(), weights_sha256="")
    assert [len(one.warnings) for one in record.slices] == [0, 1, 1]
    assert warnings_of(record)[0].startswith("Slice 1, one of 2 unusual ones: The image is brighter")


@pytest.mark.parametrize("unlike", [False, True])
def test_an_unlike_image_has_no_set_of_classes_and_no_chance_of_an_error(
    info: WeightsInfo, make_image: Any, make_prediction: Any, tmp_path: Path, unlike: bool
) -> None:
    knots = (Knot(uncertainty=0.5, chance=0.25, low=0.1, high=0.3),)
    fitted = Calibration(
        dataset="Disc", split="val", n=9, knots=knots, referral_threshold=0.5, class_set_threshold=0.01
    )
    model, image = info.model_copy(update={"calibration": fitted}), make_image((32, 32), tmp_path / "scan.tif", False)
    prediction = replace(make_prediction(np.zeros((32, 32), np.uint8)), unlike=(unlike,), sigma=0.1)
    record = make_record(image, prediction, model, RunSettings(), weights_sha256="")
    assert record.slices[0].unlike == unlike
    assert any("With this noise" in sentence for sentence in record.slices[0].warnings) == unlike
    opinion = record.slices[0].opinion
    assert record.opinion == opinion
    assert (opinion.class_set is None) == (opinion.chance_wrong is None) == opinion.refer == unlike
    told = in_words(record)
    assert ("let an expert look" in told) == ("wrong in 25" not in told) == unlike
    write_report(tmp_path / "report.html", image.pixels, prediction, record, model)
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert ("not known" in report) == unlike
    assert ("25\N{NO-BREAK SPACE}%" in report) != unlike


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a display")
def test_demo_without_a_display_is_one_line(
    run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    code, _, err = run("demo", "-o", tmp_path / "out")
    assert (code, err.count("\n")) == (2, 1)
    assert "Expected a display to open napari on, there is none" in err
