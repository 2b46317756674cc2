"""What fine-tuning brings: which runs are done, go on or are refused, and how the work is divided."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import TYPE_CHECKING, Any

import pytest
from tests.tiny import tiny_dataset

from napari_uml.training.plan import MODEL, write_plan
from napari_uml.training.planning import new_plan
from napari_uml.training.run_state import STATE, mark_begun

if TYPE_CHECKING:
    from pathlib import Path

OPTIONS = {"preset": "compact", "vertical_flip": True, "focus": ("lesion",)}
SETTINGS = {"epochs": 3, "image_size": 32}


@pytest.fixture
def gain() -> Any:
    import finetune_gain

    return finetune_gain


@pytest.fixture
def commands(gain: Any, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return the words of every training that would have been started."""
    words: list[list[str]] = []
    monkeypatch.setattr(gain.subprocess, "run", lambda command, check: words.append(command[4:]))
    return words


@pytest.fixture
def epochs(gain: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Return the epochs after which the models were written, by run; a test adds to them."""
    done: dict[str, int] = {}
    monkeypatch.setattr(gain, "read_info", lambda path: Namespace(training={"epochs": done[path.parent.name]}))
    return done


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """Return a case's folder: a run of three epochs with a model, comparisons, and its images."""
    run, data = tmp_path / "case" / "run", tiny_dataset(tmp_path / "case" / "tuned-on")
    write_plan(run, new_plan(run, [data], OPTIONS, SETTINGS))
    for path in (run / MODEL, run.parent / "target.json", run.parent / "old-isic.json"):
        path.touch()
    return run.parent


def test_an_interrupted_run_goes_on_and_is_compared_anew(
    gain: Any, case: Path, commands: list[list[str]], epochs: dict[str, int]
) -> None:
    epochs["run"] = 2  # Ctrl-C leaves a model of the best epoch so far
    gain.train(case / "run", [case / "tuned-on"], OPTIONS, SETTINGS)
    assert commands == [["--resume", "--output", str(case / "run")]]
    assert list(case.glob("*.json")) == []


def test_a_finished_run_keeps_its_comparisons(
    gain: Any, case: Path, commands: list[list[str]], epochs: dict[str, int]
) -> None:
    epochs["run"] = 3
    gain.train(case / "run", [case / "tuned-on"], OPTIONS, SETTINGS)
    assert commands == []
    assert {path.name for path in case.glob("*.json")} == {"target.json", "old-isic.json"}


@pytest.mark.parametrize("done", [2, 3])
@pytest.mark.parametrize(
    ("options", "settings", "words"),
    [
        ({}, {"epochs": 4}, "epochs 3 instead of 4"),
        ({}, {"trainable": "heads", "ema": 0.95}, "trainable 'all' instead of 'heads', ema 0.99 instead of 0.95"),
        ({"focus": ("disc",)}, {}, r"focus \('lesion',\) instead of \('disc',\)"),
        ({"vertical_flip": False}, {}, "vertical_flip True instead of False"),
        ({"from": "out/dermoscopy/model.safetensors"}, {}, "from '' instead of 'dermoscopy/model.safetensors'"),
    ],
)
def test_a_run_of_other_settings_is_refused(
    gain: Any, case: Path, commands: list[list[str]], epochs: dict[str, int], options: Any, settings: Any, words: str,
    done: int,
) -> None:  # fmt: skip
    epochs["run"] = done
    with pytest.raises(SystemExit, match=f"run has {words}; choose another folder, or delete it"):
        gain.train(case / "run", [case / "tuned-on"], options, settings)
    assert commands == []
    assert (case / "target.json").exists()


def test_a_run_goes_on_after_its_folder_was_moved(gain: Any, case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = gain.read_plan(case / "run").model_copy(update={"start": f"/elsewhere/fundus/{MODEL}"})
    monkeypatch.setattr(gain, "read_plan", lambda _: plan)
    gain.check_same(case / "run", {**SETTINGS, "from": case.parent / "fundus" / MODEL})


def test_a_run_that_another_process_trains_is_waited_for(
    gain: Any, case: Path, commands: list[list[str]], epochs: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    mark_begun(case / "run")  # this process is alive
    epochs["run"] = 2

    def ends(_: float) -> None:
        epochs["run"] = 3
        (case / "run" / STATE).unlink()

    monkeypatch.setattr(gain.time, "sleep", ends)
    gain.train(case / "run", [case / "tuned-on"], OPTIONS, SETTINGS)
    assert commands == []


def test_the_parents_start_model_is_trained_first(gain: Any, commands: list[list[str]], tmp_path: Path) -> None:
    fundus = next(case for case in gain.CASES if case.start == "fundus")
    out = tmp_path / "out"
    assert gain.data_of(fundus, out) == ["refuge", "acrima", "drishti", "isic"]
    start = gain.start_model(fundus, Namespace(data=tmp_path, output=out, small=False))
    assert start == out / "fundus" / MODEL
    assert [words[-1] for words in commands] == [str(out / "dermoscopy"), str(out / "fundus")]
    first, second = commands
    assert first[:3] == [str(tmp_path / "isic"), "--preset", "compact"]
    assert second[2:4] == ["--from", str(out / "dermoscopy" / MODEL)]


def test_a_parents_data_are_not_needed_when_it_is_trained(gain: Any, epochs: dict[str, int], case: Path) -> None:
    out = case.parent / "out"
    out.mkdir()
    (case / "run").rename(out / "dermoscopy")
    epochs["dermoscopy"] = 3
    fundus = next(case for case in gain.CASES if case.start == "fundus")
    assert gain.data_of(fundus, out) == ["refuge", "acrima", "drishti"]
    epochs["dermoscopy"] = 2
    assert gain.data_of(fundus, out) == ["refuge", "acrima", "drishti", "isic"]


@pytest.mark.parametrize(
    ("targets", "name"),
    [
        ([], "finetune_gain"),
        (["--targets", "drishti"], "finetune_gain-drishti"),
        (["--targets", "drishti", "ham10000"], "finetune_gain"),
    ],
)
def test_a_part_has_a_table_of_its_own(
    gain: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, targets: list[str], name: str
) -> None:
    for folder in ("refuge", "acrima", "drishti", "isic", "ham10000"):
        tiny_dataset(tmp_path / folder)
    row = ("x", 10, 0, "target", "auc", 0.5, 0.6, 0.1, 0.0, 0.2, 9, 1.0)
    monkeypatch.setattr(gain, "measure", lambda case, _: [(case.target, *row[1:])])
    monkeypatch.setattr(sys, "argv", ["x", str(tmp_path), "-o", str(tmp_path / "out"), *targets])
    (tmp_path / "out").mkdir()
    gain.main()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"{name}.csv", f"{name}.md"}
    told = (tmp_path / "out" / f"{name}.csv").read_text()
    assert "drishti" in told
    assert ("ham10000" in told) == (name == "finetune_gain")
