"""Simulated fundus: retina, optic disc with its cup, and vessels that branch out of it, near by or as a whole field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from napari_uml.data.simulated.canvas import (
    Array, SimulatedImage, blob, blur, check_kind, fade, mix, noise, ridges, stroke, to_uint8,
)  # fmt: skip

KINDS = ("normal", "glaucoma")
GLAUCOMA_RATIO = 0.6
"""A vertical cup/disc ratio from which the picture is labelled glaucoma."""
CUP_RATIOS = {"normal": (0.38, 0.50), "glaucoma": (0.66, 0.80)}
DISC_MM = 1.85
"""Height of the optic disc."""

RETINAS = ((124, 70, 28), (112, 66, 32), (130, 70, 28))
RIM_NASAL, RIM_TEMPORAL = (182, 70, 34), (224, 122, 60)
CUP = (250, 200, 108)
VEIN, ARTERY = (0.72, 0.46, 0.55), (0.88, 0.54, 0.60)
"""Share of red, green and blue that a vessel lets through."""

MACULA = (0.4, 5.0)
"""Below and to the temporal side of the disc's centre, in half heights of the disc (as are the lengths of vessels)."""
STEP = 0.06
TEMPORAL, NASAL = (1.5, 1.15, 0.0), (1.65, 2.05, 2.5)
"""Headings of the upper main vessels at their start, at the disc's margin and at their end; 0 is temporal, radians."""


@dataclass(frozen=True)
class _Eye:
    """Where the disc lies: its centre (row, column) and half height in pixels, and the side (-1, 1) of the macula."""

    shape: tuple[int, int]
    centre: tuple[float, float]
    radius: float
    temporal: int

    def polar(self) -> tuple[Array, Array, Array]:
        """Rows and temporal columns from the disc's centre, and the distance; in half heights of the disc."""
        y, x = np.mgrid[: self.shape[0], : self.shape[1]].astype(float)
        y, x = (y - self.centre[0]) / self.radius, (x - self.centre[1]) / self.radius * self.temporal
        return y, x, np.hypot(y, x)

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
        Vertical cup/disc ratio, 0.2 to 0.9, instead of a drawn one; it alone decides the label then.

    Raises
    ------
    ValueError
        When `kind` or `cup_to_disc` is none of these.
    """
    rng = np.random.default_rng(seed)
    centre = (256 + rng.uniform(-6, 6), 256 + rng.uniform(-6, 6))
    eye = _Eye((512, 512), centre, rng.uniform(150, 170), int(rng.choice((-1, 1))))
    pixels, mask, label = _paint(rng, eye, kind, cup_to_disc)
    return _finish(rng, "Simulated optic disc", blur(pixels, 2.0), mask, label, eye)


def simulate_fundus_photograph(
    seed: int = 0, kind: str = "glaucoma", cup_to_disc: float | None = None
) -> SimulatedImage:
    """A whole photograph (880, 1024, 3): a round field on black, the disc to one side, macula and vessel arcades.

    Parameters and errors as in `simulate_fundus`.
    """
    rng = np.random.default_rng(seed)
    side = int(rng.choice((-1, 1)))
    centre = (440 + rng.uniform(-30, 30), 512 - side * rng.uniform(100, 180))
    eye = _Eye((880, 1024), centre, rng.uniform(80, 92), side)
    pixels, mask, label = _paint(rng, eye, kind, cup_to_disc)
    y, x = np.ogrid[-440:440, -512:512]
    field = fade(np.hypot(y, x) - 500, 0.8)
    shade = 1 - 0.45 * (np.hypot(y, x) / 500) ** 3
    return _finish(rng, "Simulated fundus photograph", mix((2, 2, 3), blur(pixels, 1.0) * shade[..., None], field), mask, label, eye)


def _finish(
    rng: np.random.Generator, name: str, pixels: Array, mask: np.ndarray, label: str, eye: _Eye
) -> SimulatedImage:
    grain = blur(rng.standard_normal(pixels.shape), 0.7) * 4.0
    scale = DISC_MM / (2 * eye.radius)
    return SimulatedImage(name, to_uint8(pixels + grain * np.clip(pixels / 30, 0, 1)), mask, label, (scale, scale))


def _paint(
    rng: np.random.Generator, eye: _Eye, kind: str, cup_to_disc: float | None
) -> tuple[Array, np.ndarray, str]:
    check_kind(kind, KINDS)
    ratio = rng.uniform(*CUP_RATIOS[kind]) if cup_to_disc is None else cup_to_disc
    if not 0.2 <= ratio <= 0.9:
        raise ValueError(f"Expected a cup/disc ratio from 0.2 to 0.9, got {ratio}.")
    r = eye.radius
    disc = blob(rng, eye.shape, eye.centre, (r, 0.9 * r), (0.015, 0.01, 0.01))
    shift = 0.12 * (1 - ratio) * r * eye.temporal
    middle = (eye.centre[0] + 0.02 * r, eye.centre[1] + shift)
    cup = blob(rng, eye.shape, middle, (ratio * r, 0.96 * ratio * r), (0.03, 0.02, 0.01))
    mask = np.where(disc < 1, np.where(cup < 1, 2, 1), 0).astype(np.uint8)
    pixels = _retina(rng, eye)
    pixels = _disc(rng, eye, pixels, disc, cup, ratio)
    hub = ((middle[0] - eye.centre[0]) / r, abs(shift) / r - 0.55 * ratio)
    pixels = _vessels(rng, eye, pixels, hub)
    return pixels, mask, "glaucoma" if ratio >= GLAUCOMA_RATIO else "normal"


def _retina(rng: np.random.Generator, eye: _Eye) -> Array:
    """Pigment and choroid, nerve fibres that radiate from the disc, uneven light, the dark macula."""
    y, x, distance = eye.polar()
    r, shape = eye.radius, eye.shape
    colour = np.array(RETINAS[rng.integers(len(RETINAS))], dtype=float)
    light = 1 + 0.10 * noise(rng, shape, (3 * r, 3 * r)) + 0.05 * noise(rng, shape, (0.6 * r, 0.6 * r))
    light += 0.03 * noise(rng, shape, (0.12 * r, 0.12 * r)) + 0.03 * noise(rng, shape, (0.05 * r, 0.05 * r))
    light += 0.06 * _radial(rng, y, x, distance) * np.exp(-0.4 * distance)
    red = 1 + 0.04 * noise(rng, shape, (1.6 * r, 1.6 * r))
    pixels = colour * light[..., None] * np.stack([red, 1 / red, 1 / red], axis=-1)
    macula = np.exp(-((y - MACULA[0]) ** 2 + (x - MACULA[1]) ** 2) / 1.2)
    return np.asarray(pixels * (1 - macula[..., None] * (0.35, 0.5, 0.5)))


def _radial(rng: np.random.Generator, y: Array, x: Array, distance: Array) -> Array:
    """Fine stripes that run away from the disc's centre."""
    stripes = noise(rng, (720, 60), (1.5, 6))
    angle = (np.arctan2(y, x) / np.pi + 1) * 359.5
    return np.asarray(ndimage.map_coordinates(stripes, [angle, np.minimum(distance * 10, 59)], order=1))


def _disc(rng: np.random.Generator, eye: _Eye, pixels: Array, disc: Array, cup: Array, ratio: float) -> Array:
    """A halo, the rim (redder on the nasal side) and the pale cup, with soft margins."""
    _, x, _ = eye.polar()
    tone = rng.uniform(0.9, 1.06) * (1 + 0.02 * noise(rng, eye.shape, (0.1 * eye.radius,) * 2))[..., None]
    halo = np.exp(-np.maximum(disc - 1, 0) / 0.18) * 0.35
    pixels = mix(pixels, (170, 96, 46), halo)
    crescent = 0.3 * ridges(disc - 1.11, 0.06) * np.clip(1.4 * x - 0.4, 0, 1)
    pixels = mix(pixels, pixels * (0.55, 0.75, 0.9), crescent * rng.uniform(0, 2))
    rim = mix(RIM_NASAL, RIM_TEMPORAL, np.clip(0.5 + 0.6 * x, 0, 1)) * tone
    deep = np.array(CUP) * tone * (0.94 + 0.20 * np.exp(-((cup - 0.1) ** 2) / 0.3))[..., None]
    pale = mix(rim, deep, fade(cup - 0.87, 0.075 / ratio))
    return mix(pixels, pale, fade(disc - 1, 0.033))


def _vessels(rng: np.random.Generator, eye: _Eye, pixels: Array, hub: tuple[float, float]) -> Array:
    """Veins, then arteries with their bright reflex over them."""
    for colour, width, reflex in ((VEIN, 0.12, 0.10), (ARTERY, 0.09, 0.35)):
        tree, shine = np.zeros(eye.shape), np.zeros(eye.shape)
        for side, headings in ((1, TEMPORAL), (-1, TEMPORAL), (1, NASAL), (-1, NASAL)):
            start = np.array(hub) + (-0.1 * side, 0) + 0.05 * rng.standard_normal(2)
            turns = side * np.array(headings) + (0, 0.16, 0.12) * rng.standard_normal(3)
            _grow(rng, eye, tree, shine, start, turns, width * rng.uniform(0.8, 1.1), 3)
        for _ in range(4):
            turns = rng.uniform(-np.pi, np.pi) + 0.3 * rng.standard_normal(3)
            _grow(rng, eye, tree, shine, np.array(hub), turns, width * rng.uniform(0.2, 0.4), 1)
        soft = 0.009 * eye.radius
        pixels = mix(pixels, pixels * colour, blur(tree, soft))
        pixels = mix(pixels, pixels * 1.5 + 12, blur(shine, soft) * reflex)
    return pixels


def _grow(
    rng: np.random.Generator, eye: _Eye, tree: Array, shine: Array, start: Array, turns: Array, width: float,
    generations: int,
) -> None:  # fmt: skip
    """Draw a vessel with its reflex and, in smaller generations, its branches; lengths in half heights of the disc.

    `turns` are the headings at its start, soon after it, and at its end; 0 is towards the macula.
    """
    steps = {3: 160, 2: 90, 1: 60}[generations]
    angles = np.interp(np.arange(steps), (0, 12, steps), turns) + 0.2 * noise(rng, (steps,), (7,))
    path = start + STEP * np.cumsum(np.stack([np.sin(angles), np.cos(angles)], axis=1), axis=0)
    path = path[: _first(np.hypot(*(path - MACULA).T) < 0.9)]
    widths = width * np.linspace(1, 0.35, steps)[: len(path)]
    stroke(tree, eye.pixels(path), np.maximum(widths * eye.radius, 0.6))
    if generations == 3:
        stroke(shine, eye.pixels(path), 0.3 * widths * eye.radius)
    if generations > 1:
        for at in np.arange(rng.integers(14, 24), len(path) - 10, rng.integers(20, 32)):
            side = rng.choice((-1, 1)) * rng.uniform(0.4, 0.8)
            branch = angles[at] + side * np.array((0.5, 1, 0.8))
            _grow(rng, eye, tree, shine, path[at], branch, widths[at] * 0.62, generations - 1)


def _first(condition: np.ndarray) -> int | None:
    """Index of the first True, None without one."""
    return int(np.argmax(condition)) if condition.any() else None
