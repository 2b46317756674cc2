"""A self-test of a device: a tiny network runs on it, and again on the CPU, and the answers are compared."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from napari_uml.config import EncoderConfig, Task, preset
from napari_uml.inference.predictor import UMLPredictor
from napari_uml.nn.network import UMLNetwork
from napari_uml.weights import WeightsInfo

SIZE: Final = 64
"""Side of the test's input, pixels."""
CLOSE: Final = 0.02
"""Largest difference of a belief or an uncertainty that counts as the same answer."""


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What came of it.

    Attributes
    ----------
    device, precision, reason
        What computed, and why that is no GPU (empty when it is one).
    seconds
        Of one prediction of 64 x 64 pixels, after a first one that warms up.
    difference
        Largest difference of a belief or an uncertainty from the CPU's in float32.
    """

    device: str
    precision: str
    reason: str
    seconds: float
    difference: float

    @property
    def passed(self) -> bool:
        """Whether the device computes the right answer."""
        return self.difference <= CLOSE

    def in_words(self) -> str:
        """One sentence."""
        verdict = "works" if self.passed else f"computes wrongly (off by {self.difference:.2g}); choose the CPU"
        reason = f" ({self.reason.rstrip('.')})" if self.reason else ""
        took = f"{1000 * self.seconds:.0f} ms for a tiny network"
        return f"{self.device}, {self.precision}: {verdict}; {took}.{reason}"


def self_test(device: str = "auto", precision: str = "auto") -> SelfTest:
    """Run a narrow network with random weights on a device.

    Parameters
    ----------
    device, precision
        As `UMLPredictor.load` takes them.

    Raises
    ------
    DeviceError, MemoryLimitError
        When the device is missing or fails.
    ValueError
        When there is no such precision.
    """
    tested = _tiny(device, precision)
    image = np.random.default_rng(0).random((SIZE, SIZE), dtype=np.float32)
    tested.predict(image)
    began = time.perf_counter()
    answer = tested.predict(image)
    seconds = time.perf_counter() - began
    expected = _tiny("cpu", "float32").predict(image)
    difference = max(
        float(np.abs(answer.opinion.belief - expected.opinion.belief).max()),
        float(np.abs(answer.pixel_uncertainty - expected.pixel_uncertainty).max()),
    )
    return SelfTest(tested.device.description, tested.precision, tested.device.reason, seconds, difference)


def _tiny(device: str, precision: str) -> UMLPredictor:
    """A predictor that always has the same random weights; the global random state stays as it is."""
    encoder = EncoderConfig(name="test_resnet")
    config = preset("compact", 2, 2).model_copy(
        update={
            "class_encoder": encoder, "seg_encoder": encoder,
            "mixer_project": 8, "mixer_widths": (8, 8, 8, 8), "decoder_widths": (8, 8, 8), "bottom_width": 8,
            "mutual_head_width": 8, "head_widths": (8,),
        }
    )  # fmt: skip
    info = WeightsInfo(
        name="self-test", title="Self-test", version="1", config=config,
        task=Task(channels=1, seg_classes=("background", "a"), cls_classes=("a", "b")), image_size=SIZE,
        training={}, validation={}, intensity={"mean": (0.5,), "std": (0.3,)}, licence="", not_for="", written_by="",
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return UMLPredictor(info, UMLNetwork(config, download=False), device, precision)
