"""The model card: what a model is, how good it is, what it was trained on, what it is not for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_uml.baselines.registry import ARCHITECTURES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_uml.evaluation.record import Metric, MetricsRecord
    from napari_uml.weights import WeightsInfo

SHOWN = (
    "dice_present/", "dice/", "assd/", "vcdr_mae", "acc", "balanced_acc", "f1_weighted", "auc", "sens_at_85_spec/",
    "ece", "auroc_misclassified", "auroc_pixel_error", "u_image", "u_pixel",
)  # fmt: skip
"""Figures in the card, by how their names begin."""


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
        *_training(info),
        "## File",
        f"`{info.name}.safetensors`, {size / 1e6:.1f} MB, SHA-256 `{sha256}`, written by {info.written_by}.",
        "Terms of the data, which the weights carry:",
        "\n".join(f"- {line}" for line in info.licence.splitlines() or ["not stated"]),
    ]
    return "\n\n".join(parts) + "\n"


def _does(info: WeightsInfo) -> str:
    """What the model answers, and by which system when it is not UML."""
    architecture = ARCHITECTURES[info.config.arch]
    parts = {
        "mask": f"finds **{', '.join(info.task.structures)}**",
        "class": f"tells **{', '.join(info.task.cls_classes)}** apart",
    }
    does = " and ".join(parts[part] for part in architecture.answers)
    system = "" if info.config.arch == "uml" else f"A baseline, {architecture.title}: "
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
    rows = [[f"`{name}`", *(_cell(record.metrics.get(name)) for _, record in records)] for name in names]
    return [f"## {first.dataset}, {first.split} (n = {first.n})", _table([["figure", *columns], *rows])]


def _best_epoch(info: WeightsInfo) -> list[str]:
    rows = [[f"`{name}`", f"{value:.3f}"] for name, value in info.validation.items() if isinstance(value, float)]
    return ["## Validation in training", _table([["figure", "best epoch"], *rows])] if rows else []


def _training(info: WeightsInfo) -> list[str]:
    training = info.training
    parts = ["## Training"]
    datasets, settings, seconds = training.get("datasets"), training.get("settings"), training.get("seconds")
    if isinstance(datasets, dict):
        rows = [[name, str(n.get("train")), str(n.get("val"))] for name, n in datasets.items() if isinstance(n, dict)]
        parts.append(_table([["data set", "train", "val"], *rows]))
    parts.append(
        f"Started from {training.get('started_from')}; epoch {training.get('epoch')} of {training.get('epochs')} was "
        "the best" + (f"; {seconds / 60:.0f} minutes in all." if isinstance(seconds, int) else ".")
    )
    parts.append(f"```\n{training.get('command')}\n```")
    if isinstance(settings, dict):
        parts.append("Settings: " + ", ".join(f"{name} {value}" for name, value in settings.items()) + ".")
    return parts


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _cell(metric: Metric | None) -> str:
    if metric is None:
        return "-"
    interval = "" if metric.low is None or metric.high is None else f" ({metric.low:.3f} to {metric.high:.3f})"
    return f"{metric.value:.3f}{interval}"
