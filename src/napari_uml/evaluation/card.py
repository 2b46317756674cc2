"""The model card: what a model is, how good it is, what it was trained on, what it is not for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_uml.baselines.registry import architecture_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_uml.calibration import Calibration
    from napari_uml.evaluation.record import MetricsRecord
    from napari_uml.weights import WeightsInfo

SHOWN = (
    "dice_present/", "dice/", "assd/", "nsd/", "vcdr_mae", "acc", "balanced_acc", "f1_weighted", "auc",
    "sens_at_85_spec/", "ece", "nll", "brier", "aurc", "risk_at_80", "auroc_misclassified", "auroc_pixel_error", "ueo",
    "auroc_experts", "u_image", "u_pixel",
)  # fmt: skip
"""Figures in the card, by how their names begin."""

_CALIBRATION, _FILE = "## Calibration", "## File"
_SECTION = re.compile(r"(?m)^(?=## )")
_OLDER = (
    "The figures above were measured before this calibration, which changes those of probabilities and of uncertainty; "
    "`napari-uml evaluate` measures them anew."
)


def model_card(info: WeightsInfo, records: Sequence[tuple[float, MetricsRecord]], sha256: str, size: int) -> str:
    """A model card in Markdown.

    Parameters
    ----------
    info
        Of the weights.
    records
        Noise sigma and metrics record of every evaluation, in the order to show. Without any, the card has the figures
        of the best epoch, which are those of the network's own grid and have no intervals.
    sha256, size
        Of the weights file; size in bytes.
    """
    looks = ", looks twice at photographs where they are small" if info.focus else ""
    parts = [
        f"# {info.title} (`{info.name}`, version {info.version})",
        f"{_does(info)} in images of the kind: {info.task.modality or 'not stated'}. Its input is "
        f"{info.image_size} x {info.image_size} pixels{looks}.",
        f"**What it is not for.** {info.not_for}",
        *(_evaluated(records) if records else _best_epoch(info)),
        *_calibration(info),
        *_training(info),
        _FILE,
        f"`{info.name}.safetensors`, {size / 1e6:.1f} MB, SHA-256 `{sha256}`, written by {info.written_by}.",
        "Terms of the data, which the weights carry:",
        "\n".join(f"- {line}" for line in info.licence.splitlines() or ["not stated"]),
    ]
    return "\n\n".join(parts) + "\n"


def recalibrated_card(card: str, former: str, info: WeightsInfo, sha256: str, size: int) -> str | None:
    """The card of weights that were calibrated anew: calibration and file as they are now, the rest as it was.

    Parameters
    ----------
    card
        The card as it was.
    former
        SHA-256 of the weights file as it was.
    info, sha256, size
        As `model_card` takes them, of the weights file as it is now.

    Returns
    -------
    None when the card is not one that `model_card` made of the former file.
    """
    parts, new = _sections(card), dict(_sections(model_card(info, [], sha256, size)))
    headings = {heading for heading, _ in parts}
    if not {_CALIBRATION, _FILE} <= headings or f"SHA-256 `{former}`" not in card:
        return None
    if any(" (n = " in heading for heading in headings):  # it was evaluated
        new[_CALIBRATION] += f"\n\n{_OLDER}"
    renewed = [new[heading] if heading in (_CALIBRATION, _FILE) else part for heading, part in parts]
    return "\n\n".join(renewed) + "\n"


def _sections(card: str) -> list[tuple[str, str]]:
    """First line and whole text of what stands before the first section, and of every section."""
    return [(part.partition("\n")[0], part.rstrip("\n")) for part in _SECTION.split(card)]


def _does(info: WeightsInfo) -> str:
    """What the model answers, and by which system when it is not UML."""
    architecture = architecture_of(info.config)
    parts = {
        "mask": f"finds **{', '.join(info.task.structures)}**",
        "class": f"tells **{', '.join(info.task.cls_classes)}** apart",
    }
    does = " and ".join(parts[part] for part in architecture.answers)
    system = "" if info.config.arch == "uml" and info.config.way is None else f"A baseline, {architecture.title}: "
    return f"{system}{does if system else does[0].upper() + does[1:]}"


def _evaluated(records: Sequence[tuple[float, MetricsRecord]]) -> list[str]:
    """A table a data set, a column a sigma."""
    sets: dict[tuple[str, str], list[tuple[float, MetricsRecord]]] = {}
    for sigma, record in records:
        sets.setdefault((record.dataset, record.split), []).append((sigma, record))
    note = (
        "In brackets: bootstrap 95 % intervals over groups (patients, or near-duplicate images). Sigma is the standard "
        "deviation of Gaussian noise added to the network's input, whose values lie between 0 and 1."
    )
    return [*(part for same in sets.values() for part in _figures(same)), note]


def _figures(records: Sequence[tuple[float, MetricsRecord]]) -> list[str]:
    first = records[0][1]
    columns = [f"sigma {sigma:g}" for sigma, _ in records]
    names = dict.fromkeys(name for _, record in records for name in record.metrics if name.startswith(SHOWN))
    rows = [[f"`{name}`", *(str(record.metrics.get(name, "-")) for _, record in records)] for name in names]
    return [f"## {first.dataset}, {first.split} (n = {first.n})", _table([["figure", *columns], *rows])]


def _best_epoch(info: WeightsInfo) -> list[str]:
    rows = [[f"`{name}`", f"{value:.3f}"] for name, value in info.validation.items() if isinstance(value, float)]
    return ["## Validation in training", _table([["figure", "best epoch"], *rows])] if rows else []


def _calibration(info: WeightsInfo) -> list[str]:
    """The calibration, and the gate where there is one."""
    if info.calibration is None:
        parts = [_CALIBRATION, "Not calibrated: the file does not say how often it was wrong at which uncertainty."]
    else:
        parts = [_CALIBRATION, "\n".join(f"- {line}" for line in calibration_lines(info.calibration))]
    if (gate := info.familiarity) is not None:
        parts.append(
            f"It warns of images whose distance from {gate.n} training images ({gate.dataset}) is above "
            f"{gate.threshold:.2f}, which at most {gate.false_alarms:.1%} of new images of the same kind are (from "
            f"{gate.n_val} validation images)."
        )
    return parts


def calibration_lines(calibration: Calibration) -> list[str]:
    """What a calibration says, a sentence a line."""
    scales = {"class": calibration.class_scale, "pixels": calibration.pixel_scale}
    lines = [f"Fitted on {calibration.source}, and on no other images."]
    if calibration.reach:
        lines.append(f"It speaks of images up to a distance of {calibration.reach:.2f} from the training images.")
    lines += [f"Evidence scale of the {name}: {s}." for name, s in scales.items() if s is not None]
    lines += [
        f"At u = {knot.uncertainty:.3f} the class is wrong in {knot.chance:.1%} ({knot.low:.1%} to {knot.high:.1%})."
        for knot in calibration.knots
        if knot.uncertainty < 1
    ]
    lines += [
        f"Of a higher u nothing is known: towards u = 1 the chance rises to that of a guess, {knot.chance:.1%}."
        for knot in calibration.knots[1:]
        if knot.uncertainty == 1
    ]
    lines += _referral(calibration)
    lines += _cross_fitted(calibration)
    if calibration.class_set_threshold is not None:
        lines.append(
            f"The classes with p of {calibration.class_set_threshold:.3f} or more hold the true one in "
            f"{calibration.set_coverage:.0%} of such images."
        )
    lines += [
        f"Outlines of {name} for {c.coverage:.0%} of such images (n = {c.n}): inner at p = {c.inner:.2f}, outer at "
        f"p = {c.outer:.2f}, each with {c.spared:.0%} of its size spared."
        for name, c in calibration.contours.items()
    ]
    return lines


def _referral(calibration: Calibration) -> list[str]:
    words = f"An expert is asked above a chance of an error of {calibration.referral_threshold:.1%}"
    kept, share = calibration.kept_risk, calibration.kept_share
    if share is None or calibration.target_risk is None:
        return [f"{words}."]
    if calibration.referral_threshold == 0:
        risk = f"{calibration.target_risk:.1%}"
        return [f"An expert is asked about every image: not even the most certain ones keep errors below {risk}."]
    rest = "no image is left over" if kept is None else f"of these, {kept} are wrong"
    return [
        f"{words}, chosen for a risk of {calibration.target_risk:.1%}: the share {share} of the images "
        f"that it was fitted on is not referred; {rest}."
    ]


def _cross_fitted(calibration: Calibration) -> list[str]:
    """The figures, each beside the one before; how they were made, since the split is calibrated on, too."""
    names = [name for name in calibration.figures if "/" not in name]
    if not names:
        return []
    lines = [
        f"Judged by {calibration.folds}-fold cross-fitting over groups: every image by a calibration that was fitted "
        "on the other folds."
    ]
    for name in names:
        before, perfect = (calibration.figures.get(f"{name}/{kind}") for kind in ("before", "perfect"))
        line = f"`{name}`: {calibration.figures[name]}"
        line += f", before {before}" if before else ""
        line += f"; a perfect calibration would show {perfect.value:.3f} on so few images" if perfect else ""
        lines.append(f"{line}.")
    return lines


def _training(info: WeightsInfo) -> list[str]:
    training = info.training
    parts = ["## Training"]
    datasets, settings, seconds = training.get("datasets"), training.get("settings"), training.get("seconds")
    if isinstance(datasets, dict):
        rows = [[name, str(n.get("train")), str(n.get("val"))] for name, n in datasets.items() if isinstance(n, dict)]
        parts.append(_table([["data set", "train", "val"], *rows]))
    combined = training.get("combined")
    if isinstance(combined, list):
        parts.append("Made of trained weights, without more training: " + "; ".join(map(str, combined)) + ".")
    else:
        parts.append(
            f"Started from {training.get('started_from')}; epoch {training.get('epoch')} of {training.get('epochs')} "
            "was the best" + (f"; this run took {seconds / 60:.0f} minutes." if isinstance(seconds, int) else ".")
        )
    if (share := training.get("start_share")) and isinstance(share, float):
        parts.append(f"Its weights are a mixture: {share:.0%} those of the start, {1 - share:.0%} trained.")
    if training.get("keeps_class") is True:
        parts.append("Class encoder and class head are those of the start; only the last layer learnt the class.")
    *earlier, command = info.commands or ("",)
    parts.append(f"```\n{command}\n```")
    if earlier:
        made = "They were" if combined else "The weights that it started from were"
        parts.append(f"{made} made by, in this order:")
        parts.append("\n".join(["```", *earlier, "```"]))
    if isinstance(settings, dict):
        parts.append("Settings: " + ", ".join(f"{name} {value}" for name, value in settings.items()) + ".")
    return parts


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])
