"""DICOM files and series: rescaled, windowed, colours as RGB, slices in the order of their positions."""

from __future__ import annotations

import logging
import struct
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_uml.data.decoded import Decoded, decoding, optional
from napari_uml.data.dicom_geometry import first_number, geometry, is_uneven, slice_plane
from napari_uml.data.reading import ENDINGS
from napari_uml.data.scaling import check_size
from napari_uml.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Header = Any  # pydicom.Dataset; pydicom is optional

log = logging.getLogger(__name__)

PARALLEL = 0.99
"""Least cosine between the normals of slices of one stack."""
HEADER = ("SeriesInstanceUID", "Rows", "Modality")
"""What tells images of their own."""
ADVICE = 'Export it again without compression, or run pip install "pylibjpeg[all]".'


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One slice: its stored numbers (H, W) or (H, W, 3), and the elements that hold for it."""

    pixels: NDArray[Any]
    header: Header
    file: Path


def is_dicom(path: Path) -> bool:
    """Whether a file has DICOM's mark after its preamble of 128 bytes.

    Raises
    ------
    OSError
        When it cannot be read.
    """
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def dicom_files(folder: Path) -> list[Path]:
    """The DICOM files of a folder by name; what cannot be read, as a file that another program holds, is none of them.

    Raises
    ------
    OSError
        When the folder cannot be read.
    """
    found = []
    for path in sorted(folder.iterdir()):
        with suppress(PermissionError):
            if path.is_file() and is_dicom(path):
                found.append(path)
    return found


def each_of_a_series_of_its_own(files: Sequence[Path]) -> list[Path]:
    """The images among DICOM files when there are several, each alone in its series; else none.

    Raises
    ------
    ImageError
        When a header cannot be read.
    """
    if len(files) < 2:
        return []
    pydicom = optional("pydicom", files[0])
    series: dict[str, list[Path]] = {}
    for file in files:
        with decoding(file, "DICOM", _errors(pydicom), ADVICE):
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=[*HEADER])
        if "Rows" in header and header.get("Modality") != "SEG":
            series.setdefault(str(header.get("SeriesInstanceUID", "")), []).append(file)
    found = [file for of_one in series.values() for file in of_one]
    if len(series) != len(found) or len(found) < 2:
        return []
    for file in files:
        if file not in found:
            log.warning("%s: left out, it holds no image.", file.name)
    return found


def decode(path: Path) -> Decoded:
    """Read one file, or a folder that holds the files of one series.

    Stored numbers become the modality's units (rescale slope and intercept, or its lookup table), then the first VOI
    window, or VOI lookup table, brings them to [0, 1]; a stack uses its middle slice's for all. Without one,
    `scale_to_unit` does it with the bits stored.

    Raises
    ------
    ImageError
        When a file cannot be decoded or is no image, or a folder holds no series, several, or one of several times.
    """
    pydicom = optional("pydicom", path)
    with decoding(path, "DICOM", _errors(pydicom), ADVICE):
        headers = _read_headers(path, pydicom)
        frames = [frame for file, header in headers for frame in _read_frames(file, header, pydicom)]
        return _decoded(_in_order(frames, path), path, pydicom)


def _errors(pydicom: Any) -> tuple[type[Exception], ...]:
    """What pydicom raises for a broken file, depending on where it breaks."""
    return (
        pydicom.errors.InvalidDicomError, pydicom.errors.BytesLengthException, OSError, EOFError, AttributeError,
        KeyError, IndexError, NotImplementedError, RuntimeError, TypeError, ValueError, OverflowError, struct.error,
    )  # fmt: skip


def _read_headers(path: Path, pydicom: Any) -> list[tuple[Path, Header]]:
    is_folder = path.is_dir()
    files = dicom_files(path) if is_folder else [path]
    read = [(file, pydicom.dcmread(file, stop_before_pixels=True)) for file in files]
    found = [(file, header) for file, header in read if "Rows" in header and "Columns" in header]
    if is_folder:  # a segmentation of the series may lie beside it
        found = [(file, header) for file, header in found if header.get("Modality") != "SEG"]
    if not found:
        if is_folder:
            advice = f"Name pictures of another kind themselves, such as {path.name}/*.png."
            raise ImageError(f"{path.name}: expected DICOM images in this folder, got none. {advice}")
        kind = read[0][1].get("Modality", "unknown")
        advice = "Choose another file; if it should have one, it is incomplete: export it again."
        raise ImageError(f"{path.name}: expected a DICOM image, got a file of kind {kind} without one. {advice}")
    if is_folder:
        _tell_of_others(path, files)
    series = Counter(str(header.get("SeriesInstanceUID", "")) for _, header in found)
    sizes = {(int(header.Rows), int(header.Columns)) for _, header in found}
    if len(series) > 1 or len(sizes) > 1:
        what = f"{len(series)} series" if len(series) > 1 else f"images of {len(sizes)} sizes"
        raise ImageError(f"{path.name}: expected the slices of one series, got {what}. Give each its own folder.")
    count = sum(int(header.get("NumberOfFrames") or 1) for _, header in found)
    check_size((count, *sizes.pop()), path.name)
    return found


def _tell_of_others(folder: Path, series: list[Path]) -> None:
    """Warn of images in the folder that are no part of its series."""
    others = sorted(p.name for p in folder.iterdir() if p.name.lower().endswith(ENDINGS) and p not in series)
    if others:
        more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
        log.warning("%s: left out what is no DICOM, %s%s; to analyse it, name it itself.", folder.name, others[0], more)


def _read_frames(file: Path, header: Header, pydicom: Any) -> Iterator[Frame]:
    if int(header.get("SamplesPerPixel") or 1) not in (1, 3):
        raise ImageError(f"{file.name}: expected grey or RGB, got {header.SamplesPerPixel} channels. Export it as RGB.")
    pixels = pydicom.pixels.pixel_array(file)
    if header.PhotometricInterpretation == "PALETTE COLOR":
        pixels = pydicom.pixels.apply_color_lut(pixels, header)[..., :3]
    for number, frame in enumerate(pixels if int(header.get("NumberOfFrames") or 1) > 1 else pixels[None]):
        yield Frame(frame, _frame_header(header, number, pydicom), file)


def _frame_header(header: Header, number: int, pydicom: Any) -> Header:
    """An enhanced file's shared and per-frame elements, laid over its header as in a file of a single slice."""
    groups = [*header.get("SharedFunctionalGroupsSequence", [])[:1]]
    groups += [*header.get("PerFrameFunctionalGroupsSequence", [])[number : number + 1]]
    if not groups:
        return header
    merged = pydicom.Dataset()
    merged.update(header)
    merged.file_meta = header.file_meta
    for group in groups:
        for element in group:
            if element.VR == "SQ" and element.value:
                merged.update(element.value[0])
    return merged


def _in_order(frames: list[Frame], path: Path) -> list[Frame]:
    """Sorted along the normal of the slices; by instance number, or as stored, where there are no positions."""
    planes = [plane for frame in frames if (plane := slice_plane(frame.header)) is not None]
    if len(frames) > 1 and len(planes) == len(frames):
        if min(planes[0].normal @ plane.normal for plane in planes) < PARALLEL:
            raise ImageError(
                f"{path.name}: expected parallel slices, got several directions. Give each its own folder."
            )
        positions = [float(planes[0].normal @ plane.corner) for plane in planes]
        distinct = len(np.unique(np.round(positions, 2)))
        if distinct == len(frames):
            return [frames[i] for i in np.argsort(positions)]
        if path.is_dir():
            raise ImageError(
                f"{path.name}: expected one slice at each position, got {len(frames)} at {distinct} positions. "
                "Give each time point its own folder."
            )
    if path.is_dir():
        return sorted(frames, key=lambda frame: int(frame.header.get("InstanceNumber") or 0))
    return frames


def _decoded(frames: Sequence[Frame], path: Path, pydicom: Any) -> Decoded:
    is_stack = len(frames) > 1
    middle = frames[len(frames) // 2].header
    scaling, bits = "", None
    if _is_colour(middle):
        pixels = np.stack([frame.pixels for frame in frames])
        bits = 8 * pixels.itemsize if middle.PhotometricInterpretation == "PALETTE COLOR" else _bits(middle)
    else:
        pixels = np.stack([_to_units(frame.pixels, frame.header, pydicom) for frame in frames])
        windowed = _apply_window(pixels, middle) or _apply_voi_table(pixels, middle, pydicom)
        if windowed is not None:
            pixels, scaling = windowed
        elif pixels.dtype.kind == "u":
            bits = _bits(middle)
    headers = [frame.header for frame in frames]
    spacing, distance, affine = geometry(headers)
    if is_uneven(headers):
        log.warning("%s: the slices are not evenly apart, so where they lie in the patient is left out.", path.name)
    return Decoded(
        pixels if is_stack else pixels[0],
        is_stack,
        tuple(dict.fromkeys(frame.file for frame in frames)) if path.is_dir() else (path,),
        scaling=scaling,
        bits=bits,
        inverted=middle.PhotometricInterpretation == "MONOCHROME1",
        spacing=spacing,
        slice_distance=distance,
        affine=affine,
    )


def _to_units(pixels: NDArray[Any], header: Header, pydicom: Any) -> NDArray[Any]:
    """Stored numbers to the modality's: Hounsfield units, counts, optical density."""
    if header.get("ModalityLUTSequence"):
        return pydicom.pixels.apply_modality_lut(pixels, header)  # type: ignore[no-any-return]
    slope, intercept = float(header.get("RescaleSlope") or 1), float(header.get("RescaleIntercept") or 0)
    if (slope, intercept) == (1, 0):
        return pixels
    return pixels.astype(np.float32) * np.float32(slope) + np.float32(intercept)


def _apply_window(pixels: NDArray[Any], header: Header) -> tuple[NDArray[np.float32], str] | None:
    """The first window of PS3.3 C.11.2.1.2 and C.11.2.1.3; None when there is none that makes sense."""
    centre, width = first_number(header.get("WindowCenter")), first_number(header.get("WindowWidth"))
    function = str(header.get("VOILUTFunction") or "LINEAR")
    if centre is None or width is None or width < (1 + 1e-6 if function == "LINEAR" else 1e-6):
        return None
    values = pixels.astype(np.float32)
    if function == "SIGMOID":
        values = 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -80, 80)))
    elif function == "LINEAR_EXACT":
        values = (values - centre) / width + 0.5
    else:
        values = (values - (centre - 0.5)) / (width - 1) + 0.5
    return np.clip(values, 0, 1, dtype=np.float32), f"DICOM window, centre {centre:g}, width {width:g}"


def _apply_voi_table(pixels: NDArray[Any], header: Header, pydicom: Any) -> tuple[NDArray[np.float32], str] | None:
    table = header.get("VOILUTSequence")
    if not table or pixels.dtype.kind not in "ui":
        return None
    white = 2 ** int(table[0].LUTDescriptor[2]) - 1
    return (pydicom.pixels.apply_voi(pixels, header) / np.float32(white)).astype(np.float32), "DICOM lookup table"


def _bits(header: Header) -> int | None:
    """Bits stored; 16 says nothing, scanners of 12 bits write it too."""
    bits = int(header.get("BitsStored") or 16)
    return bits if bits < 16 else None


def _is_colour(header: Header) -> bool:
    return int(header.get("SamplesPerPixel") or 1) == 3 or header.PhotometricInterpretation == "PALETTE COLOR"
