"""Memory of a training run: how much it took, and what to say when there is not enough."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from napari_uml.errors import MemoryLimitError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_uml.config import TrainConfig

SAYINGS = ("allocate memory", "out of memory", "not enough memory")
"""What a `RuntimeError` of torch says when it is about memory: CPU on Linux, MPS, CPU on Windows."""


@contextmanager
def memory_errors(config: TrainConfig) -> Iterator[None]:
    """Turn the errors that say that memory is short into `MemoryLimitError`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        about_memory = isinstance(error, (torch.OutOfMemoryError, MemoryError))
        if not about_memory and not any(words in str(error) for words in SAYINGS):
            raise
        raise MemoryLimitError(
            f"The memory is too small for batches of {config.batch_size} images of {config.image_size} x "
            f"{config.image_size}; start a new run with a smaller batch or smaller images."
        ) from error


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, in MB."""
    if sys.platform == "win32":
        import psutil

        return float(psutil.Process().memory_info().peak_wset) / 1e6
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
