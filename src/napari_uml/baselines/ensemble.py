"""Deep ensemble (Lakshminarayanan et al. 2017): networks trained from different seeds look at the same image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from napari_uml.baselines.combining import combine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from napari_uml.nn.base import Network
    from napari_uml.nn.output import UMLOutput


class Ensemble(nn.Module):
    """Mean of several networks of one task.

    Parameters
    ----------
    networks
        Trained, in evaluation mode.

    Raises
    ------
    ValueError
        When there are fewer than two.
    """

    def __init__(self, networks: Sequence[Network]) -> None:
        super().__init__()
        if len(networks) < 2:
            raise ValueError(f"Expected two networks or more, got {len(networks)}.")
        self.networks = nn.ModuleList(networks)

    def forward(self, image: Tensor, intermediates: bool = False) -> UMLOutput:
        """(B, C, H, W) -> the combined output."""
        return combine([network(image) for network in self.networks])
