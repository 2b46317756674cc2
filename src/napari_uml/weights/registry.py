"""Models by name: those of the registry, bundled or downloaded, and the user's own; nothing here downloads.

`registry.json` lies beside the bundled weights: {"models": {NAME: {"file", "sha256", "size", "urls", "title"}}}.
"""

from __future__ import annotations

import difflib
import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Final, Literal

import platformdirs
import pooch
from pydantic import Field, ValidationError

from napari_uml.config import Settings
from napari_uml.errors import WeightsError
from napari_uml.weights.info import NAME_PATTERN, in_short, read_info

CACHE_VARIABLE: Final = "NAPARI_UML_CACHE"
SUFFIX: Final = ".safetensors"
CARD_SUFFIX: Final = ".md"
"""Ending of a model card, which lies beside its weights."""

Source = Literal["bundled", "cache", "user", "not downloaded"]


class RegisteredModel(Settings):
    """One file of the registry: its name, SHA-256, size in bytes, addresses in the order to try, and plain title."""

    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*\.safetensors$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, Field(gt=0)]
    urls: tuple[Annotated[str, Field(pattern=r"^https?://")], ...] = ()
    title: Annotated[str, Field(min_length=1)]


class Registry(Settings):
    """The models that napari-uml itself offers, by name."""

    models: dict[Annotated[str, Field(pattern=NAME_PATTERN)], RegisteredModel]


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A line in the list of models.

    Attributes
    ----------
    name, title
        What to type, and what to show.
    source
        Where the file is.
    path
        The file; None when it is not downloaded.
    size
        Bytes.
    card
        The model card, a Markdown file; None when there is none.
    problem
        Why the file cannot be used, one sentence; empty when nothing is known against it.
    """

    name: str
    title: str
    source: Source
    path: Path | None
    size: int
    card: Path | None = None
    problem: str = ""


def bundled_folder() -> Path:
    """The folder of registry, bundled weights and model cards: in the installed package, else in the repository."""
    package = Path(__file__).parents[1]
    installed = package / "weights_files"
    return installed if installed.is_dir() else package.parents[1] / "weights"


def cache_folder() -> Path:
    """The folder of downloaded weights: `NAPARI_UML_CACHE`, else the system's cache folder; it may not exist yet."""
    return Path(os.environ.get(CACHE_VARIABLE) or pooch.os_cache("napari-uml")).expanduser()


def data_folder() -> Path:
    """The folder of what cannot be had again, models and runs: `NAPARI_UML_CACHE`, else the system's folder of data.

    Systems and cleaning programs empty the cache folder. It may not exist yet.
    """
    chosen = os.environ.get(CACHE_VARIABLE) or platformdirs.user_data_path("napari-uml", appauthor=False)
    return Path(chosen).expanduser()


def user_folder() -> Path:
    """The folder of the user's own models; it may not exist yet."""
    return data_folder() / "models"


def load_registry() -> Registry:
    """Read `registry.json`.

    Raises
    ------
    WeightsError
        When it is missing or damaged.
    """
    path = bundled_folder() / "registry.json"
    try:
        return Registry.model_validate_json(path.read_bytes())
    except OSError as error:
        raise WeightsError(f"Cannot read {path}: {error.strerror}; install napari-uml again.") from error
    except ValidationError as error:
        raise WeightsError(f"{path} is damaged ({in_short(error)}); install napari-uml again.") from error


def find_weights(name_or_path: str | Path) -> Path:
    """The weights file of a model; a registered one is verified by its SHA-256 first. Never downloads.

    Parameters
    ----------
    name_or_path
        Name of a registered model or of a user's, or the path of any weights file. A name goes before a file of that
        name in the current folder: write "./NAME" for the file.

    Raises
    ------
    ValueError
        When there is neither a model nor a file of that name.
    WeightsError
        When a registered model is not on this computer, or its file is not the registered one.
    """
    if isinstance(name_or_path, str):
        if model := load_registry().models.get(name_or_path):
            return _registered_path(name_or_path, model)
        if own := user_models().get(name_or_path):
            return own
    path = Path(name_or_path).expanduser()
    if os.path.isfile(path):  # unlike Path.is_file, no error for a name that no file can have
        return path
    if isinstance(name_or_path, Path) or path.suffix or len(path.parts) != 1 or os.path.isdir(path):
        raise ValueError(
            f"Expected a model or the path of a weights file, got {str(name_or_path)!r}, which is no file."
        )
    raise unknown_model(name_or_path, [*load_registry().models, *user_models()])


def local_path(model: RegisteredModel) -> Path | None:
    """The bundled or downloaded file that is the registered one, byte by byte; None when there is none."""
    return next((path for path in _places(model) if _is_registered(path, model)), None)


def list_models() -> tuple[ModelEntry, ...]:
    """Every model by name: the registered ones, then the user's. Fast: hashes and tensors are not looked at."""
    registered = [_registered_entry(name, model) for name, model in load_registry().models.items()]
    return (*registered, *(_user_entry(name, path) for name, path in user_models().items()))


def user_models() -> dict[str, Path]:
    """The files of the user's own models by name, in alphabetical order."""
    return {path.stem: path for path in sorted(user_folder().glob(f"[!.]*{SUFFIX}"))}


def sha256(path: Path) -> str:
    """SHA-256 of a file in hexadecimal digits; a file is read again only when its size or time has changed.

    Raises
    ------
    WeightsError
        When the file cannot be read.
    """
    try:
        stat = path.stat()
        return _digest(path, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise WeightsError(f"Cannot read the weights file {path}: {error.strerror}.") from error


def forget_hashes() -> None:
    """Make `sha256` read every file anew."""
    _digest.cache_clear()


def unknown_model(name: str, valid: list[str]) -> ValueError:
    """The error to raise for a name that is not among the valid ones, with the closest one as a suggestion."""
    close = difflib.get_close_matches(name, valid, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return ValueError(f"Expected one of the models {', '.join(valid) or '(there are none)'}, got {name!r}.{hint}")


@lru_cache(maxsize=64)
def _digest(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _places(model: RegisteredModel) -> tuple[Path, Path]:
    return bundled_folder() / model.file, cache_folder() / model.file


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _is_registered(path: Path, model: RegisteredModel) -> bool:
    return _has_size(path, model.size) and sha256(path) == model.sha256


def _registered_path(name: str, model: RegisteredModel) -> Path:
    if path := local_path(model):
        return path
    fetch = f"run `napari-uml models fetch {name}` ({model.size / 1e6:.1f} MB)"
    if not model.urls:
        fetch = "install napari-uml again"
    by_hand = f"put {model.file} into {cache_folder()} by hand"
    for path in _places(model):
        if path.is_file():
            raise WeightsError(
                f"{path} is not the registered file of {name!r} (SHA-256 {sha256(path)[:12]}, expected "
                f"{model.sha256[:12]}): it was changed or damaged; {fetch} or {by_hand}."
            )
    raise WeightsError(f"The weights of {name!r} are not on this computer: {fetch} or {by_hand}.")


def _registered_entry(name: str, model: RegisteredModel) -> ModelEntry:
    card = bundled_folder() / f"{name}.md"
    source: Source = "not downloaded"
    bundled, cached = _places(model)
    if _has_size(bundled, model.size):
        source = "bundled"
    elif _has_size(cached, model.size):
        source = "cache"
    path = {"bundled": bundled, "cache": cached}.get(source)
    return ModelEntry(name, model.title, source, path, model.size, card if card.is_file() else None)


def _user_entry(name: str, path: Path) -> ModelEntry:
    card = path.with_suffix(CARD_SUFFIX)
    try:
        size = path.stat().st_size
    except OSError as error:  # a link to a drive that is gone, or another program has just removed it
        return ModelEntry(name, name, "user", path, 0, problem=f"{path} cannot be read: {error.strerror}.")
    try:
        return ModelEntry(name, read_info(path).title, "user", path, size, card if card.is_file() else None)
    except WeightsError as error:
        return ModelEntry(name, name, "user", path, size, problem=str(error))
