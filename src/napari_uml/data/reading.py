"""Image files in, float32 in [0, 1] out: PNG, JPEG, BMP, TIFF, DICOM and NIfTI; the content decides, not the ending."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_uml.data.scaling import check_pixels, scale_to_unit
from napari_uml.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_uml.data.decoded import Decoded

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".dcm", ".nii", ".nii.gz")
"""What file dialogs offer; DICOM files without an ending are read too."""

_PHOTO_MARKS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM")
_TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True, slots=True, eq=False)
class LoadedImage:
    """An image or stack, ready to be predicted on.

    Attributes
    ----------
    pixels
        float32 in [0, 1]: (H, W) grey or (H, W, 3) RGB; a stack (D, H, W) or (D, H, W, 3).
    is_stack
        Whether the first axis counts slices.
    path
        The file, or the folder of a DICOM series.
    files
        The files read, in the order of the slices.
    scaling
        How the numbers in the file became [0, 1], in words.
    units
        What `spacing` is in, an axis each: `mm`, or `pixel` where it is unknown.
    spacing
        Size of a pixel: (row, column), or (slice, row, column) of a stack, with 1 for a distance between slices that
        the file does not say; None when it says nothing.
    affine
        (4, 4) of DICOM and NIfTI: pixel (column, row, slice, 1) to millimetres right, anterior and superior of the
        patient; None where the file does not say.
    """

    pixels: NDArray[np.float32]
    is_stack: bool
    path: Path
    files: tuple[Path, ...]
    scaling: str
    units: tuple[str, ...]
    spacing: tuple[float, ...] | None = None
    affine: NDArray[np.float64] | None = None

    def sha256(self) -> str:
        """SHA-256 of the files' bytes, see `files_sha256`."""
        return files_sha256(self.files)


def read_image(path: Path | str) -> LoadedImage:
    """Read an image file, or the folder of a DICOM series.

    Pages of a TIFF, frames of a DICOM file, its series and the slices of a NIfTI volume are a stack. Transparent
    pixels are laid over black, as napari shows them. `scale_to_unit` says how numbers become [0, 1].

    Raises
    ------
    ImageError
        When there is no such file, it is none of the formats, is damaged or too large, or cannot be analysed (empty,
        constant, NaN, neither grey nor RGB).
    """
    path = Path(path).absolute()
    decoded = _decode(path)
    name, is_stack = path.name, decoded.is_stack
    check_pixels(decoded.pixels, stack=is_stack, name=name)
    if decoded.scaling:
        pixels, rule = decoded.pixels, decoded.scaling
    else:
        pixels, rule = scale_to_unit(decoded.pixels, decoded.bits, name)
    if decoded.inverted:
        pixels, rule = 1 - pixels, rule + ", inverted"
    if decoded.alpha is not None:
        pixels = pixels * (decoded.alpha if pixels.ndim == decoded.alpha.ndim else decoded.alpha[..., None])
        check_pixels(pixels, stack=is_stack, name=name)
    spacing, units = _spacing(decoded)
    return LoadedImage(
        np.ascontiguousarray(pixels), is_stack, path, decoded.files, rule, units, spacing, decoded.affine
    )


def files_sha256(files: Iterable[Path]) -> str:
    """SHA-256 of the bytes of files, one after the other, in hexadecimal.

    Raises
    ------
    ImageError
        When one of them cannot be read any more.
    """
    digest = hashlib.sha256()
    for file in files:
        try:
            digest.update(file.read_bytes())
        except OSError as error:
            raise ImageError(f"{file.name}: expected to read it again, got: {error.strerror}. Check it.") from error
    return digest.hexdigest()


def images_in(path: Path) -> list[Path]:
    """The images of a folder by name, or the path itself: a file, or the folder of a DICOM series.

    A folder with several DICOM files is that of a series, unless each of them is alone in a series of its own.

    Raises
    ------
    ImageError
        When the folder, or the header of a DICOM file in it, cannot be read.
    """
    from napari_uml.data.dicom import dicom_files, each_of_a_series_of_its_own

    if not path.is_dir():
        return [path]
    try:
        files = [file for file in sorted(path.iterdir()) if file.is_file()]
        scans = dicom_files(path)
    except OSError as error:
        raise ImageError(f"{path.name}: expected a folder that can be read, got: {error}. Check it.") from error
    apart = each_of_a_series_of_its_own(scans)
    if scans and not apart:
        return [path]
    others = [file for file in files if file.name.lower().endswith(ENDINGS) and file not in scans]
    return sorted([*apart, *(file for file in others if not file.name.startswith("."))]) or [path]


def _spacing(decoded: Decoded) -> tuple[tuple[float, ...] | None, tuple[str, ...]]:
    in_plane, distance = decoded.spacing, decoded.slice_distance
    if in_plane is None:
        return None, ("pixel",) * (2 + decoded.is_stack)
    if not decoded.is_stack:
        return in_plane, ("mm", "mm")
    return (distance or 1.0, *in_plane), ("mm" if distance else "pixel", "mm", "mm")


def _decode(path: Path) -> Decoded:
    """Call the decoder that fits; each is imported when its format is first met."""
    kind = _kind(path)
    if kind == "photo":
        from napari_uml.data import photos

        return photos.decode(path)
    if kind == "tiff":
        from napari_uml.data import tiff

        return tiff.decode(path)
    if kind == "nifti":
        from napari_uml.data import nifti

        return nifti.decode(path)
    from napari_uml.data import dicom

    return dicom.decode(path)


def _kind(path: Path) -> str:
    if path.is_dir():
        return "dicom"
    try:
        with path.open("rb") as file:
            start = file.read(132)
    except FileNotFoundError as error:
        raise ImageError(f"{path.name}: expected an image file, there is none at {path}. Check the name.") from error
    except OSError as error:
        raise ImageError(f"{path.name}: expected a file that can be read, got: {error.strerror}. Check it.") from error
    if not start:
        raise ImageError(f"{path.name}: expected an image file, got an empty one (0 bytes). Copy or export it again.")
    if start[128:] == b"DICM":
        return "dicom"
    if start.startswith(_TIFF_MARKS):
        return "tiff"
    if path.name.lower().endswith((".nii", ".nii.gz")):
        return "nifti"
    if start.startswith(_PHOTO_MARKS):
        return "photo"
    raise ImageError(
        f"{path.name}: expected an image (PNG, JPEG, BMP, TIFF, DICOM or NIfTI), got a file that is none of them. "
        "Export it in one of these formats."
    )
