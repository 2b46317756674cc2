"""The model card: what a model is, what it was trained on, how good it is, what it is not for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_uml.evaluation.record import Metric, MetricsRecord
    from napari_uml.weights import WeightsInfo

SHOWN = (
    "dice_present/", "dice/", "assd/", "vcdr_mae", "acc", "balanced_acc", "f1_weighted", "auc", "sens_at_85_spec/",
    "ece", "auroc_misclassified", "auroc_pixel_error", "u_image", "u_pixel",
)  # fmt: skip


def model_card(info: WeightsInfo, records: Sequence[tuple[float, MetricsRecord]], sha256: str, size: int) -> str:
    """A model card in Markdown.

    Parameters
    ----------
    info
        Of the weights.
    records
        Noise sigma and metrics record of every evaluation, in the order to show.
    sha256, size
        Of the weights file; size in bytes.
    """
    parts = [
        f"# {info.title} (`{info.name}`, version {info.version})",
        f"Finds **{', '.join(info.task.structures)}** and tells **{', '.join(info.task.cls_classes)}** apart in "
        f"{info.task.modality or 'medical images'}. Input {info.image_size} x {info.image_size} pixels"
        + (", looks twice at whole photographs." if info.focus else "."),
        "**What it is not for.** " + info.not_for,
        _training(info),
        *(_figures(record, [(s, r) for s, r in records if _same(r, record)]) for record in _distinct(records)),
        "Intervals are bootstrap 95 % intervals over groups (patients or near-duplicate images). Figures at sigma > 0 "
        "are with Gaussian noise of that standard deviation on the [0, 1] image.",
        "## File",
        f"`{info.name}.safetensors`, {size / 1e6:.1f} MB, SHA-256 `{sha256}`, written by {info.written_by}. "
        f"Terms of the data, which the weights carry: {info.licence}.",
    ]
    return "\n\n".join(parts) + "\n"


def _training(info: WeightsInfo) -> str:
    training = info.training
    datasets, settings = training.get("datasets"), training.get("settings")
    lines = ["## Training", "| data set | train | val |", "|---|---|---|"]
    if isinstance(datasets, dict):
        lines += [f"| {name} | {n['train']} | {n['val']} |" for name, n in datasets.items() if isinstance(n, dict)]
    lines += ["", f"Started from {training.get('started_from')}; epoch {training.get('epoch')} was kept as the best."]
    seconds = training.get("seconds")
    if isinstance(seconds, int):
        lines.append(f"Wall time {seconds / 60:.0f} minutes.")
    lines += ["", "```", str(training.get("command")), "```"]
    if isinstance(settings, dict):
        lines += ["", "Settings: " + ", ".join(f"{key} {value}" for key, value in settings.items()) + "."]
    return "\n".join(lines)


def _figures(first: MetricsRecord, records: Sequence[tuple[float, MetricsRecord]]) -> str:
    heads = " | ".join(f"sigma {sigma:g}" for sigma, _ in records)
    lines = [
        f"## {first.dataset}, {first.split} (n = {first.n})",
        f"| figure | {heads} |",
        "|---" * (len(records) + 1) + "|",
    ]
    for name in first.metrics:
        if name.startswith(SHOWN):
            lines.append(f"| `{name}` | " + " | ".join(_cell(r.metrics.get(name)) for _, r in records) + " |")
    return "\n".join(lines)


def _cell(metric: Metric | None) -> str:
    if metric is None:
        return "-"
    interval = "" if metric.low is None or metric.high is None else f" ({metric.low:.3f} to {metric.high:.3f})"
    return f"{metric.value:.3f}{interval}"


def _same(a: MetricsRecord, b: MetricsRecord) -> bool:
    return (a.dataset, a.split) == (b.dataset, b.split)


def _distinct(records: Sequence[tuple[float, MetricsRecord]]) -> list[MetricsRecord]:
    return list({(r.dataset, r.split): r for _, r in reversed(records)}.values())[::-1]
