"""Weights files: what they say of themselves, their tensors, and where to find, fetch and keep them; no torch."""

from napari_uml.weights.download import Progress, fetch
from napari_uml.weights.info import FORMAT_VERSION, WeightsInfo, read_info
from napari_uml.weights.registry import (
    ModelEntry,
    cache_folder,
    find_weights,
    list_models,
    sha256,
    user_folder,
)
from napari_uml.weights.tensors import check_fits, load_tensors, same_tensors, save_weights, write_info
from napari_uml.weights.user_models import check_name, delete_weights, import_weights, rename_weights, verify

__all__ = [
    "FORMAT_VERSION",
    "ModelEntry",
    "Progress",
    "WeightsInfo",
    "cache_folder",
    "check_fits",
    "check_name",
    "delete_weights",
    "fetch",
    "find_weights",
    "import_weights",
    "list_models",
    "load_tensors",
    "read_info",
    "rename_weights",
    "same_tensors",
    "save_weights",
    "sha256",
    "user_folder",
    "verify",
    "write_info",
]
