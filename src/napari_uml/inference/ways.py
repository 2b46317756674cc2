"""Ways of predicting on top of trained weights: several looks instead of one, with their entropy as uncertainty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, get_args

from napari_uml.baselines.augmentation import TestTimeAugmentation
from napari_uml.baselines.dropout import MonteCarloDropout
from napari_uml.baselines.ensemble import Ensemble
from napari_uml.inference.predictor import UMLPredictor, build_network
from napari_uml.weights import find_weights, load_tensors, read_info

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import nn

    from napari_uml.nn.base import Network

Way = Literal["dropout", "augmentation", "ensemble"]
WAYS: Final[tuple[Way, ...]] = get_args(Way)

_OF_ONE: Final[dict[str, Callable[[Network], nn.Module]]] = {
    "dropout": MonteCarloDropout,
    "augmentation": TestTimeAugmentation,
}


def load_way(way: Way, models: Sequence[str | Path], device: str = "auto", precision: str = "auto") -> UMLPredictor:
    """A predictor that looks several times; it is not calibrated, whatever its models are.

    Parameters
    ----------
    way
        Monte-Carlo dropout, test-time augmentation, or a deep ensemble.
    models
        One model, or for an ensemble two or more of one task and input size; names or paths as in `UMLPredictor.load`.
    device, precision
        As in `UMLPredictor.load`.

    Raises
    ------
    ValueError
        When there is no such way, the number of models is wrong, or they do not belong together.
    WeightsError, DeviceError
        As `UMLPredictor.load` does.
    """
    if way not in WAYS:
        raise ValueError(f"Expected a way among {', '.join(WAYS)}, got {way!r}.")
    paths = [find_weights(model) for model in models]
    # what a calibration says of evidence does not hold for the entropy of several looks
    infos = [read_info(path).model_copy(update={"calibration": None}) for path in paths]
    if len({(info.task.model_dump_json(), info.image_size) for info in infos}) != 1:
        raise ValueError("Expected one or more models of the same task and input size, got none or different ones.")
    networks = [build_network(info, load_tensors(path)) for info, path in zip(infos, paths, strict=True)]
    if way == "ensemble":
        return UMLPredictor(infos[0], Ensemble(networks), device, precision)
    if len(networks) != 1:
        raise ValueError(f"Expected one model for {way}, got {len(networks)}.")
    return UMLPredictor(infos[0], _OF_ONE[way](networks[0]), device, precision)
