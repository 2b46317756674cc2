"""What JPEG leaves of an image."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray


def jpeg_coded(image: NDArray[np.float32], quality: int) -> NDArray[np.float32]:
    """An image (1 or 3, H, W) in [0, 1], once stored as JPEG of a quality from 1 to 100."""
    pixels = (image.transpose(1, 2, 0) * 255).round().astype(np.uint8)
    coded = io.BytesIO()
    Image.fromarray(pixels if len(image) == 3 else pixels[..., 0]).save(coded, "JPEG", quality=quality)
    decoded = np.asarray(Image.open(coded), dtype=np.float32) / np.float32(255)
    return decoded.reshape(*image.shape[1:], -1).transpose(2, 0, 1)
