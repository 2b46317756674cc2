"""Memory of a training run: how much it took, how it is kept, and what to say when there is not enough."""

from __future__ import annotations

import ctypes
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from napari_uml.errors import MemoryLimitError, is_about_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_uml.config import TrainConfig

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
"""Numbers of glibc's `mallopt` options (malloc.h)."""
KEPT: Final = 2**31 - 1
"""Bytes that are held before any go back to the system; the most that `mallopt` takes."""
PAD: Final = 2**26
"""Bytes that are asked for at a time."""


@contextmanager
def memory_errors(config: TrainConfig) -> Iterator[None]:
    """Turn the errors that say that memory is short into `MemoryLimitError`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_about_memory(error):
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


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees, for the next step; for a training process alone.

    Every step frees and asks for the same hundreds of megabytes. glibc gives large blocks back to the system at once,
    and the system clears each page anew when it is touched again, which on a CPU takes a good part of a training step.

    Returns
    -------
    Whether the C library did so; False on systems without glibc, where nothing is changed.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return False
    return all(mallopt(option, value) for option, value in ((MMAP_MAX, 0), (TRIM_THRESHOLD, KEPT), (TOP_PAD, PAD)))
