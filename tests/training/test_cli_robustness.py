"""`napari-uml robustness` as a user types it; the network has learnt nothing."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.tiny import tiny_network

from napari_uml.data.dataset import read_dataset
from napari_uml.evaluation import robustness
from napari_uml.evaluation.evaluate import evaluate
from napari_uml.evaluation.record import Metric
from napari_uml.evaluation.robustness import PANEL, Condition, Robustness, Row, conditions, rise_over_sigma
from napari_uml.evaluation.robustness_output import read_robustness
from napari_uml.inference.corruptions import KINDS, check_corruption
from napari_uml.inference.predictor import UMLPredictor
from napari_uml.results import Corruption
from napari_uml.training.export import export_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Command = Callable[..., tuple[int, str, str]]

CPU = ("--device", "cpu", "--precision", "float32")
FEW = ("--sigma", 0, "--sigma", 0.1, "--sigma", 0.2, "--draws", 2, "--no-panel")


@pytest.fixture
def model(make_run: Callable[..., Path]) -> Path:
    run = make_run()
    export_run(run)
    return run / "model.safetensors"


def test_rows_are_those_of_evaluate_and_files_tell_the_same(
    napari_uml: Command, model: Path, blobs: Path, tmp_path: Path
) -> None:
    code, out, _ = napari_uml("robustness", blobs, "-m", model, "-o", tmp_path / "r", *CPU, *FEW)
    assert code == 0
    result = read_robustness(tmp_path / "r" / "robustness.json")
    assert [str(row.condition) for row in result.rows] == [
        "noise 0", "noise 0.1, seed 0", "noise 0.1, seed 1000", "noise 0.2, seed 0", "noise 0.2, seed 1000",
    ]  # fmt: skip
    predictor = UMLPredictor.load(model, "cpu", "float32")
    same = evaluate(predictor, read_dataset(blobs), "val", 0.1, 1000).metrics
    row = result.rows[2].metrics
    assert {name: metric for name, metric in row.items() if "shift" not in name} == same
    with (tmp_path / "r" / "robustness.csv").open() as file:
        table = list(csv.DictReader(file))
    assert float(table[2]["dice/lesion"]) == row["dice/lesion"].value
    assert table[0]["auroc_shift/u_image"] == ""
    assert float(table[2]["auroc_shift/u_pixel high"]) == row["auroc_shift/u_pixel"].high
    assert (tmp_path / "r" / "robustness.png").read_bytes().startswith(b"\x89PNG")
    assert "spearman/u_image over sigma" in out


def test_a_stopped_run_goes_on_where_it_stopped(
    napari_uml: Command, model: Path, blobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("robustness", blobs, "-m", model, "-o", tmp_path, *CPU)
    napari_uml(*arguments, "--sigma", 0, "--no-panel")
    first = read_robustness(tmp_path / "robustness.json").rows
    code, _, err = napari_uml(*arguments, *FEW)
    assert (code, err.splitlines()[0]) == (0, "1 of 5 conditions are done already.")
    assert read_robustness(tmp_path / "robustness.json").rows[:1] == first
    monkeypatch.setattr(robustness, "score_images", lambda *_: pytest.fail("measured again"))
    assert napari_uml(*arguments, *FEW)[0] == 0


def test_a_run_of_other_images_is_not_continued(napari_uml: Command, model: Path, blobs: Path, tmp_path: Path) -> None:
    arguments = ("robustness", blobs, "-m", model, "-o", tmp_path, *CPU, "--sigma", 0, "--no-panel")
    assert napari_uml(*arguments)[0] == 0
    code, _, err = napari_uml(*arguments, "--split", "train")
    assert (code, err.splitlines()[-1].count("former run")) == (2, 1)
    assert "done already" not in err
    assert napari_uml(*arguments, "--split", "train", "--overwrite")[0] == 0
    (tmp_path / "robustness.json").write_text("mine")
    assert napari_uml(*arguments)[0] == 2
    assert (tmp_path / "robustness.json").read_text() == "mine"


def test_the_panel_has_every_kind_at_allowed_strengths() -> None:
    wanted = conditions()
    assert len(wanted) == 1 + 4 * 3 + sum(map(len, PANEL.values()))
    assert set(PANEL) == set(KINDS)
    assert conditions(seed=5)[0] == wanted[0]  # what is clean has no seed
    assert conditions(seed=5)[1] != wanted[1]
    for condition in wanted[13:]:
        check_corruption(Corruption(condition.kind, condition.strength))
        assert condition.strength != KINDS[condition.kind].neutral


def test_uncertainty_that_rises_with_every_step_has_a_spearman_of_one() -> None:
    def row(sigma: float, u_image: float, u_pixel: float) -> Row:
        n = 4
        return Row(
            condition=Condition(kind="noise", strength=sigma), metrics={"acc": Metric(value=1, n=n)},
            u_image=tuple(u_image + 0.01 * np.arange(n)), u_pixel=(u_pixel,) * n,
        )  # fmt: skip

    rows = tuple(row(s, u, v) for s, u, v in ((0.0, 0.1, 0.4), (0.1, 0.2, 0.3), (0.2, 0.3, 0.2)))
    result = Robustness(
        model="m", weights_sha256="", dataset="d", split="val", groups=("a", "b", "c", "d"), device="cpu",
        precision="float32", rows=rows,
    )  # fmt: skip
    found = rise_over_sigma(result)
    assert found["spearman/u_image"].value == found["spearman/u_image"].low == pytest.approx(1)
    assert found["spearman/u_pixel"].value == pytest.approx(-1)
    assert rise_over_sigma(result.model_copy(update={"rows": rows[:2]})) == {}


def test_a_file_is_no_folder_for_the_results(napari_uml: Command, model: Path, blobs: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    code, _, err = napari_uml("robustness", blobs, "-m", model, "-o", tmp_path / "taken", *CPU, *FEW)
    assert (code, err.count("\n")) == (2, 1)
    assert "Expected a folder to write into" in err


def test_what_a_model_does_not_answer_has_no_uncertainty_that_rises(
    napari_uml: Command, make_run: Callable[..., Path], blobs: Path, tmp_path: Path
) -> None:
    run = make_run(network=tiny_network().model_copy(update={"arch": "ec"}))
    export_run(run)
    model = run / "model.safetensors"
    code, out, _ = napari_uml("robustness", blobs, "-m", model, "-o", tmp_path / "r", *CPU, *FEW)
    assert code == 0
    assert "spearman/u_image" in out
    assert "u_pixel" not in out
