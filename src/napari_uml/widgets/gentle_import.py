"""Prepares what is slow at first, in a worker thread and without stopping the window.

Two things hold Python's lock (GIL) for long while torch is imported: the linker, which maps half a gigabyte of
libraries, and the garbage collector, which looks through all of napari's objects again and again because so many new
ones come. So the libraries are opened beforehand by a call that lets go of the lock, and the collector waits.
napari compiles functions for its first labels layer, which takes a second, vispy draws the patterns of dashed lines for
it, and pyqtgraph takes a while to be imported; all are done here, too.

Nothing is prepared before it is needed: a dock that is only opened stays light.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from vispy.visuals.line.dash_atlas import DashAtlas

from napari_uml.inference.llvm import leave_triton_out

if TYPE_CHECKING:
    from collections.abc import Iterator

LIBRARY = Path("lib/libtorch_python.so")
"""In torch's folder on Linux, and it brings all others; elsewhere nothing is opened beforehand."""


HEAVY = ("torch", "torchvision", "timm", "napari_uml.inference.predictor")
"""What the predictor needs, each a second or two, in the order in which they import each other."""


def import_predictor() -> Iterator[None]:
    """Import the predictor, and torch with it; every step between is a place to stop at."""
    if "torch" not in sys.modules:
        open_torch_library()
    leave_triton_out()
    for name in HEAVY:
        yield
        with no_collection():
            import_module(name)


def import_plots() -> None:
    """Import pyqtgraph; without it nothing happens, the plot says so itself."""
    if find_spec("pyqtgraph") is not None:
        with no_collection():
            import pyqtgraph  # noqa: F401


@cache
def prepare_labels() -> None:
    """Let napari compile, and vispy compute and keep, what they need to show a labels layer of a mask."""
    with no_collection():
        DashAtlas()
        colors = DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", 1: "white"})
        Labels(np.zeros((2, 2), dtype=np.uint8), colormap=colors)


def open_torch_library() -> bool:
    """Map torch's libraries while other threads run; torch then finds them there.

    Returns
    -------
    Whether they are there now; where they could not be opened, importing torch says why.
    """
    spec = find_spec("torch")
    if spec is None or not sys.platform.startswith("linux"):
        return False
    folders = [Path(folder) / LIBRARY for folder in spec.submodule_search_locations or ()]
    dlopen = ctypes.CDLL(None).dlopen  # a foreign function is called without the lock, unlike ctypes.CDLL(path)
    dlopen.argtypes, dlopen.restype = (ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
    return any(bool(dlopen(bytes(path), sys.getdlopenflags())) for path in folders if path.exists())


@contextmanager
def no_collection() -> Iterator[None]:
    """Put off the garbage collector, and count what is made meanwhile among the old objects.

    Freezing and thawing moves all objects into the oldest generation; else the first collection afterwards would look
    through all of them at once.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.unfreeze()
        if was_on:
            gc.enable()
