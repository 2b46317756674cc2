"""`run.json`: everything that made a result and the numbers it gave, so that the run can be repeated and compared."""

from __future__ import annotations

import hashlib
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from pydantic import ValidationError

from napari_uml import __version__
from napari_uml.calibration import Chance
from napari_uml.config import Settings
from napari_uml.errors import UMLError, validation_problems
from napari_uml.inference.likeness import DO_NOT_RELY, unlike_training
from napari_uml.inference.measure import MeasuredValue, measure_slice
from napari_uml.results import PARTS, Box, Corruption, Measure, Part

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_uml.calibration import Calibration
    from napari_uml.data.reading import LoadedImage
    from napari_uml.results import Opinion, Prediction
    from napari_uml.weights import WeightsInfo

RECORD_VERSION: Final = 1
LIBRARIES: Final = ("torch", "timm", "numpy")
DAMAGED: Final = f"With this noise or corruption the image is unlike the training images: {DO_NOT_RELY}"
STRANGE: Final = f"What the network sees in the image is unlike the training images: {DO_NOT_RELY}"


class RunSettings(Settings):
    """What the user may choose for a run, beside image, model, device and precision.

    Attributes
    ----------
    sigma, seed
        Of the noise; slice n of a whole stack gets the seed + n.
    roi
        The rectangle to look at; None: the whole image.
    slice_number
        The slice of a stack to look at, from 0; None: all of them, or an image that is no stack.
    corruption
        What was done to the network's input before the noise; None: nothing.
    """

    sigma: float = 0.0
    seed: int = 0
    roi: Box | None = None
    slice_number: int | None = None
    corruption: Corruption | None = None


class InputRecord(Settings):
    """The image.

    Attributes
    ----------
    name, path
        Name of the file or layer, and the absolute path; None for pixels that come from no file.
    sha256
        Of the files' bytes; of the pixels when they come from no file.
    shape, is_stack
        Of the pixels that were looked at, and whether their first axis counts slices.
    scaling, spacing, units, affine
        As `LoadedImage` has them.
    """

    name: str
    path: str | None
    sha256: str
    shape: tuple[int, ...]
    is_stack: bool
    scaling: str
    spacing: tuple[float, ...] | None
    units: tuple[str, ...]
    affine: tuple[tuple[float, ...], ...] | None


class ModelRecord(Settings):
    """The model: name and version, and where its weights file was, with the SHA-256."""

    name: str
    version: str
    path: str | None
    sha256: str


class OpinionRecord(Settings):
    """An opinion about the class: beliefs and uncertainty sum to 1, probabilities too; see `Opinion`.

    Attributes
    ----------
    class_set
        Classes that hold the true one with a stated chance, see `Calibration.class_set`. None: not calibrated, or the
        opinion is about several slices together, for which the chance is not known.
    chance_wrong
        Chance that the class is wrong, with its 95 % interval, see `Calibration.chance`. None as for `class_set`, and
        for an image unlike the training images, of which neither is known.
    refer
        Whether an expert should look: the chance is above the calibration's threshold, or not known of an unlike image.
        None: not calibrated.
    """

    predicted: str
    belief: dict[str, float]
    probability: dict[str, float]
    uncertainty: float
    measure: Measure = "vacuity"
    class_set: tuple[str, ...] | None = None
    chance_wrong: Chance | None = None
    refer: bool | None = None


class SliceRecord(Settings):
    """The answer for one image or slice.

    Attributes
    ----------
    opinion
        About the class.
    looked_at
        The rectangle that the answer comes from; None: the whole image.
    mean_uncertainty
        Mean u of all pixels, or of those in the rectangle that the user chose.
    mask_sha256
        Of the mask's uint8 numbers, row by row.
    shares
        Share of the image by structure, background included; they sum to 1.
    measurements
        As `napari_uml.inference.measure.measure_slice` gives them; none of a model without structures.
    warnings
        What is unusual about the image for the model, see `napari_uml.inference.likeness.unlike_training`, and whether
        noise, corruption, or what the network sees in it, make it unlike the training images.
    unlike
        See `Prediction`: neither a chance of an error nor a set of classes is stated then.
    """

    opinion: OpinionRecord
    looked_at: Box | None
    mean_uncertainty: float
    mask_sha256: str
    shares: dict[str, float]
    measurements: tuple[MeasuredValue, ...]
    warnings: tuple[str, ...] = ()
    unlike: bool = False


class RunRecord(Settings):
    """One run on one image or stack.

    Attributes
    ----------
    created
        UTC, ISO 8601.
    versions
        Of the program, Python, the libraries and the system.
    device, device_description, precision
        What computed, such as `cpu`, `CPU, 2 threads`, `bf16`.
    mask_map
        Which mask the pixel uncertainty belongs to, see `Prediction`.
    evidence_scales
        What the evidence of the class and of the pixels was multiplied by, see `Prediction`.
    opinion
        About the image, or the volume.
    slices
        An image has one.
    answers, measure
        What the model answers, and what the uncertainty of the pixels is, see `Prediction`.
    """

    format_version: Literal[1] = RECORD_VERSION
    created: str
    versions: dict[str, str]
    image: InputRecord
    model: ModelRecord
    settings: RunSettings
    device: str
    device_description: str
    precision: str
    seconds: float
    mask_map: str
    evidence_scales: tuple[float, float] = (1.0, 1.0)
    opinion: OpinionRecord
    slices: tuple[SliceRecord, ...]
    answers: tuple[Part, ...] = PARTS
    measure: Measure = "vacuity"


def make_record(
    image: LoadedImage,
    prediction: Prediction,
    info: WeightsInfo,
    settings: RunSettings,
    *,
    weights_sha256: str,
    weights_path: Path | None = None,
    device_description: str = "",
) -> RunRecord:
    """The record of a prediction.

    Parameters
    ----------
    image
        What was predicted on; when a slice was chosen, the slice alone (`pick_slice`).
    prediction
        The answer.
    info, weights_sha256, weights_path
        Of the model, as `UMLPredictor` has them.
    settings
        Of the run.
    device_description
        `UMLPredictor.device.description`.
    """
    slices = tuple(_slice_record(image, prediction, info, settings.roi, n) for n in range(len(prediction.opinions)))
    return RunRecord(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=_versions(),
        image=_input_record(image),
        model=ModelRecord(
            name=info.name,
            version=info.version,
            path=None if weights_path is None else str(weights_path.absolute()),
            sha256=weights_sha256,
        ),
        settings=settings,
        device=prediction.device,
        device_description=device_description,
        precision=prediction.precision,
        seconds=round(prediction.seconds, 4),
        mask_map=prediction.mask_map,
        evidence_scales=prediction.evidence_scales,
        opinion=slices[0].opinion if len(slices) == 1 else _opinion_record(prediction.opinion, None),
        slices=slices,
        answers=prediction.answers,
        measure=prediction.measure,
    )


def warnings_of(record: RunRecord) -> list[str]:
    """What is unusual about the image, a sentence each; of a stack those of its first such slice, which say so."""
    unusual = [number for number, one in enumerate(record.slices) if one.warnings]
    if not unusual:
        return []
    where = f"Slice {unusual[0]}, one of {len(unusual)} unusual ones: " if record.image.is_stack else ""
    return [f"{where}{sentence}" for sentence in record.slices[unusual[0]].warnings]


def read_run(path: Path) -> RunRecord:
    """Read a `run.json`.

    Raises
    ------
    UMLError
        When there is no such file, it is no run record, or a newer version wrote it.
    """
    try:
        return RunRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UMLError(f"{path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        first = validation_problems(error)[0]
        raise UMLError(f"{path} is no run record that this version can read ({first}).") from error


def _versions() -> dict[str, str]:
    libraries = {name: version(name) for name in LIBRARIES}
    return {"napari-uml": __version__, "python": platform.python_version(), **libraries, "system": platform.platform()}


def _input_record(image: LoadedImage) -> InputRecord:
    affine = None if image.affine is None else tuple(tuple(row) for row in image.affine.tolist())
    return InputRecord(
        name=image.path.name,
        path=str(image.path.absolute()) if image.files else None,
        sha256=image.sha256() if image.files else _sha256(image.pixels),
        shape=image.pixels.shape,
        is_stack=image.is_stack,
        scaling=image.scaling,
        spacing=image.spacing,
        units=image.units,
        affine=affine,
    )


def _opinion_record(opinion: Opinion, calibration: Calibration | None, unlike: bool = False) -> OpinionRecord:
    known = None if unlike else calibration
    return OpinionRecord(
        predicted=opinion.predicted,
        belief=dict(zip(opinion.class_names, map(float, opinion.belief), strict=True)),
        probability=dict(zip(opinion.class_names, map(float, opinion.probability), strict=True)),
        uncertainty=float(opinion.uncertainty),
        measure=opinion.measure,
        class_set=None if known is None else known.class_set(opinion),
        chance_wrong=None if known is None else known.chance(opinion.uncertainty),
        refer=None if calibration is None else unlike or calibration.refers(opinion.uncertainty),
    )


def _slice_record(
    image: LoadedImage, prediction: Prediction, info: WeightsInfo, roi: Box | None, number: int
) -> SliceRecord:
    at = number if prediction.mask.ndim == 3 else ...
    mask, uncertainty = prediction.mask[at], prediction.pixel_uncertainty[at]
    seen = uncertainty if roi is None else uncertainty[roi.slices]
    counts = np.bincount(mask.ravel(), minlength=len(prediction.structure_names))
    unit = image.units[-1]
    known = image.spacing is not None and unit == image.units[-2] != "pixel"
    spacing = (image.spacing[-2], image.spacing[-1]) if image.spacing is not None and known else None
    analysed = image.pixels[at] if roi is None else image.pixels[at][roi.slices]
    unlike = bool(prediction.unlike) and prediction.unlike[number]
    warnings = unlike_training(analysed, info)
    if unlike and not any(sentence.endswith(DO_NOT_RELY) for sentence in warnings):
        warnings = (*warnings, DAMAGED if prediction.sigma or prediction.corruption else STRANGE)
    return SliceRecord(
        opinion=_opinion_record(prediction.opinions[number], info.calibration, unlike),
        looked_at=prediction.looked_at[number],
        mean_uncertainty=float(seen.mean(dtype=np.float64)),
        mask_sha256=_sha256(mask),
        shares=dict(zip(prediction.structure_names, (counts / mask.size).tolist(), strict=True)),
        measurements=measure_slice(prediction, number, info.task, spacing=spacing, units=unit)
        if "mask" in prediction.answers
        else (),
        warnings=warnings,
        unlike=unlike,
    )


def _sha256(array: NDArray[np.generic]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
