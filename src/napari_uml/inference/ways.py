"""Ways of predicting on top of trained weights: several looks instead of one, with their entropy as uncertainty."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_uml.baselines.registry import WAYS, looks_in_words
from napari_uml.config import UMLConfig
from napari_uml.inference.building import build_network
from napari_uml.inference.predictor import UMLPredictor
from napari_uml.shell import shell_line
from napari_uml.weights import find_weights, load_tensors, read_info, sha256, user_folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from napari_uml.config import Way
    from napari_uml.weights import WeightsInfo


def combine_weights(way: Way, models: Sequence[str | Path]) -> tuple[WeightsInfo, dict[str, Tensor]]:
    """A model that looks several times, made of trained ones: what it says of itself, and its tensors.

    It is not calibrated, whatever its models are: what a calibration says of evidence does not hold for the entropy of
    several looks.

    Parameters
    ----------
    way
        Monte-Carlo dropout, test-time augmentation, or a deep ensemble.
    models
        One model, or for an ensemble two or more of one task, network and input (size and looks); names or paths as in
        `UMLPredictor.load`.

    Raises
    ------
    ValueError
        When there is no such way, the number of models is wrong, they do not belong together, or dropout is wanted of
        a network without.
    WeightsError
        As `UMLPredictor.load` does.
    """
    paths, infos = _chosen(way, models)
    first, hashes = infos[0], [sha256(path) for path in paths]
    config = UMLConfig.model_validate({**first.config.model_dump(), "way": way, "members": len(paths)})
    tensors = {
        f"networks.{number}.{name}" if way == "ensemble" else f"network.{name}": tensor
        for number, path in enumerate(paths)
        for name, tensor in load_tensors(path).items()
    }
    same_data = all(info.training.get("datasets") == first.training.get("datasets") for info in infos)
    about = {
        "datasets": first.training.get("datasets") if same_data else None,
        "combined": [f"{i.name}, version {i.version}, SHA-256 {h}" for i, h in zip(infos, hashes, strict=True)],
        "earlier": list(dict.fromkeys(command for info in infos for command in info.commands)),
        "command": shell_line(["napari-uml", "models", "combine", way, *map(str, models)]),
    }
    gate = first.familiarity if same_data else None
    info = first.model_copy(
        update={
            "name": f"{paths[0].stem if paths[0].parent == user_folder() else first.name}-{way}"[:64],
            "title": f"{first.title}, {looks_in_words(config)}"[:100],
            "config": config,
            "training": about,
            "validation": {},
            "calibration": None,
            "familiarity": gate and gate.model_copy(update={"features": None}),  # those of one look
            "licence": "\n".join(dict.fromkeys(line for info in infos for line in info.licence.splitlines())),
        }
    )
    build_network(info, tensors)  # which raises when nothing can be made of them
    return info, tensors


def _chosen(way: Way, models: Sequence[str | Path]) -> tuple[list[Path], list[WeightsInfo]]:
    """The files of models that look once and belong together, and what they say of themselves."""
    if way not in WAYS:
        raise ValueError(f"Expected a way among {', '.join(WAYS)}, got {way!r}.")
    paths = [find_weights(model) for model in models]
    infos = [read_info(path) for path in paths]
    alike = {info.model_dump_json(include={"task", "config", "image_size", "focus"}) for info in infos}
    if len(alike) != 1:
        raise ValueError("Expected one or more models of the same task, network and input, got none or different ones.")
    if infos[0].config.way is not None:
        raise ValueError(f"Expected models that look once, {infos[0].name} looks several times already.")
    if way == "ensemble" and len({sha256(path) for path in paths}) < max(2, len(paths)):
        raise ValueError("Expected two different models or more for an ensemble, got one, or one of them twice.")
    if way != "ensemble" and len(paths) > 1:
        raise ValueError(f"Expected one model for {way}, got {len(paths)}.")
    return paths, infos


def load_way(way: Way, models: Sequence[str | Path], device: str = "auto", precision: str = "auto") -> UMLPredictor:
    """A predictor that looks several times; see `combine_weights`.

    Parameters
    ----------
    way, models
        As in `combine_weights`.
    device, precision
        As in `UMLPredictor.load`.

    Raises
    ------
    ValueError, WeightsError
        As `combine_weights`.
    DeviceError
        As `UMLPredictor.load` does.
    """
    info, tensors = combine_weights(way, models)
    return UMLPredictor(info, build_network(info, tensors), device, precision)
