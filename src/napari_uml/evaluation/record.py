"""The metrics record: figures of one model on one split, as JSON (`evaluate -o FILE.json`) and as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, ValidationError

from napari_uml.calibration import Estimate
from napari_uml.config import Settings
from napari_uml.errors import UMLError, validation_problems
from napari_uml.files import write_text

if TYPE_CHECKING:
    from pathlib import Path


class Metric(Estimate):
    """A figure with its bootstrap 95 % interval over groups, and the images that it was computed from."""

    n: int = Field(ge=1)


class MetricsRecord(Settings):
    """All figures of a model on a split; a figure that is undefined there is absent.

    Attributes
    ----------
    model, dataset, split
        What was measured on what.
    n
        Images in the split.
    metrics
        By flat name, such as `dice/lesion`, `auc`, `ece`.
    """

    model: str
    dataset: str
    split: str
    n: int = Field(ge=1)
    metrics: dict[str, Metric]


def write_record(record: MetricsRecord, path: Path, *, overwrite: bool = False) -> None:
    """Write a record as JSON, whole or not at all.

    Raises
    ------
    UMLError
        When the file exists and `overwrite` is off, or cannot be written.
    """
    if path.exists() and not overwrite:
        raise UMLError(f"{path} is there already; choose another name or allow overwriting.")
    write_text(path, record.model_dump_json(indent=2) + "\n")


def read_record(path: Path) -> MetricsRecord:
    """Read what `write_record` wrote.

    Raises
    ------
    UMLError
        When there is no such file or it is not a metrics record.
    """
    try:
        return MetricsRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UMLError(f"{path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        raise UMLError(f"{path} is not a metrics record: {validation_problems(error)[0]}.") from error


def format_table(record: MetricsRecord) -> str:
    """Plain text of a record: a heading, then one line a figure with its interval and n, columns aligned."""
    rows = [("metric", "value", "95 % interval", "n")]
    rows += [(name, f"{m.value:.3f}", _interval(m), str(m.n)) for name, m in record.metrics.items()]
    width = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [f"{a:<{width[0]}}  {b:>{width[1]}}  {c:<{width[2]}}  {d:>{width[3]}}" for a, b, c, d in rows]
    heading = f"{record.model} on {record.dataset}, {record.split}, {record.n} images"
    return "\n".join((heading, "", lines[0], "-" * len(lines[0]), *lines[1:]))


def _interval(metric: Metric) -> str:
    return "" if metric.low is None or metric.high is None else f"{metric.low:.3f} - {metric.high:.3f}"
