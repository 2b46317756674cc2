"""Several processes that train together: how they start, find each other and end, and which devices they use."""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import os
import signal
import socket
import sys
import warnings
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.strategies.ddp import DDPStrategy
from torch import distributed

from napari_uml.errors import DeviceError, UMLError
from napari_uml.inference.devices import choose_device, choose_precision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

    from napari_uml.config import TrainConfig

PRECISIONS: dict[str, Any] = {"float32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
HOST = "127.0.0.1"
PATIENCE = 5.0  # seconds between a lost connection and the end of the process at its other end


class Member(ClusterEnvironment):
    """One of several processes on this machine, as Fabric wants it described.

    Parameters
    ----------
    rank, size
        Its number from 0, and how many there are.
    port
        Where they meet.
    """

    def __init__(self, rank: int, size: int, port: int) -> None:
        self._rank, self._size, self._port = rank, size, port

    @property
    def creates_processes_externally(self) -> bool:  # noqa: D102
        return True

    @property
    def main_address(self) -> str:  # noqa: D102
        return HOST

    @property
    def main_port(self) -> int:  # noqa: D102
        return self._port

    @staticmethod
    def detect() -> bool:  # noqa: D102
        return False

    def world_size(self) -> int:  # noqa: D102
        return self._size

    def set_world_size(self, size: int) -> None:  # noqa: D102
        pass

    def global_rank(self) -> int:  # noqa: D102
        return self._rank

    def set_global_rank(self, rank: int) -> None:  # noqa: D102
        pass

    def local_rank(self) -> int:  # noqa: D102
        return self._rank

    def node_rank(self) -> int:  # noqa: D102
        return 0


def make_fabric(config: TrainConfig, member: Member | None, *, some_unused: bool) -> Fabric:
    """Device, precision and partners of this process.

    Parameters
    ----------
    config
        Which device and precision.
    member
        Which of several processes; None: there is one.
    some_unused
        Whether the network has parameters that its loss does not depend on.

    Raises
    ------
    DeviceError
        When there is no such device, fewer of them than processes, or none that trains in this precision.
    """
    for name in ("lightning.fabric", "lightning.pytorch"):  # they bring handlers that print what they do
        logging.getLogger(name).setLevel(logging.WARNING)
    device = choose_device(config.device)
    kind, _, index = device.name.partition(":")
    chosen = choose_precision(config.precision, device.name)
    if (kind, chosen) == ("cpu", "fp16"):  # Fabric would train in bf16, and only warn
        raise DeviceError("Expected bf16 or float32 to train on the CPU, got fp16; choose one of them, or auto.")
    precision = PRECISIONS[chosen]
    if member is None:
        return Fabric(accelerator=kind, devices=[int(index)] if index else 1, precision=precision)
    available = {"cpu": member.world_size(), "cuda": torch.cuda.device_count()}.get(kind, 1)
    if available < member.world_size():
        raise DeviceError(
            f"Expected {member.world_size()} {kind} devices for as many processes, found {available}; set processes to "
            f"{available}, or device to cpu."
        )
    warnings.filterwarnings("ignore", "Grad strides do not match")  # an anchor's gradient of 1 x 1 convolutions
    strategy = DDPStrategy(find_unused_parameters=some_unused)
    return Fabric(
        accelerator=kind, devices=member.world_size(), strategy=strategy, precision=precision, plugins=[member]
    )


@contextmanager
def together(size: int, follow: Callable[..., None], arguments: Sequence[Any]) -> Iterator[Member | None]:
    """While the block runs in this process, `follow(member, *arguments)` runs in `size` - 1 others.

    Gives the member that this process is, or None when it is the only one. However the block ends, the others end.

    Raises
    ------
    UMLError
        When another process does not start, or the block fails because one died.
    """
    if size == 1:
        yield None
        return
    if sys.platform == "win32":
        os.environ.setdefault("USE_LIBUV", "0")  # PyTorch's wheels for Windows lacked it up to 2.6
    others: list[SpawnProcess] = []
    port, threads = _free_port(), torch.get_num_threads()
    atexit.register(_end, others)  # for a caller that exits without closing the generator
    try:
        torch.set_num_threads(max(1, threads // size))
        for rank in range(1, size):
            others.append(_start(follow, Member(rank, size, port), arguments))
        yield Member(0, size, port)
    except RuntimeError as error:
        codes = _exit_codes(others)
        if not codes:
            raise
        raise UMLError(
            f"Training stopped because one of its {size} processes died (exit code {codes[0]}), perhaps for lack of "
            "memory; go on with --resume, fewer processes or smaller batches."
        ) from error
    finally:
        _end(others)
        atexit.unregister(_end)
        torch.set_num_threads(threads)
        if distributed.is_initialized():
            distributed.destroy_process_group()


def _start(follow: Callable[..., None], member: Member, arguments: Sequence[Any]) -> SpawnProcess:
    """Start a process and wait until it has imported what it needs."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(there, torch.get_num_threads(), follow, member, arguments))
    process.start()
    there.close()
    try:
        here.recv()
    except EOFError as error:
        _end([process])
        raise UMLError(
            'Expected a second process to start, it did not; call fit under `if __name__ == "__main__":`, or set '
            "processes to 1."
        ) from error
    return process


def _run(
    first: Connection, threads: int, follow: Callable[..., None], member: Member, arguments: Sequence[Any]
) -> None:
    first.send("started")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process decides
    torch.set_num_threads(threads)
    try:
        follow(member, *arguments)
    except (UMLError, ValueError):
        sys.exit(1)  # the first process has met, and says, the same


def _exit_codes(processes: Sequence[SpawnProcess]) -> list[int]:
    """Exit codes of those that failed, now or in a moment."""
    ended = wait([process.sentinel for process in processes], PATIENCE)
    for process in processes:
        if process.sentinel in ended:
            process.join()
    return [process.exitcode for process in processes if process.exitcode]


def _end(processes: Sequence[SpawnProcess]) -> None:
    for process in processes:
        process.kill()
        process.join()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
