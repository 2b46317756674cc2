"""Whether an image looks like those that a model was trained on: plain comparisons that warn and never refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from napari_uml.data.view import network_view
from napari_uml.familiarity import picture_statistics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_uml.familiarity import Familiarity
    from napari_uml.weights import WeightsInfo

DO_NOT_RELY: Final = "do not rely on the answer."
"""How the sentence about an image ends that is unlike the training images."""
ELONGATED: Final = 2.0
"""Longer side by shorter side from which squashing to a square changes shapes much."""
BLOWN_UP: Final = 2.0
"""Network's input by the image's shorter side from which details are missing."""
COLOURFUL: Final = 0.02
"""Mean difference between the channels, on the [0, 1] scale, from which an image is in colour."""
FAR_OFF: Final = 1.5
"""Distance of the mean from the training images' mean, in their standard deviations."""
CONTRAST: Final = (0.25, 2.0)
"""Least and most standard deviation, as a share of the training images'."""


def unlike_training(pixels: NDArray[np.float32], info: WeightsInfo) -> tuple[str, ...]:
    """What is unusual about an image for a model, one sentence each; nothing when it looks like the training images.

    Parameters
    ----------
    pixels
        (H, W) or (H, W, 3) in [0, 1]; the rectangle alone when only a rectangle is analysed.
    info
        Of the model: its input, and `intensity`, mean and standard deviation a channel of the training images' pixels;
        where it has a `familiarity`, the image's distance from the training images is compared with its threshold, too.
    """
    view = network_view(pixels, info.image_size, 3)
    return (
        *_colour(view, info), *_shape(pixels.shape, info.image_size), *_intensity(view, info), *_distance(pixels, info)
    )  # fmt: skip


def is_unlike(view: NDArray[np.float32], features: NDArray[np.floating] | None, info: WeightsInfo) -> bool:
    """Whether an input is so unlike the training images that what is known of the model's errors says nothing of it.

    It is further away than the gate lets pass. Errors that were measured by `napari-uml calibrate` on images beyond the
    gate are known as far away as those are.

    Parameters
    ----------
    view
        (S, S, 3) in [0, 1]: what the network sees, noise and corruption included.
    features
        (C,) what the network makes of it, see `UMLOutput.features`; None: that does not count.
    info
        Of the model; False where it has no `familiarity`.
    """
    gate = info.familiarity
    return gate is not None and gate.distance(picture_statistics(view), features) > _reach(gate, info)


def _reach(gate: Familiarity, info: WeightsInfo) -> float:
    """The distance up to which the model's errors are known."""
    return max(gate.threshold, info.calibration.reach if info.calibration else 0.0)


def _colour(view: NDArray[np.float32], info: WeightsInfo) -> Iterator[str]:
    colourful = np.ptp(view, axis=-1).mean() > COLOURFUL
    if info.task.channels == 3 and not colourful:
        yield "The image is grey, the model was trained on colour images."
    elif info.task.channels == 1 and colourful:
        yield "The image is in colour, the model was trained on grey images; it sees the brightness."


def _shape(shape: tuple[int, ...], size: int) -> Iterator[str]:
    height, width = shape[:2]
    ratio = max(height, width) / min(height, width)
    if ratio > ELONGATED:
        yield f"The image is {ratio:.1f} times as long as wide and is squashed to a square; choose a rectangle."
    if size > BLOWN_UP * min(height, width):
        yield f"The image has {width} x {height} pixels, the model works on {size} x {size}: details are missing."


def _distance(pixels: NDArray[np.float32], info: WeightsInfo) -> Iterator[str]:
    if info.familiarity is None:
        return
    gate = info.familiarity
    found = gate.distances(picture_statistics(network_view(pixels, info.image_size, info.task.channels)))
    if max(found) > _reach(gate, info):
        parts = {found.everything: "", found.detail: "detail (sharpness, noise, contrast)", found.light: "brightness"}
        part = "" if found.everything > gate.threshold else parts[max(found)]
        what = f"The image's {part} is unlike that of" if part else "The image is unlike"
        yield (
            f"{what} the training images (distance {max(found):.1f}; {1 - gate.false_alarms:.0%} of such images stay "
            f"below {gate.threshold:.1f}): {DO_NOT_RELY}"
        )


def _intensity(view: NDArray[np.float32], info: WeightsInfo) -> Iterator[str]:
    if info.task.channels == 1:
        view = view.mean(axis=-1, keepdims=True)
    mean, std = (np.array(info.intensity[name]) for name in ("mean", "std"))
    distance = (view.mean(axis=(0, 1)) - mean) / np.maximum(std, 1e-6)
    contrast = view.std(axis=(0, 1)) / np.maximum(std, 1e-6)
    furthest = distance[np.abs(distance).argmax()]
    if abs(furthest) > FAR_OFF:
        yield (
            f"The image is {'brighter' if furthest > 0 else 'darker'} than the training images "
            f"(mean {view.mean():.2f}, theirs {mean.mean():.2f})."
        )
    if contrast.mean() < CONTRAST[0] or contrast.mean() > CONTRAST[1]:
        yield (
            f"The image has {'less' if contrast.mean() < 1 else 'more'} contrast than the training images "
            f"(standard deviation {view.std(axis=(0, 1)).mean():.2f}, theirs {std.mean():.2f})."
        )
