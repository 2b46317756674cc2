"""A data set, a run with its plan and reports, and the command line, all tiny."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from tests.tiny import INFO, tiny_dataset, tiny_network, tiny_settings

from napari_uml.baselines.registry import make_network
from napari_uml.cli import main
from napari_uml.config import Task
from napari_uml.data.dataset import DatasetInfo
from napari_uml.results import EpochReport
from napari_uml.training.checkpoint import BEST, LAST, Checkpoint, save_checkpoint
from napari_uml.training.plan import RunPlan, write_plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TASK = Task.model_validate(INFO.model_dump(include=set(Task.model_fields)))


@pytest.fixture(scope="session")
def make_dataset() -> Callable[..., Path]:
    """Return a function that writes `tiny_dataset` with changes to its dataset.json."""

    def make(folder: Path, **changes: Any) -> Path:
        return tiny_dataset(folder, DatasetInfo.model_validate(INFO.model_dump() | changes))

    return make


@pytest.fixture
def blobs(tmp_path: Path, make_dataset: Callable[..., Path]) -> Path:
    """Return a data set's folder."""
    return make_dataset(tmp_path / "blobs")


@pytest.fixture
def make_plan(blobs: Path) -> Callable[..., RunPlan]:
    """Return a function that makes the plan of a run on `blobs`."""

    def make(**changes: Any) -> RunPlan:
        values = {
            "command": "napari-uml train blobs -o run", "datasets": (blobs,), "task": TASK,
            "network": tiny_network(), "settings": tiny_settings(image_size=64), "preset": "compact", "name": "blobs",
            "title": "Drawn blobs", "licence": "Blobs: CC0", **changes,
        }  # fmt: skip
        return RunPlan(**values)

    return make


@pytest.fixture
def make_run(tmp_path: Path, make_plan: Callable[..., RunPlan]) -> Callable[..., Path]:
    """Return a function that writes a run whose network has learnt nothing, best after epoch 1 of 3."""

    def make(name: str = "run", **changes: Any) -> Path:
        run, plan = tmp_path / name, make_plan(**changes)
        write_plan(run, plan)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            weights = make_network(plan.network, download=False).state_dict()
        for file, epoch in ((BEST, 1), (LAST, 3)):
            checkpoint = Checkpoint(
                network=plan.network, train=plan.settings, epoch=epoch, weights=weights, averaged={}, optimizer={},
                scheduler={}, best_score=0.5, best_epoch=1, seconds=60.0 * epoch,
                metrics={"dice_present/lesion": 0.5, "auc": 0.75},
            )  # fmt: skip
            save_checkpoint(run / file, checkpoint)
        return run

    return make


@pytest.fixture(scope="session")
def make_report() -> Callable[..., EpochReport]:
    """Return a function that makes the report of an epoch, of two unless changed."""

    def make(run: Path, epoch: int = 1, **changes: Any) -> EpochReport:
        losses = {"total": 3.0, "mutual": 1.0, "class": 0.5, "mask": 1.5}
        values = {
            "epochs": 2, "losses": {name: value / epoch for name, value in losses.items()},
            "metrics": {"dice_present/lesion": 0.5, "acc": 0.75, "auc": 0.875, "u_image": 0.3, "u_pixel": 0.2},
            "learning_rate": 1e-3 / epoch, "score": 0.5, "is_best": True, "seconds": 2.0, "images_per_second": 4.0,
            "eta_seconds": 130.0, "memory_mb": 500.0, "last": run / LAST, "best": run / BEST, **changes,
        }  # fmt: skip
        return EpochReport(epoch=epoch, **values)

    return make


@pytest.fixture
def napari_uml(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs a command as a user would, and gives exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return exit_.value.code or 0, out, err

    return run
