"""From the content of a weights file to its network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_uml.baselines.registry import make_system
from napari_uml.weights import check_fits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from napari_uml.weights import WeightsInfo


def build_network(info: WeightsInfo, tensors: Mapping[str, Tensor]) -> torch.nn.Module:
    """The network that the weights name, or what looks several times through such, filled and in evaluation mode.

    Raises
    ------
    ValueError
        When Monte-Carlo dropout is named on top of a network without dropout.
    WeightsError
        When a tensor is missing, left over or of another shape.
    """
    with torch.device("meta"):  # no memory and no random numbers for weights that are replaced, or refused
        network = make_system(info.config)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    check_fits(shapes, {name: tuple(tensor.shape) for name, tensor in tensors.items()})
    if any(buffer.is_meta and name not in shapes for name, buffer in network.named_buffers()):
        network = make_system(info.config)  # it has constants that no file holds
    network.load_state_dict(dict(tensors), assign=True)
    return network.eval()
