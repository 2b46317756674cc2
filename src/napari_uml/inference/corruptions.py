"""Known damages to the network's input: blur, contrast, brightness, exposure, JPEG, down-sampling; no torch.

They are done where the noise is added: on the [0, 1] image, after resizing to the network's input and before the noise.
None of them is random: the same strength always gives the same picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from napari_uml.data.jpeg import jpeg_coded
from napari_uml.results import Corruption

if TYPE_CHECKING:
    from collections.abc import Callable

Picture = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """One kind of damage.

    Attributes
    ----------
    title, meaning
        For people: its name, and what the strength counts.
    neutral
        The strength that changes nothing.
    steps
        Strengths to try one after another, in rising order; the first and the last are the limits.
    whole
        Whether strengths are whole numbers.
    apply
        The function: channels (C, S, S) and strength to channels.
    """

    title: str
    meaning: str
    neutral: float
    steps: tuple[float, ...]
    whole: bool
    apply: Callable[[Picture, float], Picture]

    @property
    def lowest(self) -> float:
        """Least strength."""
        return self.steps[0]

    @property
    def highest(self) -> float:
        """Greatest strength."""
        return self.steps[-1]


def corrupt(image: Picture, corruption: Corruption | None) -> Picture:
    """Damage a network input.

    Parameters
    ----------
    image
        (C, S, S) in [0, 1]; C is 1 for a grey image.
    corruption
        What to do; None or the neutral strength returns the image itself.

    Returns
    -------
    float32 (C, S, S) in [0, 1].

    Raises
    ------
    ValueError
        When there is no such kind, or the strength is outside its limits.
    """
    if corruption is None:
        return image
    check_corruption(corruption)
    kind = KINDS[corruption.kind]
    if corruption.strength == kind.neutral:
        return image
    return kind.apply(image, corruption.strength).astype(np.float32, copy=False).clip(0, 1)


def parse_corruption(text: str) -> Corruption:
    """A corruption from "KIND=STRENGTH", as `str(corruption)` writes it.

    Raises
    ------
    ValueError
        When the text is none, or there is no such corruption.
    """
    kind, _, strength = text.partition("=")
    try:
        corruption = Corruption(kind.strip(), float(strength))
    except ValueError as error:
        raise ValueError(f"Expected a corruption KIND=STRENGTH such as blur=2, got {text!r}.") from error
    check_corruption(corruption)
    return corruption


def check_corruption(corruption: Corruption | None) -> None:
    """Refuse a kind that there is not, and a strength outside its limits.

    Raises
    ------
    ValueError
        Then.
    """
    if corruption is None:
        return
    kind = KINDS.get(corruption.kind)
    if kind is None:
        raise ValueError(f"Expected a corruption among {', '.join(KINDS)}, got {corruption.kind!r}.")
    if not kind.lowest <= corruption.strength <= kind.highest:
        raise ValueError(
            f"Expected a strength of {corruption.kind} from {kind.lowest:g} to {kind.highest:g}, "
            f"got {corruption.strength:g}."
        )
    if kind.whole and corruption.strength % 1:
        said = f"Expected a whole number for {corruption.kind} ({kind.meaning}), got {corruption.strength:g}."
        raise ValueError(said)


def _blur(image: Picture, strength: float) -> Picture:
    return np.asarray(gaussian_filter(image, (0, strength, strength), mode="nearest"))


def _contrast(image: Picture, strength: float) -> Picture:
    mean = image.mean()
    return np.asarray(mean + (1 - strength) * (image - mean))


def _brightness(image: Picture, strength: float) -> Picture:
    return image + np.float32(strength)


def _exposure(image: Picture, strength: float) -> Picture:
    return image * np.float32(strength)


def _jpeg(image: Picture, strength: float) -> Picture:
    return jpeg_coded(image, round(100 - strength))


def _downsample(image: Picture, strength: float) -> Picture:
    rows, columns = image.shape[1:]
    small = (max(round(columns / strength), 1), max(round(rows / strength), 1))
    planes = [Image.fromarray(np.ascontiguousarray(plane)).resize(small, Image.Resampling.BOX) for plane in image]
    return np.stack([np.asarray(plane.resize((columns, rows), Image.Resampling.BILINEAR)) for plane in planes])


KINDS: Final[dict[str, Kind]] = {
    "blur": Kind(
        "Blur", "standard deviation of the Gaussian, in pixels of the network's input",
        0, (0, 0.5, 1, 1.5, 2, 3, 4, 6, 8), False, _blur,
    ),
    "contrast": Kind(
        "Less contrast", "share of the contrast that is lost; 1 would be an even grey",
        0, (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), False, _contrast,
    ),
    "brightness": Kind(
        "Brightness", "added to every pixel; black is 0 and white is 1",
        0, (-0.5, -0.4, -0.3, -0.2, -0.1, 0, 0.1, 0.2, 0.3, 0.4, 0.5), False, _brightness,
    ),
    "exposure": Kind(
        "Exposure", "light that a photograph got; half of it is 0.5, and 1 changes nothing",
        1, (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3, 1.5), False, _exposure,
    ),
    "jpeg": Kind(
        "JPEG", "100 minus the JPEG quality; 0 leaves the compression out",
        0, (0, 10, 30, 50, 60, 70, 80, 85, 90, 95, 99), True, _jpeg,
    ),
    "downsampling": Kind(
        "Down-sampling", "how many times fewer rows and columns, brought back to the old size",
        1, (1, 1.5, 2, 3, 4, 6, 8, 12, 16), False, _downsample,
    ),
}  # fmt: skip
"""Every kind by its name in a `Corruption`."""
