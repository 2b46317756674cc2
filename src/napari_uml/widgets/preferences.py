"""The user's preferences: File > Preferences > napari-uml; napari 0.9 makes them of the manifest's `configurations`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from napari_uml.config import OKABE_ITO
from napari_uml.weights.registry import CACHE_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_uml.config import Task
    from napari_uml.weights import WeightsInfo

PLUGIN: Final = "napari-uml"
BRIGHT: Final = ("#000000", "#FFD500", "#00E5FF", "#FF5EFF", "#7CFF4F", "#FF7A4F", "#8FA8FF", "#FFFFFF")
"""Structures on dark pictures for eyes that see little contrast; the first is the background."""
PALETTES: Final = {"okabe-ito": OKABE_ITO, "bright": BRIGHT}


@dataclass(frozen=True, slots=True)
class Preferences:
    """What the user prefers, with the manifest's defaults; napari before 0.9 has these alone.

    Attributes
    ----------
    model
        Name of the model that a new dock starts with; empty: the first that is on this computer.
    device, precision
        As `UMLPredictor.load` takes them.
    cache_folder
        Where models and training runs are kept; empty: the system's folders.
    referral_threshold
        Chance of an error, in percent, from which the dock advises a second look; 0: as the model says.
    palette
        Colours of the structures: `model`, `okabe-ito` or `bright`.
    """

    model: str = ""
    device: str = "auto"
    precision: str = "auto"
    cache_folder: str = ""
    referral_threshold: int = 0
    palette: str = "model"

    def applied(self, info: WeightsInfo) -> WeightsInfo:
        """What a model says of itself, with the preferred colours and referral threshold."""
        changes: dict[str, Any] = {}
        if self.palette in PALETTES:
            changes["task"] = _recoloured(info.task, PALETTES[self.palette])
        if self.referral_threshold and info.calibration is not None:
            share = self.referral_threshold / 100
            changes["calibration"] = info.calibration.model_copy(update={"referral_threshold": share})
        return info.model_copy(update=changes) if changes else info


def read_preferences() -> Preferences:
    """The preferences as they are now; the defaults where napari has none for plugins."""
    settings = _settings()
    return Preferences() if settings is None else Preferences(**settings.model_dump())


def watch_preferences(changed: Callable[[], None]) -> None:
    """Call a bound method, held weakly, whenever the user changes a preference."""
    settings = _settings()
    if settings is not None:
        settings.events.connect(changed)


def use_cache_folder(folder: str) -> None:
    """Keep models in that folder, also in programs that are started from here; a folder set outside goes first."""
    ours = _UsedFolder.name
    if os.environ.get(CACHE_VARIABLE, ours) != ours:
        return
    if folder:
        os.environ[CACHE_VARIABLE] = folder
    else:
        os.environ.pop(CACHE_VARIABLE, None)
    _UsedFolder.name = folder


class _UsedFolder:
    """The folder that was last set here, to tell it from one set outside."""

    name = ""


def _settings() -> Any:
    """Napari's settings of the group `analysis`; None before napari 0.9, or where the plugin is not registered."""
    try:
        from napari.settings import get_plugin_settings
    except ImportError:
        return None
    try:
        return get_plugin_settings(PLUGIN).analysis
    except (KeyError, AttributeError):
        return None


def _recoloured(task: Task, palette: tuple[str, ...]) -> Task:
    numbers = range(len(task.seg_classes))
    colors = tuple(palette[0] if n == 0 else palette[1 + (n - 1) % (len(palette) - 1)] for n in numbers)
    return task.model_copy(update={"seg_colors": colors})
