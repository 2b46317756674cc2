"""What only a GPU can tell; left out unless it is asked for: `pytest -m gpu`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_uml.inference.predictor import UMLPredictor

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-2), ("auto", 5e-2)])
def test_a_gpu_answers_as_the_cpu_does(weights: Path, stack: np.ndarray, precision: str, tolerance: float) -> None:
    assert torch.cuda.is_available(), "expected a CUDA device"
    pixels = stack[0]
    cpu = UMLPredictor.load(weights, "cpu", "float32").predict(pixels)
    gpu = UMLPredictor.load(weights, "cuda", precision).predict(pixels)
    assert gpu.device == "cuda:0"
    np.testing.assert_allclose(gpu.opinion.belief, cpu.opinion.belief, atol=tolerance)
    np.testing.assert_allclose(gpu.pixel_uncertainty, cpu.pixel_uncertainty, atol=tolerance)
    assert (gpu.mask == cpu.mask).mean() > 0.98
