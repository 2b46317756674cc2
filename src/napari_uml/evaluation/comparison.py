"""The figures of two models on the same images: what `compare` finds, as JSON; no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic import Field, ValidationError

from napari_uml.config import Settings
from napari_uml.errors import UMLError
from napari_uml.evaluation.record import Metric, MetricsRecord
from napari_uml.files import write_text

if TYPE_CHECKING:
    from pathlib import Path

COMPARISON: Final = "comparison.json"
PICTURES: Final = "comparison.png"


class Comparison(Settings):
    """Figures of two models on the same images.

    Attributes
    ----------
    before
        Of the model that training started from; None: there was none, or it does not know the names.
    after
        Of the new model.
    difference
        `after` minus `before` with the interval of the difference, by the name of the figure; figures that cannot be
        compared are absent.
    note
        Why there is no `before`, and why the new model is not calibrated; empty when there is nothing to say.
    """

    before: MetricsRecord | None
    after: MetricsRecord
    difference: dict[str, Metric] = Field(default_factory=dict)
    note: str = ""


def write_comparison(path: Path, comparison: Comparison) -> None:
    """Write it as JSON, whole or not at all.

    Raises
    ------
    UMLError
        When it cannot be written.
    """
    write_text(path, comparison.model_dump_json(indent=2) + "\n")


def read_comparison(path: Path) -> Comparison:
    """Read what `write_comparison` wrote.

    Raises
    ------
    UMLError
        When there is no such file, or it is damaged.
    """
    try:
        return Comparison.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UMLError(f"{path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        raise UMLError(f"Expected a comparison of two models, {path} is damaged; compare again.") from error
