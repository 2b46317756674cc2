"""Which device and precision there are, and why a GPU is not used."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch

from napari_uml.errors import DeviceError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Device:
    """A device that torch can compute on.

    Attributes
    ----------
    name
        As torch names it: `cpu`, `cuda:0`, `mps`.
    description
        For people: "CPU, 2 threads", "NVIDIA H200".
    reason
        Why no GPU is used; empty when one is.
    """

    name: str
    description: str
    reason: str = ""


def available_devices() -> tuple[Device, ...]:
    """Every device of this machine, the fastest first."""
    devices = [Device(f"cuda:{i}", torch.cuda.get_device_name(i)) for i in range(_cuda_count())]
    if torch.backends.mps.is_available():
        devices.append(Device("mps", "Apple GPU"))
    threads = torch.get_num_threads()
    cpu = Device("cpu", f"CPU, {threads} thread{'s' if threads > 1 else ''}", "" if devices else _no_gpu_reason())
    return (*devices, cpu)


def choose_device(name: str = "auto") -> Device:
    """The device of that name, or the fastest.

    Raises
    ------
    DeviceError
        When there is no such device; the message lists those there are.
    """
    devices = available_devices()
    if name == "auto":
        return devices[0]
    for device in devices:
        if device.name in (name, f"{name}:0"):
            chosen_cpu = device.name == "cpu" and len(devices) > 1
            return Device(device.name, device.description, "the CPU was chosen") if chosen_cpu else device
    raise DeviceError(f"Expected a device among {', '.join(d.name for d in devices)}, got {name}. {_no_gpu_reason()}")


def choose_precision(precision: str, device: str) -> str:
    """`float32`, `bf16` or `fp16`; "auto" is bf16 where the device is fast in it, fp16 on older CUDA devices.

    A warning is logged where a CPU is asked for bf16 that it only emulates.

    Raises
    ------
    ValueError
        When there is no such precision.
    """
    if precision == "auto":
        if device.startswith("cuda"):
            return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
        return "bf16" if device == "cpu" and cpu_is_fast_in_bf16() else "float32"
    if precision not in ("float32", "bf16", "fp16"):
        raise ValueError(f"Expected a precision among auto, float32, bf16, fp16, got {precision!r}.")
    if (precision, device) == ("bf16", "cpu") and not cpu_is_fast_in_bf16():
        log.warning("As far as PyTorch can tell, this CPU only emulates bf16, many times slower than float32.")
    return precision


def cpu_is_fast_in_bf16() -> bool:
    """Whether this CPU multiplies in bfloat16 (AMX, AVX512), not by emulation; see `benchmarks/precision.py`."""
    questions = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")  # older versions of torch lack them
    return any(getattr(torch.cpu, question, bool)() for question in questions)


def _cuda_count() -> int:
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _no_gpu_reason() -> str:
    if torch.version.cuda is None and not torch.backends.mps.is_built():
        return "This PyTorch was built without GPU support."
    return "No GPU found."
