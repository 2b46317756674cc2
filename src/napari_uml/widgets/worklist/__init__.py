"""The Worklist dock: a folder of images analysed in one go, and its results opened one after another."""

from napari_uml.widgets.worklist.dock import WorklistWidget

__all__ = ["WorklistWidget"]
