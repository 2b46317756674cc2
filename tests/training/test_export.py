"""A run becomes a weights file that loads by itself and says where it comes from."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from napari_uml.calibration import Calibration
from napari_uml.config import Focus
from napari_uml.data.training_list import TrainingList
from napari_uml.errors import DatasetError, WeightsError
from napari_uml.inference.predictor import UMLPredictor
from napari_uml.training.checkpoint import BEST, load_checkpoint, save_checkpoint
from napari_uml.training.export import export_run
from napari_uml.training.plan import MODEL
from napari_uml.weights import load_tensors, read_info, write_info

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_uml.training.plan import RunPlan

    MakeRun = Callable[..., Path]


def test_file_holds_the_best_epoch_in_half_precision(make_run: MakeRun) -> None:
    run = make_run()
    export_run(run)
    best = load_checkpoint(run / BEST).shown
    tensors = load_tensors(run / "model.safetensors")
    assert tensors.keys() == best.keys()
    for name, tensor in best.items():
        torch.testing.assert_close(tensors[name].float(), tensor.float(), rtol=1e-3, atol=1e-6)


def test_averaged_weights_are_preferred(make_run: MakeRun) -> None:
    run = make_run()
    values = torch.load(run / BEST, weights_only=True)
    values["averaged"] = {name: torch.full_like(tensor, 2) for name, tensor in values["weights"].items()}
    torch.save(values, run / BEST)
    export_run(run)
    assert all((tensor == 2).all() for tensor in load_tensors(run / "model.safetensors").values())


def test_model_predicts(make_run: MakeRun, tmp_path: Path) -> None:
    path = tmp_path / "elsewhere" / "model.safetensors"
    export_run(make_run(), path, version="7")
    predictor = UMLPredictor.load(path, "cpu", "float32")
    prediction = predictor.predict(np.random.default_rng(0).random((40, 50), dtype=np.float32))
    assert prediction.mask.shape == (40, 50)
    assert prediction.opinion.class_names == ("benign", "malignant")
    assert predictor.info.version == "7"


def test_file_says_where_it_comes_from(make_run: MakeRun, make_plan: Callable[..., RunPlan]) -> None:
    told = {
        "focus": Focus(structures=("lesion",)),
        "started_from": "the model x, version 1",
        "licence": "Blobs: CC0\nMore: BY",
        "earlier": ("first", "second"),
    }
    run = make_run(**told)
    info = export_run(run)
    plan = make_plan(**told)
    assert info == read_info(run / "model.safetensors")
    assert (info.name, info.title, info.task, info.config) == (plan.name, plan.title, plan.task, plan.network)
    assert (info.image_size, info.focus, info.licence) == (64, plan.focus, plan.licence)
    assert info.validation == {"dice_present/lesion": 0.5, "auc": 0.75}
    assert info.training == {
        "datasets": {"Blobs": {"train": 8, "val": 4}}, "settings": plan.settings.model_dump(mode="json"),
        "vertical_flip": False, "epoch": 1, "epochs": 3, "seconds": 180, "command": plan.command,
        "started_from": "the model x, version 1", "earlier": ["first", "second"], "start_share": 0.0,
        "keeps_class": False,
    }  # fmt: skip


def test_a_calibration_stays_with_its_tensors_and_the_gate_is_fitted(make_run: MakeRun) -> None:
    run = make_run()
    gate = export_run(run).familiarity
    assert (gate.n, gate.n_val) == (8, 4)
    knots = ({"uncertainty": 0.2, "chance": 0.1, "low": 0.0, "high": 0.3},)
    fitted = Calibration(dataset="Blobs", split="val", n=4, knots=knots, referral_threshold=0.1)
    write_info(run / MODEL, read_info(run / MODEL).model_copy(update={"calibration": fitted}))
    assert export_run(run).calibration == fitted
    best = load_checkpoint(run / BEST)
    name = next(name for name, tensor in best.weights.items() if tensor.is_floating_point())
    other = {**best.weights, name: best.weights[name] + 1}
    save_checkpoint(run / BEST, replace(best, weights=other))
    assert export_run(run).calibration is None
    (run / MODEL).write_bytes(b"damaged")
    assert export_run(run).name == "blobs"


def test_images_that_came_while_it_trained_are_not_counted(make_run: MakeRun, blobs: Path) -> None:
    began = {"Blobs": {"train": 8, "val": 4}}
    run = make_run(images=began)
    TrainingList.open(blobs).add_array(np.eye(48, 56, dtype=np.uint8), label="benign")
    assert export_run(run).training["datasets"] == began
    assert export_run(make_run("older")).training["datasets"] == {"Blobs": {"train": 9, "val": 4}}


def test_intensity_is_that_of_the_training_images(make_run: MakeRun, blobs: Path) -> None:
    for path in (blobs / "images").glob("*.png"):
        halves = np.full((48, 56), 51, np.uint8)
        halves[:, 28:] = 153 if path.name.startswith("train") else 255
        Image.fromarray(halves).save(path)
    intensity = export_run(make_run()).intensity
    assert intensity["mean"] == pytest.approx((0.4,), abs=0.01)
    assert intensity["std"] == pytest.approx((0.2,), abs=0.01)


def test_intensity_of_many_images_comes_from_some_all_over(
    make_run: MakeRun, blobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_uml.training.export.INTENSITY_IMAGES", 3)
    monkeypatch.setattr("napari_uml.evaluation.familiar.MOST_IMAGES", 3)
    for number in {*range(8)} - {0, 3, 6}:
        (blobs / "images" / f"train{number}.png").write_bytes(b"not read")
    assert 0 < export_run(make_run()).intensity["mean"][0] < 1


def test_run_without_a_checkpoint_is_refused(make_run: MakeRun) -> None:
    run = make_run()
    (run / BEST).unlink()
    with pytest.raises(WeightsError, match=r"best\.ckpt"):
        export_run(run)


def test_lost_data_set_is_named(make_run: MakeRun, blobs: Path) -> None:
    run = make_run()
    shutil.rmtree(blobs)
    with pytest.raises(DatasetError, match=str(blobs)):
        export_run(run)
    assert not (run / "model.safetensors").exists()


def test_a_process_that_ends_while_the_gate_is_fitted_leaves_a_model(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    run = make_run()
    monkeypatch.setattr("napari_uml.training.export.fit_familiarity", killed)
    with pytest.raises(KeyboardInterrupt):
        export_run(run)
    assert read_info(run / MODEL).familiarity is None
