"""The gate knows the training images' kind, and sees what is of another."""

from __future__ import annotations

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
from napari_uml.evaluation.familiar import fit_familiarity, reach_of, statistics_of
from napari_uml.familiarity import DETAIL, STATISTICS, Familiarity, mirrored, picture_statistics
from napari_uml.inference.likeness import is_unlike, unlike_training

if TYPE_CHECKING:
    from pathlib import Path

    from napari_uml.data.dataset import Dataset


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
    model = info()
    gate = fit_familiarity([dataset], model)
    for record in dataset.of_split("val"):
        pixels, _ = read_pair(dataset, record)
        view = network_view(pixels, 64, 1)
        statistics, other = picture_statistics(view), picture_statistics(view[:, ::-1])
        assert mirrored(statistics[None])[0] == pytest.approx(other, abs=1e-6)
        assert not np.allclose(statistics, other, atol=1e-3)
        assert gate.distance(other) == pytest.approx(gate.distance(statistics), rel=1e-3)


def test_distance_is_mahalanobis_as_scikit_learn_has_it(dataset: Dataset) -> None:
    from sklearn.covariance import LedoitWolf

    model = info()
    gate, train = fit_familiarity([dataset], model), statistics_of([dataset], model, "train")
    train = np.concatenate([train, mirrored(train)])
    standard = (train - train.mean(axis=0)) / np.maximum(train.std(axis=0), 0.01)
    expected = np.sqrt(LedoitWolf(assume_centered=True).fit(standard).mahalanobis(standard) / STATISTICS)
    assert [gate.distances(row)[0] for row in train] == pytest.approx(expected, rel=1e-3)
    assert (gate.n, gate.n_val, gate.false_alarms) == (8, 4, 0.2)


def test_distance_in_detail_is_that_of_its_statistics_alone_in_the_range_of_the_other(dataset: Dataset) -> None:
    from sklearn.covariance import LedoitWolf

    model = info()
    gate, train = fit_familiarity([dataset], model), statistics_of([dataset], model, "train")
    train = np.concatenate([train, mirrored(train)])
    standard = (train - train.mean(axis=0)) / np.maximum(train.std(axis=0), 0.01)
    covariance = LedoitWolf(assume_centered=True).fit(standard).covariance_[np.ix_(DETAIL, DETAIL)]
    detail = standard[:, DETAIL]
    expected = np.sqrt((np.linalg.solve(covariance, detail.T).T * detail).sum(axis=1) / len(DETAIL))
    everything, found = np.transpose([gate.distances(row) for row in train])
    assert found == pytest.approx(gate.detail_scale * expected, rel=1e-3)
    assert np.quantile(found, 0.95) == pytest.approx(np.quantile(everything, 0.95), rel=1e-3)
    before = gate.model_copy(update={"detail_scale": 0.0})  # a file from before the detail counted
    assert [before.distance(row) for row in train] == pytest.approx(everything)


def test_what_is_unlike_is_said_where_it_is_the_detail_alone(dataset: Dataset) -> None:
    gate = fit_familiarity([dataset], info())
    pixels, _ = read_pair(dataset, dataset.of_split("val")[0])
    blurred = gaussian_filter(pixels, 2)
    everything, detail = gate.distances(picture_statistics(network_view(blurred, 64, 1)))
    for share, said in (
        (0.5, "The image is unlike the"),
        (2.0, "detail (sharpness, noise, contrast) is unlike that of"),
    ):
        scale = share * everything / detail
        changes = {"detail_scale": scale * gate.detail_scale, "threshold": 0.999 * max(1.0, share) * everything}
        gated = info().model_copy(update={"familiarity": gate.model_copy(update=changes)})
        assert any(said in sentence for sentence in unlike_training(blurred, gated))


def test_images_that_are_all_the_same_have_a_gate_without_detail(dataset: Dataset) -> None:
    first = dataset.folder / dataset.of_split("train")[0].image
    for record in dataset.of_split("train")[1:]:
        copyfile(first, dataset.folder / record.image)
    gate = fit_familiarity([dataset], info())
    assert gate.detail_scale == 0
    assert gate.distance(picture_statistics(np.zeros((64, 64, 3)))) >= 0


def test_a_gate_without_an_inverse_is_refused(dataset: Dataset) -> None:
    gate = fit_familiarity([dataset], info())
    flat = {**gate.model_dump(), "precision": ((1.0,) * STATISTICS,) * STATISTICS}
    with pytest.raises(ValidationError, match="precision that has an inverse"):
        Familiarity.model_validate(flat)


def test_no_validation_image_is_unfamiliar_but_noise_and_inversion_are(dataset: Dataset) -> None:
    model = info()
    gate = fit_familiarity([dataset], model)
    assert max(gate.distance(row) for row in statistics_of([dataset], model, "val")) <= gate.threshold
    pixels, _ = read_pair(dataset, dataset.of_split("val")[0])
    view = network_view(pixels, 64, 1)
    noise = np.random.default_rng(0).normal(0, 0.3, view.shape[:2])[..., None]
    for other in (1 - view, (view + noise).clip(0, 1), np.zeros_like(view)):
        assert gate.distance(picture_statistics(other)) > gate.threshold


def test_the_warning_of_the_dock_uses_the_gate(dataset: Dataset) -> None:
    pixels, _ = read_pair(dataset, dataset.of_split("val")[0])
    gated = info().model_copy(update={"familiarity": fit_familiarity([dataset], info())})
    said = "unlike the training images (distance"
    assert not any(said in sentence for sentence in unlike_training(pixels, gated))
    assert any(said in sentence for sentence in unlike_training(1 - pixels, gated))
    assert not any(said in sentence for sentence in unlike_training(1 - pixels, info()))
    views = (network_view(pixels, 64, 1), network_view(1 - pixels, 64, 1))
    assert [is_unlike(view, model) for view in views for model in (gated, info())] == [0, 0, 1, 0]


def test_another_brightness_or_colour_is_unlike_even_where_the_gate_lets_it_pass(dataset: Dataset) -> None:
    wide = fit_familiarity([dataset], info()).model_copy(update={"threshold": 1e6})
    view = network_view(read_pair(dataset, dataset.of_split("val")[0])[0], 64, 1)
    intensity = {"mean": (float(view.mean()),), "std": (float(view.std()),)}
    grey = info().model_copy(update={"familiarity": wide, "intensity": intensity})
    of_colour = {name: values * 3 for name, values in intensity.items()}
    task = grey.task.model_copy(update={"channels": 3})
    in_colour = grey.model_copy(update={"intensity": of_colour, "task": task})
    assert [is_unlike(one, grey) for one in (view, view / 9)] == [False, True]
    assert is_unlike(view, in_colour)
    knots = (Knot(uncertainty=0.5, chance=0.1, low=0.0, high=0.2),)
    for reach, expected in ((1.0, True), (2e6, False)):  # only images beyond the gate say more than it
        measured = Calibration(dataset="x", split="val", n=9, knots=knots, referral_threshold=0.5, reach=reach)
        assert is_unlike(view / 9, grey.model_copy(update={"calibration": measured})) == expected


def test_errors_that_were_measured_on_images_further_away_are_known_of_such(dataset: Dataset) -> None:
    pixels, _ = read_pair(dataset, dataset.of_split("val")[0])
    model = info().model_copy(update={"familiarity": fit_familiarity([dataset], info())})
    near = model.familiarity.distance(picture_statistics(network_view(pixels, 64, 1)))
    far = model.familiarity.distance(picture_statistics(network_view(1 - pixels, 64, 1)))
    reach = reach_of([dataset], model, "val")
    assert reach <= max(model.familiarity.distance(row) for row in statistics_of([dataset], model, "val"))
    assert reach_of([dataset], info(), "val") == 0
    knots = (Knot(uncertainty=0.5, chance=0.1, low=0.0, high=0.2),)
    for known, expected in ((reach, True), (far, False)):
        fitted = Calibration(dataset="x", split="val", n=9, knots=knots, referral_threshold=0.5, reach=known)
        assert is_unlike(network_view(1 - pixels, 64, 1), model.model_copy(update={"calibration": fitted})) == expected
        assert not is_unlike(network_view(pixels, 64, 1), model.model_copy(update={"calibration": fitted})), near


def test_too_few_images_are_refused(dataset: Dataset) -> None:
    from dataclasses import replace

    with pytest.raises(ValueError, match="got 8 and 0"):
        fit_familiarity([replace(dataset, records=dataset.of_split("train"))], info())
