"""The File menu's samples: simulated pictures, their known truth as a hidden layer, and one real photograph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import skimage.data
from napari.utils.colormaps import DirectLabelColormap

from napari_uml.data.simulated import (
    simulate_dermoscopy,
    simulate_fundus,
    simulate_fundus_photograph,
    simulate_ultrasound,
    simulate_ultrasound_sweep,
)
from napari_uml.errors import UMLError

if TYPE_CHECKING:
    from napari_uml.data.simulated import SimulatedImage

LayerData = tuple[Any, dict[str, Any], str]


def ultrasound() -> list[LayerData]:
    """A breast ultrasound picture with a benign lesion."""
    return _layers(simulate_ultrasound())


def ultrasound_sweep() -> list[LayerData]:
    """A stack of 20 ultrasound slices through a malignant lesion."""
    return _layers(simulate_ultrasound_sweep(kind="malignant"))


def fundus() -> list[LayerData]:
    """The region around an optic disc with a large cup."""
    return _layers(simulate_fundus())


def fundus_photograph() -> list[LayerData]:
    """A whole fundus photograph whose disc has a large cup."""
    return _layers(simulate_fundus_photograph())


def dermoscopy() -> list[LayerData]:
    """A nevus on skin with hairs."""
    return _layers(simulate_dermoscopy())


def retina() -> list[LayerData]:
    """Scikit-image's photograph of a real retina, downloaded once.

    Raises
    ------
    UMLError
        When it is not in scikit-image's cache and cannot be downloaded.
    """
    try:
        pixels = skimage.data.retina()
    except (OSError, ValueError) as error:
        raise UMLError(
            "The retina photograph could not be downloaded: connect to the internet once, or open a simulated sample."
        ) from error
    return [(pixels, {"name": "Retina (scikit-image)", "rgb": True}, "image")]


def _layers(image: SimulatedImage) -> list[LayerData]:
    """The picture, and the known truth hidden over it; both in millimetres."""
    place = {"scale": image.spacing, "units": ("mm",) * image.mask.ndim}
    colors: dict[int | None, str] = {None: "transparent", **dict(enumerate(image.task.colors)), 0: "transparent"}
    truth = {
        "name": f"{image.name} known truth",
        "visible": False,
        "opacity": 0.45,
        "colormap": DirectLabelColormap(color_dict=colors),
        "features": {"index": list(range(len(image.task.seg_classes))), "structure": list(image.task.seg_classes)},
        "metadata": {"class": image.label},
    }
    rgb = image.pixels.ndim > image.mask.ndim
    return [
        (image.pixels, {"name": image.name, "rgb": rgb, "contrast_limits": (0, 255), **place}, "image"),
        (image.mask, truth | place, "labels"),
    ]
