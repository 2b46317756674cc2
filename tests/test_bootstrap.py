import numpy as np
import pytest

from napari_uml.evaluation import bootstrap
from napari_uml.evaluation.bootstrap import divide, drawn_mean, interval, resample, share_interval


def draws(groups: list[str], resamples: int = 200, seed: int = 0) -> np.ndarray:
    return np.concatenate(list(resample(groups, resamples, seed)))


def test_images_of_one_group_move_together() -> None:
    drawn = draws(["a", "b", "a", "c", "a", "b"])
    assert (drawn[:, 0] == drawn[:, 2]).all()
    assert (drawn[:, 0] == drawn[:, 4]).all()
    assert (drawn[:, 1] == drawn[:, 5]).all()
    assert (drawn[:, 0] != drawn[:, 3]).any()


def test_as_many_groups_are_drawn_as_there_are() -> None:
    drawn = draws(["a", "b", "a", "c"])
    assert (drawn[:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_the_seed_decides_the_draws() -> None:
    groups = [str(i) for i in range(20)]
    assert (draws(groups, seed=1) == draws(groups, seed=1)).all()
    assert (draws(groups, seed=1) != draws(groups, seed=2)).any()


def test_many_images_come_in_blocks_that_hold_all_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = [str(i) for i in range(10)]
    whole = draws(groups, 25)
    monkeypatch.setattr(bootstrap, "_BLOCK", 100)
    blocks = list(resample(groups, 25, 0))
    assert [len(b) for b in blocks] == [10, 10, 5]
    assert (np.concatenate(blocks) == whole).all()


def test_interval_of_a_mean_is_that_of_the_normal_approximation() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400)
    low, high = interval(values.mean(), drawn_mean(draws([str(i) for i in range(400)], 4000), values))
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_interval_is_wider_when_images_of_a_group_are_alike() -> None:
    values = np.repeat(np.random.default_rng(0).normal(size=40), 10)
    alone = interval(values.mean(), drawn_mean(draws([str(i) for i in range(400)], 1000), values))
    grouped = interval(values.mean(), drawn_mean(draws([str(i // 10) for i in range(400)], 1000), values))
    assert (grouped[1] - grouped[0]) > 2.5 * (alone[1] - alone[0])  # sqrt(10) in theory


def test_interval_includes_the_value_even_of_a_biased_statistic() -> None:
    assert interval(0.1, np.linspace(0.2, 0.4, 100))[0] == 0.1
    assert interval(0.9, np.linspace(0.2, 0.4, 100))[1] == 0.9


def test_interval_leaves_out_undefined_resamples() -> None:
    assert interval(0.5, np.array([np.nan, 0.5, 0.5])) == (0.5, 0.5)
    assert interval(0.5, np.array([np.nan])) is None


def test_division_by_zero_is_undefined_without_a_warning() -> None:
    assert np.isnan(divide(np.array([1.0]), np.array([0.0]))).all()
    assert np.isnan(drawn_mean(np.zeros((1, 2)), np.array([1.0, 2.0]))).all()


def test_no_error_among_twenty_is_no_proof_of_none() -> None:
    low, high = share_interval(0.0, np.zeros(200), 20)
    assert (low, high) == (0.0, pytest.approx(0.1684, abs=1e-4))  # Clopper and Pearson, tabulated
    assert share_interval(1.0, np.ones(200), 20) == (pytest.approx(1 - 0.1684, abs=1e-4), 1.0)
    some = np.linspace(0, 0.2, 200)
    assert share_interval(0.1, some, 20) == interval(0.1, some)
