"""`state.json` in a run's folder says which process trains and how it ended; runs that nobody ended are found by it.

No torch: a dock reads it.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from napari_uml.config import Settings
from napari_uml.errors import UMLError
from napari_uml.evaluation.comparison import COMPARISON
from napari_uml.files import write_text
from napari_uml.training.curves import read_curves
from napari_uml.training.plan import CURVES, LAST, MODEL, PLAN, RunPlan, read_plan
from napari_uml.weights.registry import data_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STATE: Final = "state.json"
INTERRUPTED: Final = "interrupted"
FAILED: Final = "failed"
SLACK: Final = 5.0
"""Seconds that a process may be older than its `state.json` and still be the one that wrote it."""


class RunState(Settings):
    """Who trains, and how it ended.

    Attributes
    ----------
    pid, began
        Number of the process, and when it began, seconds since 1970.
    ended
        Why it is over, as the `end` event says, or `failed`; empty while it trains, and for ever when it was killed.
    """

    pid: int
    began: float
    ended: str = ""


@dataclass(frozen=True, slots=True)
class FoundRun:
    """A run in a folder.

    Attributes
    ----------
    folder, plan
        Where it is, and what it was told.
    epoch
        Epochs done.
    ended
        As `RunState` has it; `killed` when its process is gone without a word.
    can_resume
        Whether there is something left to train.
    """

    folder: Path
    plan: RunPlan
    epoch: int
    ended: str
    can_resume: bool


def runs_folder() -> Path:
    """The folder of the runs that docks start, beside the user's models; it may not exist yet."""
    return data_folder() / "runs"


def new_run_folder(name: str) -> Path:
    """A folder below `runs_folder` that does not exist yet, called after the model."""
    stamp = time.strftime("%Y-%m-%d-%H%M%S")
    folder, number = runs_folder() / f"{name}-{stamp}", 1
    while folder.exists():
        number += 1
        folder = runs_folder() / f"{name}-{stamp}-{number}"
    return folder


def mark_begun(run: Path) -> None:
    """Write that this process trains now, and remove what a killed one had half written.

    Raises
    ------
    UMLError
        When another process trains there.
    """
    state = read_state(run)
    if state is not None and not state.ended and state.pid != os.getpid() and is_alive(state):
        raise UMLError(f"Process {state.pid} trains in {run} now; stop it first, or wait until it is done.")
    for part in run.glob(".*.ckpt"):
        part.unlink(missing_ok=True)
    _write(run, RunState(pid=os.getpid(), began=time.time()))


def mark_ended(run: Path, reason: str) -> None:
    """Write how this process ended."""
    _write(run, RunState(pid=os.getpid(), began=time.time(), ended=reason))


def read_state(run: Path) -> RunState | None:
    """What the last process said; None when there is nothing that can be read."""
    try:
        return RunState.model_validate_json((run / STATE).read_bytes())
    except (OSError, ValidationError):
        return None


def unfinished_runs(folder: Path) -> list[FoundRun]:
    """The runs below a folder that can go on, the latest first; those that train now are left out.

    A run that was trained to its end can go on to the comparison when it has none.
    """
    if not folder.is_dir():
        return []
    found = [run for path in folder.iterdir() if (path / PLAN).is_file() for run in _found(path)]
    usable = [run for run in found if run.can_resume]
    return sorted(usable, key=lambda run: (run.folder / PLAN).stat().st_mtime, reverse=True)


def epochs_done(run: Path) -> int:
    """Epochs that `last.ckpt` holds, as the curves tell; 0 without a checkpoint, or curves that can be read."""
    if not (run / LAST).exists() or not (run / CURVES).exists():
        return 0
    try:
        return max((int(row["epoch"]) for row in read_curves(run / CURVES)), default=0)
    except UMLError:  # a spreadsheet holds it, or saved it in a form of its own
        return 0


def is_alive(state: RunState) -> bool:
    """Whether the process that wrote the state still runs; another one that got its number does not count."""
    if state.pid == os.getpid():
        return True
    import psutil

    try:
        process = psutil.Process(state.pid)
        return bool(process.create_time() <= state.began + SLACK and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _found(path: Path) -> Iterator[FoundRun]:
    try:
        plan = read_plan(path)
    except UMLError:  # another version's; it is not ours to judge
        return
    state, epoch = read_state(path), epochs_done(path)
    if state is not None and not state.ended and is_alive(state):
        return
    ended = (state.ended if state is not None else "") or "killed"
    stopped_early = ended in ("killed", FAILED, INTERRUPTED)
    left = epoch < plan.settings.epochs or not (path / MODEL).exists()
    unjudged = (path / MODEL).exists() and not (path / COMPARISON).exists()
    yield FoundRun(path, plan, epoch, ended, (stopped_early and left) or unjudged)


def _write(run: Path, state: RunState) -> None:
    write_text(run / STATE, state.model_dump_json() + "\n")
