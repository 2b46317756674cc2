"""`napari-uml train` as a user types it; the network is tiny."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import typer
from tests.tiny import INFO, tiny_dataset, tiny_network
from typer.testing import CliRunner

from napari_uml.cli import app, training_run
from napari_uml.config import TrainConfig
from napari_uml.errors import DivergedError
from napari_uml.training.checkpoint import BEST, LAST, load_checkpoint
from napari_uml.training.curves import add_epoch
from napari_uml.training.events import EpochDone, RunEnded, RunFailed, RunStarted, StepDone, parse
from napari_uml.training.job import with_smaller_batch
from napari_uml.training.plan import CURVES, MODEL, read_plan, write_plan
from napari_uml.weights import read_info

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_uml.results import EpochReport

    Command = Callable[..., tuple[int, str, str]]

SMALL = ("--image-size", 64, "--batch-size", 4, "--device", "cpu", "--precision", "float32")
OPTIONS = {
    option: parameter
    for parameter in typer.main.get_command(app).commands["train"].params
    for option in (*parameter.opts, *parameter.secondary_opts)
}


@pytest.fixture(autouse=True)
def _tiny_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_uml.training.planning.preset", lambda _, *sizes, **__: tiny_network(*sizes))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


def losses(run: Path) -> list[str]:
    with (run / "curves.csv").open(newline="") as file:
        return [row["loss/total"] for row in csv.DictReader(file)]


@pytest.mark.parametrize("name", TrainConfig.model_fields)
def test_every_setting_is_an_option(name: str) -> None:
    field, option = TrainConfig.model_fields[name], OPTIONS[f"--{name.replace('_', '-')}"]
    assert option.help == field.description
    assert option.default is None
    if isinstance(field.default, bool):
        assert f"--no-{name.replace('_', '-')}" in OPTIONS
    else:
        assert option.show_default.split(";")[0] == ("none" if field.default is None else str(field.default))


@pytest.mark.parametrize(
    "option", [("--epochs", 0), ("--balanced", 1.5), ("--learning-rate", 2), ("--epochs", "x"), ("--recipe", "old")]
)
def test_option_out_of_its_bounds_is_refused_before_anything_is_read(
    option: tuple[object, ...], napari_uml: Command, run: Path
) -> None:
    code, _, err = napari_uml("train", "nowhere", "-o", run, *option)
    assert (code, err.count("\n")) == (2, 1)
    assert f"'{option[0]}'" in err


def test_option_that_only_the_settings_check_is_refused(napari_uml: Command, run: Path, blobs: Path) -> None:
    code, _, err = napari_uml("train", blobs, "-o", run, "--image-size", 100, "--clip", 0)
    assert code == 2
    assert [line.split(":")[1].strip() for line in err.splitlines()] == ["image_size", "clip"]
    assert not run.exists()


def test_help_shows_the_defaults_of_both_recipes() -> None:
    result = CliRunner().invoke(app, ["train", "--help"], env={"COLUMNS": "200"})
    assert "60; 100 with --recipe paper" in result.output


def test_run_leaves_model_curves_and_settings(napari_uml: Command, run: Path, blobs: Path) -> None:
    code, out, err = napari_uml("train", blobs, "-o", run, *SMALL, "--epochs", 2, "--title", "Blobs")
    assert (code, out) == (0, "")
    assert {path.name for path in run.iterdir()} == {
        "best.ckpt", "last.ckpt", "curves.csv", "curves.png", "model.safetensors", "preview.png", "state.json",
        "train.json",
    }  # fmt: skip
    lines = err.splitlines()
    assert "random weights" in lines[0]
    assert [line.split("  ")[0] for line in lines[1:3]] == ["epoch 1/2", "epoch 2/2"]
    for words in ("loss ", "lesion 0.", "auc ", "images/s"):
        assert all(words in line for line in lines[1:3])
    assert str(run / "model.safetensors") in lines[3]
    assert len(losses(run)) == 2
    assert read_info(run / "model.safetensors").title == "Blobs"
    assert read_plan(run).settings.epochs == 2


def test_events_tell_the_whole_run(napari_uml: Command, run: Path, blobs: Path) -> None:
    code, out, _ = napari_uml("train", blobs, "-o", run, *SMALL, "--epochs", 1, "--events", "-")
    events = [parse(line) for line in out.splitlines()]
    assert code == 0
    assert events[0] == RunStarted(run=run, name="run", pid=os.getpid(), epoch=0, epochs=1)
    steps = [event for event in events if isinstance(event, StepDone)]
    assert (steps[-1].epoch, steps[-1].step, steps[-1].steps) == (1, 2, 2)
    assert isinstance(events[-2], EpochDone)
    assert events[-2].report.epoch == 1
    assert events[-1] == RunEnded(reason="all epochs done", model=run / "model.safetensors")


def interrupt_after(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Press Ctrl-C while the line of an epoch is shown."""
    original = training_run.epoch_line

    def line(report: EpochReport) -> str:
        if report.epoch == epoch:
            raise KeyboardInterrupt
        return original(report)

    monkeypatch.setattr(training_run, "epoch_line", line)


def test_interrupted_run_goes_on_to_the_same_numbers(
    napari_uml: Command, run: Path, blobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = (blobs, *SMALL, "--epochs", 2)
    napari_uml("train", *told, "-o", run.with_name("whole"))
    with monkeypatch.context() as patch:
        interrupt_after(1, patch)
        code, _, err = napari_uml("train", *told, "-o", run, "--events", run.with_name("events"))
    assert code == 130
    assert err.splitlines()[-1] == (
        f"napari-uml: interrupted after epoch 1; to go on: napari-uml train --resume -o {run}"
    )
    assert read_info(run / "model.safetensors").training["epoch"] == 1
    code, _, err = napari_uml("train", "--resume", "-o", run, "--events", run.with_name("events"))
    assert code == 0
    assert losses(run) == losses(run.with_name("whole"))
    events = [parse(line) for line in run.with_name("events").read_text().splitlines()]
    assert [event.epoch for event in events if isinstance(event, RunStarted)] == [0, 1]
    assert [event.reason for event in events if isinstance(event, RunEnded)] == ["interrupted", "all epochs done"]
    assert [event.report.epoch for event in events if isinstance(event, EpochDone)] == [1, 2]


def test_run_interrupted_in_its_first_epoch_starts_anew(
    napari_uml: Command, run: Path, blobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(training_run, "fit", fitting(KeyboardInterrupt()))
        code, _, err = napari_uml("train", blobs, "-o", run, *SMALL, "--epochs", 1)
    assert code == 130
    assert "after epoch 0" in err
    assert sorted(path.name for path in run.iterdir()) == ["state.json", "train.json"]
    assert napari_uml("train", "--resume", "-o", run)[0] == 0
    assert (run / "model.safetensors").exists()


def test_a_run_of_an_older_augmentation_says_so_when_it_goes_on(
    napari_uml: Command, run: Path, blobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(training_run, "fit", fitting(KeyboardInterrupt()))
        napari_uml("train", blobs, "-o", run, *SMALL, "--epochs", 1)
    write_plan(run, read_plan(run).model_copy(update={"augmentation": 1}))
    for said in (True, False):  # the second time it is over
        assert ("Begun with version 1 of" in napari_uml("train", "--resume", "-o", run)[2]) is said


def test_curves_that_a_spreadsheet_changed_do_not_end_the_training(
    napari_uml: Command, run: Path, blobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(path: Path, report: EpochReport) -> None:
        path.write_text("epoch;loss/total\n0;0,5\n")
        add_epoch(path, report)

    monkeypatch.setattr(training_run, "add_epoch", changed)
    code, _, err = napari_uml("train", blobs, "-o", run, *SMALL, "--epochs", 1)
    assert code == 0
    assert f"curves.csv lacks epoch 1: Expected the curves that training wrote in {run / CURVES}" in err
    assert "curves.png was not drawn: Expected the curves" in err
    assert (run / MODEL).exists()


def test_run_that_is_done_has_nothing_left_to_do(napari_uml: Command, run: Path, blobs: Path) -> None:
    napari_uml("train", blobs, "-o", run, *SMALL, "--epochs", 1)
    code, _, err = napari_uml("train", "--resume", "-o", run)
    assert code == 0
    assert err.startswith("nothing was left to train")
    assert len(losses(run)) == 1


def test_run_starts_from_another(napari_uml: Command, run: Path, blobs: Path) -> None:
    other = run.with_name("other")
    napari_uml("train", blobs, "-o", other, *SMALL, "--epochs", 1)
    code, _, err = napari_uml(
        "train", blobs, "-o", run, "--from", other, "--batch-size", 4, "--device", "cpu", "--precision", "float32",
        "--epochs", 1, "--learning-rate", 1e-9, "--ema", 0, "--trainable", "heads",
    )  # fmt: skip
    assert code == 0
    assert "starts from epoch 1 of" in err
    name = "mutual.head.1.weight"
    before, after = load_checkpoint(other / BEST).shown[name], load_checkpoint(run / LAST).weights[name]
    assert (before - after).abs().max() < 1e-6


def test_class_encoder_comes_from_a_classifier(napari_uml: Command, run: Path, blobs: Path) -> None:
    other, name = run.with_name("other"), "backbone.conv1.0.weight"
    napari_uml("train", blobs, "-o", other, *SMALL, "--epochs", 1, "--arch", "ec")
    code, _, err = napari_uml(
        "train", blobs, "-o", run, "--class-encoder", other, *SMALL, "--epochs", 1, "--learning-rate", 1e-9, "--ema", 0
    )
    assert code == 0, err
    assert "starts from random weights; the class encoder from epoch 1 of" in err
    before, after = load_checkpoint(other / BEST).shown, load_checkpoint(run / LAST).weights
    assert (before[f"encoder.{name}"] - after[f"class_encoder.{name}"]).abs().max() < 1e-6
    code, _, err = napari_uml("train", "--resume", "-o", run, "--class-encoder", "another")
    assert code == 2
    assert "got other --class-encoder" in err


def test_what_is_mixed_in_is_trained_on_and_not_validated_on(napari_uml: Command, run: Path, blobs: Path) -> None:
    named = INFO.model_copy(update={"name": "old blobs"})
    old, older = (tiny_dataset(run.with_name(name), named) for name in ("old", "older"))
    code, _, err = napari_uml("train", blobs, "--mix-in", old, "--mix-in", older, "-o", run, *SMALL, "--epochs", 1)
    assert code == 0, err
    plan, seen = read_plan(run), read_info(run / MODEL).training["datasets"]
    assert (plan.datasets, plan.mix_in) == ((blobs.resolve(),), (old.resolve(), older.resolve()))
    assert seen == {INFO.name: {"train": 8, "val": 4}, "old blobs, mixed in": {"train": 16, "val": 0}}
    code, _, err = napari_uml("train", "--resume", "-o", run, "--mix-in", blobs)
    assert code == 2
    assert "got other --mix-in" in err
    code, _, err = napari_uml("train", "--resume", "-o", run, "--mix-in", old, "--mix-in", older, "--epochs", 1)
    assert err.startswith("nothing was left to train")
    assert with_smaller_batch(run, plan, run.with_name("new")).options["mix_in"] == plan.mix_in


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "one dataset folder or more"),
        (("nowhere",), "nowhere"),
        (("--resume",), "train.json"),
        (("{blobs}", "--from", "nobody"), "nobody"),
        (("{blobs}", "--focus", "disc"), "a focus among lesion"),
        (("{blobs}", "--mix-in", "{blobs}"), "other data to mix in than is trained on"),
        (("{blobs}", "--events", "{blobs}"), "file or pipe"),
        (("{blobs}", "--batch-size", "3", "--processes", "2"), "divisible by 2"),
    ],
)
def test_wrong_input_gives_one_line(
    arguments: tuple[str, ...], words: str, napari_uml: Command, run: Path, blobs: Path
) -> None:
    code, out, err = napari_uml("train", "-o", run, *(argument.format(blobs=blobs) for argument in arguments))
    assert (code, out) == (2, "")
    assert words in err.splitlines()[-1]
    assert "Traceback" not in err


def test_contradiction_is_refused_and_the_run_stays(napari_uml: Command, run: Path, blobs: Path) -> None:
    napari_uml("train", blobs, "-o", run, *SMALL, "--epochs", 1)
    before = (run / "train.json").read_bytes()
    code, _, err = napari_uml("train", "--resume", "-o", run, "--epochs", 5)
    assert (code, err.count("\n")) == (2, 1)
    assert "other --epochs;" in err
    code, _, err = napari_uml("train", blobs, "-o", run, "--epochs", 5)
    assert code == 2
    assert "--resume" in err
    assert (run / "train.json").read_bytes() == before


def fitting(*ends: BaseException | EpochReport) -> Callable[..., Iterator[EpochReport]]:
    """Return a `fit` that brings these reports and errors."""

    def fit(*_: Any, **__: Any) -> Iterator[EpochReport]:
        for end in ends:
            if isinstance(end, BaseException):
                raise end
            yield end

    return fit


def test_failure_is_the_last_event(
    napari_uml: Command, run: Path, blobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_run, "fit", fitting(DivergedError("The loss is nan.")))
    code, out, err = napari_uml("train", blobs, "-o", run, "--events", "-")
    assert code == 2
    assert err.splitlines()[-1] == "napari-uml: The loss is nan."
    assert parse(out.splitlines()[-1]) == RunFailed(kind="DivergedError", message="The loss is nan.")


def test_line_of_an_epoch(make_report: Callable[..., EpochReport], run: Path) -> None:
    report = make_report(run)
    assert training_run.epoch_line(report) == (
        "epoch 1/2  loss 3.000 (mutual 1.000, class 0.500, mask 1.500)  lesion 0.500 acc 0.750 auc 0.875 u_image 0.300 "
        "u_pixel 0.200  4.0 images/s  about 2 min left *"
    )
    last = replace(report, epochs=60, metrics={}, is_best=False, stopped="all epochs done")
    assert training_run.epoch_line(last) == (
        "epoch  1/60  loss 3.000 (mutual 1.000, class 0.500, mask 1.500)  4.0 images/s"
    )
    assert "3.0 h left" in training_run.epoch_line(replace(report, eta_seconds=10_800.0))


@pytest.mark.slow
def test_two_processes_train_one_model(tmp_path: Path, blobs: Path) -> None:
    arguments = ["train", str(blobs), "-o", "run", "--processes", "2", "--epochs", "1", *map(str, SMALL)]
    done = subprocess.run(
        [sys.executable, "-m", "napari_uml", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("epoch 1/1") == 1
    assert len(losses(tmp_path / "run")) == 1
    assert read_info(tmp_path / "run" / "model.safetensors").name == "run"


def test_a_run_without_images_to_validate_on_says_so(napari_uml: Command, blobs: Path, run: Path) -> None:
    table = (blobs / "index.csv").read_text()
    (blobs / "index.csv").write_text("".join(line for line in table.splitlines(keepends=True) if ",val," not in line))
    code, _, err = napari_uml("train", blobs, "-o", run, *SMALL, "--epochs", 1)
    assert code == 0
    assert "No image has the split val: the last epoch is taken, and nothing says how good it is." in err
    assert read_info(run / MODEL).familiarity is None
