"""How an answer bears noise: points, bands, words and the table."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from napari_uml.evaluation.sweep import (
    AGREEMENT,
    NOISE,
    PIXEL_UNCERTAINTY,
    SIGMAS,
    TRUTH,
    UNCERTAINTY,
    Plan,
    Sweep,
    agreement,
    in_words,
    sweep,
    to_csv,
)
from napari_uml.evaluation.sweep_figure import sweep_figure
from napari_uml.inference.corruptions import KINDS
from napari_uml.results import Corruption, Opinion, Prediction

CLASSES = ("benign", "malignant")


class Model:
    """Loses a row of the lesion with every 0.05 of noise, a belief in the first class too, by the seed a bit more."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, int, Corruption | None]] = []

    def __call__(self, sigma: float, seed: int, corruption: Corruption | None) -> Prediction:
        self.asked.append((sigma, seed, corruption))
        strength = sigma + (abs(corruption.strength) / 10 if corruption else 0)
        mask = np.zeros((8, 8), dtype=np.uint8)
        mask[: max(6 - round(strength / 0.05), 0), :4] = 1
        first = 8 - 40 * strength - (seed / 10 if sigma else 0)
        opinion = Opinion.from_evidence(CLASSES, np.array([max(first, 0), 4]))
        uncertainty = np.full(mask.shape, 0.25, dtype=np.float32)
        belief = 0.75 * np.stack([mask == 0, mask == 1]).astype(np.float32)
        return Prediction(
            mask, belief, uncertainty, (opinion,), ("background", "lesion"), (None,), "mask", 0.1, "m", "cpu", "float32"
        )


def last(plan: Plan, model: Model, truth: np.ndarray | None = None) -> Sweep:
    *_, done = sweep(model, plan, truth)
    return done


def test_every_point_is_reported_and_nothing_is_looked_at_twice() -> None:
    model, plan = Model(), Plan()
    done = [known.done for known in sweep(model, plan)]
    assert done == list(range(1, plan.total + 1))
    assert plan.total == 3 * len(SIGMAS)
    assert len(model.asked) == len(set(model.asked)) == 1 + 3 * (len(SIGMAS) - 1)


def test_the_first_draw_of_all_strengths_comes_first() -> None:
    states = list(sweep(Model(), Plan()))
    mean, low, high = states[len(SIGMAS) - 1].band(UNCERTAINTY)
    assert np.isfinite(mean).all()
    np.testing.assert_array_equal(low, high)


def test_a_band_is_the_mean_and_the_range_of_the_draws() -> None:
    values = np.array([[0.1, 0.2, 0.6], [0.5, np.nan, np.nan], [np.nan] * 3])
    mean, low, high = Sweep(Plan(), CLASSES, {"x": values}).band("x")
    np.testing.assert_allclose(mean, [0.3, 0.5, np.nan])
    np.testing.assert_allclose(low, [0.1, 0.5, np.nan])
    np.testing.assert_allclose(high, [0.6, 0.5, np.nan])


def test_beliefs_and_uncertainty_sum_to_one_at_every_point() -> None:
    done = last(Plan(), Model())
    total = sum(done.values[name] for name in (*CLASSES, UNCERTAINTY))
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_agreement_is_dice_with_the_clean_mask_and_with_the_truth() -> None:
    truth = np.zeros((8, 8), dtype=int)
    truth[:3, :4] = 1
    done = last(Plan(), Model(), truth)
    at = SIGMAS.index(0.15)  # three rows of six are left
    np.testing.assert_allclose(done.values[AGREEMENT][at], 2 * 3 / (3 + 6))
    np.testing.assert_allclose(done.values[AGREEMENT][0], 1)
    np.testing.assert_allclose(done.values[TRUTH][at], 1)
    np.testing.assert_allclose(done.values[TRUTH][0], 2 * 3 / (3 + 6))


def test_agreement_leaves_out_structures_that_neither_mask_has() -> None:
    mask = np.array([[0, 1], [1, 1]])
    assert agreement(mask, mask, 5) == 1
    assert agreement(mask, np.full((2, 2), 2), 5) == 0
    assert agreement(0 * mask, 0 * mask, 5) == 1


def test_a_truth_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="same shape"):
        next(sweep(Model(), Plan(), np.zeros((4, 4), dtype=int)))


def test_a_corruption_is_varied_while_the_noise_stays() -> None:
    model = Model()
    plan = Plan("brightness", sigma=0.05, corruption=Corruption("brightness", 0.2), seeds=(7, 8))
    done = last(plan, model)
    assert plan.strengths == KINDS["brightness"].steps
    assert model.asked[0] == (0.0, 7, None)
    assert set(model.asked[1:]) == {
        (0.05, seed, None if step == 0 else Corruption("brightness", step))
        for seed in (7, 8)
        for step in plan.strengths
    }
    assert done.done == plan.total


def test_the_corruption_stays_while_noise_is_varied_and_the_clean_mask_has_none() -> None:
    model, blur = Model(), Corruption("blur", 1)
    done = last(Plan(NOISE, corruption=blur), model)
    assert model.asked[0] == (0.0, 0, None)
    assert {corruption for _, _, corruption in model.asked[1:]} == {blur}
    assert done.values[AGREEMENT][0, 0] == pytest.approx(2 * 4 / (4 + 6))


def test_words_say_where_the_answer_breaks() -> None:
    words = in_words(last(Plan(), Model()))
    assert words == "Most belief stays with benign up to sigma 0.075. The mask keeps a Dice of 0.80 up to sigma 0.1."


def test_words_of_an_answer_that_never_breaks() -> None:
    words = in_words(last(Plan("brightness"), Model()))
    assert words.startswith("Most belief stays with benign from -0.5 to brightness 0.5, all that was tried.")


def test_the_table_has_a_row_for_every_look() -> None:
    plan = Plan(seeds=(4, 5))
    text = to_csv(last(plan, Model()), [("image", "a, b"), ("model", "m")])
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == plan.total
    assert rows[1] | {"image": "a, b", "model": "m", "sigma": "0", "corruption": "", "seed": "5"} == rows[1]
    assert float(rows[0]["belief benign"]) == pytest.approx(8 / 14, abs=1e-6)
    assert {"belief malignant", "uncertainty", "mean pixel uncertainty", "agreement"} <= set(rows[0])


def test_the_table_of_a_stopped_sweep_has_what_is_known() -> None:
    states = sweep(Model(), Plan("blur"))
    next(states)
    rows = list(csv.DictReader(io.StringIO(to_csv(next(states)))))
    assert [(row["corruption"], row["strength"]) for row in rows] == [("", ""), ("blur", "0.5")]


class Half(Model):
    """Answers one part only; on the other it knows nothing."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self.part = part

    def __call__(self, *asked) -> Prediction:
        return replace(super().__call__(*asked), answers=(self.part,))


@pytest.mark.parametrize(
    ("part", "curves", "begins", "classes"),
    [
        ("class", {*CLASSES, UNCERTAINTY}, "Most belief stays with benign up to sigma", CLASSES),
        ("mask", {PIXEL_UNCERTAINTY, AGREEMENT, TRUTH}, "The mask keeps a Dice of 0.80 up to sigma", ()),
    ],
)
def test_nothing_is_said_of_what_a_system_does_not_answer(part, curves, begins, classes) -> None:
    done = last(Plan(), Half(part), np.zeros((8, 8), dtype=int))
    assert set(done.values) == curves
    assert done.class_names == classes
    assert done.done == done.plan.total
    assert in_words(done).startswith(begins)
    assert in_words(done).count(".") == begins.count(".") + 2  # one sentence, and one strength in it
    assert len(next(csv.reader(io.StringIO(to_csv(done))))) == 4 + len(curves)
    assert sweep_figure(done).caption.startswith(begins)
