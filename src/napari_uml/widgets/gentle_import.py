"""Imports torch in a worker thread without stopping the window.

Two things hold Python's lock (GIL) for long while torch is imported: the linker, which maps half a gigabyte of
libraries, and the garbage collector, which looks through all of napari's objects again and again because so many new
ones come. So the largest library is opened beforehand by a call that lets go of the lock, and the full collections
wait until the import is done. Nothing is imported before a model is needed: a dock that is only opened stays light.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LIBRARY = Path("lib/libtorch_cpu.so")
"""In torch's folder on Linux; elsewhere nothing is opened beforehand."""
NEVER = 10**9


def import_gently() -> None:
    """Import the predictor, and torch with it."""
    if "torch" not in sys.modules:
        open_torch_library()
    with no_full_collection():
        import napari_uml.inference.predictor  # noqa: F401


def open_torch_library() -> bool:
    """Map torch's largest library while other threads run; torch then finds it there.

    Returns
    -------
    Whether it is there now; where it could not be opened, importing torch says why.
    """
    spec = find_spec("torch")
    if spec is None or not sys.platform.startswith("linux"):
        return False
    folders = [Path(folder) / LIBRARY for folder in spec.submodule_search_locations or ()]
    dlopen = ctypes.CDLL(None).dlopen  # a foreign function is called without the lock, unlike ctypes.CDLL(path)
    dlopen.argtypes, dlopen.restype = (ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
    return any(bool(dlopen(bytes(path), sys.getdlopenflags())) for path in folders if path.exists())


@contextmanager
def no_full_collection() -> Iterator[None]:
    """Put off the garbage collections that look through all objects; the small ones go on."""
    young, middle, old = gc.get_threshold()
    gc.set_threshold(young, middle, NEVER)
    try:
        yield
    finally:
        gc.set_threshold(young, middle, old)
