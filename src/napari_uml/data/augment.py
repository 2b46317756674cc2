"""Random changes of the training images, through MONAI; the same (seed, epoch, index) gives the same change."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from monai import transforms
from scipy.ndimage import gaussian_filter
from torch.nn import functional

from napari_uml.data.jpeg import jpeg_coded

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_uml.data.samples import Sample

SHIFT = 0.08  # of the image's side
EXPOSURE = (-0.5, 0.3)
"""Photographs taken with half the light are not rare; brighter ones lose their highlights as a camera's would."""
CONTRAST = (-0.6, 0.3)
"""Haze, a cataract or a low gain take more contrast than a camera ever adds."""
BLUR = (0.3, 3.0)  # standard deviation in pixels: from a little out of focus to one that a person would take again
ZOOM = (0.25, 1.0)  # as coarse as a camera with a quarter of the pixels a side
QUALITY = (10, 90)
"""Of JPEG; what it leaves differs from source to source, and classes must not be told by it."""

Change = Callable[["NDArray[np.float32]", float], "NDArray[np.float32]"]


class Augmentation:
    """Flips, rotation, scale, shift, gamma, contrast, light, white balance, blur, fewer pixels, noise and JPEG.

    Grey images stay grey, and a change of place moves image and mask together. Whoever changes what it does raises
    `napari_uml.training.plan.AUGMENTATION`.

    Parameters
    ----------
    seed
        Of everything random.
    size
        Side of the images that it gives, pixels.
    vertical_flip
        Also turn images upside down: right for skin, wrong for ultrasound.
    """

    def __init__(self, seed: int, size: int, vertical_flip: bool) -> None:
        self.seed, self.size = seed, size
        both = ["image", "mask"]
        self.steps: list[Any] = [transforms.RandFlipd(both, prob=0.5, spatial_axis=1)]
        if vertical_flip:
            self.steps.append(transforms.RandFlipd(both, prob=0.5, spatial_axis=0))
        self.steps += [
            transforms.RandAffined(
                both, prob=0.9, rotate_range=math.radians(25), scale_range=((-0.3, 0.35), (-0.3, 0.35)),
                shear_range=0.1, translate_range=SHIFT * size, mode=["bilinear", "nearest"], padding_mode="reflection",
            ),
            transforms.RandAdjustContrastd("image", prob=0.5, gamma=(0.6, 1.6)),
            transforms.RandScaleIntensityFixedMeand("image", prob=0.5, factors=CONTRAST),
            transforms.RandShiftIntensityd("image", prob=0.5, offsets=0.12),
            transforms.RandScaleIntensityd("image", prob=0.4, factors=EXPOSURE),
            transforms.RandScaleIntensityd("image", prob=0.5, factors=0.12, channel_wise=True),
            _RandStrengthd(_blurred, BLUR, prob=0.25),
            transforms.RandSimulateLowResolutiond(
                "image", prob=0.15, zoom_range=ZOOM, downsample_mode="area", upsample_mode="bilinear"
            ),
            transforms.RandGaussianNoised("image", prob=0.4, std=0.08),
            _RandStrengthd(_coded, QUALITY, prob=0.25),
        ]  # fmt: skip

    def __call__(self, sample: Sample, epoch: int, index: int) -> tuple[Tensor, Tensor]:
        """A changed copy: image (3, size, size) float32 in [0, 1] and mask (size, size) uint8."""
        image, mask = _on_grid(sample, self.size)
        state = np.random.RandomState(np.random.MT19937(np.random.SeedSequence((self.seed, epoch, index))))
        changed: Any = {"image": image, "mask": mask[None]}
        for step in self.steps:
            step.set_random_state(state=state)
            changed = step(changed)
        image, mask = (torch.as_tensor(changed[key]).as_subclass(torch.Tensor) for key in ("image", "mask"))
        return image.clamp(0, 1).expand(3, -1, -1), mask[0].to(torch.uint8)


class _RandStrengthd(transforms.RandomizableTransform):  # type: ignore[misc]
    """A change of the image (C, H, W) by a strength that is drawn evenly from a range."""

    def __init__(self, change: Change, strengths: tuple[float, float], prob: float) -> None:
        super().__init__(prob)
        self._change, self._strengths = change, strengths

    def __call__(self, changed: dict[str, Any]) -> dict[str, Any]:
        self.randomize(None)
        if not self._do_transform:
            return changed
        strength = self.R.uniform(*self._strengths)
        return {**changed, "image": torch.as_tensor(self._change(np.asarray(changed["image"]), strength))}


def _blurred(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Mirrored at the border, where MONAI's blur, padded with zeros, darkens it."""
    return np.asarray(gaussian_filter(image, (0, sigma, sigma)))


def _coded(image: NDArray[np.float32], quality: float) -> NDArray[np.float32]:
    return jpeg_coded(image.clip(0, 1), round(quality))


def as_input(sample: Sample, size: int) -> tuple[Tensor, Tensor]:
    """A sample as it is on a grid of (size, size): image (3, size, size) float32 in [0, 1] and mask uint8."""
    image, mask = _on_grid(sample, size)
    return image.expand(3, -1, -1), mask


def _on_grid(sample: Sample, size: int) -> tuple[Tensor, Tensor]:
    image, mask = sample.pixels.float() / 255, sample.mask
    if mask.shape[0] != size:
        image = functional.interpolate(image[None], size=(size, size), mode="bilinear", antialias=True)[0]
        mask = functional.interpolate(mask[None, None], size=(size, size), mode="nearest-exact")[0, 0]
    return image, mask
