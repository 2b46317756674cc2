"""Monte-Carlo dropout (Gal and Ghahramani 2016): the trained network looks several times, with other holes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from napari_uml.baselines.combining import combine

if TYPE_CHECKING:
    from torch import Tensor

    from napari_uml.nn.base import Network
    from napari_uml.nn.output import UMLOutput

DROPOUTS = (nn.Dropout, nn.Dropout2d)


class MonteCarloDropout(nn.Module):
    """Mean of several looks through random dropout.

    Parameters
    ----------
    network
        Trained with dropout, in evaluation mode.
    draws
        Looks.
    seed
        Of the holes: the same image always gets the same answer.

    Raises
    ------
    ValueError
        When the network has no dropout.
    """

    def __init__(self, network: Network, draws: int = 10, seed: int = 0) -> None:
        super().__init__()
        self.network, self.draws, self.seed = network, draws, seed
        holes = [m for m in network.modules() if isinstance(m, DROPOUTS) and m.p > 0]
        if not holes:
            raise ValueError("Expected a network with dropout, this one has none; use another way.")

    def forward(self, image: Tensor, intermediates: bool = False) -> UMLOutput:
        """(B, C, H, W) -> the combined output; the global random state stays as it is."""
        holes = [m for m in self.network.modules() if isinstance(m, DROPOUTS)]
        devices = [image.device] if image.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(self.seed)
            for module in holes:
                module.train()
            outputs = [self.network(image) for _ in range(self.draws)]
        for module in holes:
            module.eval()
        return combine(outputs)
