"""Where the pixels of DICOM slices are in the patient, and how far apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Header = Any  # pydicom.Dataset; pydicom is optional

LPS_TO_RAS = np.diag((-1.0, -1.0, 1.0, 1.0))
UNEVEN = 0.05
"""Share of the distance between slices by which each may differ, as rounded positions do; a missing slice is 1."""
CENTIMETRE = 3
"""DICOM's code for the unit of an ultrasound region."""


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """The corner of a slice and the unit vectors that its columns and rows run along; (3,) millimetres, DICOM's LPS."""

    corner: NDArray[np.float64]
    across: NDArray[np.float64]
    down: NDArray[np.float64]

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector across the slices."""
        return np.cross(self.across, self.down)


def slice_plane(header: Header) -> Plane | None:
    """The plane of a slice; None when its header does not say."""
    position, axes = header.get("ImagePositionPatient"), header.get("ImageOrientationPatient")
    if not position or not axes or len(position) != 3 or len(axes) != 6:
        return None
    values = np.array([*position, *axes], dtype=np.float64)
    return Plane(values[:3], values[3:6], values[6:])


def pixel_spacing(header: Header) -> tuple[float, float] | None:
    """Millimetres between rows and between columns; for ultrasound those of the first calibrated region."""
    rows = columns = 0.0
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        if not rows and header.get(keyword):
            rows, columns = (float(value) for value in header[keyword].value)
    for region in header.get("SequenceOfUltrasoundRegions") or []:
        units = region.get("PhysicalUnitsXDirection"), region.get("PhysicalUnitsYDirection")
        if not rows and units == (CENTIMETRE, CENTIMETRE):
            rows, columns = 10 * abs(float(region.PhysicalDeltaY)), 10 * abs(float(region.PhysicalDeltaX))
    return (rows, columns) if rows > 0 and columns > 0 else None


def geometry(
    headers: Sequence[Header],
) -> tuple[tuple[float, float] | None, float | None, NDArray[np.float64] | None]:
    """Geometry of one slice, or of a stack whose slices are in order.

    Returns
    -------
    Millimetres (row, column), millimetres from slice to slice, and the (4, 4) affine from (column, row, slice, 1) to
    right, anterior, superior; None for what the headers do not say.
    """
    in_plane, plane, step = pixel_spacing(headers[0]), slice_plane(headers[0]), _step(headers)
    distance = _thickness(headers[0]) if step is None else float(np.linalg.norm(step))
    if in_plane is None or plane is None or step is None:
        return in_plane, distance, None
    affine = np.eye(4)
    affine[:3] = np.column_stack((plane.across * in_plane[1], plane.down * in_plane[0], step, plane.corner))
    return in_plane, distance, LPS_TO_RAS @ affine


def is_uneven(headers: Sequence[Header]) -> bool:
    """Whether the slices of a stack, in order, have positions that are not evenly apart."""
    steps = _steps(headers)
    return steps is not None and not _are_even(steps)


def _step(headers: Sequence[Header]) -> NDArray[np.float64] | None:
    """From one slice to the next: by their positions, or by the thickness of a single one.

    None without positions, or where they are not evenly apart.
    """
    if len(headers) == 1:
        plane = slice_plane(headers[0])
        return None if plane is None else plane.normal * (_thickness(headers[0]) or 1.0)
    steps = _steps(headers)
    if steps is None or not _are_even(steps) or not steps.any():
        return None
    return np.asarray(steps.mean(axis=0))


def _steps(headers: Sequence[Header]) -> NDArray[np.float64] | None:
    """From every slice to the next, (D - 1, 3); None where one does not say where it is, or there is no next."""
    planes = [plane for header in headers if (plane := slice_plane(header)) is not None]
    if len(planes) < max(2, len(headers)):
        return None
    return np.diff([plane.corner for plane in planes], axis=0)


def _are_even(steps: NDArray[np.float64]) -> bool:
    mean = steps.mean(axis=0)
    return np.allclose(steps, mean, rtol=0, atol=UNEVEN * np.linalg.norm(mean))


def _thickness(header: Header) -> float | None:
    return first_number(header.get("SpacingBetweenSlices")) or first_number(header.get("SliceThickness"))


def first_number(value: Any) -> float | None:
    """The first of an element's values; None where it has none."""
    values = np.atleast_1d([] if value is None else np.asarray(value, dtype=np.float64))
    return float(values[0]) if values.size else None
