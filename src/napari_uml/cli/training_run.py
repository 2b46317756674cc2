"""A training run on the terminal: a bar, a line an epoch, curves, events; what happens at its end and on Ctrl-C.

All words go to stderr, so that `--events -` has stdout for itself.
"""

from __future__ import annotations

import _thread
import logging
import os
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import typer

from napari_uml.cli.common import INTERRUPTED, ending_like_ctrl_c, progress_bar
from napari_uml.data.dataset import read_dataset
from napari_uml.errors import UMLError
from napari_uml.shell import shell_line
from napari_uml.training.checkpoint import BEST, LAST, load_checkpoint
from napari_uml.training.curves import add_epoch, draw_curves
from napari_uml.training.events import EpochDone, EventWriter, RunEnded, RunStarted, StepDone
from napari_uml.training.export import export_run
from napari_uml.training.fit import Start, StepListener, fit
from napari_uml.training.memory import keep_freed_memory
from napari_uml.training.origin import find_origin
from napari_uml.training.pace import in_words
from napari_uml.training.plan import AUGMENTATION, CURVES, MODEL, PICTURE, RunPlan, write_plan
from napari_uml.training.run_state import FAILED, mark_begun, mark_ended, read_state
from napari_uml.training.supervise import STOP_VARIABLE
from napari_uml.training.transfer import class_encoder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TextIO

    from napari_uml.results import EpochReport

LOOK: Final = 1.0
"""Seconds between two looks at whether the run is asked to stop."""

for _name, _level in (
    ("lightning.fabric", logging.WARNING), ("lightning.pytorch", logging.WARNING),  # they tell of precision
    ("timm.models._builder", logging.ERROR),  # of weights that an encoder without its classifier does not need
):  # fmt: skip
    logging.getLogger(_name).setLevel(_level)


def show_run(plan: RunPlan, run: Path, events: Path | None, *, new: bool) -> None:
    """Train, and show it; Ctrl-C, or the system's request to end, saves the best epoch and exits with 130.

    Parameters
    ----------
    plan, run
        What to do, and the folder to write into.
    events
        File or pipe for events, `-` for stdout.
    new
        Whether the plan is to be written first.
    """
    if new:
        write_plan(run, plan)
        typer.echo(f"{plan.title}, into {run}: starts from {plan.started_from}", err=True)
        if not any(counts["val"] for counts in plan.images.values()):
            said = "No image has the split val: the last epoch is taken, and nothing says how good it is."
            typer.echo(said, err=True)
    keep_freed_memory()
    with _stream(events) as stream, EventWriter(stream) as writer, _marked(run):
        watch = _Watch(plan, run, writer)
        try:
            with ending_like_ctrl_c(), _ending_when_asked():
                watch.train()
        except KeyboardInterrupt:
            watch.ended = "interrupted"
        model = _saved_model(run)
        mark_ended(run, watch.ended)
        writer.write(RunEnded(reason=watch.ended, model=model))
    if watch.ended == "interrupted":
        again = shell_line(["napari-uml", "train", "--resume", "-o", str(run)])
        typer.echo(f"napari-uml: interrupted after epoch {watch.epoch}; to go on: {again}", err=True)
        sys.exit(INTERRUPTED)  # typer.Exit would make `main` say it again
    typer.echo(f"{watch.ended}; the best epoch is {run / MODEL}, the curves are {run / PICTURE}", err=True)


class _Watch:
    """Shows a run and keeps its curves.

    Attributes
    ----------
    epoch
        Epochs done.
    ended
        Why the run is over.
    """

    def __init__(self, plan: RunPlan, run: Path, writer: EventWriter) -> None:
        self.epoch = load_checkpoint(run / LAST).epoch if (run / LAST).exists() else 0
        self.ended = "nothing was left to train"
        self._plan, self._run, self._writer = plan, run, writer

    def train(self) -> None:
        epochs, begun_with = self._plan.settings.epochs, self._plan.augmentation
        if self.epoch < epochs and begun_with != AUGMENTATION:
            typer.echo(
                f"Begun with version {begun_with} of the augmentation, it goes on with {AUGMENTATION}.", err=True
            )
        self._writer.write(
            RunStarted(run=self._run.absolute(), name=self._plan.name, pid=os.getpid(), epoch=self.epoch, epochs=epochs)
        )
        with progress_bar() as bar:
            task = bar.add_task("reading images", total=None)

            def on_step(step: int, steps: int, loss: float) -> None:
                words = f"epoch {self.epoch + 1} of {epochs}, loss {loss:.3f}"
                bar.update(task, description=words, completed=step, total=steps)
                self._writer.step(StepDone(epoch=self.epoch + 1, epochs=epochs, step=step, steps=steps, loss=loss))

            for report in _reports(self._plan, self._run, on_step):
                self._report(report)

    def _report(self, report: EpochReport) -> None:
        self.epoch, self.ended = report.epoch, report.stopped
        try:
            add_epoch(self._run / CURVES, report)
        except UMLError as error:  # a spreadsheet holds or changed it: no reason to end the training
            typer.echo(f"{CURVES} lacks epoch {report.epoch}: {error}", err=True)
        self._writer.write(EpochDone(report=report))
        typer.echo(epoch_line(report), err=True)


def epoch_line(report: EpochReport) -> str:
    """One line: losses, validation figures, speed, time left, and a star at the best epoch so far."""
    losses = ", ".join(f"{name} {value:.3f}" for name, value in report.losses.items() if name != "total")
    figures = [f"{name.rpartition('/')[2]} {value:.3f}" for name, value in report.metrics.items()]
    parts = [
        f"epoch {report.epoch:>{len(str(report.epochs))}}/{report.epochs}",
        f"loss {report.losses['total']:.3f} ({losses})",
        *([" ".join(figures)] if figures else []),
        f"{report.images_per_second:.1f} images/s",
        *([] if report.stopped else [f"{in_words(report.eta_seconds)} left"]),
    ]
    return "  ".join(parts) + (" *" if report.is_best else "")


def _reports(plan: RunPlan, run: Path, on_step: StepListener | None = None) -> Iterator[EpochReport]:
    """The reports of all epochs that are left, after the last checkpoint where there is one."""
    going_on = (run / LAST).exists()
    start = None if going_on else _start(plan)
    return fit(
        plan.settings, plan.network, [read_dataset(folder) for folder in plan.datasets], run, start=start,
        focus=plan.focus, resume=going_on, vertical_flip=plan.vertical_flip,
        mix_in=[read_dataset(folder) for folder in plan.mix_in], on_step=on_step,
    )  # fmt: skip


def _start(plan: RunPlan) -> Start | None:
    """The weights that `--from` and `--class-encoder` name; None when neither was typed."""
    if not plan.start and not plan.class_encoder:
        return None
    origin = find_origin(plan.start) if plan.start else None
    tensors, task = (origin.tensors, origin.task) if origin else ({}, plan.task)
    if not plan.class_encoder:
        return Start(tensors, task)
    other = find_origin(plan.class_encoder)
    return Start(tensors, task, class_encoder(other.tensors, other.network, plan.network))


def _saved_model(run: Path) -> Path | None:
    """The weights file of the best epoch, written; None when no epoch was done to its end."""
    if not ((run / BEST).exists() and (run / LAST).exists()):
        return None
    export_run(run)
    try:
        if (run / CURVES).exists():
            draw_curves(run / CURVES, run / PICTURE, run.absolute().name)
    except UMLError as error:  # the model is written
        typer.echo(f"{PICTURE} was not drawn: {error}", err=True)
    return (run / MODEL).absolute()


@contextmanager
def _stream(events: Path | None) -> Iterator[TextIO | None]:
    if events is None or str(events) == "-":
        yield sys.stdout if events else None
        return
    try:
        stream = events.open("a", encoding="utf-8")
    except OSError as error:
        raise ValueError(f"Expected a file or pipe to write events to, {events} is none: {error.strerror}.") from error
    try:
        yield stream
    finally:
        with suppress(BrokenPipeError):  # said already
            stream.close()


@contextmanager
def _ending_when_asked() -> Iterator[None]:
    """While the block runs, the file that asks it to stop, if the program that started it named one, is like Ctrl-C."""
    over, file = threading.Event(), os.environ.get(STOP_VARIABLE)

    def watch() -> None:
        while file and not over.wait(LOOK):
            if os.path.exists(file):
                over.set()
                _thread.interrupt_main()

    watcher = threading.Thread(target=watch, name="asked to stop", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


@contextmanager
def _marked(run: Path) -> Iterator[None]:
    """Keep `state.json` true: a process trains here, or it failed; how it ended well is the block's to say."""
    mark_begun(run)
    try:
        yield
    finally:
        state = read_state(run)
        if state is None or not state.ended:  # the block did not come to say how
            mark_ended(run, FAILED)
