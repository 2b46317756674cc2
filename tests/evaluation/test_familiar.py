"""The gate knows the training images' kind, and sees what is of another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from shutil import copyfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter
from tests.test_view import info
from tests.tiny import tiny_dataset

from napari_uml.calibration import Calibration, Knot
from napari_uml.data.dataset import read_dataset, read_pair
from napari_uml.data.view import network_view
from napari_uml.evaluation.familiar import Looks, fit_familiarity, looked_at, looks_at, mirrored, reach_of
from napari_uml.familiarity import DETAIL, LIGHT, STATISTICS, Familiarity, FeatureSpace, picture_statistics
from napari_uml.inference.likeness import DO_NOT_RELY, is_unlike, unlike_training

if TYPE_CHECKING:
    from pathlib import Path

    from napari_uml.data.dataset import Dataset
    from napari_uml.weights import WeightsInfo


@dataclass
class Seeing:
    """In place of a predictor: its features are the brightness of the quarters of what it sees, if it has some."""

    info: WeightsInfo
    blind: bool = False

    def features(self, view: np.ndarray) -> np.ndarray | None:
        half = len(view) // 2
        parts = (view[:half, :half], view[:half, half:], view[half:, :half], view[half:, half:])
        return None if self.blind else np.array([part.mean() for part in parts])


def fitted(dataset: Dataset, blind: bool = True) -> Familiarity:
    return fit_familiarity([dataset], Seeing(info(), blind))


def statistics_of(dataset: Dataset, split: str) -> np.ndarray:
    return looks_at([dataset], Seeing(info(), blind=True), split).statistics


def statistics_of_training(dataset: Dataset) -> np.ndarray:
    """Those of mirrored images, too."""
    views = [network_view(read_pair(dataset, record)[0], 64, 1) for record in dataset.of_split("train")]
    return np.array([picture_statistics(view) for view in (*views, *map(mirrored, views))])


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return read_dataset(tiny_dataset(tmp_path / "blobs"))


def test_statistics_by_hand() -> None:
    even = np.full((64, 64, 3), 0.25)
    found = picture_statistics(even)
    assert len(found) == STATISTICS
    assert found[[0, 2, 4, 6]] == pytest.approx(0.25)
    assert found[1] == pytest.approx(0, abs=1e-12)
    assert found[7:14] == pytest.approx(np.log(1e-3))
    assert found[14:] == pytest.approx(0, abs=1e-12)
    board = np.indices((64, 64)).sum(axis=0)[..., None].repeat(3, axis=2) % 2.0
    assert picture_statistics(board)[7] == pytest.approx(np.log(0.501))  # all detail is in the finest pixels
    half = np.concatenate([np.zeros((64, 32, 3)), np.ones((64, 32, 3))], axis=1)
    assert picture_statistics(half)[-16:].reshape(4, 4)[0] == pytest.approx([-0.5, -0.5, 0.5, 0.5])


def test_a_mirrored_image_is_as_far_away(dataset: Dataset) -> None:
    gate, seeing = fitted(dataset, blind=False), Seeing(info())
    for record in dataset.of_split("val"):
        view = network_view(read_pair(dataset, record)[0], 64, 1)
        one, other = ((picture_statistics(v), seeing.features(v)) for v in (view, mirrored(view)))
        assert not np.allclose(one[0], other[0], atol=1e-3)
        assert gate.distances(*other) == pytest.approx(gate.distances(*one), rel=1e-3)


def test_distance_is_mahalanobis_as_scikit_learn_has_it(dataset: Dataset) -> None:
    from sklearn.covariance import LedoitWolf

    gate, train = fitted(dataset), statistics_of_training(dataset)
    standard = (train - train.mean(axis=0)) / np.maximum(train.std(axis=0), 0.01)
    expected = np.sqrt(LedoitWolf(assume_centered=True).fit(standard).mahalanobis(standard) / STATISTICS)
    assert [gate.distances(row)[0] for row in train] == pytest.approx(expected, rel=1e-3)
    assert (gate.n, gate.n_val, gate.false_alarms) == (8, 4, 0.2)


@pytest.mark.parametrize(("part", "name"), [(DETAIL, "detail"), (LIGHT, "light")])
def test_distance_in_a_part_is_that_of_its_statistics_alone_in_the_range_of_the_whole(
    dataset: Dataset, part: tuple[int, ...], name: str
) -> None:
    from sklearn.covariance import LedoitWolf

    gate, train = fitted(dataset), statistics_of_training(dataset)
    standard = (train - train.mean(axis=0)) / np.maximum(train.std(axis=0), 0.01)
    covariance = LedoitWolf(assume_centered=True).fit(standard).covariance_[np.ix_(part, part)]
    alone = standard[:, part]
    expected = np.sqrt((np.linalg.solve(covariance, alone.T).T * alone).sum(axis=1) / len(part))
    distances = [gate.distances(row) for row in train]
    everything, found = [d.everything for d in distances], [getattr(d, name) for d in distances]
    assert found == pytest.approx(getattr(gate, f"{name}_scale") * expected, rel=1e-3)
    assert np.quantile(found, 0.95) == pytest.approx(np.quantile(everything, 0.95), rel=1e-3)
    before = gate.model_copy(update={"detail_scale": 0.0, "light_scale": 0.0})  # a file from before they counted
    assert [before.distance(row) for row in train] == pytest.approx(everything)


def test_distance_in_features_is_mahalanobis_along_the_axes_and_even_beside_them() -> None:
    space = FeatureSpace(
        centre=(1.0, 0.0, 0.0), spread=(1.0, 2.0, 1.0), axes=((1.0, 0.0, 0.0),), variances=(4.0,), rest=0.25, scale=2.0
    )
    assert space.distance(np.array([1.0, 0.0, 0.0])) == 0
    off = np.array([2.0, 4.0, 1.0])  # standardised 1, 2, 1
    assert space.distance(off) == pytest.approx(2 * np.sqrt((1 / 4 + (4 + 1) / 0.25) / 3))
    with pytest.raises(ValueError, match="Expected 3 features"):
        space.distance(np.zeros(4))
    with pytest.raises(ValidationError, match="as many numbers of every feature"):
        FeatureSpace.model_validate({**space.model_dump(), "axes": ((1.0, 0.0),)})


def test_what_the_network_sees_counts_where_the_picture_looks_alike(dataset: Dataset) -> None:
    gate, seeing = fitted(dataset, blind=False), Seeing(info())
    assert gate.features is not None
    val, train = (looks_at([dataset], seeing, split) for split in ("val", "train"))
    distances = val.distances(gate)
    assert distances.max() <= gate.threshold
    assert np.quantile(distances[:, 3], 0.95) == pytest.approx(np.quantile(distances[:, :3], 0.95, axis=0).max())
    statistics = train.statistics[0]
    assert gate.distance(statistics, train.features[0]) < gate.threshold < gate.distance(statistics, np.full(4, 9.0))
    assert gate.distances(statistics).features == 0  # where the network has not looked
    alone = Looks(val.statistics, None)
    np.testing.assert_array_equal(alone.distances(gate)[:, :3], distances[:, :3])


def test_what_is_unlike_is_said_where_it_is_the_detail_alone(dataset: Dataset) -> None:
    gate = fitted(dataset)
    pixels, _ = read_pair(dataset, dataset.of_split("val")[0])
    blurred = gaussian_filter(pixels, 2)
    everything, detail, light, _ = gate.distances(picture_statistics(network_view(blurred, 64, 1)))
    for of_detail, of_light, said in (
        (0.5, 0.5, "The image is unlike the training images"),
        (2.0, 0.5, "The image's detail (sharpness, noise, contrast) is unlike that of the training images"),
        (0.5, 2.0, "The image's brightness is unlike that of the training images"),
    ):
        changes = {
            "detail_scale": of_detail * everything / detail * gate.detail_scale,
            "light_scale": of_light * everything / light * gate.light_scale,
            "threshold": 0.999 * max(1.0, of_detail, of_light) * everything,
        }
        gated = info().model_copy(update={"familiarity": gate.model_copy(update=changes)})
        assert any(said in sentence for sentence in unlike_training(blurred, gated))


def test_images_that_are_all_the_same_have_a_gate_without_detail(dataset: Dataset) -> None:
    first = dataset.folder / dataset.of_split("train")[0].image
    for record in dataset.of_split("train")[1:]:
        copyfile(first, dataset.folder / record.image)
    gate = fitted(dataset)
    assert gate.detail_scale == 0
    assert gate.distance(picture_statistics(np.zeros((64, 64, 3)))) >= 0


def test_a_gate_without_an_inverse_is_refused(dataset: Dataset) -> None:
    gate = fitted(dataset)
    flat = {**gate.model_dump(), "precision": ((1.0,) * STATISTICS,) * STATISTICS}
    with pytest.raises(ValidationError, match="precision that has an inverse"):
        Familiarity.model_validate(flat)


def test_no_validation_image_is_unfamiliar_but_noise_and_inversion_are(dataset: Dataset) -> None:
    gate = fitted(dataset)
    assert max(gate.distance(row) for row in statistics_of(dataset, "val")) <= gate.threshold
    pixels, _ = read_pair(dataset, dataset.of_split("val")[0])
    view = network_view(pixels, 64, 1)
    noise = np.random.default_rng(0).normal(0, 0.3, view.shape[:2])[..., None]
    for other in (1 - view, (view + noise).clip(0, 1), np.zeros_like(view)):
        assert gate.distance(picture_statistics(other)) > gate.threshold


def test_the_warning_of_the_dock_uses_the_gate(dataset: Dataset) -> None:
    pixels, _ = read_pair(dataset, dataset.of_split("val")[0])
    gated = info().model_copy(update={"familiarity": fitted(dataset)})
    said = "unlike the training images (distance"
    assert not any(said in sentence for sentence in unlike_training(pixels, gated))
    assert any(said in sentence for sentence in unlike_training(1 - pixels, gated))
    assert not any(said in sentence for sentence in unlike_training(1 - pixels, info()))
    views = (network_view(pixels, 64, 1), network_view(1 - pixels, 64, 1))
    assert [is_unlike(view, None, model) for view in views for model in (gated, info())] == [0, 0, 1, 0]


def test_errors_that_were_measured_on_images_further_away_are_known_of_such(dataset: Dataset) -> None:
    pixels, _ = read_pair(dataset, dataset.of_split("val")[0])
    model = info().model_copy(update={"familiarity": fitted(dataset)})
    near = model.familiarity.distance(picture_statistics(network_view(pixels, 64, 1)))
    far = model.familiarity.distance(picture_statistics(network_view(1 - pixels, 64, 1)))
    reach = reach_of([dataset], Seeing(model, blind=True), "val")
    assert reach <= max(model.familiarity.distance(row) for row in statistics_of(dataset, "val"))
    assert reach_of([dataset], Seeing(info()), "val") == 0
    knots = (Knot(uncertainty=0.5, chance=0.1, low=0.0, high=0.2),)
    for known, expected in ((reach, True), (far, False)):
        measured = Calibration(dataset="x", split="val", n=9, knots=knots, referral_threshold=0.5, reach=known)
        assert (
            is_unlike(network_view(1 - pixels, 64, 1), None, model.model_copy(update={"calibration": measured}))
            == expected
        )
        assert not is_unlike(network_view(pixels, 64, 1), None, model.model_copy(update={"calibration": measured})), (
            near
        )


def test_too_few_images_are_refused(dataset: Dataset) -> None:
    with pytest.raises(ValueError, match="got 8 and 0"):
        fitted(replace(dataset, records=dataset.of_split("train")))


def test_images_that_nobody_annotated_are_no_training_images(dataset: Dataset) -> None:
    bare = replace(dataset.records[0], image="images/bare.png", mask="", label="", split="train")
    grown = replace(dataset, records=(*dataset.records, bare))
    assert looked_at(grown, "train") == dataset.of_split("train")


def test_an_image_within_the_reach_of_the_calibration_gets_no_warning(dataset: Dataset) -> None:
    pixels = 1 - read_pair(dataset, dataset.of_split("val")[0])[0]
    model = info().model_copy(update={"familiarity": fitted(dataset)})
    assert any(DO_NOT_RELY in sentence for sentence in unlike_training(pixels, model))
    knots = (Knot(uncertainty=0.5, chance=0.1, low=0.0, high=0.2),)
    reaching = Calibration(dataset="x", split="val", n=9, knots=knots, referral_threshold=0.5, reach=1e6)
    known = unlike_training(pixels, model.model_copy(update={"calibration": reaching}))
    assert not any(DO_NOT_RELY in sentence for sentence in known)
