"""Simulated breast ultrasound: layered tissue, speckle, log compression and a lesion with its shadow or enhancement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_uml.config import Task
from napari_uml.data.simulated.canvas import Array, SimulatedImage, blob, check_kind, fade, noise, ridges, to_uint8

if TYPE_CHECKING:
    from numpy.typing import NDArray

TASK = Task(
    modality="breast ultrasound",
    channels=1,
    seg_classes=("background", "lesion"),
    cls_classes=("normal", "benign", "malignant"),
)
SHAPE = (320, 384)
PIXEL_MM = 0.125
SLICE_MM = 1.0
DYNAMIC_RANGE = 60.0
"""Echoes of so many dB below the strongest are black."""
CONTRAST = 1.4
"""Exponent of the display's grey map."""
AXIAL, LATERAL = 1.0, 2.5
"""Standard deviations of the pulse, pixels."""
LOOKS = 4
"""Independent angles that are averaged."""

LAYERS = (
    # depth (share of the picture), echo (dB), mottle (dB), fibres (dB above the tissue)
    (0.000, -17, 1.0, 0),
    (0.014, -24, 1.0, 0),
    (0.030, -29, 1.5, 0),
    (0.036, -18, 1.0, 0),
    (0.050, -34, 2.5, 8),
    (0.190, -37, 3.0, 20),
    (0.205, -26, 3.0, 18),
    (0.235, -34, 5.0, 16),
    (0.480, -39, 5.5, 17),
    (0.570, -45, 4.5, 18),
    (0.590, -35, 3.0, 18),
    (0.610, -48, 4.0, 21),
    (0.760, -53, 4.0, 20),
    (0.780, -44, 3.0, 18),
    (0.800, -55, 3.0, 14),
    (1.000, -60, 3.0, 8),
)
"""Skin, fat with septa, fibroglandular tissue, fascia, muscle with striae, chest wall."""


@dataclass(frozen=True)
class _Lesion:
    """A kind of lesion; ranges are drawn from evenly.

    Attributes
    ----------
    depth
        Of the centre, share of the picture.
    radius
        Half width, pixels.
    tallness
        Height / width.
    roughness
        Waves of the outline, see `blob`.
    softness
        Of the margin, pixels.
    mottle
        Unevenness of the echoes inside, dB.
    halo
        Bright tissue around it: distance and thickness in pixels, dB.
    behind
        Echoes behind it, dB: more (enhancement) or less (shadow).
    """

    depth: tuple[float, float]
    radius: tuple[float, float]
    tallness: tuple[float, float]
    roughness: tuple[float, ...]
    softness: float
    mottle: float
    halo: tuple[float, float, float]
    behind: float


LESIONS = {
    "benign": _Lesion((0.32, 0.40), (50, 70), (0.5, 0.65), (0.04, 0.03, 0.02), 0.8, 2.0, (2, 2, 7), 8.0),
    "malignant": _Lesion(
        (0.38, 0.46), (55, 72), (0.85, 1.05),
        (0.10, 0.08, 0.06, 0.05, 0.045, 0.04, 0.04, 0.035, 0.03, 0.03, 0.03, 0.025, 0.025), 2.0, 3.5, (7, 8, 5), -12.0,
    ),
}  # fmt: skip
LESION_ECHO = -46.0


def simulate_ultrasound(seed: int = 0, kind: str = "benign") -> SimulatedImage:
    """One picture (320, 384) of a breast: normal, or with a benign or malignant lesion.

    Raises
    ------
    ValueError
        When there is no such kind.
    """
    pixels, mask = _scan(seed, kind, slices=1)
    return SimulatedImage("Simulated breast ultrasound", pixels[0], mask[0], kind, TASK, (PIXEL_MM, PIXEL_MM))


def simulate_ultrasound_sweep(seed: int = 0, kind: str = "benign", slices: int = 20) -> SimulatedImage:
    """A stack (slices, 320, 384), a millimetre apart, that sweeps over the lesion and beyond it at both ends.

    Raises
    ------
    ValueError
        When there is no such kind, or no slice.
    """
    if slices < 1:
        raise ValueError(f"Expected one slice or more, got {slices}.")
    pixels, mask = _scan(seed, kind, slices)
    spacing = (SLICE_MM, PIXEL_MM, PIXEL_MM)
    return SimulatedImage("Simulated breast ultrasound sweep", pixels, mask, kind, TASK, spacing)


def _scan(seed: int, kind: str, slices: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pixels and mask, both (slices, H, W)."""
    check_kind(kind, TASK)
    rng = np.random.default_rng(seed)
    echo, bright = _tissue(rng, (slices, *SHAPE))
    mask = np.zeros(echo.shape, dtype=np.uint8)
    if kind in LESIONS:
        lesion = LESIONS[kind]
        field, half_height = _outline(rng, slices, lesion)
        mask[field < 1] = 1
        echo, bright = _insert(rng, echo, bright, (field - 1) * half_height, lesion)
    return to_uint8(_display(rng, echo, bright)), mask


def _tissue(rng: np.random.Generator, shape: tuple[int, int, int]) -> tuple[Array, Array]:
    """Echoes of the tissue's grain and of its smooth fibres, dB below the strongest, each (D, H, W)."""
    waves = noise(rng, shape, (8, 90, 150)) + 0.4 * noise(rng, shape, (5, 40, 60))
    depth = np.linspace(0, 1, shape[1])[:, None]
    depth = depth + 0.035 * waves * np.clip(depth / 0.1, 0.03, 1)
    levels, *profiles = np.transpose(LAYERS)
    echo, mottle, fibres = (np.interp(depth, levels, profile) for profile in profiles)
    echo += mottle * (0.8 * noise(rng, shape, (4, 9, 26)) + 0.6 * noise(rng, shape, (3, 5, 9)))
    echo += 7 * depth * noise(rng, shape, (6, 400, 30))
    cells = ((6, 26, 120), (4, 13, 60), (3, 9, 40))
    lines = np.max([_fibres(_slanted(noise(rng, shape, cell), 12 * waves)) for cell in cells], axis=0)
    patchy = fade(noise(rng, shape, (4, 22, 50)), 0.5)
    return echo, echo - 13 + 1.7 * fibres * lines * patchy


def _slanted(field: Array, shift: Array) -> Array:
    """A field (D, H, W) whose rows are moved by `shift` pixels, so that they follow the tissue's waves."""
    places = np.indices(field.shape, dtype=np.float64)
    places[1] += shift
    return np.asarray(ndimage.map_coordinates(field, places, order=1, mode="reflect"))


def _fibres(field: Array) -> Array:
    """1 on a thin line wherever the field crosses zero, less where that line is steep: sound glances off."""
    down, across = np.gradient(field, axis=(1, 2))
    slope = np.hypot(down, across) + 1e-9
    return np.asarray(ridges(field / slope, 1.6) * (down / slope) ** 4)


def _outline(rng: np.random.Generator, slices: int, lesion: _Lesion) -> tuple[Array, float]:
    """Field (D, H, W) that is 1 on the lesion's surface, and the lesion's half height in pixels."""
    radius = rng.uniform(*lesion.radius)
    radii = (radius * rng.uniform(*lesion.tallness), radius)
    centre = (SHAPE[0] * rng.uniform(*lesion.depth), SHAPE[1] * rng.uniform(0.38, 0.62))
    flat = blob(rng, SHAPE, centre, radii, lesion.roughness, angle=rng.uniform(-0.2, 0.2))
    along = (np.arange(slices) - (slices - 1) / 2) / (0.38 * slices)
    return np.hypot(flat, along[:, None, None]), radii[0]


def _insert(
    rng: np.random.Generator, echo: Array, bright: Array, distance: Array, lesion: _Lesion
) -> tuple[Array, Array]:
    """Put the lesion, from whose surface every voxel is `distance` pixels away, and its effects into the tissue."""
    inside = fade(distance, lesion.softness)
    at, thickness, gain = lesion.halo
    depth = np.cumsum(fade(distance, 1.0), axis=1) / -(2 * distance.min())
    behind = ndimage.gaussian_filter1d(depth, 4, axis=2) * (1 - inside) * lesion.behind
    level = LESION_ECHO + lesion.mottle * noise(rng, echo.shape, (4, 12, 18))
    echo = (echo + gain * ridges(distance - at, thickness)) * (1 - inside) + level * inside + behind
    return echo, bright * (1 - inside) - 70 * inside + behind


def _display(rng: np.random.Generator, echo: Array, bright: Array) -> Array:
    """Grey values (D, H, W) of the log-compressed envelope of the echoes, with speckle."""
    amplitude = 10 ** (echo / 20) + 10 ** (-DYNAMIC_RANGE / 20)
    envelope = np.zeros(echo.shape)
    for _ in range(LOOKS):
        scatter = rng.standard_normal((2, *echo.shape)) * amplitude
        scatter[0] += 10 ** (bright / 20)
        real, imaginary = ndimage.gaussian_filter(scatter, (0, 0, AXIAL, LATERAL))
        envelope += np.hypot(real, imaginary) / LOOKS
    gain = 1.15 * np.sqrt(4 * np.pi * AXIAL * LATERAL)
    level = 1 + 20 * np.log10(gain * envelope) / DYNAMIC_RANGE
    return np.asarray(255 * np.clip(level, 0, 1) ** CONTRAST)
