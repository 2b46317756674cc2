"""Keeps two copies of LLVM from meeting in one process, which crashes it.

Mesa draws with a shared libLLVM (llvmpipe, radeonsi). Triton, which torchvision imports through torch, has its own copy
of LLVM with the same symbols; loaded second, it calls into the first and crashes (tensorflow/tensorflow#124205).
Predictions need no Triton, so it is left out where a libLLVM is there already.
"""

from __future__ import annotations

import sys
from pathlib import Path

MAPS = Path("/proc/self/maps")
"""Linux lists the libraries of a process here; Triton is for Linux alone."""


def leave_triton_out() -> bool:
    """Make `import triton` fail as if it were not installed, if it would crash; call before timm is imported.

    Returns
    -------
    Whether it fails from now on.
    """
    if "triton" in sys.modules or not MAPS.exists() or "libLLVM" not in MAPS.read_text(errors="replace"):
        return False
    sys.modules["triton"] = None  # type: ignore[assignment]  # as the import system has it
    return True
