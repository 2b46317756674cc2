"""`napari-uml train --arch`: every architecture is trained, resumed, exported, evaluated and used like UML."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.tiny import tiny_network

from napari_uml.baselines.registry import ARCHITECTURES
from napari_uml.evaluation.card import model_card
from napari_uml.evaluation.record import read_record
from napari_uml.inference.run_record import read_run
from napari_uml.training.checkpoint import LAST, load_checkpoint
from napari_uml.training.plan import MODEL, read_plan
from napari_uml.weights import read_info

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Command = Callable[..., tuple[int, str, str]]

SMALL = (
    "--image-size", 64, "--batch-size", 4, "--device", "cpu", "--precision", "float32", "--epochs", 1,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _tiny_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_uml.training.planning.preset", lambda _, *sizes, **__: tiny_network(*sizes))


@pytest.fixture(scope="module", params=list(ARCHITECTURES))
def arch(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def run(tmp_path: Path, blobs: Path, napari_uml: Command, arch: str) -> Path:
    """Return the folder of a run of one epoch."""
    code, _, err = napari_uml("train", blobs, "-o", tmp_path / "run", "--arch", arch, *SMALL)
    assert code == 0, err
    return tmp_path / "run"


def test_weights_name_their_architecture_and_work_everywhere(
    run: Path, blobs: Path, napari_uml: Command, arch: str, tmp_path: Path
) -> None:
    model, answers = run / MODEL, ARCHITECTURES[arch].answers
    assert read_info(model).config.arch == load_checkpoint(run / LAST).network.arch == arch
    code, _, err = napari_uml("evaluate", blobs, "-m", model, "-o", tmp_path / "figures.json")
    assert code == 0, err
    metrics = read_record(tmp_path / "figures.json").metrics
    assert ({"dice/lesion", "auroc_pixel_error", "u_pixel"} <= set(metrics)) == ("mask" in answers)
    assert ({"acc", "auc", "u_image"} <= set(metrics)) == ("class" in answers)
    assert bool(metrics)
    code, said, err = napari_uml("predict", blobs / "images" / "val0.png", "-m", model, "-o", tmp_path / "out")
    assert code == 0, err
    record = read_run(tmp_path / "out" / "run.json")
    assert record.answers == answers
    assert ("No class" in said) == ("class" not in answers)
    assert bool(record.slices[0].measurements) == ("mask" in answers)
    saved = {path.name for path in (tmp_path / "out").iterdir()}
    assert ({"labels.tif", "uncertainty.tif"} <= saved) == ("mask" in answers)
    assert {"overlay.png", "run.json"} <= saved
    header = (tmp_path / "out" / "results.csv").read_text(encoding="utf-8-sig").splitlines()[0].split(",")
    symbol = "u" if ARCHITECTURES[arch].measure == "vacuity" else "entropy"
    assert (symbol in header) == ("predicted" in header) == ("class" in answers)
    assert (f"mean pixel {symbol}" in header) == ("mask" in answers)


def test_a_run_goes_on_with_its_architecture(run: Path, napari_uml: Command, arch: str) -> None:
    other = "ec" if arch != "ec" else "bcs"
    code, _, err = napari_uml("train", "--resume", "-o", run, "--arch", other)
    assert (code, "--arch" in err) == (2, True)
    code, _, err = napari_uml("train", "--resume", "-o", run, "--arch", arch)
    assert (code, read_plan(run).network.arch) == (0, arch), err


def test_the_card_promises_what_the_model_answers(run: Path, arch: str) -> None:
    card = model_card(read_info(run / MODEL), [], "00", 1)
    assert ("**lesion**" in card) == ("mask" in ARCHITECTURES[arch].answers)
    assert ("**benign, malignant**" in card) == ("class" in ARCHITECTURES[arch].answers)
    assert (f"A baseline, {ARCHITECTURES[arch].title}" in card) == (arch != "uml")


def test_start_weights_decide_the_architecture(run: Path, blobs: Path, napari_uml: Command, arch: str) -> None:
    tuned = run.parent / "tuned"
    code, _, err = napari_uml("train", blobs, "-o", tuned, "--from", run, "--epochs", 1, "--batch-size", 4)
    assert (code, read_plan(tuned).network.arch) == (0, arch), err
    other = "ec" if arch != "ec" else "bcs"
    code, _, err = napari_uml("train", blobs, "-o", run.parent / "other", "--from", run, "--arch", other)
    assert (code, "Expected the architecture of the start weights" in err) == (2, True)


def test_an_unknown_architecture_is_refused(blobs: Path, napari_uml: Command, tmp_path: Path) -> None:
    code, _, err = napari_uml("train", blobs, "-o", tmp_path / "run", "--arch", "unet")
    assert (code, "dsi-net" in err) == (2, True)
