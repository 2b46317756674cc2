"""napari's reader for DICOM and NIfTI; photographs and TIFF are left to napari's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_uml.data.reading import read_image

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from napari_uml.data.reading import LoadedImage

    LayerData = tuple[NDArray[np.float32], dict[str, Any], str]
    Paths = str | list[str]


def get_reader(path: Paths) -> Callable[[Paths], list[LayerData]]:
    """The function that reads `path`; whether it can is told by the content, when it is read."""
    return read_layers


def read_layers(path: Paths) -> list[LayerData]:
    """One image layer a file, with pixels in [0, 1] and the file's spacing and units.

    The layer's metadata keep `path`, `scaling` (how the numbers became [0, 1]) and `affine` (orientation of the
    patient).

    Raises
    ------
    ImageError
        When a file cannot be read, in one sentence.
    """
    return [layer_data(read_image(file)) for file in ([path] if isinstance(path, str) else path)]


def layer_data(image: LoadedImage) -> LayerData:
    """What napari makes an image layer of."""
    is_rgb = image.pixels.ndim - image.is_stack == 3
    attributes = {
        "name": image.path.name.removesuffix(".gz").rpartition(".")[0] or image.path.name,
        "rgb": is_rgb,
        "contrast_limits": None if is_rgb else (0.0, 1.0),
        "scale": image.spacing,
        "units": image.units,
        "metadata": {"path": str(image.path), "scaling": image.scaling, "affine": image.affine},
    }
    return image.pixels, attributes, "image"
