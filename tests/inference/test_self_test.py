"""The self-test of a device says whether it works and how long it took."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from napari_uml.errors import DeviceError
from napari_uml.inference.self_test import self_test


def test_the_cpu_passes_and_the_random_state_stays() -> None:
    before = torch.random.get_rng_state()
    result = self_test("cpu", "float32")
    assert result.difference == 0
    assert result.passed
    assert result.seconds > 0
    assert "CPU" in result.in_words()
    assert "float32: works; " in result.in_words()
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_wrong_answer_is_told() -> None:
    assert "choose the CPU" in replace(self_test("cpu", "float32"), difference=0.5).in_words()


def test_a_missing_device_is_an_error() -> None:
    with pytest.raises(DeviceError):
        self_test("cuda:99")
