"""Calibration on simulated answers whose true chance of an error is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_uml.calibration import chances
from napari_uml.config import Task
from napari_uml.evaluation.answer_table import class_answers, pixel_answers
from napari_uml.evaluation.answers import Answer, PixelAnswers
from napari_uml.evaluation.calibrate import calibrate, referral_threshold
from napari_uml.evaluation.chance_map import fit_map, rising_chances
from napari_uml.evaluation.cross_fit import perfect_calibration_error, split_groups
from napari_uml.evaluation.evidence_scale import (
    PRIOR_WIDTH,
    best_scales,
    loss_table,
    probabilities,
    true_probability,
    uncertainties,
)

TASK = Task(seg_classes=("background", "lesion"), cls_classes=("benign", "malignant"))


def simulated(n: int, scale: float = 1.0, pixels: int = 200, seed: int = 0) -> list[Answer]:
    """Return answers whose probabilities are right once the evidence is multiplied by `scale`."""
    generator = np.random.default_rng(seed)

    def evidence_and_truth(count: int) -> tuple[np.ndarray, np.ndarray]:
        evidence = generator.gamma(0.5, 8, (count, 2))
        p = probabilities(evidence, 1.0)
        return evidence / scale, (generator.random(count) < p[:, 1]).astype(np.intp)

    evidence, label = evidence_and_truth(n)
    answers = []
    for i in range(n):
        of_pixels, truth = evidence_and_truth(pixels)
        drawn = PixelAnswers(of_pixels, of_pixels.argmax(1), truth)
        answers.append(Answer(f"g{i}", evidence[i], int(label[i]), drawn, drawn))
    return answers


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_the_scale_of_the_evidence_is_found(scale: float) -> None:
    found = calibrate(simulated(400, scale), TASK, dataset="Sim", split="val")
    assert found.class_scale.low < scale < found.class_scale.high
    assert found.pixel_scale.value == pytest.approx(scale, rel=0.15)
    assert found.evidence_scales == (found.class_scale.value, found.pixel_scale.value)


def test_the_seed_reaches_the_maps_of_class_and_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = []

    def spied(*arguments: object, **named: object) -> object:
        seeds.append(named["seed"])
        return fit_map(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("napari_uml.evaluation.calibrate.fit_map", spied)
    calibrate(simulated(30), TASK, dataset="Sim", split="val", seed=5)
    assert seeds == [5, 5, 5]  # the class, background, lesion


def test_scale_is_the_least_of_the_loss_by_hand() -> None:
    generator = np.random.default_rng(1)
    evidence, truth = generator.gamma(1, 3, (30, 3)), generator.integers(0, 3, 30)
    table = loss_table(evidence, truth, np.ones(30), np.arange(30))
    found = best_scales(np.ones((1, 30)), table)[0]

    def loss(scale: float) -> float:
        return -np.log(true_probability(evidence, scale, truth)).sum() + np.log(scale) ** 2 / (2 * PRIOR_WIDTH**2)

    assert all(loss(found) < loss(found * factor) for factor in (0.97, 1.03))


def test_few_images_that_are_all_right_leave_the_evidence_finite() -> None:
    evidence = np.tile([9.0, 1.0], (5, 1))
    table = loss_table(evidence, np.zeros(5, dtype=np.intp), np.ones(5), np.arange(5))
    assert 1 < best_scales(np.ones((1, 5)), table)[0] < 5


def test_calibrated_probabilities_are_better_on_other_groups() -> None:
    found = calibrate(simulated(300, scale=5.0), TASK, dataset="Sim", split="val")
    assert found.folds == 5
    for name in ("ece", "nll", "pixel_nll"):
        assert found.figures[name].value < found.figures[f"{name}/before"].value
    assert found.figures["ece"].value < 2 * found.figures["ece/perfect"].value


def test_every_group_is_judged_once_and_never_fitted_on_then() -> None:
    folds = split_groups([f"g{i % 7}" for i in range(30)], 3, seed=2)
    assert sorted(len(fold) for fold in folds) == [2, 2, 3]
    assert frozenset.union(*folds) == {f"g{i}" for i in range(7)}
    assert folds == split_groups([f"g{i}" for i in range(7)], 3, seed=2)


def test_the_map_finds_the_true_chance() -> None:
    generator = np.random.default_rng(3)
    u = generator.random(4000)
    wrong = generator.random(4000) < 0.5 * u
    knots = fit_map(u, wrong, [str(i) for i in range(4000)], resamples=50)
    at = np.linspace(0.1, 0.9, 9)
    value, low, high = chances(knots, at)
    assert value == pytest.approx(0.5 * at, abs=0.05)
    assert np.mean((low <= 0.5 * at) & (0.5 * at <= high)) >= 7 / 9


@pytest.mark.parametrize("n", [1, 3, 13, 50])
@pytest.mark.parametrize("errors", [0, 1, "all"])
def test_few_images_never_make_the_map_certain(n: int, errors: int | str) -> None:
    wrong = np.arange(n) >= (0 if errors == "all" else n - errors)
    knots = fit_map(np.linspace(0.1, 0.9, n), wrong, [str(i) for i in range(n)], resamples=20)
    for knot in knots:
        assert 0 < knot.chance < 1
        assert knot.high - knot.low > 1 / (n + 4)


def test_an_uncertainty_that_says_nothing_gives_the_share_of_all() -> None:
    wrong = np.arange(200) % 5 == 0
    knots = fit_map(np.random.default_rng(0).random(200), wrong, [str(i) for i in range(200)], resamples=0)
    assert [knot.chance for knot in knots] == pytest.approx([0.2] * len(knots), abs=0.12)
    assert len(fit_map(np.full(200, 0.3), wrong, ["g"] * 200, resamples=0)) == 1


def test_beyond_the_highest_uncertainty_seen_the_map_rises_to_guessing() -> None:
    u, wrong = np.linspace(0.1, 0.3, 40), np.arange(40) % 10 == 0
    knots = fit_map(u, wrong, [str(i) for i in range(40)], guessed=2 / 3, resamples=0)
    level = fit_map(u, wrong, [str(i) for i in range(40)], resamples=0)
    assert chances(knots, u)[0] == pytest.approx(chances(level, u)[0])
    value, low, high = chances(knots, np.array([0.3, 0.65, 1.0]))
    assert value == pytest.approx([level[-1].chance, (level[-1].chance + 2 / 3) / 2, 2 / 3])
    assert (low[-1], high[-1]) == (level[-1].low, 1)
    sure_of_nothing = fit_map(np.ones(40), wrong, ["g"] * 40, guessed=2 / 3, resamples=0)
    assert [knot.uncertainty for knot in sure_of_nothing] == [1.0]


def test_more_alike_images_of_a_group_make_the_interval_wider() -> None:
    generator = np.random.default_rng(5)
    wrong = np.repeat(generator.random(20) < 0.3, 20)
    u = np.full(400, 0.5)
    alone = fit_map(u, wrong, [str(i) for i in range(400)])[0]
    alike = fit_map(u, wrong, [str(i // 20) for i in range(400)])[0]
    assert alike.high - alike.low > 2 * (alone.high - alone.low)


def test_smoothed_share_by_hand() -> None:
    # base (3 + 1) / (10 + 2) = 1/3; bins (0 + 2/3) / 7, (3 + 2/3) / 7
    assert rising_chances(np.array([5.0, 5.0]), np.array([0.0, 3.0])) == pytest.approx([2 / 21, 11 / 21])
    assert np.ptp(rising_chances(np.array([5.0, 5.0]), np.array([3.0, 0.0]))) == pytest.approx(0)


def test_the_images_that_are_kept_meet_the_target() -> None:
    chance = np.repeat([0.01, 0.1, 0.6], 100)
    wrong = np.concatenate([np.arange(100) < n for n in (1, 10, 60)])
    assert referral_threshold(chance, wrong, 0.1) == 0.1
    assert referral_threshold(chance, wrong, 0.5) == 0.6
    assert referral_threshold(chance, wrong, 0.001) == 0.0


def test_pixels_of_an_image_count_for_one_and_have_a_map_each_structure() -> None:
    answers = simulated(40, pixels=300)
    assert pixel_answers(answers).weight.sum() == pytest.approx(40)
    found = calibrate(answers, TASK, dataset="Sim", split="val")
    assert set(found.structures) == {"background", "lesion"}
    u = np.array([[0.1, 0.5], [0.8, 1.0]])
    chance = found.pixel_chance("lesion", u)
    assert chance.shape == (2, 2)
    assert chance[0, 0] < chance[1, 0]
    with pytest.raises(ValueError, match="background, lesion"):
        found.pixel_chance("cyst", u)


def test_images_without_class_or_mask_take_part_in_what_they_can() -> None:
    answers = simulated(30)
    some = [Answer(a.group, a.class_evidence, a.label if i < 20 else None, None, None) for i, a in enumerate(answers)]
    found = calibrate(some, TASK, dataset="Sim", split="val")
    assert found.n == len(class_answers(some).truth) == 20
    assert (found.pixel_scale, found.structures, found.contours) == (None, {}, {})


def test_nothing_to_fit_on_is_refused() -> None:
    unlabelled = [Answer("g", np.ones(2), None, None, None)]
    with pytest.raises(ValueError, match="with a class in Sim, val"):
        calibrate(unlabelled, TASK, dataset="Sim", split="val")
    with pytest.raises(ValueError, match="target risk"):
        calibrate(simulated(3), TASK, dataset="Sim", split="val", target_risk=0)


def test_one_group_has_neither_intervals_nor_folds() -> None:
    alike = [Answer("g", a.class_evidence, a.label, a.pixels, a.outline) for a in simulated(20)]
    found = calibrate(alike, TASK, dataset="Sim", split="val")
    assert (found.folds, found.figures) == (0, {})
    assert found.class_scale.low is None


@pytest.mark.parametrize("other", range(1, 7))
def test_few_groups_with_a_class_are_judged_although_many_have_a_mask(other: int) -> None:
    answers = simulated(40)
    few = [replace(a, label=a.label if i in (0, other) else None) for i, a in enumerate(answers)]
    found = calibrate(few, TASK, dataset="Sim", split="val")
    assert found.folds == 2
    assert {"ece", "nll", "pixel_nll"} <= set(found.figures)


@pytest.mark.parametrize("other", range(1, 7))
def test_few_groups_with_a_mask_are_judged_although_many_have_a_class(other: int) -> None:
    answers = [replace(a, pixels=a.pixels if i in (0, other) else None) for i, a in enumerate(simulated(40))]
    found = calibrate(answers, TASK, dataset="Sim", split="val")
    assert found.folds == 5
    assert {"ece", "nll", "pixel_nll"} <= set(found.figures)


def test_a_part_with_a_single_group_has_no_figures() -> None:
    answers = simulated(20)
    one_class = [replace(a, label=a.label if i == 0 else None) for i, a in enumerate(answers)]
    found = calibrate(one_class, TASK, dataset="Sim", split="val")
    assert (found.folds, set(found.figures)) == (5, {"pixel_nll", "pixel_nll/before"})
    one_mask = [replace(a, pixels=a.pixels if i == 0 else None) for i, a in enumerate(answers)]
    assert "pixel_nll" not in calibrate(one_mask, TASK, dataset="Sim", split="val").figures


def test_right_probabilities_have_a_small_error_with_many_images() -> None:
    p = np.random.default_rng(0).uniform(0.5, 1, 2000)
    assert perfect_calibration_error(p[:40], 0) > 3 * perfect_calibration_error(p, 0)


def test_uncertainty_of_scaled_evidence_by_hand() -> None:
    assert uncertainties(np.array([[1.0, 2.0]]), 2.0) == pytest.approx([2 / 8])
    assert probabilities(np.array([[1.0, 2.0]]), 2.0)[0] == pytest.approx([3 / 8, 5 / 8])
