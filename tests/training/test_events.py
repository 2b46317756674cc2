"""The JSON lines that a run writes for those who follow it."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from napari_uml.errors import DivergedError, UMLError
from napari_uml.results import EpochReport
from napari_uml.training import events
from napari_uml.training.events import EpochDone, EventWriter, RunEnded, RunFailed, RunStarted, StepDone, parse

RUN = Path("/somewhere/run")
REPORT = EpochReport(
    epoch=4, epochs=60, losses={"total": 2.0}, metrics={"auc": 0.75}, learning_rate=1e-3, score=0.75, is_best=True,
    seconds=12.0, images_per_second=4.5, eta_seconds=300.0, memory_mb=900.0, last=RUN / "last.ckpt",
    best=RUN / "best.ckpt",
)  # fmt: skip
EVERY_KIND = [
    RunStarted(run=RUN, name="blobs", pid=7, epoch=3, epochs=60),
    StepDone(epoch=4, epochs=60, step=2, steps=9, loss=1.25),
    EpochDone(report=REPORT),
    EpochDone(report=replace(REPORT, score=None, metrics={}, stopped="all epochs done")),
    RunEnded(reason="interrupted", model=None),
    RunEnded(reason="all epochs done", model=RUN / "model.safetensors"),
    RunFailed(kind="DivergedError", message="The loss is nan."),
]


def step(number: int, of: int) -> StepDone:
    return StepDone(epoch=1, epochs=2, step=number, steps=of, loss=0.5)


@pytest.mark.parametrize("event", EVERY_KIND, ids=lambda event: event.event)
def test_event_is_one_line_that_reads_back_equal(event: events.Event) -> None:
    stream = io.StringIO()
    EventWriter(stream).write(event)
    assert stream.getvalue().count("\n") == 1
    assert parse(stream.getvalue()) == event


def test_fields_are_those_of_the_documentation() -> None:
    documented = dict(
        part.split("}")[0].split('"event": "')[1].split('"', 1)
        for part in events.__doc__.splitlines()
        if '"event"' in part
    )
    for event in EVERY_KIND:
        for name in set(json.loads(event.model_dump_json())) - {"event"}:
            assert f'"{name}"' in documented[event.event]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "epoch 1/60  loss 3.1",
        '{"event": "nap"}',
        '{"event": "end", "reason": "x", "model": null, "more": 1}',
        '{"event": "start", "version": 2, "run": "r", "name": "n", "pid": 1, "epoch": 0, "epochs": 1}',
    ],
)
def test_line_that_is_no_event_of_this_version_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="validation error"):
        parse(line)


def test_steps_are_thinned_out_but_the_last_one_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.1, 0.25, 0.3, 0.31])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    stream = io.StringIO()
    writer = EventWriter(stream)
    for number in range(1, 6):
        writer.step(step(number, of=5))
    assert [parse(line).step for line in stream.getvalue().splitlines()] == [1, 3, 5]


def test_error_that_ends_the_run_is_the_last_event() -> None:
    stream = io.StringIO()
    with pytest.raises(DivergedError), EventWriter(stream):
        raise DivergedError("The loss is nan.")
    assert parse(stream.getvalue()) == RunFailed(kind="DivergedError", message="The loss is nan.")


def test_interruption_is_no_error() -> None:
    stream = io.StringIO()
    with pytest.raises(KeyboardInterrupt), EventWriter(stream):
        raise KeyboardInterrupt
    assert stream.getvalue() == ""


class ClosedPipe(io.StringIO):
    """A pipe that nobody reads."""

    def flush(self) -> None:
        raise BrokenPipeError


def test_closed_pipe_ends_the_run_in_one_sentence() -> None:
    with pytest.raises(UMLError, match="read the events"), EventWriter(ClosedPipe()) as writer:
        writer.write(EVERY_KIND[0])


def test_without_a_stream_nothing_is_written(capfd: pytest.CaptureFixture[str]) -> None:
    with EventWriter(None) as writer:
        writer.write(EVERY_KIND[0])
        writer.step(step(1, of=1))
    assert capfd.readouterr() == ("", "")
