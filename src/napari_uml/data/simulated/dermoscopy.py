"""Simulated dermoscopy: skin with hairs, and a nevus, a melanoma or a seborrheic keratosis on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_uml.config import Task
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
    from numpy.typing import ArrayLike

TASK = Task(
    modality="dermoscopy",
    seg_classes=("background", "lesion"),
    cls_classes=("nevus", "melanoma", "seborrheic_keratosis"),
)
SHAPE = (256, 256)
PIXEL_MM = 0.06

SKINS = ((216, 188, 172), (206, 174, 152), (230, 204, 190), (198, 172, 160))
BROWN, RED, BLUE = np.array((0.50, 1.0, 1.3)), np.array((0.15, 0.7, 0.6)), np.array((1.2, 1.05, 0.75))
"""How strongly melanin, blood and melanin deep in the skin absorb red, green and blue."""
MILIUM, COMEDO, VEIL = (222, 204, 176), (74, 50, 38), (112, 116, 130)

OUTLINES = {
    # roughness, height/width, half width (pixels), softness of the margin (share of the half width)
    "nevus": ((0.06, 0.04, 0.03, 0.02, 0.02), 0.82, (52, 72), 0.055),
    "melanoma": ((0.14, 0.10, 0.08, 0.05, 0.05, 0.04, 0.04, 0.03, 0.03), 0.8, (66, 86), 0.05),
    "seborrheic_keratosis": ((0.06, 0.05, 0.04, 0.03, 0.03, 0.02, 0.02), 0.85, (56, 76), 0.025),
}


def simulate_dermoscopy(seed: int = 0, kind: str = "nevus") -> SimulatedImage:
    """A picture (256, 256, 3): a nevus (even brown), a melanoma (uneven, many colours) or a keratosis (dull, milia).

    Raises
    ------
    ValueError
        When there is no such kind.
    """
    check_kind(kind, TASK)
    rng = np.random.default_rng(seed)
    lesion, softness = _outline(rng, kind)
    skin = _skin(rng)
    paint = {"nevus": _nevus, "melanoma": _melanoma, "seborrheic_keratosis": _keratosis}[kind]
    pixels = mix(skin, paint(rng, skin, lesion), fade(lesion - 0.97, softness))
    pixels = _light(rng, _hairs(rng, pixels)) + 3.5 * blur(rng.standard_normal(skin.shape), 0.5)
    mask = (lesion < 1).astype(np.uint8)
    return SimulatedImage("Simulated dermoscopy", to_uint8(pixels), mask, kind, TASK, (PIXEL_MM, PIXEL_MM))


def _outline(rng: np.random.Generator, kind: str) -> tuple[Array, float]:
    """Field (H, W) that is 1 on the lesion's margin, and the margin's softness."""
    roughness, flat, sizes, softness = OUTLINES[kind]
    size = rng.uniform(*sizes)
    centre = (128 + rng.uniform(-14, 14), 128 + rng.uniform(-14, 14))
    field = blob(rng, SHAPE, centre, (size * flat, size), roughness, angle=rng.uniform(0, np.pi))
    return field + 0.6 * softness * _mottle(rng, 16), softness


def _mottle(rng: np.random.Generator, cell: float) -> Array:
    """Cloudy noise: blobs of the size `cell`, of half and of a quarter of it, weaker the smaller."""
    return sum((noise(rng, SHAPE, (cell * f, cell * f)) * f**0.6 for f in (1.0, 0.5, 0.25)), np.zeros(SHAPE)) / 1.3


def _absorb(pixels: Array, pigment: ArrayLike, density: Array) -> Array:
    """Light that is left after a pigment (3,) of a density (H, W): Beer-Lambert."""
    return np.asarray(pixels * np.exp(-np.maximum(density, 0)[..., None] * np.asarray(pigment)))


def _skin(rng: np.random.Generator) -> Array:
    """Skin with its fine grooves, freckles and blush."""
    pixels = np.broadcast_to(rng.choice(np.array(SKINS, dtype=float)), (*SHAPE, 3))
    pixels = _absorb(pixels, BROWN, 0.06 + 0.035 * _mottle(rng, 36) + 0.02 * _mottle(rng, 8))
    pixels = _absorb(pixels, RED, 0.05 + 0.035 * _mottle(rng, 44))
    freckles = fade(2.3 - noise(rng, SHAPE, (7, 7)), 0.25) * rng.uniform(0, 1)
    grooves = ridges(noise(rng, SHAPE, (5, 8)), 0.15) + ridges(noise(rng, SHAPE, (8, 5)), 0.15)
    return _absorb(pixels, BROWN, 0.03 * grooves + 0.3 * freckles)


def _network(rng: np.random.Generator, cell: float) -> Array:
    """Pigment network: brown lines around paler holes, -1 to 1, strong in some places and faint in others."""
    lines = ridges(noise(rng, SHAPE, (cell, cell)), 0.5) + ridges(noise(rng, SHAPE, (cell, cell)), 0.5)
    return np.asarray((lines - 0.8) * fade(-noise(rng, SHAPE, (24, 24)), 0.5))


def _nevus(rng: np.random.Generator, pixels: Array, lesion: Array) -> Array:
    """One brown, darker in the middle, with a regular network and grains."""
    density = rng.uniform(0.6, 0.9) * (1.1 - 0.45 * lesion**2) + 0.12 * _mottle(rng, 12)
    return _absorb(pixels, BROWN, density + 0.2 * _network(rng, 3.5))


def _melanoma(rng: np.random.Generator, pixels: Array, lesion: Array) -> Array:
    """Brown, black, red and blue-grey regions side by side, with an uneven network and dots."""
    density = 1.0 + 0.4 * _mottle(rng, 40) + 0.18 * _mottle(rng, 10) + 0.3 * _network(rng, 4)
    dots = fade(1.7 - noise(rng, SHAPE, (4, 4)), 0.15) * fade(0.6 - lesion, 0.08)
    pixels = _absorb(pixels, BROWN, np.maximum(density, 0.45) + 0.7 * dots)
    pixels = _absorb(pixels, RED, 0.3 * fade(0.5 - _mottle(rng, 40), 0.2))
    veil = fade(0.4 - _mottle(rng, 40), 0.2) * fade(lesion - 0.75, 0.06)
    veiled = _absorb(np.broadcast_to(np.array(VEIL, dtype=float), pixels.shape), BLUE, 0.25 * _mottle(rng, 12) + 0.1)
    return mix(pixels, veiled, 0.55 * veil)


def _keratosis(rng: np.random.Generator, pixels: Array, lesion: Array) -> Array:
    """Dull, waxy brown that ends at once, with furrows, white milia and dark comedo-like openings."""
    density = rng.uniform(0.6, 0.8) + 0.16 * _mottle(rng, 24) + 0.12 * _mottle(rng, 7)
    furrows = ridges(noise(rng, SHAPE, (9, 9)), 0.2) * fade(noise(rng, SHAPE, (24, 24)), 0.4)
    pixels = _absorb(pixels, (0.6, 0.9, 1.05), density + 0.3 * furrows)
    for colour, cell, share in ((COMEDO, 6.0, 0.6), (MILIUM, 4.0, 0.6)):
        spots = fade(2.0 - noise(rng, SHAPE, (cell, cell)), 0.15) * fade(lesion - 0.85, 0.02)
        pixels = mix(pixels, colour, share * spots)
    return pixels


def _hairs(rng: np.random.Generator, pixels: Array) -> Array:
    """A few dark, curved hairs, thinner towards their ends."""
    hairs = np.zeros(SHAPE)
    for _ in range(rng.integers(3, 10)):
        length = np.linspace(0, rng.uniform(60, 170), 40)
        angle = rng.uniform(-np.pi, np.pi) + length * rng.normal(0, 0.006) + 0.1 * noise(rng, (40,), (12,))
        steps = length[1] * np.stack([np.sin(angle), np.cos(angle)], axis=1)
        stroke(hairs, rng.uniform(-20, 276, 2) + np.cumsum(steps, axis=0), np.linspace(rng.uniform(1.0, 1.7), 0.5, 40))
    return mix(pixels, (58, 42, 36), 0.8 * blur(hairs, 0.4))


def _light(rng: np.random.Generator, pixels: Array) -> Array:
    """Darker towards the corners, and a little brighter on one side."""
    y, x = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    light = 1 - rng.uniform(0.02, 0.10) * (x**2 + y**2) + 0.03 * (x * np.cos(angle) + y * np.sin(angle))
    return np.asarray(pixels * light[..., None])
