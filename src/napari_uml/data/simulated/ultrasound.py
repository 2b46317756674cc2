"""Simulated breast ultrasound: layered tissue, speckle, log compression and a lesion with its shadow or enhancement."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_uml.data.simulated.canvas import Array, SimulatedImage, blob, check_kind, fade, noise, ridges, to_uint8

KINDS = ("normal", "benign", "malignant")
SHAPE = (320, 384)
PIXEL_MM = 0.125
SLICE_MM = 1.0
DYNAMIC_RANGE = 60.0
"""Echoes of so many dB below the strongest are black."""
CONTRAST = 1.4
"""Exponent of the display's grey map."""
AXIAL, LATERAL = 1.0, 2.5
"""Standard deviations of the pulse, pixels."""

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


def simulate_ultrasound(seed: int = 0, kind: str = "benign") -> SimulatedImage:
    """One picture (320, 384) of a breast: without a lesion, or with a benign or malignant one.

    Raises
    ------
    ValueError
        When `kind` is not normal, benign or malignant.
    """
    pixels, mask = _scan(seed, kind, slices=1)
    return SimulatedImage("Simulated breast ultrasound", pixels[0], mask[0], kind, (PIXEL_MM, PIXEL_MM))


def simulate_ultrasound_sweep(seed: int = 0, kind: str = "benign", slices: int = 20) -> SimulatedImage:
    """A stack (slices, 320, 384), a millimetre apart, that sweeps over the lesion and beyond it at both ends.

    Raises
    ------
    ValueError
        When `kind` is not normal, benign or malignant.
    """
    pixels, mask = _scan(seed, kind, slices)
    return SimulatedImage("Simulated breast ultrasound sweep", pixels, mask, kind, (SLICE_MM, PIXEL_MM, PIXEL_MM))


def _scan(seed: int, kind: str, slices: int) -> tuple[np.ndarray, np.ndarray]:
    check_kind(kind, KINDS)
    rng = np.random.default_rng(seed)
    shape = (slices, *SHAPE)
    echo, bright = _tissue(rng, shape)
    mask = np.zeros(shape, dtype=np.uint8)
    if kind != "normal":
        field, thickness = _lesion(rng, shape, kind)
        echo, bright = _insert(rng, echo, bright, field, thickness, kind)
        mask[field < 1] = 1
    return to_uint8(_display(rng, echo, bright)), mask


def _tissue(rng: np.random.Generator, shape: tuple[int, int, int]) -> tuple[Array, Array]:
    """Mean echo of the scatterers and of the smooth reflectors, dB below the strongest, each (D, H, W)."""
    depth = np.linspace(0, 1, shape[1])[:, None]
    waves = noise(rng, shape, (8, 90, 150)) + 0.4 * noise(rng, shape, (5, 40, 60))
    depth = depth + 0.035 * waves * np.clip(depth / 0.1, 0.03, 1)
    levels, echo, mottle, septa = np.transpose(LAYERS)
    tissue = np.interp(depth, levels, echo)
    tissue += np.interp(depth, levels, mottle) * (0.8 * noise(rng, shape, (4, 9, 26)) + 0.6 * noise(rng, shape, (3, 5, 9)))
    tissue += 7 * depth * noise(rng, shape, (6, 400, 30))
    fibres = [_fibres(_slanted(rng, shape, cell, 12 * waves)) for cell in ((6, 26, 120), (4, 13, 60), (3, 9, 40))]
    patchy = fade(-noise(rng, shape, (4, 22, 50)), 0.5)
    return tissue, tissue - 13 + np.interp(depth, levels, septa) * 1.7 * np.max(fibres, axis=0) * patchy


def _fibres(field: Array) -> Array:
    """1 on a pixel-wide line wherever the field crosses zero, less where that line is steep: sound glances off."""
    down, across = np.gradient(field, axis=(1, 2))
    steep = np.hypot(down, across) + 1e-9
    return ridges(field / steep, 1.6) * (down / steep) ** 4


def _slanted(rng: np.random.Generator, shape: tuple[int, int, int], cell: tuple[float, float, float], tilt: Array) -> Array:
    """Noise whose rows follow the tissue's waves: shifted up or down by `tilt` pixels."""
    field = noise(rng, shape, cell)
    rows = np.arange(shape[1])[:, None] + tilt
    return np.stack([
        ndimage.map_coordinates(layer, [r, np.broadcast_to(np.arange(shape[2]), r.shape)], order=1, mode="reflect")
        for layer, r in zip(field, rows, strict=True)
    ])


def _lesion(rng: np.random.Generator, shape: tuple[int, int, int], kind: str) -> tuple[Array, float]:
    """Field (D, H, W) that is 1 on the lesion's surface, and the lesion's half height in pixels."""
    _, height, width = shape
    if kind == "benign":
        radius = rng.uniform(50, 70)
        radii, rough, row = (radius * rng.uniform(0.5, 0.65), radius), (0.04, 0.03, 0.02), 0.36
    else:
        radius = rng.uniform(55, 72)
        radii, row = (radius * rng.uniform(0.85, 1.05), radius), 0.42
        rough = (0.10, 0.08, 0.06, 0.05, 0.045, 0.04, 0.04, 0.035, 0.03, 0.03, 0.03, 0.025, 0.025)
    centre = (height * rng.uniform(row - 0.04, row + 0.04), width * rng.uniform(0.38, 0.62))
    flat = blob(rng, (height, width), centre, radii, rough, angle=rng.uniform(-0.2, 0.2))
    along = (np.arange(shape[0]) - (shape[0] - 1) / 2) / max(0.38 * shape[0], 1)
    return np.hypot(flat, along[:, None, None]), radii[0]


def _insert(
    rng: np.random.Generator, echo: Array, bright: Array, field: Array, thickness: float, kind: str
) -> tuple[Array, Array]:
    """Put the lesion into the tissue, with what it does to the echoes behind it."""
    benign = kind == "benign"
    distance = (field - 1) * thickness
    inside = fade(distance, 0.8 if benign else 2.0)
    level = (-46.0 if benign else -46.0) + (2.0 if benign else 3.5) * noise(rng, echo.shape, (4, 12, 18))
    halo = ridges(distance - (2 if benign else 7), 2 if benign else 8) * (7 if benign else 5)
    behind = np.cumsum(fade(distance, 1.0), axis=1) / (2 * thickness)
    behind = ndimage.gaussian_filter1d(behind, 4, axis=2) * (1 - inside) * (8 if benign else -12)
    echo = (echo + halo) * (1 - inside) + level * inside + behind
    bright = bright * (1 - inside) - 70 * inside + behind
    return echo, bright


def _display(rng: np.random.Generator, echo: Array, bright: Array, looks: int = 4) -> Array:
    """Grey values (D, H, W) of the log-compressed envelope, averaged over `looks` independent angles."""
    amplitude = 10 ** (echo / 20) + 10 ** (-DYNAMIC_RANGE / 20)
    envelope = np.zeros(echo.shape)
    for _ in range(looks):
        scatter = rng.standard_normal((2, *echo.shape)) * amplitude
        scatter[0] += 10 ** (bright / 20)
        envelope += np.hypot(*ndimage.gaussian_filter(scatter, (0, 0, AXIAL, LATERAL))) / looks
    gain = 1.15 * np.sqrt(4 * np.pi * AXIAL * LATERAL)
    level = 1 + 20 * np.log10(gain * envelope) / DYNAMIC_RANGE
    return np.asarray(255 * np.clip(level, 0, 1) ** CONTRAST)
