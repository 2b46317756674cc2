"""Joint classification and segmentation of medical images with an honest uncertainty.

Public names are imported when they are first used, so that `import napari_uml` is fast and never imports torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_uml.config import TrainConfig, UMLConfig
    from napari_uml.data.reading import read_image
    from napari_uml.inference.predictor import UMLPredictor
    from napari_uml.results import Opinion, Prediction
    from napari_uml.training.fit import fit

__version__ = "0.1.0"

__all__ = ["Opinion", "Prediction", "TrainConfig", "UMLConfig", "UMLPredictor", "fit", "read_image"]

_HOMES = {
    "Opinion": "napari_uml.results",
    "Prediction": "napari_uml.results",
    "TrainConfig": "napari_uml.config",
    "UMLConfig": "napari_uml.config",
    "UMLPredictor": "napari_uml.inference.predictor",
    "fit": "napari_uml.training.fit",
    "read_image": "napari_uml.data.reading",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
