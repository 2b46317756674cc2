"""Repeating a recorded run, and saying whether its numbers agree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from napari_uml.errors import UMLError, WeightsError
from napari_uml.weights import list_models, sha256

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_uml.data.reading import LoadedImage
    from napari_uml.inference.run_record import InputRecord, ModelRecord, OpinionRecord, RunRecord

TOLERANCE: Final = 0.01
"""Largest difference of a belief, an uncertainty or a share that another device or precision may make."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How far a repeated run is from the recorded one.

    Attributes
    ----------
    differences
        Of every belief, uncertainty, mean pixel uncertainty and share of a structure, by what it is about.
    same_masks
        Whether every pixel of every mask is the same.
    tolerance
        Largest difference that counts as agreement; 0 asks for the same numbers and masks to the last bit.
    """

    differences: dict[str, float]
    same_masks: bool
    tolerance: float

    @property
    def identical(self) -> bool:
        """Whether all numbers and masks are the same to the last bit."""
        return self.same_masks and self.largest[1] == 0

    @property
    def agree(self) -> bool:
        """Whether no difference exceeds the tolerance."""
        return self.identical if self.tolerance == 0 else self.largest[1] <= self.tolerance

    @property
    def largest(self) -> tuple[str, float]:
        """The largest difference, and what it is about."""
        return max(self.differences.items(), key=lambda item: item[1])


def compare(recorded: RunRecord, repeated: RunRecord, tolerance: float | None = None) -> Comparison:
    """Compare two runs on one image.

    Parameters
    ----------
    recorded, repeated
        The records of both.
    tolerance
        None: 0 when device, precision, libraries and system are the same, else `TOLERANCE`.

    Raises
    ------
    ValueError
        When they are about other classes, structures or slices.
    """
    before, after = dict(_numbers(recorded)), dict(_numbers(repeated))
    if before.keys() != after.keys():
        raise ValueError("Expected two runs about the same classes, structures and slices.")
    if tolerance is None:
        tolerance = 0.0 if _conditions(recorded) == _conditions(repeated) else TOLERANCE
    masks = [[one.mask_sha256 for one in record.slices] for record in (recorded, repeated)]
    differences = {name: abs(before[name] - after[name]) for name in before}
    return Comparison(differences, masks[0] == masks[1], tolerance)


def find_recorded_weights(model: ModelRecord) -> Path:
    """The weights file with the recorded hash: where it was, or under any name among the models of this computer.

    Raises
    ------
    WeightsError
        When there is no such file; says what has changed.
    """
    there = Path(model.path) if model.path and Path(model.path).is_file() else None
    known = [entry.path for entry in list_models() if entry.path is not None]
    for path in ([there] if there else []) + known:
        if sha256(path) == model.sha256:
            return path
    what = f"the weights of {model.name!r} {model.version} with the SHA-256 {model.sha256[:12]}"
    if there:
        raise WeightsError(
            f"Expected {what}, {there} has changed (SHA-256 {sha256(there)[:12]}); name their file with --model."
        )
    raise WeightsError(f"Expected {what}, they are not on this computer; name their file with --model.")


def check_weights(path: Path, model: ModelRecord) -> None:
    """Refuse a weights file that is not the recorded one.

    Raises
    ------
    WeightsError
        When its hash is another.
    """
    if (found := sha256(path)) != model.sha256:
        raise WeightsError(
            f"Expected the weights of the recorded run (SHA-256 {model.sha256[:12]}), {path} has {found[:12]}."
        )


def find_recorded_image(image: InputRecord, run: Path) -> Path:
    """The image's file at the recorded place, else beside `run.json`.

    Raises
    ------
    UMLError
        When it is at neither place, or the run was not made on a file.
    """
    if image.path is None:
        raise UMLError(
            f"{image.name}: expected a run on an image file, this one was made on a layer that came from no file. "
            "Save the layer and predict on its file."
        )
    for path in (Path(image.path), run.parent / image.name):
        if path.exists():
            return path
    raise UMLError(f"Expected the image {image.path}, it is no longer there. Name the file with --image.")


def check_image(image: LoadedImage, recorded: InputRecord) -> None:
    """Refuse an image whose bytes are not the recorded ones.

    Raises
    ------
    UMLError
        When its hash is another.
    """
    if (found := image.sha256()) != recorded.sha256:
        raise UMLError(
            f"{image.path} has changed since the recorded run (SHA-256 {found[:12]}, recorded {recorded.sha256[:12]}); "
            "name the file that was used with --image."
        )


def _conditions(record: RunRecord) -> tuple[object, ...]:
    return record.device, record.device_description, record.precision, record.versions


def _numbers(record: RunRecord) -> Iterator[tuple[str, float]]:
    yield from _opinion_numbers("", record.opinion)
    for number, one in enumerate(record.slices):
        where = f" of slice {number}"
        yield from _opinion_numbers(where, one.opinion)
        yield f"mean pixel uncertainty{where}", one.mean_uncertainty
        for name, share in one.shares.items():
            yield f"share of {name}{where}", share


def _opinion_numbers(where: str, opinion: OpinionRecord) -> Iterator[tuple[str, float]]:
    for name, belief in opinion.belief.items():
        yield f"belief in {name}{where}", belief
    yield f"uncertainty{where}", opinion.uncertainty
