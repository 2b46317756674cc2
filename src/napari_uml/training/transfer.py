"""Start from the weights of another task: what fits is kept, heads are matched by the names of their classes.

A class that was renamed (`Task.former_classes`, `Task.former_structures`) is matched by what it was called before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_uml.baselines.registry import ARCHITECTURES
from napari_uml.data.kept import what_is_kept
from napari_uml.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from napari_uml.config import Task, UMLConfig
    from napari_uml.data.kept import Kept
    from napari_uml.nn.base import LastLayers, Network

COUNTER = ".num_batches_tracked"
"""The end of the name of what counts a batch normalisation layer's batches; nothing depends on it."""


def transfer(network: Network, tensors: Mapping[str, Tensor], old: Task, new: Task) -> Kept:
    """Copy weights into a network whose classes or structures may differ.

    Parameters
    ----------
    network
        The network to fill, in place.
    tensors
        Weights of a network with the same encoders and widths.
    old, new
        Tasks of the weights and of the network.

    Returns
    -------
    What is taken over; the classes and structures that the old task did not have start untrained.

    Raises
    ------
    WeightsError
        When the networks differ in more than their heads.
    """
    kept = what_is_kept(old, new)
    state = network.state_dict()
    counters = {name for name in {*state, *tensors} if name.endswith(COUNTER)}  # which frozen layers do not have
    if set(state) - counters != set(tensors) - counters:
        raise WeightsError("Expected weights of the same network, these have other layers; train with their preset.")
    filled, last = {}, network.last_layers
    for name, target in state.items():
        if name not in tensors:
            filled[name] = target
            continue
        source = tensors[name].to(target.dtype)
        if name in last.classes:
            source = _match(source, target, old.cls_classes, kept.classes, axis=0)
        elif name in last.structures:
            source = _match(source, target, old.seg_classes, kept.structures, axis=0)
        elif name in last.structure_inputs:
            source = _match(source, target, old.seg_classes, kept.structures, axis=1)
        if source.shape != target.shape:
            raise WeightsError(
                f"Expected {tuple(target.shape)} weights in {name}, got {tuple(source.shape)}; train with their preset."
            )
        filled[name] = source
    network.load_state_dict(filled)
    return kept


def untrained(kept: Kept, last: LastLayers) -> tuple[str, ...]:
    """Names of the weights with a row or column of something new, in which the start has nothing to keep to."""
    classes = last.classes if None in kept.classes.values() else ()
    structures = (*last.structures, *last.structure_inputs) if None in kept.structures.values() else ()
    return (*classes, *structures)


def class_encoder(tensors: Mapping[str, Tensor], old: UMLConfig, new: UMLConfig) -> dict[str, Tensor]:
    """The weights of a class encoder, under the names that another system has for them.

    Parameters
    ----------
    tensors
        Weights of a whole system.
    old, new
        What this system is, and the one that they are for.

    Raises
    ------
    ValueError
        When one of the two has no class encoder, or they have different backbones.
    """
    encoders = {arch: system.class_encoder for arch, system in ARCHITECTURES.items() if system.class_encoder}
    if without := {old.arch, new.arch} - encoders.keys():
        raise ValueError(f"Expected systems with a class encoder ({', '.join(encoders)}), got {without.pop()}.")
    if any(getattr(old.class_encoder, key) != getattr(new.class_encoder, key) for key in ("name", "stem_stride")):
        raise ValueError(
            f"Expected class encoders alike, got {old.class_encoder.name} for {new.class_encoder.name}; train both "
            "with the same --preset."
        )
    prefix, wanted = f"{encoders[old.arch]}.", f"{encoders[new.arch]}."
    return {wanted + name.removeprefix(prefix): x for name, x in tensors.items() if name.startswith(prefix)}


def _match(source: Tensor, target: Tensor, old: Sequence[str], new: Mapping[str, str | None], axis: int) -> Tensor:
    """The rows (or columns) of `source` under their new numbers; those of new names as `target` has them."""
    if source.shape[axis] != len(old):
        raise WeightsError(f"Expected weights for {', '.join(old)}, got {source.shape[axis]} outputs.")
    if source.shape[1 - axis] != target.shape[1 - axis]:
        return source
    parts = [
        target.select(axis, number) if was is None else source.select(axis, old.index(was))
        for number, was in enumerate(new.values())
    ]
    return torch.stack(parts, dim=axis)
