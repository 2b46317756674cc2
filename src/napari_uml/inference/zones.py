"""Nested outlines of the structures with a stated coverage, from a prediction and its model's calibration."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from napari_uml.errors import UMLError
from napari_uml.files import refuse_existing, remove
from napari_uml.inference.saving import own_files, refuse_images, write_tiff

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_uml.data.reading import LoadedImage
    from napari_uml.inference.run_record import RunRecord
    from napari_uml.results import Box, Prediction
    from napari_uml.weights import WeightsInfo


def outline_zones(prediction: Prediction, info: WeightsInfo, roi: Box | None = None) -> dict[str, NDArray[np.uint8]]:
    """A map of the prediction's size by structure or union: 2 inside the inner outline, 1 between both, 0 outside.

    Empty for a model without such outlines; what they mean is said at `Contours`. Outside the rectangle that the user
    chose (`roi`) nothing was looked at, and nothing is claimed: 0.
    """
    if info.calibration is None or "mask" not in prediction.answers:
        return {}
    probability, axis = prediction.pixel_probability, prediction.mask.ndim - 2
    at = ... if roi is None else (..., *roi.slices)
    found = {}
    for name, contours in info.calibration.contours.items():
        zones = found[name] = np.zeros_like(prediction.mask)
        zones[at] = contours.zones(probability.take(info.task.members(name), axis=axis).sum(axis=axis)[at])
    return found


def zone_files(info: WeightsInfo) -> tuple[str, ...]:
    """Names of the files that `save_zones` writes for a model.

    Raises
    ------
    UMLError
        When the model has no outlines, with what to do.
    """
    if info.calibration is None or not info.calibration.contours:
        raise UMLError(
            f"Expected a model whose outlines were calibrated, {info.name} has none; calibrate it with `napari-uml "
            "calibrate`, or leave --outlines out."
        )
    return tuple(_file_names(info.calibration.contours).values())


def save_zones(
    folder: Path, image: LoadedImage, zones: Mapping[str, NDArray[np.uint8]], *, overwrite: bool = False
) -> tuple[Path, ...]:
    """Write `zones-STRUCTURE.tif` for every structure of `outline_zones`, as the labels are written.

    Raises
    ------
    UMLError
        When a file is there already and `overwrite` is off, is one of the image itself, or cannot be written.
    """
    names = _file_names(zones)
    paths = {folder / names[structure]: values for structure, values in zones.items()}
    refuse_images(paths, image)
    if not overwrite:
        refuse_existing(paths)
    for path, values in paths.items():
        write_tiff(path, values, image.spacing, image.units)
    return tuple(paths)


def remove_zones(folder: Path, image: LoadedImage, info: WeightsInfo, former: RunRecord | None) -> None:
    """Remove what `save_zones` wrote for an answer that is written anew, so that no outlines of an older one stay.

    Parameters
    ----------
    folder, image, info
        Where the answer lies, what it is about, and the model.
    former
        The record of the older answer, which may be another model's.
    """
    structures = {*info.task.seg_classes, *info.task.unions}
    for one in former.slices if former is not None else ():
        structures |= {*one.shares, *(measured.structure for measured in one.measurements)}
    names, own = {name.lower() for name in _file_names(sorted(structures)).values()}, own_files(image)
    for path in folder.glob("zones-*.tif"):
        if path.name.lower() in names and path.resolve() not in own:
            remove(path)


def _file_names(structures: Iterable[str]) -> dict[str, str]:
    """By structure, names that every file system takes and tells apart."""
    names: dict[str, str] = {}
    count: Counter[str] = Counter()
    for structure in structures:
        safe = re.sub(r"[^\w-]+", "_", structure)
        count[safe.lower()] += 1
        number = count[safe.lower()]
        names[structure] = f"zones-{safe}.tif" if number == 1 else f"zones-{safe}-{number}.tif"
    return names
