"""`napari-uml calibrate` as a user types it; what it opens, and what the predictor makes of it."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors import safe_open

from napari_uml.data.dataset import read_dataset, read_pair
from napari_uml.data.reading import read_image
from napari_uml.errors import WeightsError
from napari_uml.evaluation.card import model_card
from napari_uml.evaluation.record import Metric, MetricsRecord
from napari_uml.inference.analysis import analyse
from napari_uml.inference.predictor import UMLPredictor
from napari_uml.inference.run_record import RunSettings
from napari_uml.training.export import export_run
from napari_uml.weights import load_tensors, read_info, sha256, write_info

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Command = Callable[..., tuple[int, str, str]]

CPU = ("--device", "cpu", "--precision", "float32")


@pytest.fixture
def model(make_run: Callable[..., Path]) -> Path:
    run = make_run()
    export_run(run)
    return run / "model.safetensors"


def calibrated(napari_uml: Command, model: Path, blobs: Path, output: Path) -> Path:
    code, _, err = napari_uml("calibrate", model, blobs, *CPU, "-o", output)
    assert (code, err) == (0, "")
    return output


def test_calibration_is_written_beside_tensors_that_stay_the_same(
    napari_uml: Command, model: Path, blobs: Path, tmp_path: Path
) -> None:
    before, former = model.read_bytes(), read_info(model)
    out = calibrated(napari_uml, model, blobs, tmp_path / "out.safetensors")
    assert model.read_bytes() == before
    info = read_info(out)
    assert info.calibration.source == "Blobs val, n = 4"
    assert info.model_copy(update={"calibration": None}) == former
    old, new = load_tensors(model), load_tensors(out)
    assert old.keys() == new.keys()
    assert all(bool((old[name] == new[name]).all()) for name in old)
    with safe_open(out, framework="np") as file, safe_open(model, framework="np") as first:
        for name in first.keys():  # noqa: SIM118 (no mapping)
            assert file.get_tensor(name).dtype == first.get_tensor(name).dtype


def test_the_file_itself_is_changed_only_when_its_path_is_given(napari_uml: Command, model: Path, blobs: Path) -> None:
    code, out, _ = napari_uml("calibrate", model, blobs, *CPU)
    assert code == 0
    assert f"Written into {model}" in out
    assert read_info(model).calibration.n == 4
    code, _, err = napari_uml("calibrate", "breast-ultrasound", blobs)
    assert (code, err.count("\n")) == (2, 1)
    assert "registered model 'breast-ultrasound'" in err


def test_the_card_beside_the_file_says_how_it_is_calibrated_now(napari_uml: Command, model: Path, blobs: Path) -> None:
    card, size = model.with_suffix(".md"), model.stat().st_size
    record = MetricsRecord(model="blobs", dataset="Blobs", split="val", n=4, metrics={"acc": Metric(value=0.9, n=4)})
    card.write_text(model_card(read_info(model), [(0.0, record)], sha256(model), size), encoding="utf-8")
    for _ in range(2):
        code, out, err = napari_uml("calibrate", model, blobs, *CPU)
        assert (code, err) == (0, "")
        assert f"Written into {card}, too." in out
        text = card.read_text(encoding="utf-8")
        assert "Not calibrated" not in text
        assert text.count("Fitted on Blobs val, n = 4") == 1
        assert text.count("were measured before this calibration") == 1
        assert "| `acc` | 0.900 |" in text
        assert re.findall("SHA-256 `(.*)`", text) == [hashlib.sha256(model.read_bytes()).hexdigest()]


@pytest.mark.parametrize("of_these_weights", [True, False])
def test_a_new_file_gets_the_card_of_the_weights_with_its_calibration(
    napari_uml: Command, model: Path, blobs: Path, tmp_path: Path, of_these_weights: bool
) -> None:
    card, new = model.with_suffix(".md"), tmp_path / "new" / "mine.safetensors"
    new.parent.mkdir()
    digest = sha256(model) if of_these_weights else 64 * "0"
    card.write_text(model_card(read_info(model), [], digest, model.stat().st_size) + "\nMine.\n", encoding="utf-8")
    before = card.read_bytes()
    code, out, err = napari_uml("calibrate", model, blobs, *CPU, "-o", new)
    assert (code, err, card.read_bytes()) == (0, "", before)
    written = new.with_suffix(".md")
    assert written.exists() == of_these_weights == ("too." in out)
    if of_these_weights:
        text = written.read_text(encoding="utf-8")
        assert "Fitted on Blobs val, n = 4" in text
        assert sha256(new) in text


@pytest.mark.parametrize("text", ["# My notes", "## Calibration\n\nFine.\n\n## File\n\nSHA-256 `00`\n"])
def test_a_card_of_something_else_stays_and_that_is_said(
    napari_uml: Command, model: Path, blobs: Path, text: str
) -> None:
    card = model.with_suffix(".md")
    card.write_text(text)
    code, out, _ = napari_uml("calibrate", model, blobs, *CPU)
    assert code == 0
    assert f"{card} stays as it is" in out
    assert card.read_text() == text


def test_a_file_that_is_there_is_kept(napari_uml: Command, model: Path, blobs: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    file.write_text("mine")
    assert napari_uml("calibrate", model, blobs, "-o", file)[0] == 2
    assert file.read_text() == "mine"


def test_no_image_mask_or_label_of_another_split_is_looked_at(
    napari_uml: Command, model: Path, blobs: Path, tmp_path: Path
) -> None:
    first = read_info(calibrated(napari_uml, model, blobs, tmp_path / "first.safetensors"))
    for i in range(8):
        (blobs / "images" / f"train{i}.png").write_bytes(b"poison")
        (blobs / "masks" / f"train{i}.png").write_bytes(b"poison")
    table = (blobs / "index.csv").read_text().splitlines()
    swap = {"benign": "malignant", "malignant": "benign"}
    changed = [",".join(swap.get(cell, cell) for cell in r.split(",")) if "train" in r else r for r in table]
    assert changed != table
    (blobs / "index.csv").write_text("\n".join(changed) + "\n")
    assert read_info(calibrated(napari_uml, model, blobs, tmp_path / "second.safetensors")) == first
    assert napari_uml("calibrate", model, blobs, *CPU, "--split", "train")[0] == 2


def test_the_predictor_scales_its_evidence_unless_told_not_to(
    napari_uml: Command, model: Path, blobs: Path, tmp_path: Path
) -> None:
    out = calibrated(napari_uml, model, blobs, tmp_path / "out.safetensors")
    dataset = read_dataset(blobs)
    image, _ = read_pair(dataset, dataset.of_split("val")[0])
    plain = UMLPredictor.load(model, "cpu", "float32").predict(image)
    own = UMLPredictor.load(out, "cpu", "float32", calibrated=False)
    scaled = UMLPredictor.load(out, "cpu", "float32").predict(image)
    of_class, _ = scaled.evidence_scales
    assert scaled.evidence_scales == read_info(out).calibration.evidence_scales
    assert of_class != 1
    assert scaled.opinion.evidence == pytest.approx(of_class * plain.opinion.evidence, rel=1e-4)
    assert scaled.opinion.predicted == plain.opinion.predicted
    assert own.info.calibration is None
    assert np.array_equal(own.predict(image).pixel_uncertainty, plain.pixel_uncertainty)
    assert own.predict(image).evidence_scales == (1.0, 1.0)


@pytest.mark.parametrize("as_calibrated", [True, False])
def test_a_run_is_repeated_with_the_scales_that_it_was_made_with(
    napari_uml: Command, model: Path, blobs: Path, tmp_path: Path, as_calibrated: bool
) -> None:
    out = calibrated(napari_uml, model, blobs, tmp_path / "out.safetensors")
    predictor = UMLPredictor.load(out, "cpu", "float32", calibrated=as_calibrated)
    record = analyse(predictor, read_image(blobs / "images" / "val0.png"), RunSettings()).record
    assert (record.evidence_scales != (1.0, 1.0)) == as_calibrated
    run = tmp_path / "run.json"
    run.write_text(record.model_dump_json())
    code, said, err = napari_uml("replay", run)
    assert (code, err) == (0, "")
    assert "agree to the last bit" in said


def test_a_write_that_fails_leaves_the_weights_as_they_were(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = model.read_bytes()
    monkeypatch.setattr("os.replace", full)
    with pytest.raises(WeightsError, match="No space left"):
        write_info(model, read_info(model).model_copy(update={"version": "2"}))
    assert model.read_bytes() == before
    assert [path.name for path in model.parent.glob("*safetensors*")] == [model.name]


def test_tensors_start_at_a_multiple_of_eight_bytes_and_end_the_file(model: Path, tmp_path: Path) -> None:
    before = model.read_bytes()
    tensors = before[8 + int.from_bytes(before[:8], "little") :]
    for title in ("Ä", "two", "three and more"):
        write_info(model, read_info(model).model_copy(update={"title": title}), tmp_path / "new.safetensors")
        after = (tmp_path / "new.safetensors").read_bytes()
        assert int.from_bytes(after[:8], "little") % 8 == 0
        assert after.endswith(tensors)
        assert read_info(tmp_path / "new.safetensors").title == title


def test_a_data_set_counts_once(napari_uml: Command, model: Path, blobs: Path) -> None:
    before = model.read_bytes()
    code, _, err = napari_uml("calibrate", model, blobs, blobs / ".." / blobs.name, *CPU)
    assert (code, err.count("\n")) == (2, 1)
    assert f"Expected each data set once, got {blobs} again" in err
    assert model.read_bytes() == before
