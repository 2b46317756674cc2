"""`napari-uml evaluate` as a user types it; the network has learnt nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from napari_uml.cli.evaluate import output_files
from napari_uml.data.dataset import read_dataset
from napari_uml.evaluation.compare import compare
from napari_uml.evaluation.comparison import read_comparison
from napari_uml.evaluation.evaluate import evaluate
from napari_uml.evaluation.record import format_table, read_record
from napari_uml.inference.predictor import UMLPredictor
from napari_uml.inference.ways import load_way
from napari_uml.training.export import export_run

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[..., tuple[int, str, str]]

CPU = ("--device", "cpu", "--precision", "float32")


@pytest.fixture
def model(make_run: Callable[..., Path]) -> Path:
    run = make_run()
    export_run(run)
    return run / "model.safetensors"


def test_file_and_table_have_the_figures_of_python(
    napari_uml: Command, model: Path, blobs: Path, tmp_path: Path
) -> None:
    file = tmp_path / "figures.json"
    code, out, err = napari_uml("evaluate", blobs, "-m", model, *CPU, "-o", file)
    record = evaluate(UMLPredictor.load(model, "cpu", "float32"), read_dataset(blobs), "val")
    assert (code, err) == (0, "")
    assert out == f"sigma 0: {format_table(record)}\n\n"
    assert read_record(file) == record
    assert set(json.loads(file.read_text())) == {"model", "dataset", "split", "n", "metrics"}


def test_several_sigmas_have_a_table_and_a_file_each(
    napari_uml: Command, model: Path, blobs: Path, tmp_path: Path
) -> None:
    sigmas = ("--sigma", 0, "--sigma", 0.2, "--sigma", 0.2, "--seed", 3)
    code, out, _ = napari_uml(
        "evaluate", blobs, "-m", model, *CPU, *sigmas, "--split", "train", "-o", tmp_path / "f.json"
    )
    assert code == 0
    assert [line.split(":")[0] for line in out.splitlines() if line.startswith("sigma")] == ["sigma 0", "sigma 0.2"]
    clean, noisy = (read_record(tmp_path / f"f-sigma-{sigma}.json") for sigma in ("0", "0.2"))
    assert clean.n == noisy.n == 8
    assert clean.metrics["u_pixel"] != noisy.metrics["u_pixel"]
    assert noisy == evaluate(UMLPredictor.load(model, "cpu", "float32"), read_dataset(blobs), "train", 0.2, 3)


def test_single_sigma_has_the_file_asked_for() -> None:
    assert output_files(Path("a/f.json"), [0.05]) == {0.05: Path("a/f.json")}
    assert output_files(None, [0.0, 0.05]) == {}


def test_existing_file_is_kept_and_nothing_computed(
    napari_uml: Command, blobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UMLPredictor, "load", lambda *_: pytest.fail("loaded"))
    file = tmp_path / "figures.json"
    file.write_text("mine")
    code, _, err = napari_uml("evaluate", blobs, "-m", "any", "-o", file)
    assert (code, err.count("\n")) == (2, 1)
    assert "--overwrite" in err
    assert file.read_text() == "mine"


def test_existing_file_is_replaced_when_asked(napari_uml: Command, model: Path, blobs: Path, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    file.write_text("old")
    assert napari_uml("evaluate", blobs, "-m", model, *CPU, "-o", file, "--overwrite")[0] == 0
    assert read_record(file).model == "blobs"


def test_every_broken_file_is_named(napari_uml: Command, model: Path, blobs: Path) -> None:
    for name in ("val0.png", "val3.png"):
        (blobs / "images" / name).write_bytes(b"broken")
    code, out, err = napari_uml("evaluate", blobs, "-m", model, *CPU)
    assert (code, out) == (2, "")
    assert [name in line for name, line in zip(("val0.png", "val3.png"), err.splitlines(), strict=True)] == [True, True]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere", "-m", "{model}"), "nowhere"),
        (("{blobs}", "-m", "nobody"), "nobody"),
        (("{blobs}", "-m", "{model}", "--split", "test"), "split test"),
        (("{blobs}", "-m", "{model}", "--split", "all"), "--split"),
        (("{blobs}", "-m", "{model}", "--sigma", "2"), "sigma"),
        (("{blobs}",), "--model"),
    ],
)
def test_wrong_input_gives_one_line(
    arguments: tuple[str, ...], words: str, napari_uml: Command, model: Path, blobs: Path
) -> None:
    code, out, err = napari_uml("evaluate", *(argument.format(model=model, blobs=blobs) for argument in arguments))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err


def test_masks_of_nothing_but_255_are_refused(napari_uml: Command, model: Path, blobs: Path) -> None:
    for path in (blobs / "masks").iterdir():
        with Image.open(path) as mask:
            Image.fromarray((np.asarray(mask) > 0).astype(np.uint8) * 255).save(path)
    code, out, err = napari_uml("evaluate", blobs, "-m", model, *CPU)
    assert (code, out) == (2, "")
    assert "got only 0 and 255, which means not annotated; write 1 instead of 255" in err


def test_nothing_is_evaluated_for_a_file_or_a_sigma_that_cannot_be(
    napari_uml: Command, model: Path, blobs: Path, tmp_path: Path
) -> None:
    below_a_file = model / "figures.json"
    code, out, err = napari_uml("evaluate", blobs, "-m", model, *CPU, "-o", below_a_file)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "Expected a folder to write into" in err
    for more in ((), ("--overwrite",)):
        code, out, err = napari_uml("evaluate", blobs, "-m", model, *CPU, "-o", tmp_path, *more)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "is a folder; name a file in it" in err
    code, out, _ = napari_uml("evaluate", blobs, "-m", model, *CPU, "--sigma", 0, "--sigma", 7)
    assert (code, out) == (2, "")
    assert napari_uml("evaluate", blobs, "-m", model, *CPU, "-o", tmp_path / "a" / "b" / "f.json")[0] == 0
    assert (tmp_path / "a" / "b" / "f.json").is_file()


def test_two_models_are_compared_on_the_same_images(
    napari_uml: Command, make_run: Callable[..., Path], blobs: Path, tmp_path: Path
) -> None:
    models = [make_run(name) for name in ("one", "two")]
    for run in models:
        export_run(run)
    one, two = (run / "model.safetensors" for run in models)
    file = tmp_path / "both.json"
    code, out, err = napari_uml("compare", one, two, "--on", blobs, "--split", "train", "--sigma", 0.1, "-o", file)
    assert (code, err) == (0, "")
    assert "n = 8; in brackets" in out
    found = read_comparison(file)
    assert found.before == found.after  # the same weights and the same noise
    assert found.after.split == "train"
    assert {metric.value for metric in found.difference.values()} == {0}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--on", "blobs"), "Expected two models for --on"),
        (("other.safetensors",), "Expected --on DATASET with two models"),
        (("other.safetensors", "--on", "blobs", "--install", "x"), "--install with a run alone"),
    ],
)
def test_options_that_do_not_belong_together_are_refused(
    napari_uml: Command, words: tuple[str, ...], said: str
) -> None:
    code, _, err = napari_uml("compare", "one.safetensors", *words)
    assert (code, said in err) == (2, True)


def test_entropy_is_not_compared_with_u(model: Path, blobs: Path, tmp_path: Path) -> None:
    looks_once, looks_often = UMLPredictor.load(model), load_way("augmentation", [model])
    found = compare(looks_once, looks_often, blobs)
    assert "u_pixel" in found.after.metrics
    assert "u_pixel" not in found.difference
    assert "auroc_pixel_error" in found.difference
