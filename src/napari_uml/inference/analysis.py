"""From an image to a prediction and its record: what `predict` and `replay` both do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_uml.inference.run_record import make_record
from napari_uml.results import stack_predictions

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_uml.data.reading import LoadedImage
    from napari_uml.inference.predictor import UMLPredictor
    from napari_uml.inference.run_record import RunRecord, RunSettings
    from napari_uml.results import Prediction

    Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """An image as it was looked at, the answer, and the record of both."""

    image: LoadedImage
    prediction: Prediction
    record: RunRecord


def analyse(
    predictor: UMLPredictor, image: LoadedImage, settings: RunSettings, progress: Progress | None = None
) -> Analysis:
    """Predict on an image, and record how.

    Parameters
    ----------
    predictor
        The model.
    image
        As `read_image` gives it.
    settings
        Noise, corruption, rectangle, slice.
    progress
        Called with the slices done and the slices there are.

    Raises
    ------
    ImageError, MemoryLimitError, DeviceError
        As `UMLPredictor.predict` does.
    ValueError
        When the settings do not fit the image.
    """
    image = pick_slice(image, settings.slice_number)
    total = image.pixels.shape[0] if image.is_stack else 1
    slices: list[Prediction] = []
    looking = predictor.predict_slices(
        image.pixels, settings.sigma, settings.seed, settings.roi, image.is_stack, corruption=settings.corruption
    )
    for one in looking:
        slices.append(one)
        if progress is not None:
            progress(len(slices), total)
    prediction = stack_predictions(slices) if image.is_stack else slices[0]
    record = make_record(
        image, prediction, predictor.info, settings, weights_sha256=predictor.sha256, weights_path=predictor.path,
        device_description=predictor.device.description,
    )  # fmt: skip
    return Analysis(image, prediction, record)


def pick_slice(image: LoadedImage, number: int | None) -> LoadedImage:
    """One slice of a stack as an image; the image itself when no slice is asked for.

    Raises
    ------
    ValueError
        When there is no such slice, or the image is no stack.
    """
    if number is None:
        return image
    name = image.path.name
    if not image.is_stack:
        raise ValueError(f"{name}: expected a stack to take slice {number} from, got a single image. Leave it out.")
    if not 0 <= number < len(image.pixels):
        raise ValueError(f"{name}: expected a slice from 0 to {len(image.pixels) - 1}, got {number}.")
    spacing = image.spacing and image.spacing[1:]
    return replace(image, pixels=image.pixels[number], is_stack=False, spacing=spacing, units=image.units[1:])
