"""`preview.png`: what the network finds in a few validation images, drawn anew after every epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from PIL import Image

from napari_uml.config import IGNORE
from napari_uml.data.augment import as_input
from napari_uml.files import replacing
from napari_uml.inference.page import as_bytes, fitted, tint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_uml.config import Task
    from napari_uml.data.samples import Sample
    from napari_uml.nn.output import UMLOutput

IMAGES: Final = 4
SIDE: Final = 144
"""Pixels of every small picture."""


def chosen(samples: Sequence[Sample]) -> list[Sample]:
    """Up to `IMAGES` samples with a structure, evenly spread; the same ones every time."""
    drawn = [sample for sample in samples if bool(((sample.mask > 0) & (sample.mask < IGNORE)).any())] or list(samples)
    numbers = np.unique(np.linspace(0, len(drawn) - 1, min(IMAGES, len(drawn))).round().astype(int))
    return [drawn[number] for number in numbers]


def draw_preview(
    path: Path,
    forward: Callable[[Tensor], UMLOutput],
    samples: Sequence[Sample],
    task: Task,
    size: int,
    device: torch.device,
) -> None:
    """Write a picture with a column an image: above the truth, below what the network finds; nothing without a mask.

    Parameters
    ----------
    path
        The PNG file; a reader sees the old or the new one.
    forward
        (1, 3, S, S) -> output, without gradients.
    samples
        What to draw; one at least.
    task, size, device
        Colours of the structures, side of the input, and where.

    Raises
    ------
    UMLError
        When it cannot be written.
    """
    columns = []
    for sample in samples:
        image, mask = as_input(sample, size)
        logits = forward(image[None].to(device)).mask_logits
        if not logits:
            return
        found = logits[0].argmax(1)[0].to(torch.uint8).cpu().numpy()
        pixels = image.permute(1, 2, 0).numpy()
        columns.append(np.concatenate([_tinted(pixels, mask.numpy(), task), _tinted(pixels, found, task)]))
    with replacing(path) as part:
        Image.fromarray(np.concatenate(columns, axis=1)).save(part, "PNG")


def _tinted(pixels: NDArray[np.float32], mask: NDArray[np.uint8], task: Task) -> NDArray[np.uint8]:
    """A small picture (SIDE, SIDE, 3) of an image (S, S, 3) in [0, 1], its structures in their colours."""
    side = (SIDE, SIDE)
    return as_bytes(tint(fitted(pixels, side), fitted(np.where(mask == IGNORE, np.uint8(0), mask), side), task.colors))
