"""What the simulated pictures share: the answer's type, smooth noise, irregular outlines and tapered strokes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from napari_uml.config import Task

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedImage:
    """A picture that shows no patient, with its known truth.

    Attributes
    ----------
    name
        What it shows, for a layer's name; says that it is simulated.
    pixels
        (H, W) grey, (H, W, 3) sRGB or a (D, H, W) stack of grey slices, 0 to 255.
    mask
        (H, W) or (D, H, W) structure numbers, as in the data sets of real images of the same kind.
    label
        Name of the image class.
    task
        Names of the structures and of the classes.
    spacing
        Millimetres between neighbours along each axis of the mask.
    """

    name: str
    pixels: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    label: str
    task: Task
    spacing: tuple[float, ...]


def check_kind(kind: str, task: Task) -> None:
    """Raise ValueError unless `kind` is a class of the task."""
    if kind not in task.cls_classes:
        raise ValueError(f"Expected a kind among {', '.join(task.cls_classes)}, got {kind!r}.")


def to_uint8(values: ArrayLike) -> NDArray[np.uint8]:
    """Round and clip to 0..255."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def mix(under: ArrayLike, over: ArrayLike, share: Array) -> Array:
    """Blend colours (H, W, 3) or (3,): a `share` (H, W) in [0, 1] of `over`, the rest of `under`."""
    a = share[..., None]
    return np.asarray(under) * (1 - a) + np.asarray(over) * a


def fade(distance: Array, width: float) -> Array:
    """1 far below distance 0, 0 far above, falling smoothly over about 4 `width` (logistic)."""
    return 1 / (1 + np.exp(np.clip(distance / width, -50, 50)))


def noise(rng: np.random.Generator, shape: Sequence[int], cell: Sequence[float]) -> Array:
    """Smooth noise of mean 0 and standard deviation about 1, whose blobs have the size `cell` along each axis."""
    field: Array = rng.standard_normal([int(np.ceil(n / c)) + 3 for n, c in zip(shape, cell, strict=True)])
    for axis, (n, c) in enumerate(zip(shape, cell, strict=True)):
        field = _stretch(field, axis, 1 + np.arange(n) / c) * np.sqrt(315 / 151)  # the spline's mean loss of variance
    return field


def _stretch(values: Array, axis: int, positions: Array) -> Array:
    """Cubic B-spline with `values` as coefficients, at `positions` along one axis."""
    values = np.moveaxis(values, axis, 0)
    base = np.floor(positions).astype(int)
    t = (positions - base).reshape(-1, *[1] * (values.ndim - 1))
    weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 1 + 3 * t + 3 * t**2 - 3 * t**3, t**3)
    spline = sum((w / 6 * values[base + k - 1] for k, w in enumerate(weights)), np.zeros(()))
    return np.moveaxis(spline, 0, axis)


def ridges(field: Array, width: float) -> Array:
    """1 on the lines where a noise field crosses zero, 0 away from them: septa, fibres, networks, wrinkles."""
    return np.exp(-((field / width) ** 2))


def blob(
    rng: np.random.Generator,
    shape: tuple[int, int],
    centre: tuple[float, float],
    radii: tuple[float, float],
    roughness: Sequence[float],
    angle: float = 0.0,
) -> Array:
    """A closed irregular outline as a field (H, W): 0 at the centre, 1 on the outline, growing outwards.

    Parameters
    ----------
    centre, radii
        Along rows and columns, in pixels.
    roughness
        Amplitude of the outline's waves, from two waves around it on, as a share of the radius.
    angle
        Turns the shape, radians.
    """
    y, x = np.ogrid[: shape[0], : shape[1]]
    y, x, cos, sin = y - centre[0], x - centre[1], np.cos(angle), np.sin(angle)
    v, u = (y * cos - x * sin) / radii[0], (y * sin + x * cos) / radii[1]
    theta = np.arctan2(v, u)
    outline = np.ones(shape)
    for waves, amplitude in enumerate(roughness, start=2):
        outline += amplitude * rng.uniform(0.5, 1) * np.sin(waves * theta + rng.uniform(0, 2 * np.pi))
    return np.asarray(np.hypot(v, u) / outline)


def stroke(canvas: Array, path: ArrayLike, width: ArrayLike) -> None:
    """Draw a line of varying width into a canvas (H, W) of coverage 0..1, in place, with soft edges.

    Parameters
    ----------
    path
        (N, 2) rows and columns in pixels, joined by straight lines.
    width
        Pixels, one for all or N.
    """
    path = np.asarray(path, dtype=np.float64)
    half = np.broadcast_to(np.asarray(width, dtype=np.float64) / 2, len(path))
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
    at = np.arange(0, length[-1], np.sqrt(0.7 * half.min()))
    dots = np.stack([np.interp(at, length, column) for column in (*path.T, half)], axis=1)
    seen = np.all((dots[:, :2] > -dots[:, 2:] - 1) & (dots[:, :2] < dots[:, 2:] + canvas.shape), axis=1)
    for y, x, r in dots[seen]:
        top, left = max(int(y - r), 0), max(int(x - r), 0)
        window = canvas[top : int(y + r) + 2, left : int(x + r) + 2]
        rows, columns = np.arange(window.shape[0]) + top - y, np.arange(window.shape[1]) + left - x
        np.maximum(window, np.clip(r - np.hypot(rows[:, None], columns) + 0.5, 0, 1), out=window)


def blur(pixels: Array, sigma: float) -> Array:
    """Gaussian blur over rows and columns, not over channels."""
    return np.asarray(ndimage.gaussian_filter(pixels, (sigma, sigma, 0)[: pixels.ndim]))
