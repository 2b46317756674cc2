"""What every network has in common: the image's way in, the logits' way out, and the names of its last layers.

image (B, 1 or 3, H, W) in [0, 1]   ->  prepared (B, 3, H', W'), H' and W' multiples of the stride
logits (B, Q, h, w)                 ->  (B, Q, H, W) on the image's grid
"""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from napari_uml.nn.decoders import upsample
from napari_uml.nn.encoders import Encoder
from napari_uml.nn.evidence import full_precision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from napari_uml.config import UMLConfig
    from napari_uml.nn.output import UMLOutput

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class LastLayers(NamedTuple):
    """Where classes and structures have their own weights, so that another task's weights can be matched by name.

    Attributes
    ----------
    modules
        Names of the last layers, which learn when only heads do.
    classes, structures
        Names of weights with a row a class, or a structure.
    structure_inputs
        Names of weights with a column a structure.
    class_head
        Name of the module that the class alone teaches, from the features to the last layer; empty where there is
        none, or its last layer has a part in the mask.
    """

    modules: tuple[str, ...]
    classes: tuple[str, ...] = ()
    structures: tuple[str, ...] = ()
    structure_inputs: tuple[str, ...] = ()
    class_head: str = ""


class Network(nn.Module):
    """A system that finds structures, tells classes apart, or both.

    Parameters
    ----------
    config
        Every number of it.
    """

    last_layers: ClassVar[LastLayers]
    mean: Tensor
    std: Tensor

    def __init__(self, config: UMLConfig) -> None:
        super().__init__()
        self.config = config
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            known = torch.tensor(values, device="cpu")  # also where a network is built without memory for its weights
            self.register_buffer(name, known[:, None, None], persistent=False)

    @cached_property
    def stride(self) -> int:
        """Stride of the coarsest features; the input is padded to a multiple of it inside."""
        return max(module.strides[3] for module in self.modules() if isinstance(module, Encoder))

    @abstractmethod
    def forward(self, image: Tensor, intermediates: bool = False) -> UMLOutput:
        """Classes and structures of a batch.

        Parameters
        ----------
        image
            (B, 1, H, W) or (B, 3, H, W) in [0, 1], any H and W.
        intermediates
            Also return the feature maps in between, where the network has those of the paper.

        Raises
        ------
        ValueError
            When the image has another shape.
        """

    def prepare(self, image: Tensor) -> Tensor:
        """Three channels, ImageNet statistics subtracted, padded to the stride by repeating the border."""
        if image.ndim != 4 or image.shape[1] not in (1, 3):
            raise ValueError(f"Expected images of shape (B, 1 or 3, H, W), got {tuple(image.shape)}.")
        image = image.expand(-1, 3, -1, -1)
        if self.config.normalise:
            image = (image - self.mean) / self.std
        height, width = image.shape[2:]
        pad = (0, -width % self.stride, 0, -height % self.stride)
        return functional.pad(image, pad, mode="replicate") if any(pad) else image

    def to_input(self, logits: Tensor, size: Sequence[int]) -> Tensor:
        """Logits (B, Q, h, w) of a prepared image on the grid (H, W) of the image itself, at least in float32."""
        padded = [side + -side % self.stride for side in size]
        x = upsample(full_precision(logits).contiguous(), padded)  # few channels: the plain layout is the faster one
        return x[:, :, : size[0], : size[1]]


def initialise(parts: Sequence[nn.Module]) -> None:
    """Kaiming-normal (fan-out) convolutions, for all parts outside the encoders."""
    for part in parts:
        for module in part.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
