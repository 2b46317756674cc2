"""`fit`: trains a network on dataset folders and reports every epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_uml.data.tasks import merge_tasks
from napari_uml.training.checks import check_settings
from napari_uml.training.processes import together
from napari_uml.training.trainer import Start, StepListener, Trainer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from napari_uml.config import Focus, TrainConfig, UMLConfig
    from napari_uml.data.dataset import Dataset
    from napari_uml.results import EpochReport
    from napari_uml.training.processes import Member

__all__ = ["Start", "StepListener", "Trainer", "fit"]


def fit(
    config: TrainConfig,
    network: UMLConfig,
    datasets: Sequence[Dataset],
    run: Path,
    *,
    start: Start | None = None,
    focus: Focus | None = None,
    resume: bool = False,
    vertical_flip: bool = False,
    mix_in: Sequence[Dataset] = (),
    on_step: StepListener | None = None,
) -> Iterator[EpochReport]:
    """Train, one `EpochReport` an epoch; to stop, cease to iterate.

    With `config.processes` above 1 it starts that many processes less one beside this one, each a new Python that
    imports the caller's main module: a script must call it under `if __name__ == "__main__":`.

    Parameters
    ----------
    config, network
        How to train what.
    datasets
        Folders of one task or several; images without mask or label train what they can.
    run
        Folder for `last.ckpt` and `best.ckpt`, both written before the report that names them, and for `preview.png`.
    start
        Weights to start from; None: from scratch (or from timm's weights when the encoders are `pretrained`).
    focus
        Small structures to look at twice: such images are learnt whole and as a crop.
    resume
        Go on after the last epoch in `run`, to the same numbers as without the interruption.
    vertical_flip
        Also turn training images upside down.
    mix_in
        Data sets to train on as well, such as those that the start weights know, against forgetting: an epoch visits as
        many of their images as of the others at most, and the validation looks at none.
    on_step
        Called after every batch with the step, the number of steps of the epoch, and the loss.

    Raises
    ------
    ValueError
        When the settings contradict each other or the data sets.
    DatasetError
        When the folders cannot be mixed, or have no training images.
    DeviceError
        When there are not that many devices.
    DivergedError
        When the loss is no longer finite; the checkpoints of the last good epoch stay.
    MemoryLimitError
        When the device runs out of memory.
    UMLError
        When `run` has a checkpoint already and `resume` is off, when its settings differ, or when one of several
        processes dies.
    """
    check_settings(config, network, merge_tasks([dataset.info for dataset in (*datasets, *mix_in)]), focus)
    job = (config, network, tuple(datasets), run, start, focus, resume, vertical_flip, tuple(mix_in))
    with together(config.processes, _follow, job) as member:
        trainer = Trainer(*job, member)
        while not trainer.finished:
            yield trainer.train_epoch(on_step)
        trainer.finish()


def _follow(member: Member, *job: Any) -> None:
    """What the processes beside the first one do; `job` is what the first one's `Trainer` got."""
    trainer = Trainer(*job, member)  # type: ignore[call-arg]
    while not trainer.finished:
        trainer.train_epoch(None)
