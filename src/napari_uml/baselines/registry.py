"""Every architecture by name: what it is, what it answers, and how it is built; no torch until it is built."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Final

from napari_uml.results import PARTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from napari_uml.config import Arch, UMLConfig, Way
    from napari_uml.nn.base import Network
    from napari_uml.results import Measure, Part


@dataclass(frozen=True, slots=True)
class Architecture:
    """A system that can be trained.

    Attributes
    ----------
    title
        Its name in tables.
    source
        `module:class` of the network.
    answers
        What it answers.
    measure
        What its uncertainty is.
    class_encoder
        Name of the module that is its class encoder; empty where it has none.
    """

    title: str
    source: str
    answers: tuple[Part, ...] = PARTS
    measure: Measure = "vacuity"
    class_encoder: str = ""

    def build(self, config: UMLConfig, download: bool = True) -> Network:
        """A network with random weights, its encoders perhaps with timm's; see `UMLNetwork` for what is raised."""
        module, _, name = self.source.partition(":")
        network: Network = getattr(import_module(module), name)(config, download)
        return network


ARCHITECTURES: Final[Mapping[Arch, Architecture]] = {
    "uml": Architecture("UML", "napari_uml.nn.network:UMLNetwork", class_encoder="class_encoder"),
    "ec": Architecture("EC", "napari_uml.baselines.ec:EC", answers=("class",), class_encoder="encoder"),
    "tbrats": Architecture("TBraTS", "napari_uml.baselines.tbrats:TBraTS", answers=("mask",)),
    "transunet": Architecture(
        "TransUNet", "napari_uml.baselines.transunet:TransUNet", answers=("mask",), measure="entropy"
    ),
    "bcs": Architecture("BCS", "napari_uml.baselines.bcs:BCS", measure="entropy", class_encoder="class_encoder"),
    "dsi-net": Architecture(
        "DSI-Net", "napari_uml.baselines.dsi_net:DSINet", measure="entropy", class_encoder="class_encoder"
    ),
}


WAYS: Final[Mapping[Way, str]] = {
    "dropout": "Monte-Carlo dropout",
    "augmentation": "test-time augmentation",
    "ensemble": "ensemble",
}
"""The ways of looking several times, and their names in titles."""


def architecture_of(config: UMLConfig) -> Architecture:
    """What a configuration names, with its way of looking: several looks become one answer with entropy."""
    architecture = ARCHITECTURES[config.arch]
    if config.way is None:
        return architecture
    return replace(architecture, title=f"{architecture.title}, {looks_in_words(config)}", measure="entropy")


def looks_in_words(config: UMLConfig) -> str:
    """How a configuration looks several times, for titles; empty: it looks once."""
    if config.way is None:
        return ""
    return WAYS[config.way] + (f" of {config.members}" if config.way == "ensemble" else "")


def make_network(config: UMLConfig, download: bool = True) -> Network:
    """The network that a configuration to be trained names; see `Architecture.build`."""
    return ARCHITECTURES[config.arch].build(config, download)


def make_system(config: UMLConfig) -> nn.Module:
    """What answers by a configuration, with random weights: a network, or what looks several times on top of such.

    Raises
    ------
    ValueError
        When Monte-Carlo dropout is wanted of a network without dropout.
    """
    if config.way is None:
        return make_network(config, download=False)
    of_one = config.model_copy(update={"way": None, "members": 1})
    networks = [make_network(of_one, download=False) for _ in range(config.members)]
    if config.way == "ensemble":
        from napari_uml.baselines.ensemble import Ensemble

        return Ensemble(networks)
    if config.way == "dropout":
        from napari_uml.baselines.dropout import MonteCarloDropout

        return MonteCarloDropout(networks[0])
    from napari_uml.baselines.augmentation import TestTimeAugmentation

    return TestTimeAugmentation(networks[0])
