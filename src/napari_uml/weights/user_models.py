"""The user's own models: import, rename, delete, and the check of any model's file."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from napari_uml.errors import WeightsError
from napari_uml.files import replacing
from napari_uml.weights.info import WeightsInfo, check_pattern, read_info
from napari_uml.weights.registry import (
    CARD_SUFFIX,
    SUFFIX,
    find_weights,
    forget_hashes,
    load_registry,
    sha256,
    unknown_model,
    user_folder,
    user_models,
)
from napari_uml.weights.tensors import load_tensors


def import_weights(path: Path | str, name: str | None = None, *, overwrite: bool = False) -> WeightsInfo:
    """Check a weights file completely and copy it, unchanged, into the user's model folder, with a card beside it.

    Parameters
    ----------
    path
        The file; it is left where it is.
    name
        Name to find it by; None: the name that the file gives itself.
    overwrite
        Replace another model of that name.

    Raises
    ------
    ValueError
        When the name is no valid one, or that of a registered model.
    WeightsError
        When the file cannot be used, or another model has the name.
    """
    path = Path(path)
    info = read_info(path)
    load_tensors(path)
    target = _target(info.name if name is None else name)
    if target.exists():
        if sha256(target) == sha256(path):
            return info
        if not overwrite:
            raise _taken(target.stem)
    with replacing(target, WeightsError) as part:
        shutil.copyfile(path, part)
    target.with_suffix(CARD_SUFFIX).unlink(missing_ok=True)  # of a model that was replaced
    if path.with_suffix(CARD_SUFFIX).is_file():
        with replacing(target.with_suffix(CARD_SUFFIX)) as part:
            shutil.copyfile(path.with_suffix(CARD_SUFFIX), part)
    return info


def check_name(name: str, path: Path | None = None) -> None:
    """Refuse a name that `import_weights` would refuse for a weights file.

    Parameters
    ----------
    name
        Name to find it by.
    path
        The file, which may be there under that name already; None: no file may.

    Raises
    ------
    ValueError
        When the name is no valid one, or that of a registered model.
    WeightsError
        When another model has the name.
    """
    target = _target(name)
    if target.exists() and (path is None or sha256(target) != sha256(path)):
        raise _taken(name)


def rename_weights(name: str, new_name: str) -> Path:
    """Rename one of the user's models, its card too, and return its new path; the content stays as it is.

    Raises
    ------
    ValueError
        When there is no such model of the user's, or the new name is not valid or that of a registered model.
    WeightsError
        When another model has the new name, or the file cannot be renamed.
    """
    source, target = _own(name), _target(new_name)
    if target.exists():
        raise _taken(new_name)
    try:
        os.rename(source, target)
        if source.with_suffix(CARD_SUFFIX).exists():
            os.replace(source.with_suffix(CARD_SUFFIX), target.with_suffix(CARD_SUFFIX))
    except OSError as error:
        raise WeightsError(f"Cannot rename {source}: {error.strerror}; close the programs that use it.") from error
    return target


def delete_weights(name: str) -> None:
    """Delete the file of one of the user's models, and its card.

    Raises
    ------
    ValueError
        When there is no such model of the user's.
    WeightsError
        When the file cannot be deleted.
    """
    path = _own(name)
    try:
        path.unlink()
        path.with_suffix(CARD_SUFFIX).unlink(missing_ok=True)
    except OSError as error:
        raise WeightsError(f"Cannot delete {path}: {error.strerror}; close the programs that use it.") from error


def verify(name_or_path: str | Path) -> str:
    """Read a model's file anew and check all of it: hash when registered, description, every tensor.

    Returns
    -------
    Its SHA-256.

    Raises
    ------
    ValueError, WeightsError
        As `find_weights`, `read_info` and `load_tensors` do.
    """
    forget_hashes()
    path = find_weights(name_or_path)
    read_info(path)
    load_tensors(path)
    return sha256(path)


def _own(name: str) -> Path:
    own = user_models()
    if name not in own:
        raise unknown_model(name, list(own))
    return own[name]


def _taken(name: str) -> WeightsError:
    return WeightsError(f"There is another model called {name!r}; choose another name, or delete it first.")


def _target(name: str) -> Path:
    """Where a user's model of that name is to be."""
    check_pattern(name)
    if name in load_registry().models:
        raise ValueError(f"{name!r} is the name of a model that comes with napari-uml; choose another one.")
    return user_folder() / f"{name}{SUFFIX}"
