"""Every architecture by name: what it is, what it answers, and how it is built; no torch until it is built."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Final

from napari_uml.results import PARTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_uml.config import Arch, UMLConfig
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
    """

    title: str
    source: str
    answers: tuple[Part, ...] = PARTS
    measure: Measure = "vacuity"

    def build(self, config: UMLConfig, download: bool = True) -> Network:
        """A network with random weights, its encoders perhaps with timm's; see `UMLNetwork` for what is raised."""
        module, _, name = self.source.partition(":")
        network: Network = getattr(import_module(module), name)(config, download)
        return network


ARCHITECTURES: Final[Mapping[Arch, Architecture]] = {
    "uml": Architecture("UML", "napari_uml.nn.network:UMLNetwork"),
    "ec": Architecture("EC", "napari_uml.baselines.ec:EC", answers=("class",)),
    "tbrats": Architecture("TBraTS", "napari_uml.baselines.tbrats:TBraTS", answers=("mask",)),
    "transunet": Architecture(
        "TransUNet", "napari_uml.baselines.transunet:TransUNet", answers=("mask",), measure="entropy"
    ),
    "bcs": Architecture("BCS", "napari_uml.baselines.bcs:BCS", measure="entropy"),
    "dsi-net": Architecture("DSI-Net", "napari_uml.baselines.dsi_net:DSINet", measure="entropy"),
}


def make_network(config: UMLConfig, download: bool = True) -> Network:
    """The network that a configuration names; see `Architecture.build`."""
    return ARCHITECTURES[config.arch].build(config, download)
