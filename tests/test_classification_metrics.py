import numpy as np
import pytest
from sklearn import metrics as sk

from napari_uml.evaluation import classification as ours

N, K, R = 60, 3, 5
rng = np.random.default_rng(4)
LABEL = np.r_[0, 1, 2, rng.integers(0, K, N - 3)]
PROBABILITY = rng.dirichlet(np.ones(K), N) * 0.5 + np.eye(K)[LABEL] * 0.5 * rng.uniform(size=(N, 1))
PROBABILITY = (PROBABILITY / PROBABILITY.sum(axis=1, keepdims=True)).round(1)  # many ties
POSITIVE = np.eye(K, dtype=bool)[LABEL].T
PREDICTED = PROBABILITY.argmax(axis=1)
DRAWS = np.concatenate((np.ones((1, N)), rng.integers(0, 4, (R - 1, N)).astype(float)))
DRAWS[:, :3] = 1  # every class stays


@pytest.mark.parametrize(
    ("function", "reference"),
    [
        (ours.accuracy, sk.accuracy_score),
        (ours.balanced_accuracy, sk.balanced_accuracy_score),
        (ours.f1_weighted, lambda *a, **k: sk.f1_score(*a, average="weighted", **k)),
    ],
)
def test_decisions_agree_with_scikit_learn_on_every_resample(function, reference) -> None:
    expected = [reference(LABEL, PREDICTED, sample_weight=d) for d in DRAWS]
    np.testing.assert_allclose(function(DRAWS, LABEL, PREDICTED), expected, atol=1e-12)
    assert len(set(expected)) == R  # the resamples differ


@pytest.mark.parametrize("k", range(K))
def test_auroc_with_ties_agrees_with_scikit_learn_on_every_resample(k: int) -> None:
    expected = [sk.roc_auc_score(POSITIVE[k], PROBABILITY[:, k], sample_weight=d) for d in DRAWS]
    np.testing.assert_allclose(ours.auroc(DRAWS, PROBABILITY[:, k], POSITIVE[k]), expected, atol=1e-12)


def test_macro_auroc_agrees_with_scikit_learn() -> None:
    exact = PROBABILITY / PROBABILITY.sum(axis=1, keepdims=True)
    expected = sk.roc_auc_score(LABEL, exact, multi_class="ovr")
    assert ours.macro_auroc(np.ones((1, N)), LABEL, exact)[0] == pytest.approx(expected)


def test_macro_auroc_of_two_classes_is_the_auroc_of_either() -> None:
    label, p = (LABEL > 0).astype(int), PROBABILITY[:, 0] / 2
    both = ours.macro_auroc(DRAWS, label, np.stack((p, 1 - p), axis=1))
    np.testing.assert_allclose(both, ours.auroc(DRAWS, 1 - p, label == 1))


def test_macro_auroc_leaves_out_a_class_that_does_not_occur() -> None:
    label = np.array([0, 0, 1, 1])
    p = np.array([[0.8, 0.1, 0.1], [0.3, 0.4, 0.3], [0.2, 0.7, 0.1], [0.4, 0.3, 0.3]])
    # class 0: 0.8 and 0.3 against 0.2 and 0.4: 3 of 4 pairs; class 1: 0.7 and 0.3 against 0.1 and 0.4: 3 of 4
    assert ours.macro_auroc(np.ones((1, 4)), label, p)[0] == pytest.approx(0.75)


@pytest.mark.parametrize("k", range(K))
@pytest.mark.parametrize("specificity", [0.5, 0.85, 1.0])
def test_sensitivity_at_specificity_agrees_with_the_roc_of_scikit_learn(k: int, specificity: float) -> None:
    expected = []
    for d in DRAWS:
        fpr, tpr, _ = sk.roc_curve(POSITIVE[k], PROBABILITY[:, k], sample_weight=d, drop_intermediate=False)
        expected.append(tpr[1 - fpr >= specificity - 1e-9].max())
    found = ours.sensitivity_at_specificity(DRAWS, PROBABILITY[:, k], POSITIVE[k], specificity)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_sensitivity_at_specificity_worked_by_hand() -> None:
    score = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.35, 0.45, 0.6])
    positive = np.array([0, 0, 0, 0, 0, 1, 1, 1], bool)
    once = np.ones((1, 8))
    # one of five negatives may be above the threshold: t just above 0.4 finds 0.45 and 0.6
    assert ours.sensitivity_at_specificity(once, score, positive, 0.8)[0] == pytest.approx(2 / 3)
    assert ours.sensitivity_at_specificity(once, score, positive, 0.81)[0] == pytest.approx(1 / 3)


def test_sensitivity_counts_a_specificity_that_is_met_exactly() -> None:
    score, positive = np.r_[np.arange(100) / 100, 0.535], np.r_[np.zeros(100, bool), True]
    assert 0.55 * 100 > 55  # rounding must not matter
    assert ours.sensitivity_at_specificity(np.ones((1, 101)), score, positive, 0.55)[0] == 0
    score[-1] = 0.545
    assert ours.sensitivity_at_specificity(np.ones((1, 101)), score, positive, 0.55)[0] == 1


def test_permuted_labels_give_an_auroc_at_chance() -> None:
    generator = np.random.default_rng(0)
    label = np.repeat(np.arange(K), 200)
    p = np.eye(K)[label] * 0.6 + generator.dirichlet(np.ones(K), len(label)) * 0.4
    once = np.ones((1, len(label)))
    assert ours.macro_auroc(once, label, p)[0] > 0.99
    permuted = [ours.macro_auroc(once, generator.permutation(label), p)[0] for _ in range(50)]
    assert np.mean(permuted) == pytest.approx(0.5, abs=0.01)


def test_a_constant_score_gives_an_auroc_of_one_half() -> None:
    assert ours.auroc(DRAWS, np.full(N, 0.3), POSITIVE[0]).tolist() == [0.5] * R


def test_figures_that_need_two_classes_are_undefined_with_one() -> None:
    draws, score, label = np.ones((2, 4)), np.linspace(0, 1, 4), np.ones(4, dtype=int)
    assert np.isnan(ours.auroc(draws, score, label == 1)).all()
    assert np.isnan(ours.auroc(draws, score, label == 0)).all()
    assert np.isnan(ours.sensitivity_at_specificity(draws, score, label == 1)).all()
    assert np.isnan(ours.sensitivity_at_specificity(draws, score, label == 0)).all()
    assert np.isnan(ours.macro_auroc(draws, label, np.stack((1 - score, score), axis=1))).all()


def test_a_resample_without_a_class_is_undefined_alone() -> None:
    draws, positive = np.array([[1.0, 1.0, 1.0], [1.0, 2.0, 0.0]]), np.array([False, False, True])
    found = ours.auroc(draws, np.array([0.1, 0.2, 0.9]), positive)
    assert found[0] == 1.0
    assert np.isnan(found[1])
