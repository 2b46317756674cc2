"""What learns, and from what: network and loss in one module, frozen parts, and the pull towards the start weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from napari_uml.nn.encoders import Encoder
from napari_uml.nn.losses import UMLLoss, uml_loss
from napari_uml.training.distributed import all_sum

if TYPE_CHECKING:
    from torch import Tensor

    from napari_uml.config import TrainConfig
    from napari_uml.nn.base import Network


class LossModule(nn.Module):
    """Network and loss in one module, so that several processes synchronise its gradients."""

    def __init__(self, network: Network, config: TrainConfig) -> None:
        super().__init__()
        self.network = network
        self.config = config

    def forward(self, images: Tensor, masks: Tensor, labels: Tensor, kl_weight: float) -> UMLLoss:
        """(B, 3, S, S), (B, S, S), (B,) -> the losses of the whole batch over all processes."""
        config = self.config
        mutual, class_ = config.mutual_weight, config.class_weight
        weights = {"mutual": mutual, "class": class_, "mask": 1 - mutual - class_}
        return uml_loss(
            self.network(images), labels, masks, kl_weight, config.mask_cross_entropy, config.dice_source, all_sum,
            weights,
        )  # fmt: skip


class Anchor:
    """`weight` times the squared distance of the learning parameters from where they are now."""

    def __init__(self, network: nn.Module, weight: float) -> None:
        self.weight = weight
        self.places = {name: p.detach().clone() for name, p in network.named_parameters() if p.requires_grad}
        self._parameters = {name: p for name, p in network.named_parameters() if p.requires_grad}

    def load(self, places: dict[str, Tensor]) -> None:
        """Pull towards other places, by the parameters' names."""
        for name, place in self.places.items():
            place.copy_(places[name])

    def __call__(self) -> Tensor:
        """The term to add to the loss, a scalar."""
        distances = [(p - self.places[name]).square().sum() for name, p in self._parameters.items()]
        return self.weight * torch.stack(distances).sum()


def choose_trainable(network: Network, part: str) -> None:
    """Let everything learn, or only what comes after the encoders, or only the last layers."""
    if part == "all":
        return
    heads = [network.get_submodule(name) for name in network.last_layers.modules]
    decoders = [module for module in network.children() if not isinstance(module, Encoder)]
    network.requires_grad_(False)
    for module in heads if part == "heads" else decoders:
        module.requires_grad_(True)


def freeze_norm(network: nn.Module) -> None:
    """Keep the statistics of batch normalisation layers that do not learn."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.weight is not None and not module.weight.requires_grad:
            module.eval()
