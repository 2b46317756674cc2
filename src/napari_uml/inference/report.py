"""`report.html`: one self-contained page about a result, for people; every text in it is escaped."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from napari_uml.files import refuse_existing, write_text
from napari_uml.inference.overlay import RESEARCH_ONLY, shown_slice, uncertainty_heading
from napari_uml.inference.page import Picture, as_bytes, fitted, shade, size_within, tint
from napari_uml.inference.reproduce import as_command, as_python
from napari_uml.inference.run_record import warnings_of
from napari_uml.inference.trust import trust_in
from napari_uml.results import SILENT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_uml.calibration import Calibration
    from napari_uml.inference.reproduce import Recipe
    from napari_uml.inference.run_record import RunRecord
    from napari_uml.results import Prediction
    from napari_uml.weights import WeightsInfo

REPORT: Final = "report.html"
LONGEST: Final = 640
"""Longer side of a picture in the report, pixels."""

STYLE: Final = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1a1a1a; max-width: 60rem; margin: 1.5rem auto; padding: 0 1rem }
h1 { font-size: 1.35rem; margin: 0 } h2 { font-size: 1.05rem; margin: 1.4rem 0 .4rem }
.note { color: #555; font-size: .85rem } .banner { background: #fff3cd; padding: .3rem .7rem; margin: .6rem 0 }
.pictures { display: grid; grid-template-columns: repeat(3, 1fr); gap: .8rem } figure { margin: 0 }
.pictures img { width: 100% } img { max-width: 100% } figcaption { font-size: .85rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
td, th { text-align: left; padding: .15rem .9rem .15rem 0; vertical-align: top; overflow-wrap: anywhere }
.track { display: block; width: 16rem; height: .8rem; background: #eee } .bar { display: block; height: 100% }
.belief { background: #0072b2 } .doubt { background: repeating-linear-gradient(45deg, #a3238e 0 4px, #d9a3d0 4px 7px) }
.swatch { display: inline-block; width: .8em; height: .8em; margin: 0 .3em 0 1em } pre { white-space: pre-wrap }
.scale { display: inline-block; width: 8rem; height: .7em; margin: 0 .4em; border: 1px solid #999;
  background: linear-gradient(90deg, #0f0d14, #73008c, #bf0da6, #f259c7, #ffe0f5) }
@media print { body { font-size: 11px; margin: 0; max-width: none } figure, tr { break-inside: avoid } }
"""


@dataclass(frozen=True, slots=True, eq=False)
class Figure:
    """A picture to add: a PNG file's bytes, and what it shows."""

    png: bytes
    caption: str


def write_report(
    path: Path,
    pixels: NDArray[np.float32],
    prediction: Prediction,
    record: RunRecord,
    info: WeightsInfo,
    *,
    recipe: Recipe | None = None,
    figures: Sequence[Figure] = (),
    overwrite: bool = False,
) -> None:
    """Write the report about one image or stack; of a stack the pictures are of the slice with most of the structures.

    Parameters
    ----------
    path
        The .html file.
    pixels
        What was predicted on, in [0, 1]: (H, W) or (H, W, 3), a stack (D, H, W) or (D, H, W, 3).
    prediction, record, info
        The answer, `make_record` of it, and what the weights say of themselves.
    recipe
        How to repeat it; left out without one.
    figures
        More pictures, such as the noise sweep's curves.

    Raises
    ------
    UMLError
        When the file exists and `overwrite` is off, or cannot be written.
    """
    if not overwrite:
        refuse_existing([path])
    parts = [
        _head(record, info) + _warnings(record),
        _opinion(record, prediction, info),
        _pictures(pixels, prediction, info),
        _measurements(record, shown_slice(prediction)),
        *(_figure(figure) for figure in figures),
        _slices(record),
        _provenance(record, info),
        _again(recipe),
        f"<p class='note'>{escape(info.not_for)}</p>",
    ]
    title = escape(f"{record.image.name}: {info.title}")
    start = "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'>"
    viewport = "<meta name='viewport' content='width=device-width, initial-scale=1'>"
    head = f"{start}{viewport}<title>{title}</title><style>{STYLE}</style></head>"
    write_text(path, f"{head}<body>\n" + "\n".join(parts) + "\n</body></html>\n")


def _head(record: RunRecord, info: WeightsInfo) -> str:
    settings = record.settings
    said = [info.title, record.created.replace("T", " ").replace("+00:00", " UTC")]
    if settings.slice_number is not None:
        said.append(f"slice {settings.slice_number}")
    if settings.roi is not None:
        said.append("a rectangle of {1} x {0} pixels".format(*settings.roi.shape))
    if settings.sigma:
        said.append(f"with added noise, sigma {settings.sigma:g}, seed {settings.seed}")
    if settings.corruption is not None:
        said.append(f"with {settings.corruption.kind} {settings.corruption.strength:g}")
    return (
        f"<h1>{escape(record.image.name)}</h1><p>{escape(' · '.join(said))}</p>"
        f"<p class='banner'><b>{escape(RESEARCH_ONLY)}</b></p>"
    )


def _warnings(record: RunRecord) -> str:
    return "".join(f"<p class='banner'>⚠ {escape(sentence)}</p>" for sentence in warnings_of(record))


def _opinion(record: RunRecord, prediction: Prediction, info: WeightsInfo) -> str:
    if "class" not in prediction.answers:
        return f"<h2>{escape(SILENT['class'])}</h2>"
    opinion = record.opinion
    superlative, evidence = prediction.opinion.superlative, opinion.measure == "vacuity"
    whole = f"Whole stack, {superlative.lower()}" if len(prediction.opinions) > 1 else superlative
    rows = [*opinion.belief.items(), ("uncertainty" if evidence else "entropy", opinion.uncertainty)]
    note = "Beliefs and uncertainty sum to 1." if evidence else "Probabilities sum to 1; the entropy is theirs."
    bars = "".join(_bar(name, value, last=n == len(rows) - 1) for n, (name, value) in enumerate(rows))
    return (
        f"<h2>{whole}: {escape(opinion.predicted)}</h2><table>{bars}</table>"
        f"<p class='note'>{note}</p>{_trust(record, prediction, info.calibration)}"
    )


def _bar(name: str, value: float, *, last: bool) -> str:
    kind = "doubt" if last else "belief"
    bar = f"<span class='track'><span class='bar {kind}' style='width:{100 * value:.1f}%'></span></span>"
    return f"<tr><td>{escape(name)}</td><td>{bar}</td><td>{value:.3f}</td></tr>"


def _trust(record: RunRecord, prediction: Prediction, calibration: Calibration | None) -> str:
    """What the calibration says, as the dock does; of several slices together it says nothing."""
    if len(prediction.opinions) > 1 and calibration is not None:
        return "<p>Chance that the class is wrong: calibrated for a slice, not for the whole stack.</p>"
    trust = trust_in(prediction.opinion, calibration, unlike=record.slices[0].unlike)
    referral = f"<p class='banner'><b>{escape(trust.referral)}</b></p>" if trust.referral else ""
    note = "" if calibration is None else f"<p class='note'>{escape(trust.explanation)}</p>"
    return f"<p>{trust.line}</p>{referral}{note}"


def _pictures(pixels: NDArray[np.float32], prediction: Prediction, info: WeightsInfo) -> str:
    number = shown_slice(prediction)
    at = ... if number is None else number
    mask, uncertainty = prediction.mask[at], prediction.pixel_uncertainty[at]
    size = size_within(LONGEST, *mask.shape)
    image, small = fitted(pixels[at], size), fitted(mask, size)
    plain = np.stack([image] * 3, axis=-1) if image.ndim == 2 else image
    which = "" if number is None else f", slice {number}"
    shown = {f"Image{which}": plain}
    if "mask" in prediction.answers:
        shown["Structures"] = tint(image, small, info.task.colors)
        shown[uncertainty_heading(prediction)] = shade(fitted(uncertainty, size), small)
    legend = _legend(info) if "mask" in prediction.answers else escape(SILENT["mask"])
    figures = "".join(_figure(Figure(_png(picture), caption)) for caption, picture in shown.items())
    return f"<h2>Pictures</h2><div class='pictures'>{figures}</div><p>{legend}</p>"


def _legend(info: WeightsInfo) -> str:
    pairs = zip(info.task.seg_classes[1:], info.task.colors[1:], strict=True)
    swatches = "".join(
        f"<span class='swatch' style='background:{escape(color)}'></span>{escape(name)}" for name, color in pairs
    )
    return f"Structures:{swatches} &emsp; Uncertainty: 0<span class='scale'></span>1; grey: not looked at"


def _measurements(record: RunRecord, number: int | None) -> str:
    one = record.slices[number or 0]
    if not one.measurements:
        return ""
    rows = "".join(
        f"<tr><td>{escape(m.structure)}</td><td>{escape(m.name)}</td><td>{_number(m.value)} {escape(m.unit)}</td>"
        f"<td>{_range(m.low, m.high)}</td></tr>"
        for m in one.measurements
    )
    which = f" of slice {number}" if number is not None else ""
    head = "<tr><th>structure</th><th>what</th><th>value</th><th>plausible range</th></tr>"
    return f"<h2>Measurements{which}</h2><table>{head}{rows}</table>"


def _slices(record: RunRecord) -> str:
    """A line a slice of a stack; nothing for an image."""
    if len(record.slices) == 1:
        return ""
    names = list(record.opinion.belief)
    head = "".join(f"<th>{escape(text)}</th>" for text in ("slice", "predicted", *names, "u", "mean pixel u"))
    rows = []
    for number, one in enumerate(record.slices):
        values = [*one.opinion.belief.values(), one.opinion.uncertainty, one.mean_uncertainty]
        cells = [str(number), escape(one.opinion.predicted), *(f"{value:.3f}" for value in values)]
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return f"<h2>Slices</h2><table><tr>{head}</tr>{''.join(rows)}</table>"


def _provenance(record: RunRecord, info: WeightsInfo) -> str:
    image = record.image
    facts = {
        "Image": image.path or f"{image.name} (no file)",
        "Image SHA-256": image.sha256,
        "Size": " x ".join(map(str, image.shape)) + (f", pixel {_spacing(image.spacing, image.units)}"),
        "Values": image.scaling,
        "Model": f"{info.title} ({record.model.name}, version {record.model.version})",
        "Weights SHA-256": record.model.sha256,
        "Terms of the model": info.licence,
        "Computed on": f"{record.device_description or record.device}, {record.precision}, {record.seconds:.2f} s",
    }
    return f"<h2>How it was made</h2>{_table(facts)}<h2>Versions</h2>{_table(record.versions)}"


def _table(facts: Mapping[str, str]) -> str:
    rows = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in facts.items())
    return f"<table class='note'>{rows}</table>"


def _again(recipe: Recipe | None) -> str:
    if recipe is None:
        return ""
    blocks = "".join(f"<pre>{escape(text)}</pre>" for text in (as_command(recipe, "results"), as_python(recipe)))
    return f"<h2>To repeat it</h2><p class='note'>In a terminal, or in Python:</p>{blocks}"


def _figure(figure: Figure) -> str:
    data, caption = base64.b64encode(figure.png).decode(), escape(figure.caption)
    return (
        f"<figure><img src='data:image/png;base64,{data}' alt='{caption}'><figcaption>{caption}</figcaption></figure>"
    )


def _png(picture: Picture) -> bytes:
    file = io.BytesIO()
    Image.fromarray(as_bytes(picture)).save(file, "PNG")
    return file.getvalue()


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4g}"


def _range(low: float | None, high: float | None) -> str:
    return "" if low is None and high is None else f"{_number(low)} to {_number(high)}"


def _spacing(spacing: tuple[float, ...] | None, units: tuple[str, ...]) -> str:
    if spacing is None:
        return "size unknown"
    return " x ".join(f"{step:g} {unit}" for step, unit in zip(spacing, units, strict=True))
