"""Image files in, float32 in [0, 1] out; bad files get one sentence."""

from __future__ import annotations

import hashlib
import os
import struct
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel
import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image

from napari_uml.data.reading import images_in, read_image
from napari_uml.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable

GREY = np.random.default_rng(0).integers(1, 255, (20, 30), dtype=np.uint8)
RGB = np.random.default_rng(1).integers(1, 255, (20, 30, 3), dtype=np.uint8)
STACK = np.random.default_rng(2).integers(1, 255, (4, 20, 30), dtype=np.uint8)


# photographs


@pytest.mark.parametrize("ending", ["png", "bmp", "tif"])
@pytest.mark.parametrize("pixels", [GREY, RGB], ids=["grey", "rgb"])
def test_bytes_are_divided_by_255(tmp_path: Path, ending: str, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(tmp_path / f"a.{ending}")
    image = read_image(tmp_path / f"a.{ending}")
    np.testing.assert_allclose(image.pixels, pixels / 255, rtol=1e-6)
    assert image.pixels.dtype == np.float32
    assert image.scaling == "value / 255 (8 bits)"
    assert (image.is_stack, image.spacing, image.units) == (False, None, ("pixel", "pixel"))


def test_a_jpeg_is_read_as_pillow_decodes_it(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.jpg", quality=95)
    expected = np.asarray(Image.open(tmp_path / "a.jpg"))
    np.testing.assert_allclose(read_image(tmp_path / "a.jpg").pixels, expected / 255, rtol=1e-6)


def test_a_photograph_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned 90 degrees clockwise
    Image.fromarray(GREY).save(tmp_path / "a.jpg", quality=100, exif=exif)
    stored = np.asarray(Image.open(tmp_path / "a.jpg"))
    np.testing.assert_allclose(read_image(tmp_path / "a.jpg").pixels, np.rot90(stored, -1) / 255, rtol=1e-6)


def test_the_content_decides_and_not_the_ending(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.dcm")
    assert read_image(tmp_path / "a.dcm").pixels.shape == GREY.shape


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_transparent_pixels_are_laid_over_black(tmp_path: Path, ending: str) -> None:
    alpha = np.full((*GREY.shape, 1), 255, np.uint8)
    alpha[:5] = 0
    alpha[5:10] = 51
    Image.fromarray(np.concatenate((RGB, alpha), axis=-1)).save(tmp_path / f"a.{ending}")
    expected = RGB / 255 * (alpha / 255)
    np.testing.assert_allclose(read_image(tmp_path / f"a.{ending}").pixels, expected, atol=1e-6)


def test_grey_with_alpha_stays_grey(tmp_path: Path) -> None:
    alpha = np.full_like(GREY, 255)
    alpha[:, :3] = 0
    Image.fromarray(np.dstack((GREY, alpha))).save(tmp_path / "a.png")
    np.testing.assert_allclose(read_image(tmp_path / "a.png").pixels, GREY / 255 * (alpha > 0), atol=1e-6)


def test_a_palette_becomes_rgb(tmp_path: Path) -> None:
    image = Image.fromarray(RGB).quantize(16)
    image.save(tmp_path / "a.png")
    np.testing.assert_allclose(read_image(tmp_path / "a.png").pixels, np.asarray(image.convert("RGB")) / 255, rtol=1e-6)


def test_a_bilevel_png_is_black_and_white(tmp_path: Path) -> None:
    Image.fromarray(GREY > 100).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").pixels, GREY > 100)


def test_a_png_of_12_bits_in_16_is_not_dark(tmp_path: Path) -> None:
    Image.fromarray(GREY.astype(np.uint16) * 16).save(tmp_path / "a.png")
    np.testing.assert_allclose(read_image(tmp_path / "a.png").pixels, GREY * (16 / 4095), rtol=1e-6)


def deep_png(path: Path, pixels: np.ndarray) -> None:
    """A colour PNG of 16 bits, which Pillow reads but does not write."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)))
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (*chunks, (b"IEND", b""))
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def test_a_colour_png_of_16_bits_is_read_where_all_are_used(tmp_path: Path) -> None:
    deep_png(tmp_path / "full.png", RGB.astype(np.uint16) * 257)
    np.testing.assert_allclose(read_image(tmp_path / "full.png").pixels, RGB / 255, rtol=1e-6)
    deep_png(tmp_path / "dark.png", RGB.astype(np.uint16) * 16)
    with pytest.raises(ImageError, match=r"dark\.png: expected .* Save it as TIFF"):
        read_image(tmp_path / "dark.png")


# TIFF


def tiff(path: Path, pixels: np.ndarray, **options: object) -> Path:
    tifffile.imwrite(path, pixels, **options)
    return path


PAIR = np.stack([RGB, RGB[::-1]])
PLANES = {"photometric": "rgb", "planarconfig": "separate"}


@pytest.mark.parametrize(
    ("pixels", "options", "expected"),
    [
        pytest.param(GREY.astype(np.uint16) * 257, {}, GREY / 255, id="16 bits"),
        pytest.param(GREY.astype(np.uint16) * 16, {}, GREY * (16 / 4095), id="12 bits in 16"),
        pytest.param(GREY / np.float32(300), {}, GREY / 300, id="float"),
        pytest.param(GREY, {"photometric": "miniswhite"}, 1 - GREY / 255, id="white is 0"),
        pytest.param(GREY, {"compression": "zlib", "predictor": True, "tile": (16, 16)}, GREY / 255, id="deflated"),
        pytest.param(np.moveaxis(RGB, -1, 0), PLANES, RGB / 255, id="planes"),
        pytest.param(RGB.astype(np.uint16) * 257, {"photometric": "rgb"}, RGB / 255, id="rgb of 16 bits"),
        pytest.param(GREY > 100, {"photometric": "minisblack"}, GREY > 100, id="bilevel"),
        pytest.param(STACK, {"photometric": "minisblack"}, STACK / 255, id="pages"),
        pytest.param(STACK[:1], {"photometric": "minisblack"}, STACK[0] / 255, id="one page"),
        pytest.param(STACK, {"imagej": True, "metadata": {"axes": "ZYX"}}, STACK / 255, id="ImageJ stack"),
        pytest.param(PAIR, {"photometric": "rgb"}, PAIR / 255, id="rgb pages"),
        pytest.param(STACK, {"ome": True, "metadata": {"axes": "ZYX"}}, STACK / 255, id="OME stack"),
    ],
)  # fmt: skip
def test_tiff(tmp_path: Path, pixels: np.ndarray, options: dict[str, object], expected: np.ndarray) -> None:
    image = read_image(tiff(tmp_path / "a.tif", pixels, **options))
    np.testing.assert_allclose(image.pixels, expected, atol=1e-6)
    assert image.is_stack == (expected.ndim == 4 or (expected.ndim == 3 and expected.shape[-1] != 3))


def test_a_tiff_palette_becomes_rgb(tmp_path: Path) -> None:
    colormap = np.random.default_rng(3).integers(0, 65536, (3, 256), dtype=np.uint16)
    path = tiff(tmp_path / "a.tif", GREY, photometric="palette", colormap=colormap)
    np.testing.assert_allclose(read_image(path).pixels, (colormap >> 8).T[GREY] / 255, rtol=1e-6)


@pytest.mark.parametrize(("kind", "multiplied"), [("unassalpha", True), ("assocalpha", False)])
@pytest.mark.parametrize("grey", [True, False], ids=["grey", "rgb"])
def test_tiff_alpha_is_multiplied_in_unless_it_already_is(
    tmp_path: Path, kind: str, multiplied: bool, grey: bool
) -> None:
    colours, photometric = (GREY[..., None], "minisblack") if grey else (RGB, "rgb")
    alpha = np.full((*GREY.shape, 1), 255, np.uint8)
    alpha[:7] = 0
    path = tiff(
        tmp_path / "a.tif", np.concatenate((colours, alpha), axis=-1),
        photometric=photometric, extrasamples=[kind], planarconfig="contig",
    )  # fmt: skip
    expected = colours / 255 * (alpha > 0 if multiplied else 1)
    np.testing.assert_allclose(read_image(path).pixels, np.squeeze(expected), atol=1e-6)


@pytest.mark.parametrize("compression", ["tiff_lzw", "jpeg", "packbits"])
def test_compressed_tiffs_need_no_further_package(tmp_path: Path, compression: str) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.tif", compression=compression)
    expected = np.asarray(Image.open(tmp_path / "a.tif"))
    np.testing.assert_allclose(read_image(tmp_path / "a.tif").pixels, expected / 255, rtol=1e-6)


def test_compressed_pages_are_a_stack(tmp_path: Path) -> None:
    pages = [Image.fromarray(page) for page in STACK]
    pages[0].save(tmp_path / "a.tif", compression="tiff_lzw", save_all=True, append_images=pages[1:])
    image = read_image(tmp_path / "a.tif")
    assert image.is_stack
    np.testing.assert_allclose(image.pixels, STACK / 255, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "spacing"),
    [
        pytest.param({"resolution": (50, 25), "resolutionunit": "centimeter"}, (0.4, 0.2), id="per centimetre"),
        pytest.param({"resolution": (300, 300), "resolutionunit": "inch"}, None, id="a printer's, in inches"),
        pytest.param({"resolution": (28.346, 28.346), "resolutionunit": "centimeter"}, None, id="a printer's 72 dpi"),
        pytest.param({"resolution": (2, 4), "imagej": True, "metadata": {"unit": "um"}}, (0.00025, 0.0005), id="um"),
        pytest.param({"resolution": (2, 4), "imagej": True}, None, id="ImageJ without a unit"),
    ],
)  # fmt: skip
def test_tiff_resolution_is_trusted_where_it_is_the_objects(
    tmp_path: Path, options: dict[str, object], spacing: tuple[float, float] | None
) -> None:
    image = read_image(tiff(tmp_path / "a.tif", GREY, **options))
    assert image.spacing == (None if spacing is None else pytest.approx(spacing, rel=1e-3))
    assert image.units == (("pixel", "pixel") if spacing is None else ("mm", "mm"))


@pytest.mark.parametrize(
    ("metadata", "spacing", "units"),
    [
        ({"axes": "ZYX", "unit": "mm", "spacing": 3.0}, (3.0, 0.25, 0.5), ("mm", "mm", "mm")),
        ({"axes": "ZYX", "unit": "mm"}, (1.0, 0.25, 0.5), ("pixel", "mm", "mm")),
    ],
)
def test_a_stack_says_which_axes_are_millimetres(
    tmp_path: Path, metadata: dict[str, object], spacing: tuple[float, ...], units: tuple[str, ...]
) -> None:
    image = read_image(tiff(tmp_path / "a.tif", STACK, imagej=True, resolution=(2, 4), metadata=metadata))
    assert image.spacing == pytest.approx(spacing)
    assert image.units == units


# the result


def test_the_checksum_is_of_the_bytes_of_the_file(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", GREY)
    assert read_image(path).sha256() == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_image_remembers_where_it_comes_from(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", GREY)
    image = read_image(str(path))
    assert (image.path, image.files) == (path, (path,))


def test_reading_imports_no_format_before_it_is_met(run_python: Callable[..., str]) -> None:
    heavy = {"torch", "PIL", "tifffile", "pydicom", "nibabel"}
    code = f"import napari_uml.data.reading, sys; print({heavy} & set(sys.modules))"
    assert run_python("-c", code).strip() == "set()"


# bad input: one sentence each


def missing(folder: Path) -> Path:
    return folder / "bad.png"


def empty(folder: Path) -> Path:
    (folder / "bad.png").touch()
    return folder / "bad.png"


def text(folder: Path) -> Path:
    (folder / "bad.png").write_text("This is no picture. " * 50)
    return folder / "bad.png"


def text_as_volume(folder: Path) -> Path:
    (folder / "bad.nii").write_text("This is no volume. " * 50)
    return folder / "bad.nii"


def text_as_packed_volume(folder: Path) -> Path:
    (folder / "bad.nii.gz").write_text("This is no volume. " * 50)
    return folder / "bad.nii.gz"


def truncated(name: str, keep: float) -> object:
    def make(folder: Path) -> Path:
        path = folder / name
        if name.endswith(".tif"):
            tiff(path, GREY)
        elif ".nii" in name:
            nibabel.save(nibabel.Nifti1Image(STACK, np.eye(4)), path)
        elif name.endswith(".dcm"):
            path.write_bytes(Path(pydicom.data.get_testdata_file("CT_small.dcm")).read_bytes())
        else:
            Image.fromarray(RGB).save(path)
        path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
        return path

    return make


def as_tiff(pixels: np.ndarray, **options: object) -> object:
    return lambda folder: tiff(folder / "bad.tif", pixels, **options)


def unreadable_depth(folder: Path) -> Path:
    path = tiff(folder / "bad.tif", RGB)
    path.write_bytes(path.read_bytes()[:8] + bytes(500))
    return path


def header_only_bmp(width: int, height: int) -> object:
    """A BMP whose header promises more than any memory holds: it must be refused before it is decoded."""

    def make(folder: Path) -> Path:
        header = struct.pack("<2sIHHI", b"BM", 54, 0, 0, 54)
        header += struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
        (folder / "bad.bmp").write_bytes(header + bytes(16))
        return folder / "bad.bmp"

    return make


def huge_tiff(folder: Path) -> Path:
    with tifffile.TiffWriter(folder / "bad.tif") as writer:
        writer.write(iter([b""] * 100), shape=(20_000, 20_000), dtype="uint8", tile=(2000, 2000), compression="zlib")
    return folder / "bad.tif"


def huge_volume(folder: Path) -> Path:
    header = nibabel.Nifti1Header()
    header.set_data_shape((30_000, 30_000, 2))
    header["magic"], header["vox_offset"] = b"n+1", 352
    (folder / "bad.nii").write_bytes(header.binaryblock + bytes(8))
    return folder / "bad.nii"


def pages_of_two_sizes(folder: Path) -> Path:
    with tifffile.TiffWriter(folder / "bad.tif") as writer:
        writer.write(GREY)
        writer.write(GREY[:9])
    return folder / "bad.tif"


def transparent(folder: Path) -> Path:
    Image.fromarray(np.dstack((RGB, np.zeros_like(GREY)))).save(folder / "bad.png")
    return folder / "bad.png"


def empty_folder(folder: Path) -> Path:
    (folder / "bad").mkdir()
    (folder / "bad" / "notes.txt").write_text("no DICOM here " * 20)
    return folder / "bad"


SERIES = STACK[None].repeat(2, 0)
CHUNKY = {"photometric": "rgb", "planarconfig": "contig"}
BAD = [
    pytest.param(missing, "expected an image file, there is none", id="missing"),
    pytest.param(empty, "got an empty one", id="0 bytes"),
    pytest.param(text, "expected an image .* none of them", id="text"),
    pytest.param(text_as_volume, "expected a complete NIfTI file", id="text as NIfTI"),
    pytest.param(text_as_packed_volume, "expected a complete NIfTI file", id="text as packed NIfTI"),
    pytest.param(empty_folder, "expected DICOM images in this folder, got none", id="folder without DICOM"),
    *(
        pytest.param(truncated(name, keep), "expected a complete .* file", id=f"{name} cut at {keep}")
        for name in ("bad.png", "bad.jpg", "bad.bmp", "bad.tif", "bad.nii", "bad.nii.gz", "bad.dcm")
        for keep in (0.3, 0.8)
    ),
    pytest.param(unreadable_depth, "expected pages of one size, got none", id="TIFF without pages"),
    pytest.param(header_only_bmp(12_000, 10_000), "at most 100 million pixels, got 10000 x 12000", id="120 Mpx"),
    pytest.param(header_only_bmp(30_000, 30_000), "at most 100 million pixels, got far more", id="900 Mpx"),
    pytest.param(huge_tiff, "at most 100 million pixels, got 20000 x 20000", id="400 Mpx TIFF"),
    pytest.param(huge_volume, "at most 100 million pixels, got 2 x 30000 x 30000", id="900 Mpx NIfTI"),
    pytest.param(as_tiff(np.full((9, 9), 3, np.uint8)), "every pixel is 3", id="constant"),
    pytest.param(transparent, "every pixel is 0", id="transparent"),
    pytest.param(as_tiff(np.where(GREY > 9, GREY, np.nan)), "NaN or infinite", id="NaN"),
    pytest.param(as_tiff(np.where(GREY > 9, GREY, -np.inf)), "NaN or infinite", id="infinite"),
    pytest.param(as_tiff(GREY * 1j), "expected real numbers, got complex128", id="complex"),
    pytest.param(as_tiff(STACK, photometric="minisblack", metadata={"axes": "CYX"}), "axes CYX", id="channels"),
    pytest.param(as_tiff(SERIES, photometric="minisblack", metadata={"axes": "TZYX"}), "axes TZYX", id="time"),
    pytest.param(as_tiff(np.dstack((RGB, GREY)), photometric="separated"), "4 channels of kind SEPARATED", id="CMYK"),
    pytest.param(as_tiff(np.dstack((RGB, RGB)), **CHUNKY), "grey or RGB", id="6 channels"),
    pytest.param(pages_of_two_sizes, "expected pages of one size", id="pages of two sizes"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "sentence"), BAD)
def test_bad_input_gets_one_sentence_with_the_name_of_the_file(
    tmp_path: Path, make: object, sentence: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = make(tmp_path)
    with pytest.raises(ImageError, match=f"(?s)^{path.name}: .*{sentence}") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert str(caught.value).endswith(".")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root and Windows read every file")
def test_a_file_without_permission_gets_one_sentence(tmp_path: Path) -> None:
    path = tiff(tmp_path / "bad.tif", GREY)
    path.chmod(0)
    with pytest.raises(ImageError, match=r"^bad\.tif: expected a file that can be read"):
        read_image(path)


def test_a_folder_stands_for_its_images_unless_it_holds_a_dicom_series(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert images_in(tmp_path) == [tmp_path]  # for the reader to say what is missing
    for name in ("b.PNG", "a.tif", ".a.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert images_in(tmp_path) == [tmp_path / "a.tif", tmp_path / "b.PNG"]
    assert images_in(tmp_path / "a.tif") == [tmp_path / "a.tif"]
    (tmp_path / "IM0001").write_bytes(bytes(128) + b"DICM")
    assert images_in(tmp_path) == [tmp_path]

    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(ImageError, match=r"expected a folder that can be read, got: .*Permission denied"):
        images_in(tmp_path)


@pytest.mark.parametrize(("name", "package"), [("scan.nii", "nibabel"), ("scan.dcm", "pydicom")])
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    tmp_path: Path, name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_bytes(bytes(128) + b"DICM" + bytes(300))
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / "scan.nii").write_bytes(bytes(400))
    with pytest.raises(ImageError, match=rf'{package} .* not installed\. Run pip install "napari-uml\[medical\]"'):
        read_image(tmp_path / name)
