"""What learns, and from what: network and loss in one module, frozen parts, and the pull towards the start weights."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from torch import nn

from napari_uml.nn.encoders import Encoder
from napari_uml.nn.losses import UMLLoss, uml_loss
from napari_uml.training.distributed import all_sum

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from torch import Tensor

    from napari_uml.config import TrainConfig
    from napari_uml.nn.base import Network
    from napari_uml.training.class_layer import KeptFeatures


class LossModule(nn.Module):
    """Network, losses and what keeps to the start in one module, so that several processes share all gradients."""

    def __init__(
        self,
        network: Network,
        config: TrainConfig,
        anchor: Anchor | None = None,
        class_features: KeptFeatures | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.anchor = anchor
        self.class_features = class_features

    def forward(
        self, images: Tensor, masks: Tensor, labels: Tensor, kl_weight: float
    ) -> tuple[UMLLoss, Tensor | float]:
        """(B, 3, S, S), (B, S, S), (B,) -> losses of the batch over all processes, and what keeps to the start."""
        config = self.config
        mutual, class_ = config.mutual_weight, config.class_weight
        weights = {"mutual": mutual, "class": class_, "mask": 1 - mutual - class_}
        losses = uml_loss(
            self.network(images), labels, masks, kl_weight, config.mask_cross_entropy, config.dice_source, all_sum,
            weights, config.image_dice,
        )  # fmt: skip
        kept = 0.0 if self.anchor is None else self.anchor()
        return losses, kept if self.class_features is None else kept + self.class_features(images)


class Anchor:
    """Weights times the squared distances of the learning parameters from where they are now.

    Parameters
    ----------
    network
        Whose parameters.
    weight
        Of every parameter.
    without
        Names of parameters that are new, so that where they are is nothing to keep to.
    more
        By name: what is added to the weight of a parameter.

    Attributes
    ----------
    places
        Where the parameters were, by their names.
    """

    def __init__(
        self,
        network: nn.Module,
        weight: float,
        without: Collection[str] = (),
        more: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        self._parameters = {n: p for n, p in network.named_parameters() if p.requires_grad and n not in without}
        self._weights = {name: weight + more.get(name, 0.0) for name in self._parameters}
        self.places = {name: p.detach().clone() for name, p in self._parameters.items()}

    def load(self, places: dict[str, Tensor]) -> None:
        """Pull towards other places, by the parameters' names."""
        for name, place in self.places.items():
            place.copy_(places[name])

    def __call__(self) -> Tensor | float:
        """The term to add to the loss, a scalar; 0 where everything that learns is new."""
        return sum(w * (self._parameters[n] - self.places[n]).square().sum() for n, w in self._weights.items() if w)


def mixed(weights: Mapping[str, Tensor], start: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """A straight mixture of trained weights and those they started from, which forgets less than the trained ones.

    Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022, Eq. 1, with 1 - alpha = share.

    Parameters
    ----------
    weights
        The trained ones, by name.
    start
        Those that are mixed in; a weight without a counterpart stays as it is.
    share
        Of the start, from 0 to 1.
    """
    return {name: w.lerp(start[name], share) if name in start else w for name, w in weights.items()}


def choose_trainable(network: Network, part: str) -> None:
    """Let everything learn, or only what comes after the encoders, or only the last layers."""
    if part == "all":
        return
    heads = [network.get_submodule(name) for name in network.last_layers.modules]
    decoders = [module for module in network.children() if not isinstance(module, Encoder)]
    network.requires_grad_(False)
    for module in heads if part == "heads" else decoders:
        module.requires_grad_(True)


def freeze_norm(network: nn.Module, everywhere: bool = False) -> None:
    """Keep the statistics of batch normalisation layers that do not learn, or of all."""
    for module in network.modules():
        if not isinstance(module, nn.BatchNorm2d) or module.weight is None:
            continue
        if everywhere or not module.weight.requires_grad:
            module.eval()
