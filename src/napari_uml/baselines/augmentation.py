"""Test-time augmentation (Wang et al. 2019): the trained network looks at mirrored, lighter and darker copies, too."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from torch import nn

from napari_uml.baselines.combining import combine

if TYPE_CHECKING:
    from torch import Tensor

    from napari_uml.nn.base import Network
    from napari_uml.nn.output import UMLOutput

GAMMAS: Final = (1.0, 0.8, 1.25)
"""Exponents of the grey values, each with and without mirroring; training images vary more."""


class TestTimeAugmentation(nn.Module):
    """Mean of the looks at several copies of an image, brought back to the image's own grid.

    Parameters
    ----------
    network
        Trained, in evaluation mode.
    """

    __test__ = False  # no test, for pytest

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, intermediates: bool = False) -> UMLOutput:
        """(B, C, H, W) in [0, 1] -> the combined output."""
        copies = [image.clamp(min=0) ** gamma for gamma in GAMMAS]
        plain = [self.network(copy) for copy in copies]
        return combine([*plain, *(_mirrored(self.network(copy.flip(3))) for copy in copies)])


def _mirrored(output: UMLOutput) -> UMLOutput:
    """An output about a mirrored image, on the grid of the image."""
    evidence = output.mutual_evidence
    return replace(
        output,
        mutual_evidence=None if evidence is None else evidence.flip(3),
        mask_logits=tuple(logits.flip(3) for logits in output.mask_logits),
    )
