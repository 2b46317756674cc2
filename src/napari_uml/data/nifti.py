"""NIfTI volumes: read as they are looked at on a screen, and results written back on the source's own grid."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.recfunctions import structured_to_unstructured

from napari_uml.data.decoded import Decoded, decoding, optional, split_alpha
from napari_uml.data.scaling import check_size
from napari_uml.errors import ImageError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MILLIMETRES = {"meter": 1000.0, "mm": 1.0, "micron": 1e-3, "unknown": 1.0}
DISPLAY = {0: "PIL", 1: "LIP", 2: "LPS"}
"""By the patient axis that the slices run along (0 right-left, 1 posterior-anterior, 2 inferior-superior): where the
columns, rows and slices of the image run to, as a radiologist expects."""


def decode(path: Path) -> Decoded:
    """Read a volume as slices.

    The slices D run along the file's third axis (or an axis of length 1). Rows H and columns W are the two others,
    swapped and turned so that the patient stands upright, with the right side at the left of the screen: rows run to
    posterior in axial slices and to inferior in others, columns to the patient's left, in sagittal slices to
    posterior. `affine` follows, so it still says where every pixel is.

    Raises
    ------
    ImageError
        When it cannot be decoded, has a time axis, is too large, or its affine is singular.
    """
    with _decoding(path):
        image = optional("nibabel", path).load(path)
        shape = _volume_shape(image.shape, path)
        check_size(shape[::-1], path.name)
        voxels = np.asarray(image.dataobj).reshape(shape)
        affine = np.asarray(image.affine, dtype=np.float64)
        unit = MILLIMETRES[image.header.get_xyzt_units()[0]]
    order = _to_display(affine, shape, path)
    orientations = optional("nibabel.orientations", path)
    pixels = orientations.apply_orientation(voxels, order).T
    affine = np.diag((unit, unit, unit, 1)) @ affine @ orientations.inv_ornt_aff(order, shape)
    across, down, distance = (float(step) for step in np.linalg.norm(affine[:3, :3], axis=0))
    is_stack = pixels.shape[0] > 1
    if not is_stack:
        pixels = pixels[0]
    alpha = None
    if pixels.dtype.names:
        pixels = structured_to_unstructured(pixels)
        if pixels.shape[-1] == 4:
            pixels, alpha = split_alpha(pixels)
    return Decoded(
        pixels, is_stack, (path,), alpha=alpha, spacing=(down, across), slice_distance=distance, affine=affine
    )


def write_like(source: Path, pixels: NDArray[Any], destination: Path) -> None:
    """Write a result on the voxel grid of the volume that it was made from, with that volume's affine.

    Parameters
    ----------
    source
        The NIfTI file that `read_image` read.
    pixels
        (D, H, W), or (H, W) of a single slice, in the order of `read_image`.
    destination
        A file that ends in .nii or .nii.gz.

    Raises
    ------
    ImageError
        When the source cannot be read.
    ValueError
        When the pixels have another shape than the image read from the source.
    """
    nibabel = optional("nibabel", source)
    orientations = optional("nibabel.orientations", source)
    with _decoding(source):
        image = nibabel.load(source)
        shape = _volume_shape(image.shape, source)
    order = _to_display(image.affine, shape, source)
    expected = tuple(shape[int(np.flatnonzero(order[:, 0] == axis)[0])] for axis in (2, 1, 0))
    if pixels.shape not in (expected, expected[1:] if expected[0] == 1 else expected):
        raise ValueError(f"Expected pixels of shape {expected}, the image's, got {pixels.shape}.")
    back = np.empty_like(order)
    back[order[:, 0].astype(int)] = np.column_stack((np.arange(3), order[:, 1]))
    voxels = orientations.apply_orientation(pixels.reshape(expected).T, back)
    result = type(image)(np.ascontiguousarray(voxels), image.affine, image.header, dtype=pixels.dtype)
    result.header["cal_min"] = result.header["cal_max"] = 0
    nibabel.save(result, destination)


def _decoding(path: Path) -> Any:
    errors = optional("nibabel.filebasedimages", path).ImageFileError
    header = optional("nibabel.spatialimages", path).HeaderDataError
    broken = (OSError, EOFError, ValueError, TypeError, KeyError, OverflowError, zlib.error, struct.error)
    return decoding(path, "NIfTI", (errors, header, *broken))


def _volume_shape(shape: tuple[int, ...], path: Path) -> tuple[int, int, int]:
    """Three axes: a single slice gets one, trailing axes of length 1 go."""
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) > 3:
        raise ImageError(
            f"{path.name}: expected one volume of 3 axes, got the shape {shape}. Save one time point or channel."
        )
    width, height, depth = (*shape, 1, 1)[:3]
    return width, height, depth


def _to_display(affine: NDArray[np.float64], shape: tuple[int, int, int], path: Path) -> NDArray[np.float64]:
    """The orientation array of nibabel from the file's axes to columns, rows, slices."""
    orientations = optional("nibabel.orientations", path)
    source = orientations.io_orientation(affine)
    if not np.isfinite(source).all():
        raise ImageError(f"{path.name}: expected an affine that can be inverted, got a singular one. Export it again.")
    slices = shape.index(1) if 1 in shape[:2] and shape[2] != 1 else 2
    target = orientations.axcodes2ornt(DISPLAY[int(source[slices, 0])])
    order: NDArray[np.float64] = orientations.ornt_transform(source, target)
    return order
