"""What a weights file says of itself, read from its header without touching a tensor; no torch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, JsonValue, ValidationError, model_validator
from pydantic_core import from_json
from safetensors import SafetensorError, safe_open

from napari_uml.calibration import Calibration
from napari_uml.config import Focus, Settings, Task, UMLConfig
from napari_uml.errors import WeightsError, validation_problems
from napari_uml.familiarity import Familiarity

FORMAT_VERSION: Final = 1
METADATA_KEY: Final = "napari_uml"
"""Key of the safetensors metadata that holds a `WeightsInfo` as JSON."""

NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,63}$"
"""Names of models: they are file names on every system, and never look like a path."""

_ENCODER_NAME = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)?")
_LARGEST_INFO = 1_000_000  # characters
_PICKLE_SUFFIXES = frozenset({".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".bin", ".joblib"})
_PICKLE_STARTS = (b"PK\x03\x04", *(b"\x80" + bytes([protocol]) for protocol in range(2, 6)))


class WeightsInfo(Settings):
    """Everything about a model except its tensors.

    Attributes
    ----------
    name, title, version
        Name for the command line, name for people, and the version of these weights.
    config, task
        The network, and what it finds.
    image_size
        Side of the network's square input, pixels.
    focus
        How whole photographs are looked at twice; None: once.
    training
        Data, recipe, command, seed and wall time of the training.
    validation
        Figures on the validation images by name, see `napari_uml.evaluation.metrics`.
    calibration
        How the uncertainty becomes the chance of an error, with the validation set's name and n; None: not calibrated.
    familiarity
        How far an image may lie from the training images; None: only `intensity` is compared.
    intensity
        `mean` and `std` of the training images, on the [0, 1] scale, one number a channel.
    licence, not_for
        Terms of use, and what the model must not be used for.
    written_by
        The program that wrote the file, such as `napari-uml 0.1.0`.
    format_version
        Version of these fields.
    """

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    title: Annotated[str, Field(min_length=1, max_length=100)]
    version: str
    config: UMLConfig
    task: Task
    image_size: Annotated[int, Field(ge=32, le=4096, multiple_of=16)]
    focus: Focus | None = None
    training: dict[str, JsonValue]
    validation: dict[str, JsonValue]
    calibration: Calibration | None = None
    familiarity: Familiarity | None = None
    intensity: dict[Literal["mean", "std"], tuple[float, ...]]
    licence: str
    not_for: str
    written_by: Annotated[str, Field(max_length=100)]
    format_version: Literal[1] = FORMAT_VERSION

    @property
    def commands(self) -> tuple[str, ...]:
        """What the weights were trained by, the first command first, as far as it is on record."""
        earlier = self.training.get("earlier")
        steps = [*(earlier if isinstance(earlier, list) else ()), self.training.get("command")]
        return tuple(step for step in steps if isinstance(step, str))

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        sizes = (self.config.num_classes, self.config.num_structures)
        named = (len(self.task.cls_classes), len(self.task.seg_classes))
        if sizes != named:
            raise ValueError(f"Expected a network for {named} classes and structures, got {sizes}.")
        unknown = set(self.focus.structures if self.focus else ()) - {*self.task.seg_classes, *self.task.unions}
        if unknown:
            raise ValueError(f"Unknown structure {', '.join(sorted(unknown))} in focus.")
        wrong = {len(values) for values in self.intensity.values()} - {self.task.channels}
        if wrong or len(self.intensity) != 2:
            raise ValueError(f"Expected intensity mean and std of {self.task.channels} channels.")
        return self

    @model_validator(mode="after")
    def _encoders_are_built_in(self) -> Self:
        for encoder in (self.config.class_encoder, self.config.seg_encoder):  # timm would download "hf-hub:..." unasked
            if not _ENCODER_NAME.fullmatch(encoder.name):
                raise ValueError(f"Expected the plain name of an encoder, got {encoder.name!r}.")
        return self


def read_info(path: Path | str) -> WeightsInfo:
    """Read the header of a weights file; no tensor is read and nothing in the file is executed.

    Raises
    ------
    WeightsError
        When the file is missing, a pickle, damaged, foreign, or written by a newer version.
    """
    path = Path(path)
    check_kind(path)
    try:
        with safe_open(path, framework="np") as file:
            text = (file.metadata() or {}).get(METADATA_KEY)
    except SafetensorError as error:
        raise damaged(path, error) from error
    if text is None:
        raise WeightsError(
            f"{path} is a safetensors file of another program: its metadata has no {METADATA_KEY!r}. "
            "Expected a file that napari-uml wrote."
        )
    return _parse(path, text)


def damaged(path: Path, error: Exception) -> WeightsError:
    """The error to raise for a safetensors file that cannot be parsed."""
    return WeightsError(f"{path} is damaged or cut short ({str(error)[:200]}); copy or download it again.")


def check_kind(path: Path) -> None:
    """Refuse what is no safetensors file, by its first bytes, before anything parses it.

    A safetensors file starts with the length of its header, 8 bytes little-endian, and the header with a brace.

    Raises
    ------
    WeightsError
        When the file is missing, empty, a pickle under whatever name, or of another kind.
    """
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise WeightsError(f"Cannot read the weights file {path}: {error.strerror}.") from error
    if not start:
        raise WeightsError(f"{path} is empty; copy or download it again.")
    if start[8:9] == b"{":
        return
    if start.startswith(_PICKLE_STARTS) or path.suffix.lower() in _PICKLE_SUFFIXES:
        raise WeightsError(
            f"{path} is a pickle, which can run any program hidden in it when it is opened, so napari-uml never opens "
            "one. Ask its author for a .safetensors file, or train the model again with `napari-uml train`."
        )
    raise WeightsError(f"{path} is no weights file: expected safetensors, got a file that starts with {start!r}.")


def _parse(path: Path, text: str) -> WeightsInfo:
    try:
        if len(text) > _LARGEST_INFO:
            raise ValueError(f"{len(text)} characters, at most {_LARGEST_INFO} are read")
        content = from_json(text)
        if _is_newer(content):
            raise WeightsError(
                f"{path} was written by a newer version ({str(content.get('written_by'))[:100]}); "
                "update with `pip install -U napari-uml`."
            )
        return WeightsInfo.model_validate_json(text)
    except ValueError as error:
        raise WeightsError(f"{path} does not describe a model: {in_short(error)}.") from error


def check_pattern(name: str) -> None:
    """Refuse what is no name of a model.

    Raises
    ------
    ValueError
        Then.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise ValueError(f"Expected a name of up to 64 small letters, digits, - and _, got {name!r}.")


def _is_newer(content: object) -> bool:
    version = content.get("format_version") if isinstance(content, dict) else None
    return isinstance(version, int) and version > FORMAT_VERSION


def in_short(error: ValueError) -> str:
    """The first problems of a validation in one line."""
    if not isinstance(error, ValidationError):
        return str(error)[:300]
    problems = validation_problems(error)
    more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
    return "; ".join(problems[:3]) + more
