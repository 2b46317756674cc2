"""Measurements of one segmented image: areas, shares, mean uncertainty and the ratios that a data set declares.

A plausible range goes with areas and ratios. It is read off the pixel probabilities: the region where the structure
(the sum over its members) has p >= 0.75 is taken as the smallest plausible one, the region with p >= 0.25 as the
largest. An area lies between these two areas; a ratio between smallest over largest and largest over smallest extent.
The range always includes the measured value. It says what the network holds possible and has no guaranteed coverage.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_uml.config import Measurement, Task
    from napari_uml.results import Prediction

Region = NDArray[np.bool_]
Axis = Literal["vertical", "horizontal"]

CONTOURS = (0.25, 0.75)
"""Probabilities that bound the largest and the smallest plausible region."""


@dataclass(frozen=True, slots=True)
class MeasuredValue:
    """One line of a table of measurements.

    Attributes
    ----------
    structure
        The structure or union; empty for a measurement that the data set declares.
    name
        `area`, `share of image` (0..1), `mean uncertainty` (u, 0..1) or the declared name.
    value
        None where it is undefined: the structure, or what it is divided by, is not in the image.
    unit
        `px`, a squared unit of length such as `mm²`, or empty for a plain number.
    low, high
        Plausible range (see the module); None for a mean uncertainty; `high` of a ratio is None when the
        denominator may be absent.
    """

    structure: str
    name: str
    value: float | None
    unit: str = ""
    low: float | None = None
    high: float | None = None


def measure(
    mask: NDArray[np.integer],
    probability: NDArray[np.floating],
    uncertainty: NDArray[np.floating],
    task: Task,
    *,
    spacing: tuple[float, float] | None = None,
    units: str = "mm",
) -> tuple[MeasuredValue, ...]:
    """Measure every structure and union, then everything that the task declares.

    Parameters
    ----------
    mask
        (H, W) class numbers, 0 the background.
    probability
        (Q, H, W) expected probability of every structure, sums to 1 over Q.
    uncertainty
        (H, W) u of every pixel, in (0, 1].
    task
        Names of the structures, unions and declared measurements.
    spacing
        Height and width of a pixel in `units`; None: unknown, areas in pixels only.
    units
        Unit of length of `spacing`.

    Raises
    ------
    ValueError
        When the shapes do not fit each other and the task.
    """
    expected = (len(task.seg_classes), *mask.shape)
    if mask.ndim != 2 or probability.shape != expected or uncertainty.shape != mask.shape:
        raise ValueError(
            f"Expected a mask (H, W), probabilities {expected} and an uncertainty like the mask, "
            f"got {mask.shape}, {probability.shape} and {uncertainty.shape}."
        )
    rows: list[MeasuredValue] = []
    for structure in task.structures:
        regions = _regions(mask, probability, task.members(structure))
        rows += _areas(structure, regions, spacing, units)
        inside = uncertainty[regions[0]]
        mean = float(inside.mean(dtype=np.float64)) if inside.size else None
        rows.append(MeasuredValue(structure, "mean uncertainty", mean))
    rows += [_declared(m, mask, probability, task) for m in task.measurements]
    return tuple(rows)


def measure_slice(
    prediction: Prediction, number: int, task: Task, *, spacing: tuple[float, float] | None = None, units: str = "mm"
) -> tuple[MeasuredValue, ...]:
    """Measure one slice of a prediction, 0 for an image; where nobody looked nothing is plausible but background.

    Parameters
    ----------
    prediction
        Of an image or a stack.
    number
        Of the slice.
    task, spacing, units
        As for `measure`.
    """
    one = prediction if prediction.mask.ndim == 2 else _slice(prediction, number)
    probability, uncertainty, box = one.pixel_probability.copy(), one.pixel_uncertainty, one.looked_at[0]
    if box is not None:
        unseen = uncertainty == 1
        unseen[box.slices] = False
        probability[:, unseen] = 0
        probability[0, unseen] = 1
    return measure(one.mask, probability, uncertainty, task, spacing=spacing, units=units)


def extent(region: Region, axis: Axis) -> int:
    """Diameter of a region along an axis: the most pixels that it has in one column (vertical) or row (horizontal).

    Unlike the height of a bounding box it does not jump when a stray pixel is added.
    """
    return int(region.sum(axis=0 if axis == "vertical" else 1).max(initial=0))


def extent_ratio(mask: NDArray[np.integer], of: Sequence[int], to: Sequence[int], axis: Axis) -> float | None:
    """Extent of the classes `of` divided by that of the classes `to`; None when the mask (H, W) has none of `to`."""
    return _quotient(extent(np.isin(mask, of), axis), extent(np.isin(mask, to), axis))


def class_numbers(task: Task, structures: Sequence[str]) -> tuple[int, ...]:
    """Class numbers in the mask that several structures or unions have together, ascending."""
    return tuple(sorted({number for name in structures for number in task.members(name)}))


def _slice(stack: Prediction, number: int) -> Prediction:
    """The prediction (H, W) of one slice of a stack."""
    return replace(
        stack,
        mask=stack.mask[number],
        pixel_belief=stack.pixel_belief[number],
        pixel_uncertainty=stack.pixel_uncertainty[number],
        opinions=(stack.opinions[number],),
        looked_at=(stack.looked_at[number],),
        details=None,
    )


def _regions(
    mask: NDArray[np.integer], probability: NDArray[np.floating], members: tuple[int, ...]
) -> tuple[Region, Region, Region]:
    """The region in the mask, the smallest and the largest plausible one."""
    total = probability[list(members)].sum(axis=0)
    return np.isin(mask, members), total >= CONTOURS[1], total >= CONTOURS[0]


def _areas(
    structure: str, regions: tuple[Region, Region, Region], spacing: tuple[float, float] | None, units: str
) -> Iterator[MeasuredValue]:
    area, small, large = (int(np.count_nonzero(region)) for region in regions)
    low, high = min(area, small), max(area, large)
    scales = [("area", "px", 1.0)]
    if spacing is not None:
        scales.append(("area", f"{units}²", spacing[0] * spacing[1]))
    scales.append(("share of image", "", 1 / regions[0].size))
    for name, unit, scale in scales:
        yield MeasuredValue(structure, name, area * scale, unit, low * scale, high * scale)


def _declared(
    measurement: Measurement, mask: NDArray[np.integer], probability: NDArray[np.floating], task: Task
) -> MeasuredValue:
    """A declared ratio; a part of its own denominator is at most 1."""
    of, to = class_numbers(task, measurement.of), class_numbers(task, measurement.to)
    value = extent_ratio(mask, of, to, measurement.axis)
    if value is None:
        return MeasuredValue("", measurement.name, None)
    _, of_small, of_large = (extent(r, measurement.axis) for r in _regions(mask, probability, of))
    _, to_small, to_large = (extent(r, measurement.axis) for r in _regions(mask, probability, to))
    low, high = _quotient(of_small, to_large), _quotient(of_large, to_small)
    if set(of) <= set(to):
        high = 1.0 if high is None else min(high, 1.0)
    return MeasuredValue(
        "",
        measurement.name,
        value,
        low=value if low is None else min(low, value),
        high=None if high is None else max(high, value),
    )


def _quotient(part: int, whole: int) -> float | None:
    return part / whole if whole else None
