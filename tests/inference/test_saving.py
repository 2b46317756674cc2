"""What is written to disk reads back as it was, with its geometry, and nothing is overwritten unasked."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image
from tests.test_dicom import dicom, placed

from napari_uml.data.reading import read_image
from napari_uml.errors import UMLError
from napari_uml.inference.run_record import RunSettings, make_record, read_run
from napari_uml.inference.saving import LABELS, RUN, UNCERTAINTY, save_prediction, write_tiff

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_uml.data.reading import LoadedImage
    from napari_uml.results import Prediction
    from napari_uml.weights import WeightsInfo


def random_mask(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 3, shape, dtype=np.uint8)


def save(
    folder: Path,
    image: LoadedImage,
    prediction: Prediction,
    info: WeightsInfo,
    overwrite: bool = False,
    **settings: int,
) -> tuple[Path, ...]:
    record = make_record(image, prediction, info, RunSettings(**settings), weights_sha256="00")
    return save_prediction(folder, image, prediction, record, info.task, overwrite=overwrite).files


def test_files_of_an_image_read_back_as_they_were(
    tmp_path: Path,
    info: WeightsInfo,
    make_prediction: Callable[..., Prediction],
    make_image: Callable[..., LoadedImage],
) -> None:
    prediction = make_prediction(random_mask(20, 30))
    files = save(tmp_path / "new" / "out", make_image((20, 30), Path("scan.png")), prediction, info)
    assert sorted(file.name for file in files) == ["labels.tif", "overlay.png", "run.json", "uncertainty.tif"]
    assert sorted((tmp_path / "new" / "out").iterdir()) == sorted(files)
    labels, uncertainty = (tifffile.imread(tmp_path / "new" / "out" / name) for name in (LABELS, UNCERTAINTY))
    assert (labels.dtype, uncertainty.dtype) == (np.uint8, np.float32)
    np.testing.assert_array_equal(labels, prediction.mask)
    np.testing.assert_array_equal(uncertainty, prediction.pixel_uncertainty)
    assert read_run(tmp_path / "new" / "out" / RUN).slices[0].opinion.predicted == "glaucoma"


def test_pixel_size_is_in_the_resolution_tags_of_an_image(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", random_mask(8, 9), (0.25, 0.5), ("mm", "mm"))
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        page = tif.pages[0]
        assert page.tags["ResolutionUnit"].value == tifffile.RESUNIT.CENTIMETER
        assert page.get_resolution(tifffile.RESUNIT.MILLIMETER) == pytest.approx((2, 4))
    read = read_image(tmp_path / "a.tif")
    assert read.spacing == pytest.approx((0.25, 0.5))
    assert read.units == ("mm", "mm")


def test_distance_of_slices_is_kept(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", random_mask(3, 8, 9), (2.5, 0.25, 0.5), ("mm", "mm", "mm"))
    read = read_image(tmp_path / "a.tif")
    assert read.is_stack
    assert read.spacing == pytest.approx((2.5, 0.25, 0.5))


def test_unknown_pixel_size_stays_unknown(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", random_mask(8, 9))
    assert read_image(tmp_path / "a.tif").spacing is None


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_labels_of_a_volume_lie_on_its_voxels_in_its_own_orientation(
    tmp_path: Path, info: WeightsInfo, make_prediction: Callable[..., Prediction], ending: str
) -> None:
    turned = np.array([[0, -0.7, 0.1, 5], [-0.6, 0, 0, -3], [0, 0.1, 2.0, 9], [0, 0, 0, 1]])
    voxels = np.random.default_rng(0).integers(0, 200, (9, 7, 4)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(voxels, turned), tmp_path / f"volume{ending}")
    image = read_image(tmp_path / f"volume{ending}")
    bright = (image.pixels > image.pixels.mean()).astype(np.uint8)
    save(tmp_path / "out", image, make_prediction(bright), info)
    uncertainty = nibabel.load(tmp_path / "out" / "uncertainty.nii.gz")
    np.testing.assert_allclose(uncertainty.affine, turned, atol=1e-5)
    assert uncertainty.shape == voxels.shape
    np.testing.assert_allclose(uncertainty.get_fdata(), 0.25)
    labels = nibabel.load(tmp_path / "out" / "labels.nii.gz")
    np.testing.assert_allclose(labels.affine, turned, atol=1e-5)
    assert labels.get_data_dtype() == np.uint8
    scaled = voxels / 255
    np.testing.assert_array_equal(np.asarray(labels.dataobj), scaled > scaled.mean())


def test_nothing_of_an_earlier_answer_stays_but_the_image_itself(
    tmp_path: Path, info: WeightsInfo, make_prediction: Callable[..., Prediction]
) -> None:
    voxels = np.random.default_rng(0).integers(0, 200, (9, 7, 4)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / "labels.nii.gz")  # of a name that results have, too
    image = read_image(tmp_path / "labels.nii.gz")
    mask = (image.pixels > image.pixels.mean()).astype(np.uint8)
    save(tmp_path / "out", image, make_prediction(mask), info)
    assert (tmp_path / "out" / "labels.nii.gz").exists()
    save(tmp_path / "out", image, make_prediction(mask[2]), info, overwrite=True, slice_number=2)
    assert sorted(path.name for path in (tmp_path / "out").glob("*.nii.gz")) == []
    save(tmp_path, image, make_prediction(mask[2]), info, overwrite=True, slice_number=2)
    np.testing.assert_array_equal(nibabel.load(tmp_path / "labels.nii.gz").get_fdata(), voxels)


@pytest.mark.parametrize("name", ["labels.tif", "overlay.png"])
def test_the_image_is_never_overwritten(
    tmp_path: Path, info: WeightsInfo, make_prediction: Callable[..., Prediction], name: str
) -> None:
    Image.fromarray(random_mask(9, 7)).save(tmp_path / name)
    before = (tmp_path / name).read_bytes()
    with pytest.raises(UMLError, match=f"{name} is the image itself; choose another"):
        save(tmp_path, read_image(tmp_path / name), make_prediction(random_mask(9, 7)), info, overwrite=True)
    assert (tmp_path / name).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_slice_of_a_series_that_is_named_as_results_are_stays(
    tmp_path: Path, info: WeightsInfo, make_prediction: Callable[..., Prediction]
) -> None:
    for number, name in enumerate(("labels.dcm", "second.dcm")):
        dicom(tmp_path / name, **placed(float(number)))
    image = read_image(tmp_path)
    answer = make_prediction(np.ones(image.pixels.shape[1:], np.uint8))
    save(tmp_path, image, answer, info, overwrite=True, slice_number=1)
    assert (tmp_path / "labels.dcm").exists()
    assert (tmp_path / "labels.tif").exists()


def test_single_slice_of_a_volume_has_no_volume_of_labels(
    tmp_path: Path,
    info: WeightsInfo,
    make_prediction: Callable[..., Prediction],
    make_image: Callable[..., LoadedImage],
) -> None:
    image = make_image((7, 9), tmp_path / "volume.nii")
    files = save(tmp_path, image, make_prediction(random_mask(7, 9)), info, slice_number=2)
    assert not {"labels.nii.gz", "uncertainty.nii.gz"} & {file.name for file in files}


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Return a series of three slices, whose names are not in the order of their places."""
    folder = tmp_path / "series"
    folder.mkdir()
    scan = pydicom.dcmread(pydicom.data.get_testdata_file("CT_small.dcm"))
    for number, height in enumerate((10.0, 0.0, 5.0)):
        scan.ImagePositionPatient = [0.0, 0.0, height]
        scan.SOPInstanceUID = scan.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        scan.save_as(folder / f"{number}.dcm")
    return folder


@pytest.mark.parametrize("is_empty", [False, True])
def test_a_series_gets_a_dicom_segmentation_that_refers_to_its_files(
    tmp_path: Path, info: WeightsInfo, make_prediction: Callable[..., Prediction], scans: Path, is_empty: bool
) -> None:
    image, mask = read_image(scans), np.zeros((3, 128, 128), np.uint8)
    if not is_empty:
        mask[0, 5:20, 8:30], mask[2, 60:90, 60:70] = 1, 2
    files = save(tmp_path / "out", image, make_prediction(mask), info)
    assert tmp_path / "out" / "labels.dcm" in files
    written = highdicom.seg.segread(tmp_path / "out" / "labels.dcm")
    labels = [written.get_segment_description(number).segment_label for number in (1, 2)]
    assert labels == [*info.task.seg_classes[1:]]
    uids = [pydicom.dcmread(file).SOPInstanceUID for file in image.files]
    found = written.get_pixels_by_source_instance(
        uids, combine_segments=True, assert_missing_frames_are_empty=True, ignore_spatial_locations=True
    )
    np.testing.assert_array_equal(found, mask)
    assert written.ContentDescription == "Research use only, not a medical device"
    shutil.copy(tmp_path / "out" / "labels.dcm", scans)
    assert read_image(scans).files == image.files  # the series is still one


def test_a_colour_that_dicom_has_not_is_said(
    tmp_path: Path, info: WeightsInfo, make_prediction: Callable[..., Prediction], scans: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    task = info.task.model_copy(update={"seg_colors": ("#000000", "red", "blue")})
    files = save(
        tmp_path / "out", read_image(scans), make_prediction(np.zeros((3, 128, 128), np.uint8)),
        info.model_copy(update={"task": task}),
    )  # fmt: skip
    assert tmp_path / "out" / "run.json" in files
    assert "make no DICOM Segmentation" in caplog.text


def test_a_dicom_image_that_cannot_be_referred_to_is_saved_without_one(
    tmp_path: Path, info: WeightsInfo, make_prediction: Callable[..., Prediction], caplog: pytest.LogCaptureFixture
) -> None:
    path = dicom(tmp_path / "scan.dcm")  # it names neither patient nor study
    image = read_image(path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "labels.dcm").write_bytes(b"of an earlier answer")
    mask = np.ones(image.pixels.shape, np.uint8)
    files = save(tmp_path / "out", image, make_prediction(mask), info, overwrite=True)
    assert {"labels.tif", "run.json"} <= {file.name for file in files}
    assert not (tmp_path / "out" / "labels.dcm").exists()
    assert "scan.dcm: no labels.dcm was written. scan.dcm and the model make no DICOM Segmentation" in caplog.text


def test_files_that_are_there_are_kept_unless_asked(
    tmp_path: Path,
    info: WeightsInfo,
    make_prediction: Callable[..., Prediction],
    make_image: Callable[..., LoadedImage],
) -> None:
    image, prediction = make_image((20, 30), Path("scan.png")), make_prediction(random_mask(20, 30))
    (tmp_path / RUN).write_text("mine")
    with pytest.raises(UMLError, match=r"run.json is there already; choose"):
        save(tmp_path, image, prediction, info)
    assert [file.name for file in tmp_path.iterdir()] == [RUN]
    save(tmp_path, image, prediction, info, overwrite=True)
    assert read_run(tmp_path / RUN).model.name == "tiny"


def test_file_that_cannot_be_written_leaves_no_part_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(path: Path, *_: object, **__: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tifffile, "imwrite", break_off)
    (tmp_path / "a.tif").write_text("before")
    with pytest.raises(UMLError, match=r"a.tif cannot be written: No space left"):
        write_tiff(tmp_path / "a.tif", random_mask(4, 4))
    assert [file.name for file in tmp_path.iterdir()] == ["a.tif"]
    assert (tmp_path / "a.tif").read_text() == "before"


def test_folder_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UMLError, match="cannot be written"):
        write_tiff(tmp_path / "out" / "a.tif", random_mask(4, 4))
