"""A repeated run agrees or not, and what has changed is said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_uml.errors import UMLError, WeightsError
from napari_uml.inference.analysis import analyse, pick_slice
from napari_uml.inference.replay import (
    check_image,
    check_weights,
    compare,
    find_recorded_image,
    find_recorded_weights,
)
from napari_uml.inference.run_record import ModelRecord, RunRecord, RunSettings
from napari_uml.weights import import_weights, sha256

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_uml.data.reading import LoadedImage
    from napari_uml.inference.predictor import UMLPredictor


@pytest.fixture
def image(make_image: Callable[..., LoadedImage]) -> LoadedImage:
    return make_image((3, 30, 40), Path("scan.tif"), True)


@pytest.fixture
def record(predictor: UMLPredictor, image: LoadedImage) -> RunRecord:
    return analyse(predictor, image, RunSettings(sigma=0.1)).record


def changed(record: RunRecord, by: float, **conditions: str) -> RunRecord:
    opinion = record.opinion.model_copy(update={"uncertainty": record.opinion.uncertainty + by})
    return record.model_copy(update={"opinion": opinion, **conditions})


def test_same_run_is_identical(predictor: UMLPredictor, image: LoadedImage, record: RunRecord) -> None:
    comparison = compare(record, analyse(predictor, image, RunSettings(sigma=0.1)).record)
    assert comparison.identical
    assert comparison.agree
    assert comparison.tolerance == 0


def test_other_seed_does_not_agree(predictor: UMLPredictor, image: LoadedImage, record: RunRecord) -> None:
    comparison = compare(record, analyse(predictor, image, RunSettings(sigma=0.1, seed=1)).record)
    assert not comparison.agree


@pytest.mark.parametrize(
    ("by", "conditions", "tolerance", "agree"),
    [
        (1e-9, {}, None, False),
        (0.009, {"precision": "bf16"}, None, True),
        (0.011, {"precision": "bf16"}, None, False),
        (0.009, {"device": "cuda:0"}, None, True),
        (1e-9, {}, 1e-6, True),
        (1e-3, {"precision": "bf16"}, 1e-6, False),
    ],
)
def test_tolerance_is_none_under_the_same_conditions_and_a_hundredth_under_others(
    record: RunRecord, by: float, conditions: dict[str, str], tolerance: float | None, agree: bool
) -> None:
    comparison = compare(record, changed(record, by, **conditions), tolerance)
    assert comparison.agree is agree
    assert comparison.largest == ("uncertainty", pytest.approx(by, rel=1e-3))
    assert comparison.same_masks


def test_other_mask_with_the_same_shares_is_not_identical(record: RunRecord) -> None:
    first = record.slices[0].model_copy(update={"mask_sha256": "0"})
    comparison = compare(record, record.model_copy(update={"slices": (first, *record.slices[1:])}))
    assert not comparison.same_masks
    assert not comparison.agree


def test_runs_about_different_slices_are_refused(record: RunRecord) -> None:
    with pytest.raises(ValueError, match="same classes, structures and slices"):
        compare(record, record.model_copy(update={"slices": record.slices[:1]}))


def test_progress_is_told_slice_by_slice(predictor: UMLPredictor, image: LoadedImage) -> None:
    told: list[tuple[int, int]] = []
    analyse(predictor, image, RunSettings(), lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_slice_that_is_picked_is_predicted_as_an_image(predictor: UMLPredictor, image: LoadedImage) -> None:
    done = analyse(predictor, image, RunSettings(slice_number=1, sigma=0.1, seed=4))
    expected = predictor.predict(image.pixels[1], sigma=0.1, seed=4)
    np.testing.assert_array_equal(done.prediction.pixel_belief, expected.pixel_belief)
    assert done.record.image.shape == (30, 40)


def test_slice_keeps_the_pixel_size(make_image: Callable[..., LoadedImage]) -> None:
    stack = make_image((3, 30, 40), Path("a.tif"), True, spacing=(2.0, 0.5, 0.25), units=("pixel", "mm", "mm"))
    alone = pick_slice(stack, 2)
    assert (alone.spacing, alone.units, alone.is_stack) == ((0.5, 0.25), ("mm", "mm"), False)


@pytest.mark.parametrize(
    ("shape", "number", "words"), [((3, 30, 40), 3, "slice from 0 to 2, got 3"), ((30, 40), 0, "single image")]
)
def test_slice_that_is_not_there_is_refused(
    make_image: Callable[..., LoadedImage], shape: tuple[int, ...], number: int, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        pick_slice(make_image(shape, Path("a.tif"), len(shape) == 3), number)


def test_weights_are_found_where_they_were(weights: Path) -> None:
    model = ModelRecord(name="tiny", version="3", path=str(weights), sha256=sha256(weights))
    assert find_recorded_weights(model) == weights


def test_weights_that_moved_are_found_by_their_hash(weights: Path) -> None:
    import_weights(weights, "another-name")
    found = find_recorded_weights(ModelRecord(name="tiny", version="3", path="/gone", sha256=sha256(weights)))
    assert found.stem == "another-name"


def test_weights_that_are_gone_or_changed_are_said_to_be(weights: Path) -> None:
    with pytest.raises(WeightsError, match=r"'tiny' 3 with the SHA-256 0{12}, they are not on this computer; name"):
        find_recorded_weights(ModelRecord(name="tiny", version="3", path=None, sha256="0" * 64))
    changed_since = ModelRecord(name="tiny", version="3", path=str(weights), sha256="0" * 64)
    with pytest.raises(WeightsError, match="has changed"):
        find_recorded_weights(changed_since)
    with pytest.raises(WeightsError, match="recorded run"):
        check_weights(weights, changed_since)


def test_image_is_found_where_it_was_or_beside_the_record(record: RunRecord, tmp_path: Path) -> None:
    recorded = record.image.model_copy(update={"path": str(tmp_path / "elsewhere" / "scan.tif")})
    with pytest.raises(UMLError, match="it is no longer there"):
        find_recorded_image(recorded, tmp_path / "run.json")
    (tmp_path / "scan.tif").touch()
    assert find_recorded_image(recorded, tmp_path / "run.json") == tmp_path / "scan.tif"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "scan.tif").touch()
    assert find_recorded_image(recorded, tmp_path / "run.json") == tmp_path / "elsewhere" / "scan.tif"


def test_run_on_a_layer_without_a_file_cannot_be_repeated(record: RunRecord) -> None:
    with pytest.raises(UMLError, match="came from no file"):
        find_recorded_image(record.image, Path("run.json"))


def test_image_that_has_changed_is_refused(
    record: RunRecord, make_image: Callable[..., LoadedImage], tmp_path: Path
) -> None:
    (tmp_path / "scan.tif").write_bytes(b"other")
    with pytest.raises(UMLError, match="has changed since the recorded run"):
        check_image(make_image((3, 30, 40), tmp_path / "scan.tif", True, files=(tmp_path / "scan.tif",)), record.image)
