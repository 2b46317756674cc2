"""Simulated fundus: retina, optic disc with its cup, and vessels that branch out of it, near by or as a whole field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_uml.config import Measurement, Task
from napari_uml.data.simulated.canvas import (
    Array,
    SimulatedImage,
    blob,
    blur,
    check_kind,
    fade,
    mix,
    noise,
    ridges,
    stroke,
    to_uint8,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

TASK = Task(
    modality="colour fundus photograph",
    seg_classes=("background", "rim", "cup"),
    cls_classes=("normal", "glaucoma"),
    unions={"disc": ("rim", "cup")},
    measurements=(Measurement(name="vertical cup/disc ratio", axis="vertical", of=("cup",), to=("rim", "cup")),),
)
GLAUCOMA_RATIO = 0.6
"""A vertical cup/disc ratio from which the picture is labelled glaucoma."""
CUP_RATIOS = {"normal": (0.38, 0.50), "glaucoma": (0.66, 0.80)}
DISC_MM = 1.85
"""Height of the optic disc."""
FIELD_RADIUS = 500
"""Of a whole photograph, pixels."""

RETINAS = ((124, 70, 28), (112, 66, 32), (130, 70, 28))
RIM_NASAL, RIM_TEMPORAL = (182, 70, 34), (224, 122, 60)
CUP = (250, 200, 108)
"""sRGB."""
VEIN, ARTERY = (0.72, 0.46, 0.55), (0.88, 0.54, 0.60)
"""Share of red, green and blue that a vessel lets through."""

MACULA = (0.4, 5.0)
"""Below and to the temporal side of the disc's centre, in half heights of the disc (as are the lengths of vessels)."""
STEP, LENGTHS = 0.06, {3: 160, 2: 90, 1: 60}
"""Length of a vessel's step, and steps of a main vessel, its branches and theirs."""
TEMPORAL, NASAL = (1.5, 1.15, 0.0), (1.65, 2.05, 2.5)
"""Headings of the upper main vessels at their start, at the disc's margin and at their end; 0 is temporal, radians."""


@dataclass(frozen=True)
class Eye:
    """Where the disc lies on a picture (H, W).

    Attributes
    ----------
    shape
        Of the picture.
    centre, radius
        Row and column of the disc's centre, and half its height, in pixels.
    temporal
        On which side of it the macula is: -1 left, 1 right.
    """

    shape: tuple[int, int]
    centre: tuple[float, float]
    radius: float
    temporal: int

    def from_disc(self) -> tuple[Array, Array]:
        """Rows below and columns to the temporal side of the disc's centre, in half heights of the disc."""
        y, x = np.indices(self.shape, dtype=np.float64)
        return (y - self.centre[0]) / self.radius, (x - self.centre[1]) / self.radius * self.temporal

    def pixels(self, path: Array) -> Array:
        """A path (N, 2) in half heights of the disc, in pixels."""
        return path * self.radius * (1, self.temporal) + self.centre


def simulate_fundus(seed: int = 0, kind: str = "glaucoma", cup_to_disc: float | None = None) -> SimulatedImage:
    """A picture (512, 512, 3) of the region around the optic disc.

    Parameters
    ----------
    kind
        normal or glaucoma: the range from which the cup's size is drawn.
    cup_to_disc
        Vertical cup/disc ratio, 0.2 to 0.9, instead of a drawn one; it then decides the label, too.

    Raises
    ------
    ValueError
        When there is no such kind, or the ratio is out of range.
    """
    ratio, label, rng = _cup_ratio(seed, kind, cup_to_disc)
    centre = (256 + rng.uniform(-6, 6), 256 + rng.uniform(-6, 6))
    eye = Eye((512, 512), centre, rng.uniform(150, 170), int(rng.choice((-1, 1))))
    pixels, mask = paint(rng, eye, ratio)
    return SimulatedImage("Simulated optic disc", _photo(rng, pixels, 2.0), mask, label, TASK, _spacing(eye))


def simulate_fundus_photograph(
    seed: int = 0, kind: str = "glaucoma", cup_to_disc: float | None = None
) -> SimulatedImage:
    """A whole photograph (880, 1024, 3): a round field on black, the disc to one side, macula and vessel arcades.

    Parameters and errors as in `simulate_fundus`.
    """
    ratio, label, rng = _cup_ratio(seed, kind, cup_to_disc)
    temporal = int(rng.choice((-1, 1)))
    centre = (440 + rng.uniform(-30, 30), 512 - temporal * rng.uniform(100, 180))
    eye = Eye((880, 1024), centre, rng.uniform(80, 92), temporal)
    pixels, mask = paint(rng, eye, ratio)
    y, x = np.ogrid[-440:440, -512:512]
    distance = np.hypot(y, x) / FIELD_RADIUS
    pixels = mix((2, 2, 3), pixels * (1 - 0.45 * distance**3)[..., None], fade(distance - 1, 0.0015))
    return SimulatedImage("Simulated fundus photograph", _photo(rng, pixels, 1.0), mask, label, TASK, _spacing(eye))


def _cup_ratio(seed: int, kind: str, cup_to_disc: float | None) -> tuple[float, str, np.random.Generator]:
    """The vertical cup/disc ratio, the label that follows from it, and the generator for all the rest."""
    check_kind(kind, TASK)
    rng = np.random.default_rng(seed)
    ratio = rng.uniform(*CUP_RATIOS[kind]) if cup_to_disc is None else cup_to_disc
    if not 0.2 <= ratio <= 0.9:
        raise ValueError(f"Expected a cup/disc ratio from 0.2 to 0.9, got {ratio}.")
    return ratio, "glaucoma" if ratio >= GLAUCOMA_RATIO else "normal", rng


def _spacing(eye: Eye) -> tuple[float, float]:
    return (DISC_MM / (2 * eye.radius),) * 2


def _photo(rng: np.random.Generator, pixels: Array, sigma: float) -> NDArray[np.uint8]:
    """What the camera makes of it: unsharp by `sigma` pixels, with grain where there is light."""
    grain = 4 * blur(rng.standard_normal(pixels.shape), 0.7)
    return to_uint8(blur(pixels, sigma) + grain * np.clip(pixels / 30, 0, 1))


def paint(rng: np.random.Generator, eye: Eye, ratio: float) -> tuple[Array, NDArray[np.uint8]]:
    """Retina, disc and vessels without a camera: colours (H, W, 3) of 0 to 255, and the mask (H, W).

    `ratio` is the vertical cup/disc ratio.
    """
    (row, column), r = eye.centre, eye.radius
    shift = 0.12 * (1 - ratio)
    disc = blob(rng, eye.shape, eye.centre, (r, 0.9 * r), (0.015, 0.01, 0.01))
    middle = (row + 0.02 * r, column + shift * r * eye.temporal)
    cup = blob(rng, eye.shape, middle, (ratio * r, 0.96 * ratio * r), (0.03, 0.02, 0.01))
    mask = np.where(disc < 1, np.where(cup < 1, 2, 1), 0).astype(np.uint8)
    pixels = _disc(rng, eye, _retina(rng, eye), disc, cup, ratio)
    return _vessels(rng, eye, pixels, np.array((0.02, shift - 0.55 * ratio))), mask


def _retina(rng: np.random.Generator, eye: Eye) -> Array:
    """Pigment in uneven light, nerve fibres that run away from the disc, the dark macula."""
    y, x = eye.from_disc()
    light = np.ones(eye.shape)
    for strength, cell in ((0.10, 3.0), (0.05, 0.6), (0.03, 0.12), (0.03, 0.05)):
        light += strength * noise(rng, eye.shape, (cell * eye.radius,) * 2)
    light += 0.06 * _radial(rng, y, x) * np.exp(-0.4 * np.hypot(y, x))
    red = 1 + 0.04 * noise(rng, eye.shape, (1.6 * eye.radius,) * 2)
    pixels = rng.choice(RETINAS) * light[..., None] * np.stack([red, 1 / red, 1 / red], axis=-1)
    macula = np.exp(-((y - MACULA[0]) ** 2 + (x - MACULA[1]) ** 2) / 1.2)
    return mix(pixels, pixels * (0.65, 0.5, 0.5), macula)


def _radial(rng: np.random.Generator, y: Array, x: Array) -> Array:
    """Noise in fine stripes that run away from the disc's centre."""
    stripes = noise(rng, (720, 60), (1.5, 6))
    angle = (np.arctan2(y, x) / np.pi + 1) * 359.5
    return np.asarray(ndimage.map_coordinates(stripes, [angle, np.minimum(10 * np.hypot(y, x), 59)], order=1))


def _disc(rng: np.random.Generator, eye: Eye, pixels: Array, disc: Array, cup: Array, ratio: float) -> Array:
    """A halo and a dark crescent around, the rim (redder on the nasal side) and the pale cup, with soft margins."""
    _, x = eye.from_disc()
    tone = rng.uniform(0.9, 1.06) * (1 + 0.02 * noise(rng, eye.shape, (0.1 * eye.radius,) * 2))[..., None]
    pixels = mix(pixels, (170, 96, 46), 0.35 * np.exp(-np.maximum(disc - 1, 0) / 0.18))
    crescent = rng.uniform(0, 0.6) * ridges(disc - 1.11, 0.06) * np.clip(1.4 * x - 0.4, 0, 1)
    pixels = mix(pixels, pixels * (0.55, 0.75, 0.9), crescent)
    rim = mix(RIM_NASAL, RIM_TEMPORAL, np.clip(0.5 + 0.6 * x, 0, 1))
    deep = np.array(CUP) * (0.94 + 0.20 * np.exp(-((cup - 0.1) ** 2) / 0.3))[..., None]
    pale = mix(rim, deep, fade(cup - 0.87, 0.075 / ratio)) * tone
    return mix(pixels, pale, fade(disc - 1, 0.033))


def _vessels(rng: np.random.Generator, eye: Eye, pixels: Array, hub: Array) -> Array:
    """Veins, then arteries with their bright reflex, out of a `hub` in half heights of the disc from its centre."""
    for colour, width, reflex in ((VEIN, 0.12, 0.10), (ARTERY, 0.09, 0.35)):
        tree = _Tree(rng, eye, np.zeros(eye.shape), np.zeros(eye.shape))
        for side, headings in ((1, TEMPORAL), (-1, TEMPORAL), (1, NASAL), (-1, NASAL)):
            start = hub + (-0.1 * side, 0) + 0.05 * rng.standard_normal(2)
            turns = side * np.array(headings) + (0, 0.16, 0.12) * rng.standard_normal(3)
            tree.grow(start, turns, width * rng.uniform(0.8, 1.1), 3)
        for _ in range(4):
            turns = rng.uniform(-np.pi, np.pi) + 0.3 * rng.standard_normal(3)
            tree.grow(hub, turns, width * rng.uniform(0.2, 0.4), 1)
        soft = 0.009 * eye.radius
        pixels = mix(pixels, pixels * colour, blur(tree.blood, soft))
        pixels = mix(pixels, pixels * 1.5 + 12, reflex * blur(tree.shine, soft))
    return pixels


@dataclass(frozen=True)
class _Tree:
    """Vessels as coverage (H, W), and the reflex along the middle of the main ones."""

    rng: np.random.Generator
    eye: Eye
    blood: Array
    shine: Array

    def grow(self, start: Array, turns: Array, width: float, generations: int) -> None:
        """Draw a vessel and, in smaller generations, its branches; all lengths in half heights of the disc.

        `turns` are the headings at its start, soon after it, and at its end; 0 is towards the macula.
        """
        rng, steps = self.rng, LENGTHS[generations]
        angles = np.interp(np.arange(steps), (0, 12, steps), turns) + 0.2 * noise(rng, (steps,), (7,))
        path = start + STEP * np.cumsum(np.stack([np.sin(angles), np.cos(angles)], axis=1), axis=0)
        path = path[np.cumsum(np.hypot(*(path - MACULA).T) < 0.9) == 0]
        widths = width * np.linspace(1, 0.35, steps)[: len(path)]
        self._draw(path, widths, main=generations == max(LENGTHS))
        if generations > 1:
            for at in np.arange(rng.integers(14, 24), len(path) - 10, rng.integers(20, 32)):
                turn = rng.choice((-1, 1)) * rng.uniform(0.4, 0.8)
                self.grow(path[at], angles[at] + turn * np.array((0.5, 1, 0.8)), 0.62 * widths[at], generations - 1)

    def _draw(self, path: Array, widths: Array, *, main: bool) -> None:
        pixels, widths = self.eye.pixels(path), widths * self.eye.radius
        stroke(self.blood, pixels, np.maximum(widths, 0.6))
        if main:
            stroke(self.shine, pixels, 0.3 * widths)
