"""The worker thread: loading once, cancelling, dropping what is stale, and errors that never vanish."""

from __future__ import annotations

from threading import Event, current_thread, main_thread
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from qtpy.QtCore import QObject

from napari_uml.errors import MemoryLimitError, WeightsError
from napari_uml.widgets.session import Loaded
from napari_uml.widgets.worker import ComputationError, Runner, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytestqt.qtbot import QtBot

    from conftest import FakePredictor

NAMES = ("fake", "auto", "auto")


class OutOfMemoryError(RuntimeError):
    """As torch names it."""


def job_of(*values: object, error: Exception | None = None) -> Any:
    def job(predictor: FakePredictor, stopped: Callable[[], bool]) -> Iterator[object]:
        yield from values
        if error is not None:
            raise error

    return job


@pytest.fixture
def heard() -> list[object]:
    return []


@pytest.fixture
def runner(qtbot: QtBot, load: Any, heard: list[object]) -> Iterator[Runner]:
    runner = Runner(load)
    runner.yielded.connect(heard.append)
    runner.failed.connect(heard.append)
    yield runner
    if runner.is_running:
        with qtbot.waitSignal(runner.finished):
            runner.drop()


def test_a_job_is_heard_after_the_model_is_loaded(qtbot: QtBot, runner: Runner, heard: list[object]) -> None:
    with qtbot.waitSignal(runner.finished):
        runner.submit(job_of(1, 2), *NAMES)
    assert isinstance(heard[0], Loaded)
    assert heard[1:] == [1, 2]
    assert not runner.is_running


def test_work_is_done_in_another_thread_and_heard_in_this_one(qtbot: QtBot, load: Any) -> None:
    threads: list[object] = []

    def job(predictor: FakePredictor, stopped: Callable[[], bool]) -> Iterator[object]:
        threads.append(current_thread())
        yield 1

    runner = Runner(load)
    runner.finished.connect(lambda: threads.append(current_thread()))
    with qtbot.waitSignal(runner.finished):
        runner.submit(job, *NAMES)
    assert threads[0] is not main_thread()
    assert threads[1] is main_thread()


def test_a_model_is_loaded_once_until_another_one_is_asked_for(qtbot: QtBot, predictor: FakePredictor) -> None:
    load = Mock(return_value=predictor)
    runner = Runner(load)
    for names in (NAMES, NAMES, ("fake", "cpu", "auto")):
        with qtbot.waitSignal(runner.finished):
            runner.submit(job_of(), *names)
    assert [call.args for call in load.call_args_list] == [NAMES, ("fake", "cpu", "auto")]


def test_cancel_lets_the_job_say_what_is_done(qtbot: QtBot, runner: Runner, heard: list[object]) -> None:
    def job(predictor: FakePredictor, stopped: Callable[[], bool]) -> Iterator[object]:
        number = 0
        while not stopped():
            number += 1
            yield "slice"
        yield "what is done"

    runner.submit(job, *NAMES)
    qtbot.waitUntil(lambda: "slice" in heard)
    with qtbot.waitSignal(runner.finished):
        runner.cancel()
    assert heard[-1] == "what is done"


def test_the_newest_job_wins_and_the_stale_answer_is_dropped(qtbot: QtBot, runner: Runner, heard: list[object]) -> None:
    begun, go_on = Event(), Event()

    def slow(predictor: FakePredictor, stopped: Callable[[], bool]) -> Iterator[object]:
        begun.set()
        go_on.wait(5)
        yield "stale"

    runner.submit(slow, *NAMES)
    assert begun.wait(5)
    runner.submit(job_of("never started"), *NAMES)
    runner.submit(job_of("newest"), *NAMES)
    with qtbot.waitSignal(runner.finished):
        go_on.set()
    assert [value for value in heard if isinstance(value, str)] == ["newest"]


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (OutOfMemoryError("CUDA out of memory"), MemoryLimitError),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), MemoryLimitError),
        (MemoryError(), MemoryLimitError),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ComputationError),
        (RuntimeError(), ComputationError),
        (WeightsError("damaged"), WeightsError),
        (ValueError("wrong shape"), ValueError),
        (KeyError("a mistake of ours"), KeyError),
    ],
)
def test_the_runner_stays_usable_after_an_error(
    qtbot: QtBot, runner: Runner, heard: list[object], raised: Exception, told: type[Exception]
) -> None:
    with qtbot.waitSignal(runner.finished):
        runner.submit(job_of(error=raised), *NAMES)
    assert isinstance(heard[-1], told)
    with qtbot.waitSignal(runner.finished):
        runner.submit(job_of("works"), *NAMES)
    assert heard[-1] == "works"


def test_an_error_while_loading_is_told(qtbot: QtBot) -> None:
    runner = Runner(Mock(side_effect=WeightsError("The weights are damaged.")))
    told: list[Exception] = []
    runner.failed.connect(told.append)
    with qtbot.waitSignal(runner.finished):
        runner.submit(job_of(1), *NAMES)
    assert [str(error) for error in told] == ["The weights are damaged."]


def test_a_dropped_job_is_silent_but_finishes(qtbot: QtBot, runner: Runner, heard: list[object]) -> None:
    with qtbot.waitSignal(runner.finished):
        runner.submit(job_of(1, 2, 3, error=ValueError()), *NAMES)
        runner.drop()
    assert heard == []


def test_a_worker_has_one_owner_so_that_pyside_does_not_delete_it_twice(qtbot: QtBot) -> None:
    def work(stopped: Callable[[], bool]) -> Iterator[object]:
        yield stopped()

    owner = QObject()
    assert not Task(work, owner).worker.autoDelete()
