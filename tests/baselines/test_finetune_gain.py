"""What fine-tuning brings: which runs are done, go on or are refused, and how the work is divided."""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError, Namespace
from typing import TYPE_CHECKING, Any

import numpy as np
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
    """Return a case's folder: a run of three epochs with a model, what it said, and its images."""
    run, data = tmp_path / "case" / "run", tiny_dataset(tmp_path / "case" / "tuned-on")
    write_plan(run, new_plan(run, [data], OPTIONS, SETTINGS))
    for path in (run / MODEL, run.parent / "target.json.gz", run.parent / "old-isic.json.gz"):
        path.touch()
    return run.parent


def test_an_interrupted_run_goes_on_and_is_asked_anew(
    gain: Any, case: Path, commands: list[list[str]], epochs: dict[str, int]
) -> None:
    epochs["run"] = 2  # Ctrl-C leaves a model of the best epoch so far
    gain.train(case / "run", [case / "tuned-on"], OPTIONS, SETTINGS)
    assert commands == [["--resume", "--output", str(case / "run")]]
    assert list(case.glob("*.json.gz")) == []


def test_a_finished_run_keeps_what_it_said(
    gain: Any, case: Path, commands: list[list[str]], epochs: dict[str, int]
) -> None:
    epochs["run"] = 3
    gain.train(case / "run", [case / "tuned-on"], OPTIONS, SETTINGS)
    assert commands == []
    assert {path.name for path in case.glob("*.json.gz")} == {"target.json.gz", "old-isic.json.gz"}


@pytest.mark.parametrize("done", [2, 3])
@pytest.mark.parametrize(
    ("options", "settings", "words"),
    [
        ({}, {"epochs": 4}, "epochs 3 instead of 4"),
        ({}, {"trainable": "heads", "ema": 0.95}, "trainable 'all' instead of 'heads', ema 0.99 instead of 0.95"),
        ({"focus": ("disc",)}, {}, r"focus \('lesion',\) instead of \('disc',\)"),
        ({"vertical_flip": False}, {}, "vertical_flip True instead of False"),
        ({"pretrained": True}, {}, "pretrained False instead of True"),
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
    assert (case / "target.json.gz").exists()


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


def test_start_models_are_trained_on_their_sources_alone(gain: Any, commands: list[list[str]], tmp_path: Path) -> None:
    fundus = next(case for case in gain.CASES if case.start == "fundus")
    out = tmp_path / "out"
    start = gain.start_model(fundus, Namespace(data=tmp_path, output=out, small=False, starts=()))
    assert start == out / "fundus" / MODEL
    assert commands[0][:5] == [str(tmp_path / "refuge"), str(tmp_path / "acrima"), "--preset", "light", "--pretrained"]


def test_a_start_model_can_be_given(gain: Any, commands: list[list[str]], tmp_path: Path) -> None:
    given = tmp_path / "mine.safetensors"
    given.touch()
    fundus = next(case for case in gain.CASES if case.start == "fundus")
    starts = [gain.start_of(f"fundus={given}")]
    assert gain.start_model(fundus, Namespace(output=tmp_path, small=False, starts=starts)) == given
    assert commands == []
    for wrong in (f"skin={given}", "fundus=nowhere.safetensors", "fundus"):
        with pytest.raises(ArgumentTypeError, match="expected dermoscopy or fundus, =, and a file of weights, got"):
            gain.start_of(wrong)


def scores(groups: list[str], dice: float, probability: float) -> Any:
    """Scores of images whose class is that of every second one, with the chance of it in the others, too."""
    from study import Scores

    n = len(groups)
    label = np.arange(n) % 2
    p = np.where(label == 1, 0.6, np.linspace(0, 2 * (1 - probability), n))
    return Scores(
        groups=np.array(groups), label=label, probability=np.stack([1 - p, p], axis=1), uncertainty=np.full(n, 0.1),
        dice={"lesion": np.full(n, dice)}, distance={}, histograms=None, machine="",
    )  # fmt: skip


def test_changes_are_told_for_every_draw_and_for_all_together(gain: Any) -> None:
    first, second = [f"p{n}" for n in range(20)], [f"p{n}" for n in range(10, 30)]
    found = [
        gain.Measured(("ham10000", 20, 0, "target"), scores(first, 0.7, 0.5), scores(first, 0.8, 0.9), 3.0),
        gain.Measured(("ham10000", 20, 1, "target"), scores(second, 0.7, 0.5), scores(second, 0.9, 0.9), 4.0),
    ]
    rows = {(row[2], row[4]): row[5:] for row in gain.rows_of(found)}
    assert set(rows) == {(draw, figure) for draw in (0, 1, "all") for figure in ("Dice lesion", "AUC")}
    assert rows[0, "Dice lesion"] == (0.7, 0.8, 0.1, 0.1, 0.1, 20, 3.0)
    before, after, change, low, high, n, minutes = rows["all", "Dice lesion"]
    assert (before, after, change) == (0.7, 0.85, 0.15)
    assert (low, high) == (0.1, 0.2)  # the draws are drawn, too
    assert (n, minutes) == (30, 4.0)
    assert 0 < rows["all", "AUC"][3] < rows["all", "AUC"][2] < rows["all", "AUC"][4]
    line = gain.summary(gain.rows_of(found)).splitlines()[2]
    assert (
        line == "| ham10000 | 20 | target | Dice lesion | 0.700 | 0.850 | +0.150 (+0.100 to +0.200) | 2, 0 of 2 | 4.0 |"
    )


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
    said = scores(["a", "b", "c", "d"], 0.5, 0.5)
    measured = lambda case: gain.Measured((case.target, 10, 0, "target"), said, said, 1.0)  # noqa: E731
    monkeypatch.setattr(gain, "measure", lambda case, _: [measured(case)])
    monkeypatch.setattr(sys, "argv", ["x", str(tmp_path), "-o", str(tmp_path / "out"), *targets])
    (tmp_path / "out").mkdir()
    gain.main()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"{name}.csv", f"{name}.md"}
    told = (tmp_path / "out" / f"{name}.csv").read_text()
    assert "drishti" in told
    assert ("ham10000" in told) == (name == "finetune_gain")
