"""`UMLPredictor`: an image in, a `Prediction` out, numpy on both sides."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from napari_uml.data.resize import as_channels, find_focus, to_input
from napari_uml.data.scaling import check_pixels
from napari_uml.data.view import in_unit
from napari_uml.errors import DeviceError, MemoryLimitError, is_about_memory
from napari_uml.inference.building import build_network
from napari_uml.inference.corruptions import check_corruption, corrupt
from napari_uml.inference.devices import Device, choose_device, choose_precision
from napari_uml.inference.likeness import is_unlike
from napari_uml.inference.llvm import leave_triton_out
from napari_uml.inference.look import features_of, placed, read_look
from napari_uml.inference.noise import add_noise, check_seed, check_sigma
from napari_uml.results import Box, Corruption, Prediction, stack_predictions
from napari_uml.weights import WeightsInfo, find_weights, load_tensors, read_info, sha256
from napari_uml.weights.registry import user_folder

leave_triton_out()
from napari_uml.inference.folding import fold_batch_norm, halve  # noqa: E402 (imports timm)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import TypeVar

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_uml.inference.look import Look
    from napari_uml.nn.output import UMLOutput

    Found = TypeVar("Found")

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
    path, sha256
        The weights file and its hash; None and empty for a network that comes from none.
    evidence_scales
        What the evidence of the class and of the pixels is multiplied by: tau of the weights' calibration, else 1.
    """

    def __init__(
        self,
        info: WeightsInfo,
        network: torch.nn.Module,
        device: str = "auto",
        precision: str = "auto",
        sha256: str = "",
    ) -> None:
        self.info = info
        self.sha256 = sha256
        self.path: Path | None = None
        self.evidence_scales = (1.0, 1.0) if info.calibration is None else info.calibration.evidence_scales
        self._network = fold_batch_norm(network.eval())
        self._asked_precision = precision
        self._move(choose_device(device))

    @classmethod
    def load(
        cls, name_or_path: str | Path, device: str = "auto", precision: str = "auto", *, calibrated: bool = True
    ) -> Self:
        """A model ready to predict.

        Parameters
        ----------
        name_or_path
            Name of a model (`napari-uml models list`) or path of a weights file.
        device
            auto, cpu, cuda, cuda:N or mps.
        precision
            float32, bf16, fp16, or auto: bf16 or fp16 where the device computes in it.
        calibrated
            Whether beliefs and uncertainties are those of the evidence times the weights' evidence scale, where they
            have one; if not, the evidence is the network's own and `info` has no calibration, for it speaks of others.

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
        if path.parent == user_folder():  # the user may have given it another name than the file gives itself
            info = info.model_copy(update={"name": path.stem})
        if not calibrated:
            info = info.model_copy(update={"calibration": None})
        predictor = cls(info, build_network(info, load_tensors(path)), device, precision, sha256(path))
        predictor.path = path
        return predictor

    def predict(
        self,
        image: NDArray[Any],
        sigma: float = 0.0,
        seed: int = 0,
        roi: Box | None = None,
        stack: bool = False,
        details: bool = False,
        corruption: Corruption | None = None,
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
        details
            Also return the mutual and the reliable mask.
        corruption
            What to do to the network's input before the noise is added; see `napari_uml.inference.corruptions`.

        Raises
        ------
        ValueError
            When the array has another shape, the rectangle lies outside it, or the corruption is not known.
        ImageError
            When the image is empty, constant (in the rectangle), too large or holds NaN.
        MemoryLimitError
            When there is not enough memory.
        """
        slices = list(self.predict_slices(image, sigma, seed, roi, stack, details, corruption))
        return stack_predictions(slices) if stack else slices[0]

    def predict_slices(
        self,
        image: NDArray[Any],
        sigma: float = 0.0,
        seed: int = 0,
        roi: Box | None = None,
        stack: bool = False,
        details: bool = False,
        corruption: Corruption | None = None,
    ) -> Iterator[Prediction]:
        """The same slice by slice: a prediction (H, W) of each as soon as it is there; to cancel, cease to iterate."""
        if not isinstance(image, np.ndarray):
            raise ValueError(f"Expected a numpy array, got {type(image).__name__}; read a file with read_image.")
        pixels = in_unit(image, stack=stack)
        if roi is not None:
            check_pixels(_part(image, roi, stack), stack=stack, name="The rectangle")
        check_sigma(sigma)
        check_seed(seed)
        check_corruption(corruption)
        for number, one in enumerate(pixels if stack else pixels[None]):
            yield self._predict_one(one, sigma, seed + number, roi, details, corruption)

    def seen(self, image: NDArray[Any], prediction: Prediction) -> NDArray[np.float32]:
        """What the network saw when it made a prediction of an image (H, W[, 3]), at its last look.

        Returns
        -------
        (S, S) or, of a colour image, (S, S, 3) in [0, 1]; it spans `looked_at`, or the whole image.
        """
        pixels, box = in_unit(image), prediction.looked_at[0]
        part = pixels if box is None else pixels[box.slices]
        batch = self.network_input(part, prediction.sigma, prediction.seed, prediction.corruption).numpy()
        return batch[0] if image.ndim == 2 or self.info.task.channels == 1 else batch.transpose(1, 2, 0)

    def network_input(
        self, pixels: NDArray[np.float32], sigma: float = 0.0, seed: int = 0, corruption: Corruption | None = None
    ) -> Tensor:
        """What the network gets to see of (H, W) or (H, W, 3) in [0, 1]: (3, S, S), corrupted, then with the noise."""
        pixels = as_channels(pixels, self.info.task.channels)
        grey = pixels.ndim == 2
        image = to_input(pixels, self.info.image_size)
        if corruption is not None:
            image = torch.from_numpy(corrupt(image[: 1 if grey else 3].numpy(), corruption)).expand(3, -1, -1)
        return add_noise(image, sigma, seed, grey)

    @torch.no_grad()
    def features(self, view: NDArray[np.floating]) -> NDArray[np.float64] | None:
        """The network's features (C,) of its input (S, S, 3) in [0, 1]; None of a model that gives none.

        See `UMLOutput.features`; `napari_uml.familiarity` compares them with those of the training images.
        """
        image = torch.from_numpy(np.array(np.moveaxis(view, -1, 0), dtype=np.float32))  # a copy
        return self._or_on_the_cpu(lambda: features_of(self._run(image[None], intermediates=False)))

    @torch.no_grad()
    def _predict_one(
        self,
        pixels: NDArray[np.float32],
        sigma: float,
        seed: int,
        roi: Box | None,
        details: bool,
        corruption: Corruption | None,
    ) -> Prediction:
        began = time.perf_counter()
        box = roi
        first = self.network_input(pixels if roi is None else pixels[roi.slices], sigma, seed, corruption)
        look = self._look(first, pixels.shape[:2] if roi is None else roi.shape, details)
        unlike = is_unlike(first.permute(1, 2, 0).numpy(), look.features, self.info)
        answer = placed(look, roi, pixels.shape, None)
        second = self._second_box(look.mask, roi)
        if second is not None:
            box = second
            look = self._look(self.network_input(pixels[box.slices], sigma, seed, corruption), box.shape, details)
            answer = placed(look, box, pixels.shape, answer.maps)
        return Prediction(
            mask=answer.mask, pixel_belief=answer.maps[1:], pixel_uncertainty=answer.maps[0],
            opinions=(answer.opinion,), structure_names=self.info.task.seg_classes, looked_at=(box,),
            mask_map=look.mask_map, seconds=time.perf_counter() - began,
            model=self.info.name, device=self.device.name, precision=self.precision, sigma=sigma, seed=seed,
            details=answer.details, corruption=corruption, evidence_scales=self.evidence_scales,
            answers=look.answers, measure=look.measure, unlike=(unlike,),
        )  # fmt: skip

    def _second_box(self, mask: NDArray[np.uint8], first: Box | None) -> Box | None:
        """Where to look again, in the whole image; None when once is enough."""
        focus = self.info.focus
        box = None if focus is None else find_focus(mask, self.info.task, focus)
        if box is None or first is None:
            return box
        return Box(box.top + first.top, box.left + first.left, box.bottom + first.top, box.right + first.left)

    def _look(self, image: Tensor, shape: tuple[int, int], details: bool) -> Look:
        """The network's answer to (3, S, S) on a grid (H, W)."""
        return self._or_on_the_cpu(lambda: self._read(image[None], shape, details))

    def _or_on_the_cpu(self, work: Callable[[], Found]) -> Found:
        """What some work with the network finds; when the GPU lacks memory, on the CPU, from then on."""
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            problem = _translated(error, self.device)
            if not isinstance(problem, MemoryLimitError) or self.device.name == "cpu":
                raise problem from error
        failed = self.device.description
        log.warning("%s ran out of memory: going on with the CPU.", failed)
        self._move(replace(choose_device("cpu"), reason=f"{failed} ran out of memory"))
        return self._or_on_the_cpu(work)

    def _read(self, batch: Tensor, shape: tuple[int, int], details: bool) -> Look:
        """The network's answer to (1, 3, S, S) on a grid (H, W)."""
        return read_look(self._run(batch, details), self.info.task, shape, self.evidence_scales, details)

    def _run(self, batch: Tensor, intermediates: bool) -> UMLOutput:
        batch = batch.to(self.device.name, memory_format=torch.channels_last)
        kind, dtype = self.device.name.split(":")[0], AUTOCAST.get(self.precision)
        with torch.autocast(kind, dtype, enabled=dtype is not None):
            return self._network(batch, intermediates)  # type: ignore[no-any-return]

    def _move(self, device: Device) -> None:
        self.device, self.precision = device, choose_precision(self._asked_precision, device.name)
        self._network = self._network.to(device.name, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if device.name == "cpu" and self.precision in AUTOCAST:  # the last device: the weights need not come back
            halve(self._network, AUTOCAST[self.precision])


def _part(image: NDArray[Any], roi: Box, stack: bool) -> NDArray[Any]:
    """A rectangle of an image or of every slice of a stack."""
    if not isinstance(roi, Box):
        raise ValueError(f"Expected a rectangle as Box(top, left, bottom, right), got {roi!r}.")
    height, width = image.shape[stack : stack + 2]
    if roi.bottom > height or roi.right > width:
        raise ValueError(f"Expected a rectangle inside the image of {height} x {width} pixels, got {roi}.")
    return image[:, *roi.slices] if stack else image[roi.slices]


def _translated(error: RuntimeError | MemoryError, device: Device) -> Exception:
    """A `MemoryLimitError` for lack of memory, a `DeviceError` for another failure of a GPU, else the error itself."""
    if is_about_memory(error):
        return MemoryLimitError(f"{device.description}: out of memory; close other programs or use a smaller image.")
    if device.name == "cpu":
        return error
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return DeviceError(f"{device.description} failed ({reason}); choose the CPU.")
