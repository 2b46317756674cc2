"""The maps behind an answer, as layers that the user may ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps import Colormap, DirectLabelColormap
from napari.utils.colormaps.standardize_color import transform_color

from napari_uml.calibration import BETWEEN, INSIDE
from napari_uml.inference.zones import outline_zones
from napari_uml.widgets.layers import mask_style, uncertainty_style

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_uml.config import Task
    from napari_uml.widgets.session import Result

DISAGREEMENT_COLOR, UNION_COLOR = "#FF3B30", "#FFFFFF"
OUTLINE_WIDTH = 2
EVEN_ODDS = 0.5
"""Doubt 1 - p where two structures are equally likely."""


@dataclass(frozen=True, slots=True, eq=False)
class ExtraLayer:
    """A layer to show.

    Attributes
    ----------
    role
        Its name after that of the image; one layer a role.
    data
        (H, W) or (D, H, W) on the grid of the image.
    style
        As napari's layers take it; with `features` it is a labels layer, of outlines with a `contour` (pixels).
    """

    role: str
    data: NDArray[Any]
    style: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ExtraKind:
    """Something to tick.

    Attributes
    ----------
    text, tip
        For the check box.
    needs_details
        Whether the run must bring `PredictionDetails`.
    make
        The layers of a result; none when the network has no such map.
    """

    text: str
    tip: str
    needs_details: bool
    make: Callable[[Result], tuple[ExtraLayer, ...]]


def belief_layers(result: Result) -> tuple[ExtraLayer, ...]:
    """The belief in every structure but the background."""
    return _per_structure("belief", result.prediction.pixel_belief, 1.0, result.loaded.info.task)


def doubt_layers(result: Result) -> tuple[ExtraLayer, ...]:
    """The doubt 1 - p in the structure of every pixel; the colours end where two are equally likely."""
    if "mask" not in result.prediction.answers:
        return ()
    style = {**uncertainty_style(), "contrast_limits": (0.0, EVEN_ODDS)}
    return (ExtraLayer("doubt", result.prediction.pixel_doubt, style),)


def mutual_layers(result: Result) -> tuple[ExtraLayer, ...]:
    """The mutual mask."""
    details = result.prediction.details
    if details is None:
        return ()
    return (ExtraLayer("mutual mask", details.mutual_mask, mask_style(result.loaded.info.task)),)


def reliable_layers(result: Result) -> tuple[ExtraLayer, ...]:
    """The reliable mask of every structure but the background, from 0 to its largest value."""
    details = result.prediction.details
    if details is None or details.reliable_mask is None:
        return ()
    reliable = details.reliable_mask
    return _per_structure("reliable", reliable, max(float(reliable[..., 1:, :, :].max()), 1.0), result.loaded.info.task)


def disagreement_layers(result: Result) -> tuple[ExtraLayer, ...]:
    """1 where the mutual and the final mask name different structures."""
    details = result.prediction.details
    if details is None:
        return ()
    data = (details.mutual_mask != result.prediction.mask).astype(np.uint8)
    colors = {None: "transparent", 0: "transparent", 1: DISAGREEMENT_COLOR}
    style = {
        "colormap": DirectLabelColormap(color_dict=colors),
        "features": {"index": [0, 1], "structure": ["M and S agree", "M and S disagree"]},
        "opacity": 0.7,
    }
    return (ExtraLayer("disagreement", data, style),)


def zone_layers(result: Result) -> tuple[ExtraLayer, ...]:
    """The inner and, paler, the outer outline of every structure that was calibrated; those of unions are white."""
    info = result.loaded.info
    layers = []
    for name, zones in outline_zones(result.prediction, info).items():
        color = transform_color(
            UNION_COLOR if name in info.task.unions else info.task.colors[info.task.members(name)[0]]
        )
        pale = np.array([*color[0, :3], 0.6])
        words = ["outside", f"perhaps {name}, between the outlines", f"{name}, inside the inner outline"]
        style = {
            "colormap": DirectLabelColormap(
                color_dict={None: "transparent", 0: "transparent", BETWEEN: pale, INSIDE: color[0]}
            ),
            "features": {"index": [0, BETWEEN, INSIDE], "structure": words},
            "opacity": 1.0,
            "contour": OUTLINE_WIDTH,
        }
        layers.append(ExtraLayer(f"outlines {name}", zones, style))
    return tuple(layers)


def _per_structure(role: str, maps: NDArray[np.float32], largest: float, task: Task) -> tuple[ExtraLayer, ...]:
    layers = []
    for number, name in enumerate(task.seg_classes[1:], start=1):
        color = transform_color(task.colors[number])[0]
        clear = np.array([*color[:3], 0.0])
        style = {
            "colormap": Colormap(np.stack([clear, color]), name=f"{role} {name}"),
            "contrast_limits": (0.0, largest),
            "blending": "translucent",
        }
        layers.append(ExtraLayer(f"{role} {name}", maps[..., number, :, :], style))
    return tuple(layers)


EXTRA_KINDS = (
    ExtraKind("Belief per structure", "One layer a structure: its belief mass, 0 to 1.", False, belief_layers),
    ExtraKind(
        "Doubt 1 - p",
        "1 - p of the structure that each pixel got, in colours from 0 to 0.5. Unlike u it is high on borders, too, "
        "where there is evidence for both sides.",
        False,
        doubt_layers,
    ),
    ExtraKind("Mutual mask M", "What the mutual decoder sees before the final mask S is made.", True, mutual_layers),
    ExtraKind(
        "Reliable mask Mʳ",
        "What guides the final mask: the mutual mask where its uncertainty is low, per structure (Eq. 4).",
        True,
        reliable_layers,
    ),
    ExtraKind(
        "Where M and S disagree",
        "Pixels that the mutual and the final mask call differently.",
        True,
        disagreement_layers,
    ),
    ExtraKind(
        "Inner and outer outlines",
        "Of each structure: in most images like those of the calibration the inner one lies inside the true structure, "
        "and the outer one around it. The model's card says in how many, and which share of the size is spared.",
        False,
        zone_layers,
    ),
)
"""From top to bottom of the panel."""
