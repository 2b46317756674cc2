"""What a dock or a script asks `napari-uml train` to do, as the words that are typed; no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_uml.config import TrainConfig
from napari_uml.training.plan import LAST, command_words
from napari_uml.training.run_state import epochs_done

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_uml.training.plan import RunPlan


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """A training run to start.

    Attributes
    ----------
    run
        Folder to write into.
    datasets
        Dataset folders; none when a run goes on.
    options, settings
        What is typed, as `command_line` takes it: options that are no settings, and fields of `TrainConfig`.
    resume
        Whether the run in `run` goes on.
    """

    run: Path
    datasets: tuple[Path, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    resume: bool = False

    @property
    def arguments(self) -> list[str]:
        """What follows `napari-uml train`, without the output folder."""
        if self.resume:
            return ["--resume"]
        return command_words(self.datasets, {**self.options, **self.settings})


def resumed(run: Path) -> TrainingJob:
    """A run goes on as it began, to the same numbers as without the interruption."""
    return TrainingJob(run, resume=True)


def with_smaller_batch(run: Path, plan: RunPlan, new_run: Path) -> TrainingJob:
    """A new run with half the batch that takes over where another one ended for lack of memory.

    It starts from the last checkpoint's weights and trains the epochs that were left. The learning rate runs through a
    new cycle, and the best epoch is looked for among the new ones only: it is not the run that it would have been.
    Without a checkpoint it is simply the same run with smaller batches.

    Raises
    ------
    ValueError
        When the batch cannot be smaller.
    """
    batch = plan.settings.batch_size // 2
    if batch < plan.settings.processes:
        raise ValueError(
            f"Expected a batch that can be halved, got {plan.settings.batch_size} image(s); choose smaller images."
        )
    done = epochs_done(run)
    changed = {**_changed(plan.settings), "batch_size": batch}
    start, encoder = plan.start, plan.class_encoder
    if done:
        start, encoder = str(run / LAST), ""
        changed["epochs"] = max(1, plan.settings.epochs - done)
    options = {
        "preset": "" if start else plan.preset, "arch": "" if start else plan.network.arch, "from": start,
        "class_encoder": encoder, "pretrained": not start and plan.network.class_encoder.pretrained,
        "learn_norm": plan.learn_norm and not done, "vertical_flip": plan.vertical_flip,
        "focus": plan.focus.structures if plan.focus else (), "mix_in": plan.mix_in, "name": plan.name,
        "title": plan.title,
    }  # fmt: skip
    return TrainingJob(new_run, plan.datasets, {k: v for k, v in options.items() if v}, changed)


def _changed(settings: TrainConfig) -> dict[str, Any]:
    """The fields that have another value than a new `TrainConfig`, and the image size, which `--from` would set."""
    new = TrainConfig()
    values = {name: getattr(settings, name) for name in TrainConfig.model_fields}
    return {n: v for n, v in values.items() if n == "image_size" or v != getattr(new, n)}
