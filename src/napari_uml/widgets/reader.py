"""napari's reader for DICOM and NIfTI; photographs and TIFF are left to napari's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_uml.data.reading import read_image

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    LayerData = tuple[NDArray[np.float32], dict[str, Any], str]
    Paths = str | list[str]


def get_reader(path: Paths) -> Callable[[Paths], list[LayerData]]:
    """The function that reads `path`; whether it can is told by the content, when it is read."""
    return read_layers


def read_layers(path: Paths) -> list[LayerData]:
    """One image layer a file, with pixels in [0, 1] and the file's spacing and units.

    The layer's metadata keep `scaling` (how the numbers became [0, 1]) and `affine` (the patient's orientation).

    Raises
    ------
    ImageError
        When a file cannot be read, in one sentence.
    """
    return [_read_layer(file) for file in ([path] if isinstance(path, str) else path)]


def _read_layer(path: str) -> LayerData:
    image = read_image(path)
    is_rgb = image.pixels.ndim - image.is_stack == 3
    attributes = {
        "name": image.path.name.removesuffix(".gz").rpartition(".")[0] or image.path.name,
        "rgb": is_rgb,
        "contrast_limits": None if is_rgb else (0.0, 1.0),
        "scale": image.spacing,
        "units": image.units,
        "metadata": {"scaling": image.scaling, "affine": image.affine},
    }
    return image.pixels, attributes, "image"
