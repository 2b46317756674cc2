"""`UMLPredictor`: an image in, a `Prediction` out, numpy on both sides."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from napari_uml.data.resize import find_focus, to_image, to_input
from napari_uml.data.scaling import check_pixels, scale_to_unit
from napari_uml.errors import MemoryLimitError
from napari_uml.inference.devices import Device, choose_device, choose_precision
from napari_uml.inference.folding import fold_batch_norm
from napari_uml.inference.noise import add_noise, check_sigma
from napari_uml.nn.evidence import belief, uncertainty
from napari_uml.nn.network import UMLNetwork
from napari_uml.results import Box, Opinion, Prediction, stack_predictions
from napari_uml.weights import WeightsInfo, check_fits, find_weights, load_tensors, read_info, sha256

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_uml.nn.network import UMLOutput

log = logging.getLogger(__name__)

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class UMLPredictor:
    """A model on a device; see `load`.

    Attributes
    ----------
    info
        What the weights say of themselves.
    device
        The device in use, with the reason when it is no GPU.
    precision
        `float32`, `bf16` or `fp16`.
    sha256
        Of the weights file; empty for a network that comes from none.
    """

    def __init__(
        self, info: WeightsInfo, network: UMLNetwork, device: str = "auto", precision: str = "auto", sha256: str = ""
    ) -> None:
        self.info = info
        self.sha256 = sha256
        self._network = fold_batch_norm(network.eval())
        self._move(choose_device(device), precision)

    @classmethod
    def load(cls, name_or_path: str | Path, device: str = "auto", precision: str = "auto") -> Self:
        """A model ready to predict.

        Parameters
        ----------
        name_or_path
            Name of a model (`napari-uml models list`) or path of a weights file.
        device
            auto, cpu, cuda, cuda:N or mps.
        precision
            float32, bf16, fp16, or auto: bf16 or fp16 where the device computes in it.

        Raises
        ------
        ValueError
            When there is no model of that name, or no such precision.
        WeightsError
            When the file is not there, damaged, or does not fit the network that it names.
        DeviceError
            When there is no such device.
        """
        path = find_weights(name_or_path)
        info = read_info(path)
        return cls(info, build_network(info, load_tensors(path)), device, precision, sha256(path))

    def predict(
        self,
        image: NDArray[Any],
        sigma: float = 0.0,
        seed: int = 0,
        roi: Box | None = None,
        stack: bool = False,
    ) -> Prediction:
        """Structures, class and uncertainty of an image or a stack.

        Parameters
        ----------
        image
            (H, W) or (H, W, 3); with `stack` (D, H, W) or (D, H, W, 3). Values are brought to [0, 1] by
            `napari_uml.data.scaling.scale_to_unit`.
        sigma
            Standard deviation of Gaussian noise, on the [0, 1] scale, added to the network's input.
        seed
            Of the noise.
        roi
            Only look at this rectangle.
        stack
            Whether the first axis counts slices.

        Raises
        ------
        ValueError
            When the array has another shape, or the rectangle lies outside it.
        ImageError
            When the image is empty, constant, too large or holds NaN.
        MemoryLimitError
            When there is not enough memory.
        """
        slices = list(self.predict_slices(image, sigma, seed, roi, stack))
        return stack_predictions(slices) if stack else slices[0]

    def predict_slices(
        self,
        image: NDArray[Any],
        sigma: float = 0.0,
        seed: int = 0,
        roi: Box | None = None,
        stack: bool = False,
    ) -> Iterator[Prediction]:
        """The same slice by slice: a prediction (H, W) of each as soon as it is there; to cancel, cease to iterate."""
        check_pixels(image, stack=stack)
        check_sigma(sigma)
        pixels, _ = scale_to_unit(image)
        for number, one in enumerate(pixels if stack else pixels[None]):
            yield self._predict_one(one, sigma, seed + number, roi)

    def network_input(self, pixels: NDArray[np.float32], sigma: float = 0.0, seed: int = 0) -> Tensor:
        """What the network gets to see of (H, W) or (H, W, 3) in [0, 1]: (3, S, S), with the noise."""
        channels = self.info.task.channels
        if channels == 1 and pixels.ndim == 3:
            pixels = pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
        grey = pixels.ndim == 2
        return add_noise(to_input(pixels, self.info.image_size), sigma, seed, grey)

    @torch.no_grad()
    def _predict_one(self, pixels: NDArray[np.float32], sigma: float, seed: int, roi: Box | None) -> Prediction:
        began = time.perf_counter()
        box = _inside(roi, pixels.shape)
        maps, opinion = self._look(pixels if box is None else pixels[box.slices], sigma, seed)
        focus = self.info.focus
        second = None if focus is None else find_focus(maps[1:].argmax(0).astype(np.uint8), self.info.task, focus)
        result = _placed(maps, box, pixels.shape, None)
        if second is not None:
            offset = (0, 0) if box is None else (box.top, box.left)
            box = Box(
                second.top + offset[0], second.left + offset[1], second.bottom + offset[0], second.right + offset[1]
            )
            maps, opinion = self._look(pixels[box.slices], sigma, seed)
            result = _placed(maps, box, pixels.shape, result[0])
        return Prediction(
            mask=result[1:].argmax(0).astype(np.uint8), pixel_belief=result[1:], pixel_uncertainty=result[0],
            opinions=(opinion,), structure_names=self.info.task.seg_classes, looked_at=(box,),
            mask_map="mask" if self.info.config.evidential_mask else "mutual", seconds=time.perf_counter() - began,
            model=self.info.name, device=self.device.name, precision=self.precision, sigma=sigma, seed=seed,
        )  # fmt: skip

    def _look(self, pixels: NDArray[np.float32], sigma: float, seed: int) -> tuple[NDArray[np.float32], Opinion]:
        """One look: u and the beliefs of every structure (1 + Q, H, W), and the opinion about the class."""
        output = self._forward(self.network_input(pixels, sigma, seed)[None])
        evidence = to_image(output.mask_evidence.float(), pixels.shape[:2])
        maps = torch.cat([uncertainty(evidence), belief(evidence)], dim=1)[0].cpu().numpy()
        return maps, Opinion.from_evidence(self.info.task.cls_classes, output.class_evidence[0].float().cpu().numpy())

    def _forward(self, batch: Tensor) -> UMLOutput:
        """The network's output; when a GPU is out of memory, that of the CPU, from then on."""
        try:
            return self._run(batch)
        except torch.OutOfMemoryError:
            log.warning("%s is out of memory: going on with the CPU.", self.device.description)
            cpu = replace(choose_device("cpu"), reason=f"{self.device.description} ran out of memory")
            self._move(cpu, "auto")
            return self._run(batch)
        except RuntimeError as error:
            if "allocate memory" not in str(error):
                raise
            raise MemoryLimitError("The computer ran out of memory; close other programs and try again.") from error

    def _run(self, batch: Tensor) -> UMLOutput:
        batch = batch.to(self.device.name, memory_format=torch.channels_last)
        kind, dtype = self.device.name.split(":")[0], AUTOCAST.get(self.precision)
        with torch.autocast(kind, dtype, enabled=dtype is not None):
            return self._network(batch)  # type: ignore[no-any-return]

    def _move(self, device: Device, precision: str) -> None:
        self.device, self.precision = device, choose_precision(precision, device.name)
        self._network = self._network.to(device.name, memory_format=torch.channels_last)  # type: ignore[call-overload]


def build_network(info: WeightsInfo, tensors: Mapping[str, Tensor]) -> UMLNetwork:
    """The network that the weights name, filled with them and in evaluation mode.

    Raises
    ------
    WeightsError
        When a tensor is missing, left over or of another shape.
    """
    network = UMLNetwork(info.config, download=False)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    check_fits(shapes, {name: tuple(tensor.shape) for name, tensor in tensors.items()})
    network.load_state_dict(dict(tensors))
    return network.eval()


def _inside(roi: Box | None, shape: tuple[int, ...]) -> Box | None:
    if roi is not None and (roi.bottom > shape[0] or roi.right > shape[1]):
        raise ValueError(f"Expected a rectangle inside the image of {shape[0]} x {shape[1]} pixels, got {roi}.")
    return roi


def _placed(
    maps: NDArray[np.float32], box: Box | None, shape: tuple[int, ...], outside: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """Maps (1 + Q, h, w) of a rectangle on the whole image; around it background with the uncertainty `outside`."""
    if box is None:
        return maps
    whole = np.zeros((maps.shape[0], *shape[:2]), dtype=np.float32)
    whole[0] = 1.0 if outside is None else outside
    whole[1] = 1.0 - whole[0]
    whole[:, *box.slices] = maps
    return whole
