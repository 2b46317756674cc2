"""The tensors of a weights file: half precision on disk, float32 in memory; torch is imported when called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from napari_uml.errors import WeightsError
from napari_uml.files import replacing
from napari_uml.weights.info import METADATA_KEY, WeightsInfo, check_kind, damaged, read_info

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

_LISTED = 3  # names in a message


def save_weights(path: Path | str, tensors: Mapping[str, torch.Tensor], info: WeightsInfo, half: bool = True) -> None:
    """Write a weights file; it appears under its name only when it is complete.

    Parameters
    ----------
    path
        Where to write; a file of that name is replaced, missing folders are made.
    tensors
        The network's state, of any device and layout.
    info
        What the file says of itself.
    half
        Store floating tensors as float16 instead of float32, but for those that reach beyond 65504, as the variances
        of a normalisation may; integer ones are kept as they are.

    Raises
    ------
    WeightsError
        When a value is infinite or not a number, or the file cannot be written.
    """
    import torch
    from safetensors.torch import save

    dtype = torch.float16 if half else torch.float32
    stored = {name: _storable(name, tensor, dtype) for name, tensor in tensors.items()}
    content = save(stored, metadata={METADATA_KEY: info.model_dump_json()})
    with replacing(Path(path), WeightsError) as part:
        part.write_bytes(content)


def write_info(path: Path | str, info: WeightsInfo, destination: Path | str | None = None) -> None:
    """Write a weights file anew with another description of itself; its tensors stay the same, byte by byte.

    Parameters
    ----------
    path
        The weights file.
    info
        What it says of itself from now on.
    destination
        Where to write; None: the file itself is replaced, whole or not at all.

    Raises
    ------
    WeightsError
        When the file is no weights file or cannot be written.
    """
    path = Path(path)
    read_info(path)
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header["__metadata__"][METADATA_KEY] = info.model_dump_json()
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the tensors start at a multiple of 8 bytes
    with replacing(Path(destination or path), WeightsError) as part:
        part.write_bytes(len(text).to_bytes(8, "little") + text + content[start:])


def load_tensors(path: Path | str) -> dict[str, torch.Tensor]:
    """Read every tensor of a weights file into memory, on the CPU: float32, or the stored integer type.

    Raises
    ------
    WeightsError
        When the file is missing, a pickle or damaged, or holds a value that is infinite or not a number.
    """
    path = Path(path)
    check_kind(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: _in_memory(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        raise damaged(path, error) from error
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise WeightsError(f"{path} holds infinite values or NaN in {name}: its training failed, use another file.")
    return tensors


def same_tensors(path: Path | str, tensors: Mapping[str, torch.Tensor]) -> bool:
    """Whether a weights file holds exactly what `save_weights` would store of these tensors in half precision.

    Raises
    ------
    WeightsError
        As `load_tensors` and `save_weights`.
    """
    import torch

    found = load_tensors(path)
    wanted = {name: _in_memory(_storable(name, tensor, torch.float16)) for name, tensor in tensors.items()}
    return found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


def check_fits(expected: Mapping[str, Sequence[int]], found: Mapping[str, Sequence[int]]) -> None:
    """Refuse tensors that are not exactly those of the network.

    Parameters
    ----------
    expected, found
        Name and shape of every tensor of the network and of the file.

    Raises
    ------
    WeightsError
        One sentence that lists the first missing, unexpected and differently shaped tensors.
    """
    shapes = [
        f"{name} {tuple(found[name])} instead of {tuple(expected[name])}"
        for name in expected
        if name in found and tuple(found[name]) != tuple(expected[name])
    ]
    kinds = {
        "missing": [name for name in expected if name not in found],
        "unexpected": [name for name in found if name not in expected],
        "of another shape": shapes,
    }
    problems = [f"{kind}: {_first(names)}" for kind, names in kinds.items() if names]
    if problems:
        raise WeightsError(f"The weights do not fit the network they name ({'; '.join(problems)}).")


def _storable(name: str, tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A contiguous copy on the CPU that shares no memory with another tensor."""
    import torch

    tensor = tensor.detach().to("cpu").clone(memory_format=torch.contiguous_format)
    if not tensor.is_floating_point():
        return tensor
    if not tensor.isfinite().all():
        raise WeightsError(f"Expected finite weights, got infinite values or NaN in {name}; nothing was saved.")
    stored = tensor.to(dtype)
    return stored if stored.isfinite().all() else tensor.to(torch.float32)


def _in_memory(tensor: torch.Tensor) -> torch.Tensor:
    """A copy that no longer looks into the mapped file."""
    import torch

    return tensor.to(torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True)


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(name[:120] for name in names[:_LISTED]) + more
