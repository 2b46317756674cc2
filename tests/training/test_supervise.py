"""A training process is heard, stopped, killed and taken up again; what is on disk stays whole."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from napari_uml.errors import UMLError
from napari_uml.files import replacing
from napari_uml.training import supervise
from napari_uml.training.checkpoint import BEST, LAST, load_checkpoint
from napari_uml.training.commands import run_command
from napari_uml.training.events import RunEnded, StepDone
from napari_uml.training.run_state import (
    STATE,
    RunState,
    epochs_done,
    is_alive,
    mark_begun,
    mark_ended,
    read_state,
    unfinished_runs,
)
from napari_uml.training.supervise import TrainingProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    Script = Callable[[str], tuple[str, ...]]

SETTINGS = ("--image-size", "64", "--batch-size", "4", "--device", "cpu", "--precision", "float32", "--epochs", "200")
TINY = """
import sys
from tests.tiny import tiny_network
from napari_uml.training import planning
planning.preset = lambda _, *sizes, **__: tiny_network(*sizes)
from napari_uml.cli import main
main(sys.argv[1:])
"""


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Return a function that makes a command of Python code."""
    return lambda code: (sys.executable, "-c", code)


@pytest.fixture
def trainer(script: Script, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The real command, with a network of a quarter of a million parameters."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")]))
    return script(TINY)


def test_process_is_heard_and_its_other_words_go_to_the_log(tmp_path: Path, script: Script) -> None:
    line = '{"event":"end","reason":"done","model":null}'
    process = TrainingProcess(tmp_path / "run", [], script(f"print('hello'); print('{line}')"))
    assert list(process.events()) == [RunEnded(reason="done", model=None)]
    outcome = process.outcome()
    assert (outcome.code, outcome.message, outcome.memory_was_short) == (0, "", False)
    assert outcome.log == "hello"


def test_process_writes_utf_8_whatever_the_encoding_of_the_system_is(
    tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("LC_ALL", "C"), ("PYTHONCOERCECLOCALE", "0"), ("PYTHONUTF8", "0"), ("MINE", "kept")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")
    line = r'{"event":"end","reason":"done","model":"C:/M\u00fcller/\u0142.safetensors"}'
    process = TrainingProcess(tmp_path / "run", [], script(f"print('{line}')"))
    assert list(process.events()) == [RunEnded(reason="done", model=Path("C:/Müller/ł.safetensors"))]
    assert process.outcome().code == 0
    said = run_command((), lambda: False, script("import os; print(os.environ['MINE'], '\\u00fc \\u0142')"))
    assert said == "kept ü ł\n"


def test_line_in_another_encoding_goes_to_the_log(tmp_path: Path, script: Script) -> None:
    line = '{"event":"end","reason":"done","model":null}'
    code = f"import os; os.write(1, b'a library says M\\xfcller\\n'); print('{line}')"
    process = TrainingProcess(tmp_path / "run", [], script(code))
    assert list(process.events()) == [RunEnded(reason="done", model=None)]
    assert process.outcome().log == r"a library says M\xfcller"


@pytest.mark.parametrize(
    ("code", "words", "memory"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "memory was used up", True),
        ("raise SystemExit(137)", "memory was used up", True),
        ("raise ImportError('no torch')", "(exit code 1): ImportError: no torch", False),
        (
            'print(\'{"event":"error","kind":"MemoryLimitError","message":"The memory is too small."}\')',
            "The memory is too small.",
            True,
        ),
    ],
)
def test_end_without_success_is_explained(tmp_path: Path, script: Script, code: str, words: str, memory: bool) -> None:
    process = TrainingProcess(tmp_path / "run", [], script(code))
    list(process.events())
    outcome = process.outcome()
    assert words in outcome.message
    assert outcome.memory_was_short is memory


def test_process_that_does_not_stop_is_killed_after_the_grace_time(tmp_path: Path, script: Script) -> None:
    line = '{"event":"step","epoch":1,"epochs":1,"step":1,"steps":1,"loss":1.0}'
    deaf = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN)"
    code = f"{deaf}; print('{line}', flush=True); time.sleep(60)"
    process = TrainingProcess(tmp_path / "run", [], script(code))
    events = process.events()
    assert isinstance(next(events), StepDone)
    process.stop(grace=0.1)
    list(events)
    outcome = process.outcome()
    assert outcome.code == -9
    assert not outcome.memory_was_short
    assert "did not end within" in outcome.message


def test_process_is_asked_to_stop_once_so_that_it_can_save(tmp_path: Path, script: Script) -> None:
    line = '{"event":"step","epoch":1,"epochs":1,"step":1,"steps":1,"loss":1.0}'
    code = f"""
import signal, time
heard = []
signal.signal(signal.SIGINT, lambda *_: heard.append(1))
print('{line}', flush=True)
while not heard:
    time.sleep(0.01)
time.sleep(0.5)
print(len(heard), "heard")
"""
    process = TrainingProcess(tmp_path / "run", [], script(code))
    events = process.events()
    assert isinstance(next(events), StepDone)
    process.stop()
    time.sleep(0.2)
    process.stop()
    list(events)
    assert process.outcome().log == "1 heard"


def test_program_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UMLError, match="cannot be started"):
        TrainingProcess(tmp_path / "run", [], ("no-such-program",))


def test_command_gives_what_it_prints_or_its_complaint(script: Script) -> None:
    assert run_command((), lambda: False, script("print('yes')")) == "yes\n"
    with pytest.raises(UMLError, match=r"^No such model\.$"):
        run_command(("x",), lambda: False, script("import sys; sys.exit('napari-uml: No such model.')"))
    assert run_command((), lambda: True, script("import time; time.sleep(60)")) is None


@pytest.fixture(params=["signal", "file"])
def way_to_stop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask by a signal, and as on Windows by a file."""
    monkeypatch.setattr(supervise, "BY_FILE", request.param == "file")


@pytest.mark.slow
@pytest.mark.usefixtures("way_to_stop")
def test_stopped_run_leaves_a_model_and_goes_on(tmp_path: Path, blobs: Path, trainer: tuple[str, ...]) -> None:
    process = TrainingProcess(tmp_path / "run", [str(blobs), *SETTINGS], trainer)
    events = process.events()
    assert any(event.event == "epoch" for event in events)
    process.stop()
    last = list(events)[-1]
    assert isinstance(last, RunEnded)
    assert (last.reason, last.model) == ("interrupted", tmp_path / "run" / "model.safetensors")
    assert process.outcome().message == ""
    (found,) = unfinished_runs(tmp_path)
    assert (found.folder, found.ended) == (tmp_path / "run", "interrupted")
    assert not list((tmp_path / "run").glob(".stop*"))


@pytest.mark.slow
def test_killed_at_random_moments_the_checkpoints_stay_whole(
    tmp_path: Path, blobs: Path, trainer: tuple[str, ...]
) -> None:
    run, moments, done = tmp_path / "run", random.Random(0), 0
    arguments = [str(blobs), *SETTINGS]
    for _ in range(4):
        process = TrainingProcess(run, arguments, trainer)
        events = process.events()
        assert any(event.event == "epoch" for event in events)  # it goes on from what the last one left
        time.sleep(moments.uniform(0, 1.5))  # the moment is what is tested
        process.kill()
        list(events)
        assert process.outcome().said is None
        checkpoints = [load_checkpoint(run / name) for name in (LAST, BEST)]
        assert checkpoints[0].epoch > done
        done = checkpoints[0].epoch
        (found,) = unfinished_runs(tmp_path)
        assert (found.ended, found.can_resume) == ("killed", True)
        arguments = ["--resume"]


def test_state_tells_who_trains(tmp_path: Path) -> None:
    assert read_state(tmp_path) is None
    with replacing(tmp_path / LAST) as half_written:
        half_written.touch()
    half_written.touch()  # as a process leaves it that is killed meanwhile
    mark_begun(tmp_path)
    assert not half_written.exists()
    assert (tmp_path / LAST).exists()
    state = read_state(tmp_path)
    assert state is not None
    assert (state.pid, state.ended) == (os.getpid(), "")
    assert is_alive(state)
    mark_ended(tmp_path, "all epochs done")
    assert read_state(tmp_path).ended == "all epochs done"


def test_another_process_with_the_same_number_is_not_the_one(script: Script) -> None:
    assert not is_alive(RunState(pid=os.getppid(), began=1.0))


def test_damaged_state_is_like_none(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{")
    assert read_state(tmp_path) is None


def test_a_run_that_another_process_trains_is_refused(tmp_path: Path) -> None:
    state = RunState(pid=os.getppid(), began=time.time())
    (tmp_path / STATE).write_text(state.model_dump_json())
    with pytest.raises(UMLError, match=f"Process {os.getppid()} trains in .* now; stop it first"):
        mark_begun(tmp_path)
    assert read_state(tmp_path) == state


def test_curves_that_a_spreadsheet_saved_in_its_own_form_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").touch()
    (tmp_path / "curves.csv").write_text("epoch;loss/total\n1;0,5\n")
    assert epochs_done(tmp_path) == 0


def test_a_process_that_cannot_be_asked_to_stop_is_ended(
    tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "BY_FILE", True)  # which this process does not look for
    process = TrainingProcess(tmp_path / "run", [], script("import time; time.sleep(60)"))
    monkeypatch.setattr(process, "kill", lambda: os.kill(process.pid, signal.SIGKILL))
    process.stop(grace=0.1)
    assert list(process.events()) == []
    assert process.outcome().was_late
