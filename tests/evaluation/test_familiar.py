"""The gate knows the training images' kind, and sees what is of another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.test_view import info
from tests.tiny import tiny_dataset

from napari_uml.data.dataset import read_dataset, read_pair
from napari_uml.data.view import network_view
from napari_uml.evaluation.familiar import fit_familiarity, statistics_of
from napari_uml.familiarity import STATISTICS, picture_statistics
from napari_uml.inference.likeness import unlike_training

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


def test_distance_is_mahalanobis_as_scikit_learn_has_it(dataset: Dataset) -> None:
    from sklearn.covariance import LedoitWolf

    model = info()
    gate, train = fit_familiarity([dataset], model), statistics_of([dataset], model, "train")
    standard = (train - train.mean(axis=0)) / np.maximum(train.std(axis=0), 0.01)
    expected = np.sqrt(LedoitWolf(assume_centered=True).fit(standard).mahalanobis(standard) / STATISTICS)
    assert [gate.distance(row) for row in train] == pytest.approx(expected, rel=1e-3)
    assert (gate.n, gate.n_val, gate.false_alarms) == (8, 4, 0.2)


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


def test_too_few_images_are_refused(dataset: Dataset) -> None:
    from dataclasses import replace

    with pytest.raises(ValueError, match="got 8 and 0"):
        fit_familiarity([replace(dataset, records=dataset.of_split("train"))], info())
