"""Devices are chosen visibly, with the reason when no GPU is used."""

from __future__ import annotations

import pytest
import torch

from napari_uml.errors import DeviceError
from napari_uml.inference import devices
from napari_uml.inference.devices import available_devices, choose_device, choose_precision


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: f"GPU {number}")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_the_cpu_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    (cpu,) = available_devices()
    assert choose_device("auto") == cpu
    assert cpu.description == "CPU, 2 threads"
    assert cpu.reason


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("asked", "name", "reason"),
    [("auto", "cuda:0", ""), ("cuda", "cuda:0", ""), ("cuda:1", "cuda:1", ""), ("cpu", "cpu", "the CPU was chosen")],
)
def test_gpu_is_used_unless_another_device_is_asked_for(asked: str, name: str, reason: str) -> None:
    device = choose_device(asked)
    assert (device.name, device.reason) == (name, reason)


@pytest.mark.usefixtures("two_gpus")
def test_unknown_device_is_refused_with_those_there_are() -> None:
    with pytest.raises(DeviceError, match="among cuda:0, cuda:1, cpu, got cuda:2"):
        choose_device("cuda:2")


@pytest.mark.usefixtures("no_gpu")
def test_missing_gpu_is_refused_with_the_reason() -> None:
    with pytest.raises(DeviceError, match=r"among cpu, got cuda\. (No GPU found|This PyTorch)"):
        choose_device("cuda")


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(("bf16", "precision"), [(True, "bf16"), (False, "float32")])
def test_precision_is_half_where_the_device_computes_in_it(
    monkeypatch: pytest.MonkeyPatch, bf16: bool, precision: str
) -> None:
    monkeypatch.setattr(devices, "cpu_is_fast_in_bf16", lambda: bf16)
    assert choose_precision("auto", "cpu") == precision
    assert choose_precision("auto", "cuda:0") == "bf16"
    assert choose_precision("float32", "cuda:0") == "float32"


@pytest.mark.parametrize(("fast", "warned"), [(True, 0), (False, 1)])
def test_a_cpu_that_only_emulates_bf16_is_said_to(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fast: bool, warned: int
) -> None:
    monkeypatch.setattr(devices, "cpu_is_fast_in_bf16", lambda: fast)
    assert choose_precision("bf16", "cpu") == choose_precision("bf16", "cuda:0") == "bf16"
    assert sum("this CPU only emulates bf16" in message for message in caplog.messages) == warned


@pytest.mark.parametrize("asked", ["_is_amx_tile_supported", "_is_avx512_bf16_supported"])
def test_a_cpu_is_asked_for_bf16_in_every_way_that_torch_has(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert not devices.cpu_is_fast_in_bf16()
    monkeypatch.setattr(torch.cpu, asked, lambda: True, raising=False)
    assert devices.cpu_is_fast_in_bf16()


def test_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="among auto, float32, bf16, fp16, got 'half'"):
        choose_precision("half", "cpu")
