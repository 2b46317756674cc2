"""DICOM files and series: rescale, window, colour, frames, positions; checked against pydicom's own window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_modality_lut, apply_windowing
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from napari_uml.data.reading import images_in, read_image
from napari_uml.errors import ImageError

RAMP = np.linspace(0, 4000, 600).reshape(20, 30).astype(np.uint16)


def dicom(path: Path, pixels: np.ndarray = RAMP, **elements: Any) -> Path:
    """Write a file of one image (H, W[, 3]), or of the frames that `NumberOfFrames` says."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = SecondaryCaptureImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = pydicom.uid.generate_uid()
    ds.SeriesInstanceUID, ds.Modality = "1.2.3", "OT"
    colour = pixels.shape[-1] == 3
    ds.Rows, ds.Columns = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = (3, "RGB") if colour else (1, "MONOCHROME2")
    if colour:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated = ds.BitsStored = 8 * pixels.itemsize
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    ds.PixelData = pixels.tobytes()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    ds.HighBit = ds.BitsStored - 1
    ds.save_as(path, enforce_file_format=True)
    return path


def placed(z: float, **elements: Any) -> dict[str, Any]:
    """Elements of an axial slice at a height."""
    position = {"ImagePositionPatient": [-10, -20, z], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
    return {**position, "PixelSpacing": [0.5, 0.25], **elements}


# numbers


@pytest.mark.parametrize(
    ("elements", "white"),
    [({"BitsStored": 12}, 4095), ({"BitsStored": 16}, 4095), ({"BitsStored": 14}, 16383)],
    ids=["12 bits stored", "16 bits stored say nothing", "14 bits stored"],
)
def test_bits_stored_are_the_white_unless_they_are_all(tmp_path: Path, elements: dict[str, int], white: int) -> None:
    image = read_image(dicom(tmp_path / "a.dcm", **elements))
    np.testing.assert_allclose(image.pixels, RAMP / white, atol=1e-6)
    assert str(white) in image.scaling


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_the_first_window_is_applied_after_the_rescale_as_pydicom_does(tmp_path: Path, function: str) -> None:
    path = dicom(
        tmp_path / "a.dcm", RescaleSlope=2, RescaleIntercept=-1000, RescaleType="HU", BitsStored=12,
        WindowCenter=[2000, 40], WindowWidth=[3000, 400], VOILUTFunction=function,
    )  # fmt: skip
    ds = pydicom.dcmread(path)
    units = apply_modality_lut(ds.pixel_array, ds)
    shown = apply_windowing(units, ds)
    low, high = -1000, 2 * 4095 - 1000  # what pydicom's window spreads over
    image = read_image(path)
    np.testing.assert_allclose(image.pixels, (shown - low) / (high - low), atol=1e-5)
    assert image.scaling == "DICOM window, centre 2000, width 3000"


def test_hounsfield_units_without_a_window_are_stretched_between_percentiles(tmp_path: Path) -> None:
    image = read_image(dicom(tmp_path / "a.dcm", RescaleSlope=1, RescaleIntercept=-1024))
    assert "percentile" in image.scaling
    assert image.scaling.startswith("-1")
    assert (image.pixels.min(), image.pixels.max()) == (0, 1)


def test_signed_numbers_are_read(tmp_path: Path) -> None:
    image = read_image(dicom(tmp_path / "a.dcm", RAMP.astype(np.int16) - 2000, WindowCenter=0, WindowWidth=2000))
    np.testing.assert_allclose(image.pixels, np.clip((RAMP - 2000.0 + 0.5) / 1999 + 0.5, 0, 1), atol=1e-5)


def test_a_window_of_no_width_is_ignored(tmp_path: Path) -> None:
    image = read_image(dicom(tmp_path / "a.dcm", WindowCenter=0, WindowWidth=0, BitsStored=12))
    assert image.scaling == "value / 4095 (12 bits)"


def test_monochrome1_is_inverted_after_the_window(tmp_path: Path) -> None:
    window = {"WindowCenter": 2000, "WindowWidth": 3000}
    plain = read_image(dicom(tmp_path / "a.dcm", **window))
    inverted = read_image(dicom(tmp_path / "b.dcm", PhotometricInterpretation="MONOCHROME1", **window))
    np.testing.assert_allclose(inverted.pixels, 1 - plain.pixels, atol=1e-6)
    assert inverted.scaling.endswith("inverted")


def test_a_voi_lookup_table_is_applied(tmp_path: Path) -> None:
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [256, 0, 8], [255 - i for i in range(256)]
    table["LUTData"].VR = "US"
    pixels = np.arange(256, dtype=np.uint16).reshape(16, 16)
    image = read_image(dicom(tmp_path / "a.dcm", pixels, VOILUTSequence=[table]))
    np.testing.assert_allclose(image.pixels, 1 - pixels / 255, atol=1e-6)
    assert image.scaling == "DICOM lookup table"


def test_rgb_stays_rgb(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    np.testing.assert_allclose(read_image(dicom(tmp_path / "a.dcm", rgb)).pixels, rgb / 255, rtol=1e-6)


def test_ybr_becomes_rgb(tmp_path: Path) -> None:
    ybr = np.broadcast_to(np.array([76, 85, 255], np.uint8), (20, 30, 3)).copy()  # red
    ybr[0, 0] = (0, 128, 128)
    image = read_image(dicom(tmp_path / "a.dcm", ybr, PhotometricInterpretation="YBR_FULL"))
    np.testing.assert_allclose(image.pixels[5, 5], (1, 0, 0), atol=0.01)
    np.testing.assert_allclose(image.pixels[0, 0], (0, 0, 0), atol=0.01)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("examples_palette.dcm", (350, 800, 3)),
        ("SC_rgb_jpeg_dcmtk.dcm", (100, 100, 3)),
        ("SC_ybr_full_422_uncompressed.dcm", (100, 100, 3)),
        ("MR_small_RLE.dcm", (64, 64)),
        ("MR_small_jp2klossless.dcm", (64, 64)),
        ("MR_small_bigendian.dcm", (64, 64)),
        ("SC_rgb_rle_2frame.dcm", (2, 100, 100, 3)),
    ],
)
def test_pydicoms_own_examples_are_read(name: str, shape: tuple[int, ...]) -> None:
    image = read_image(Path(pydicom.data.get_testdata_file(name)))
    assert image.pixels.shape == shape
    assert 0 <= image.pixels.min() < image.pixels.max() <= 1


# geometry


def test_a_slice_has_the_spacing_and_affine_of_its_header(tmp_path: Path) -> None:
    image = read_image(dicom(tmp_path / "a.dcm", **placed(7, SliceThickness=4)))
    assert image.spacing == (0.5, 0.25)
    assert image.affine is not None
    column_3_row_2 = image.affine @ (3, 2, 0, 1)
    np.testing.assert_allclose(column_3_row_2[:3], (10 - 3 * 0.25, 20 - 2 * 0.5, 7))  # right, anterior, superior


def test_ultrasound_is_measured_by_its_calibrated_region(tmp_path: Path) -> None:
    region = Dataset()
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX, region.PhysicalDeltaY = 0.01, 0.02
    image = read_image(dicom(tmp_path / "a.dcm", SequenceOfUltrasoundRegions=[region]))
    assert image.spacing == pytest.approx((0.2, 0.1))


def test_an_image_without_spacing_is_in_pixels(tmp_path: Path) -> None:
    image = read_image(dicom(tmp_path / "a.dcm"))
    assert (image.spacing, image.units, image.affine) == (None, ("pixel", "pixel"), None)


# series and frames


def series(folder: Path, heights: list[float], **elements: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for number, z in enumerate(heights):
        dicom(folder / f"{number:02}", RAMP + np.uint16(z), **placed(z, InstanceNumber=number + 1, **elements))
    return folder


def test_a_series_is_sorted_by_position_and_not_by_name_or_number(tmp_path: Path) -> None:
    image = read_image(series(tmp_path / "chest", [9, 3, 6, 0], BitsStored=12))
    assert image.is_stack
    np.testing.assert_allclose(image.pixels[:, 0, 0] * 4095, (0, 3, 6, 9), atol=1e-3)
    assert image.spacing == pytest.approx((3, 0.5, 0.25))
    assert [file.name for file in image.files] == ["03", "01", "02", "00"]


def test_images_beside_a_series_are_said_to_be_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = series(tmp_path / "chest", [0, 1])
    read_image(folder)
    assert caplog.messages == []
    for name in ("b.png", "a.PNG", "notes.txt"):
        (folder / name).write_text("whatever")
    assert len(read_image(folder).pixels) == 2
    assert caplog.messages == ["chest: left out what is no DICOM, a.PNG (and 1 more); to analyse it, name it itself."]


def test_the_affine_of_a_series_reaches_its_last_slice(tmp_path: Path) -> None:
    image = read_image(series(tmp_path / "chest", [9, 3, 6, 0]))
    assert image.affine is not None
    np.testing.assert_allclose(image.affine @ (0, 0, 3, 1), (10, 20, 9, 1))


def test_slices_that_are_not_evenly_apart_have_no_place_in_the_patient(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = read_image(series(tmp_path / "chest", [0, 3, 12], SpacingBetweenSlices=3))
    assert (image.spacing, image.affine) == ((3, 0.5, 0.25), None)
    assert caplog.messages == ["chest: the slices are not evenly apart, so where they lie in the patient is left out."]


def test_slices_at_one_place_or_without_a_pixel_size_are_not_called_uneven(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert read_image(series(tmp_path / "plain", [0, 3, 6], PixelSpacing=None)).affine is None
    assert not caplog.messages


def test_a_series_is_windowed_as_its_middle_slice(tmp_path: Path) -> None:
    folder = series(tmp_path / "head", [0, 1, 2], WindowCenter=1000, WindowWidth=2000)
    dicom(folder / "00", **placed(0, WindowCenter=50, WindowWidth=10))
    assert read_image(folder).scaling == "DICOM window, centre 1000, width 2000"


def test_files_that_are_alone_in_their_series_are_images_of_their_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, series_uid in (("b", "1.2.4"), ("a", "1.2.3")):
        dicom(tmp_path / name, SeriesInstanceUID=series_uid)
    dicom(tmp_path / "labels.dcm", SeriesInstanceUID="1.2.5", Modality="SEG")
    (tmp_path / "photo.png").touch()
    assert images_in(tmp_path) == [tmp_path / "a", tmp_path / "b", tmp_path / "photo.png"]
    assert caplog.messages == ["labels.dcm: left out, it holds no image."]
    dicom(tmp_path / "c", SeriesInstanceUID="1.2.4")
    assert images_in(tmp_path) == [tmp_path]  # which is refused: nobody says which slices are wanted
    with pytest.raises(ImageError, match="got 2 series"):
        read_image(tmp_path)


def test_slices_without_positions_follow_their_instance_numbers(tmp_path: Path) -> None:
    for name, number in (("a", 3), ("b", 1), ("c", 2)):
        dicom(tmp_path / name, RAMP + np.uint16(number), InstanceNumber=number, BitsStored=12)
    image = read_image(tmp_path)
    np.testing.assert_allclose(image.pixels[:, 0, 0] * 4095, (1, 2, 3), atol=1e-3)
    assert (image.spacing, image.affine) == (None, None)


def test_other_files_in_the_folder_are_passed_over(tmp_path: Path) -> None:
    folder = series(tmp_path / "chest", [0, 1])
    (folder / "readme.txt").write_text("notes " * 100)
    assert read_image(folder).pixels.shape == (2, 20, 30)


def test_frames_of_one_file_are_a_stack_in_stored_order(tmp_path: Path) -> None:
    frames = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]])
    image = read_image(dicom(tmp_path / "cine.dcm", frames, NumberOfFrames=3, PixelSpacing=[0.5, 0.25], BitsStored=12))
    np.testing.assert_allclose(image.pixels, frames / 4095, atol=1e-6)
    assert image.spacing == (1, 0.5, 0.25)
    assert image.units == ("pixel", "mm", "mm")


def group(keyword: str, **elements: Any) -> Dataset:
    """A functional group that holds one macro."""
    macro, outer = Dataset(), Dataset()
    for name, value in elements.items():
        setattr(macro, name, value)
    setattr(outer, keyword, [macro])
    return outer


def test_an_enhanced_file_has_its_geometry_and_rescale_per_frame(tmp_path: Path) -> None:
    shared = group("PixelMeasuresSequence", PixelSpacing=[0.5, 0.25])
    shared.update(group("PlaneOrientationSequence", ImageOrientationPatient=[1, 0, 0, 0, 1, 0]))
    frames = []
    for z, slope in ((5, 1), (0, 2)):
        frame = group("PlanePositionSequence", ImagePositionPatient=[0, 0, z])
        frame.update(group("PixelValueTransformationSequence", RescaleSlope=slope, RescaleIntercept=0))
        frame.update(group("FrameVOILUTSequence", WindowCenter=2000, WindowWidth=4000))
        frames.append(frame)
    path = dicom(
        tmp_path / "a.dcm", np.stack([RAMP, RAMP // 4]), NumberOfFrames=2,
        SharedFunctionalGroupsSequence=[shared], PerFrameFunctionalGroupsSequence=frames,
    )  # fmt: skip
    image = read_image(path)
    assert image.spacing == pytest.approx((5, 0.5, 0.25))
    expected = np.stack([RAMP // 4 * 2.0, RAMP])
    np.testing.assert_allclose(image.pixels, np.clip((expected - 1999.5) / 3999 + 0.5, 0, 1), atol=1e-5)


# what cannot be read


def two_series(folder: Path) -> Path:
    dicom(folder / "a", SeriesInstanceUID="1.2")
    dicom(folder / "b", SeriesInstanceUID="1.3")
    return folder


def two_sizes(folder: Path) -> Path:
    dicom(folder / "a")
    dicom(folder / "b", RAMP[:9])
    return folder


def two_times(folder: Path) -> Path:
    return series(folder, [0, 1, 2, 0, 1, 2])


def localiser(folder: Path) -> Path:
    dicom(folder / "a", **placed(0))
    dicom(folder / "b", **placed(1, ImageOrientationPatient=[1, 0, 0, 0, 0, -1]))
    return folder


def report(folder: Path) -> Path:
    return Path(pydicom.data.get_testdata_file("reportsi.dcm"))


def unknown_compression(folder: Path) -> Path:
    return Path(pydicom.data.get_testdata_file("SC_rgb_jpeg_gdcm.dcm"))


def without_pixels(folder: Path) -> Path:
    path = dicom(folder / "a.dcm")
    ds = pydicom.dcmread(path)
    del ds.PixelData
    ds.save_as(path)
    return path


def four_samples(folder: Path) -> Path:
    return dicom(folder / "a.dcm", RAMP[:, :28].reshape(10, 14, 4).astype(np.uint8), Rows=10, Columns=14,
                 SamplesPerPixel=4, PhotometricInterpretation="CMYK", PlanarConfiguration=0)  # fmt: skip


def huge(folder: Path) -> Path:
    return dicom(folder / "a.dcm", Rows=60_000, Columns=60_000)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        pytest.param(two_series, "slices of one series, got 2 series", id="two series"),
        pytest.param(two_sizes, "slices of one series, got images of 2 sizes", id="two sizes"),
        pytest.param(two_times, "one slice at each position, got 6 at 3 positions", id="two times"),
        pytest.param(localiser, "parallel slices, got several directions", id="localiser"),
        pytest.param(report, "expected a DICOM image, got a file of kind SR without one", id="report"),
        pytest.param(unknown_compression, "cannot be decoded .*pylibjpeg", id="compression"),
        pytest.param(without_pixels, "cannot be decoded", id="no pixels"),
        pytest.param(four_samples, "expected grey or RGB, got 4 channels", id="4 channels"),
        pytest.param(huge, "at most 100 million pixels, got 1 x 60000 x 60000", id="huge"),
    ],
)
def test_what_cannot_be_read_gets_one_sentence(tmp_path: Path, make: Any, sentence: str) -> None:
    path = make(tmp_path)
    with pytest.raises(ImageError, match=f"^{path.name}: .*{sentence}") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)
