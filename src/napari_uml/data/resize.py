"""From an image's own grid to the network's square input and back; the same for training and prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

from napari_uml.data.view import LUMINANCE
from napari_uml.results import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_uml.config import Focus, Task


STRAY = 0.25
"""Parts with a smaller share of the pixels of the largest part are strays."""


def as_channels(pixels: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """(H, W) or (H, W, 3) -> (H, W) where a task's images have one channel, else unchanged."""
    grey: NDArray[np.float32] = pixels @ LUMINANCE if channels == 1 and pixels.ndim == 3 else pixels
    return grey


def to_input(pixels: NDArray[np.float32], size: int) -> Tensor:
    """(H, W) or (H, W, 3) in [0, 1] -> (3, size, size) float32: squashed to a square, antialiased, grey repeated."""
    return squash(pixels, size).expand(3, -1, -1)


def squash(pixels: NDArray[np.float32], size: int) -> Tensor:
    """(H, W) or (H, W, 3) in [0, 1] -> (1 or 3, size, size) float32, antialiased."""
    image = torch.from_numpy(np.ascontiguousarray(pixels))
    image = image[None] if image.ndim == 2 else image.permute(2, 0, 1)
    return functional.interpolate(image[None], size=(size, size), mode="bilinear", antialias=True)[0].clamp(0, 1)


def mask_to_input(mask: NDArray[np.uint8], size: int) -> Tensor:
    """(H, W) -> (size, size) uint8, the nearest pixel's structure."""
    tensor = torch.from_numpy(np.ascontiguousarray(mask))[None, None]
    return functional.interpolate(tensor, size=(size, size), mode="nearest-exact")[0, 0]


def to_image(maps: Tensor, shape: tuple[int, int]) -> Tensor:
    """(B, Q, size, size) -> (B, Q, H, W), bilinear."""
    return functional.interpolate(maps, size=shape, mode="bilinear", align_corners=False)


def find_focus(mask: NDArray[np.uint8], task: Task, focus: Focus) -> Box | None:
    """The square to look at again; None when the structures are large enough or not there.

    Parameters
    ----------
    mask
        (H, W) structure numbers on the image's own grid.
    task, focus
        Which structures, how small they must be, and how much larger the square is.

    Returns
    -------
    A square of `crop_factor` times the larger extent of the structures, around their centre and moved inside the
    image; no larger than the image's shorter side. Parts that are small beside the largest one are strays and do not
    count.
    """
    numbers = [number for name in focus.structures for number in task.members(name)]
    parts, count = ndimage.label(np.isin(mask, numbers), structure=np.ones((3, 3)))
    if count == 0:
        return None
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0  # what is around them
    rows, columns = np.nonzero((sizes >= STRAY * sizes.max())[parts])
    extent = max(np.ptp(rows), np.ptp(columns)) + 1
    if extent >= focus.trigger * min(mask.shape):
        return None
    side = int(min(round(extent * focus.crop_factor), *mask.shape))
    corner = []
    for axis, places in enumerate((rows, columns)):
        centre = (places.min() + places.max() + 1) / 2
        corner.append(int(np.clip(round(centre - side / 2), 0, mask.shape[axis] - side)))
    return Box(corner[0], corner[1], corner[0] + side, corner[1] + side)
