import numpy as np
import pytest
from sklearn import metrics as sk

from napari_uml.evaluation import uncertainty as ours

N, K = 80, 3
rng = np.random.default_rng(8)
LABEL = rng.integers(0, K, N)
PROBABILITY = rng.dirichlet(np.ones(K), N) * 0.6 + np.eye(K)[LABEL] * 0.4 * rng.uniform(size=(N, 1))
PROBABILITY /= PROBABILITY.sum(axis=1, keepdims=True)
CONFIDENCE, CORRECT = PROBABILITY.max(axis=1), PROBABILITY.argmax(axis=1) == LABEL
U = rng.uniform(0.05, 1, N).round(2)
ONCE = np.ones((1, N))
TWICE = rng.integers(0, 3, (1, N)).astype(float)
AGAIN = np.repeat(np.arange(N), TWICE[0].astype(int))
"""The images as TWICE draws them, written out."""


def test_calibration_error_agrees_with_torchmetrics() -> None:
    import torch
    from torchmetrics.functional.classification import multiclass_calibration_error

    p, label = torch.from_numpy(PROBABILITY), torch.from_numpy(LABEL)
    expected = multiclass_calibration_error(p, label, num_classes=K, n_bins=15)
    assert ours.calibration_error(ONCE, CONFIDENCE, CORRECT, bins=15)[0] == pytest.approx(float(expected), abs=1e-6)


def test_calibration_error_worked_by_hand() -> None:
    confidence, correct = np.array([0.9, 0.9, 0.9, 0.9, 0.6, 0.6]), np.array([1, 1, 1, 0, 0, 1], bool)
    # 4/6 * |0.75 - 0.9| + 2/6 * |0.5 - 0.6|
    assert ours.calibration_error(np.ones((1, 6)), confidence, correct)[0] == pytest.approx(0.4 / 3)


def test_a_confidence_of_one_belongs_to_the_last_bin() -> None:
    confidence, correct = np.array([1.0, 0.95, 0.9]), np.array([False, True, True])
    # 2/3 * |0.5 - 0.975| + 1/3 * |1 - 0.9|; 14 / 15 lies between 0.9 and 0.95
    assert ours.calibration_error(np.ones((1, 3)), confidence, correct)[0] == pytest.approx((0.95 + 0.1) / 3)


def test_likelihood_and_brier_agree_with_scikit_learn() -> None:
    assert ours.negative_log_likelihood(PROBABILITY, LABEL).mean() == pytest.approx(sk.log_loss(LABEL, PROBABILITY))
    expected = sk.brier_score_loss(LABEL, PROBABILITY, scale_by_half=False)
    assert ours.brier(PROBABILITY, LABEL).mean() == pytest.approx(expected)


def test_likelihood_of_an_impossible_class_is_finite() -> None:
    assert ours.negative_log_likelihood(np.array([[1.0, 0.0]]), np.array([1]))[0] == pytest.approx(12 * np.log(10))


def test_risk_coverage_area_worked_by_hand() -> None:
    u, wrong = np.array([0.4, 0.1, 0.3, 0.2]), np.array([True, False, False, True])
    # kept in the order right, wrong, right, wrong: risks 0, 1/2, 1/3, 2/4
    found = ours.risk_coverage_area(np.ones((1, 4)), u, wrong)[0]
    assert found == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)


def test_adaptive_calibration_error_agrees_with_bins_of_sorted_images() -> None:
    order = np.argsort(CONFIDENCE)
    parts = zip(np.split(CONFIDENCE[order], 8), np.split(CORRECT[order], 8), strict=True)
    expected = np.mean([abs(correct.mean() - confidence.mean()) for confidence, correct in parts])
    assert ours.adaptive_calibration_error(ONCE, CONFIDENCE, CORRECT, bins=8)[0] == pytest.approx(expected)
    same = ours.adaptive_calibration_error(ONCE, np.full(N, 0.7), CORRECT)[0]
    assert same == pytest.approx(abs(CORRECT.mean() - 0.7))


@pytest.mark.parametrize("n", range(1, 60))
def test_as_many_images_are_kept_as_the_risk_counts(n: int) -> None:
    u = np.random.default_rng(n).permutation(n) / n
    kept = ours.kept_at_coverage(u)
    for wrong in (np.argsort(u) == 0, kept, ~kept):
        assert ours.risk_at_coverage(np.ones((1, n)), u, wrong)[0] == pytest.approx(wrong[kept].mean())
    assert kept.sum() == -(-8 * n // 10)


def test_risk_at_coverage_worked_by_hand() -> None:
    u, wrong = np.array([0.4, 0.1, 0.3, 0.2, 0.5]), np.array([True, False, False, True, True])
    assert ours.risk_at_coverage(np.ones((1, 5)), u, wrong)[0] == pytest.approx(2 / 4)
    assert ours.risk_at_coverage(np.ones((1, 5)), u, wrong, coverage=0.6)[0] == pytest.approx(1 / 3)
    assert ours.risk_at_coverage(np.ones((1, 5)), np.full(5, 0.2), wrong)[0] == pytest.approx(3 / 5)


def test_risk_coverage_area_of_a_constant_uncertainty_is_the_error_rate() -> None:
    found = ours.risk_coverage_area(ONCE, np.full(N, 0.4), ~CORRECT)[0]
    assert found == pytest.approx(1 - CORRECT.mean())


@pytest.mark.parametrize(
    ("function", "values"),
    [
        (ours.calibration_error, (CONFIDENCE, CORRECT)),
        (ours.risk_coverage_area, (U, ~CORRECT)),
        (ours.risk_at_coverage, (U, ~CORRECT)),
    ],
)
def test_a_resample_gives_what_its_images_written_out_give(function, values) -> None:
    once = np.ones((1, len(AGAIN)))
    found = function(TWICE, *values)[0]
    assert found == pytest.approx(function(once, *(v[AGAIN] for v in values))[0])
    assert found != pytest.approx(function(ONCE, *values)[0])


def maps(seed: int, informative: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Uncertainties from 0.002 to 1 and wrong pixels, more of them where u is high."""
    generator = np.random.default_rng(seed)
    u = np.exp(generator.uniform(np.log(0.002), 0, (40, 40))).astype(np.float32)
    return u, generator.uniform(size=u.shape) < (u if informative else 0.2)


def test_pixel_auroc_of_histograms_agrees_with_scikit_learn_on_all_pixels() -> None:
    pairs = [maps(i) for i in range(5)]
    histograms = np.stack([ours.uncertainty_histogram(*pair) for pair in pairs]).astype(float)
    u, wrong = (np.concatenate([p[i].ravel() for p in pairs]) for i in (0, 1))
    found = ours.pixel_auroc(np.ones((1, 5)), histograms)[0]
    assert found == pytest.approx(sk.roc_auc_score(wrong, u), abs=1e-3)
    assert found > 0.8


def test_pixel_auroc_of_an_uninformative_uncertainty_is_one_half() -> None:
    histograms = np.stack([ours.uncertainty_histogram(*maps(i, informative=False)) for i in range(20)]).astype(float)
    assert ours.pixel_auroc(np.ones((1, 20)), histograms)[0] == pytest.approx(0.5, abs=0.02)


def test_histogram_counts_every_pixel_once_also_at_the_ends() -> None:
    u, wrong = np.array([[0.0, 1e-6, 1.0, 0.5]]), np.array([[True, False, True, False]])
    histogram = ours.uncertainty_histogram(u, wrong)
    assert histogram.shape == (2, ours.U_BINS)
    assert histogram.sum(axis=1).tolist() == [2, 2]
    assert (histogram[0, 0], histogram[1, 0], histogram[1, -1]) == (1, 1, 1)


def test_error_overlap_agrees_with_the_best_dice_over_thresholds() -> None:
    u, wrong = maps(3)
    best = max(2 * (wrong & (u >= t)).sum() / (wrong.sum() + (u >= t).sum()) for t in np.geomspace(1e-3, 1, 3000))
    histogram = ours.uncertainty_histogram(u, wrong)[None].astype(float)
    assert ours.error_overlap(np.ones((1, 1)), histogram)[0] == pytest.approx(best, abs=5e-3)


def test_error_overlap_is_one_when_exactly_the_wrong_pixels_are_uncertain() -> None:
    u, wrong = np.array([[0.1, 0.2, 0.6, 0.9]]), np.array([[False, False, True, True]])
    histogram = ours.uncertainty_histogram(u, wrong)[None].astype(float)
    assert ours.error_overlap(np.ones((1, 1)), histogram)[0] == 1.0


def test_pixel_figures_are_undefined_without_a_wrong_pixel() -> None:
    u, _ = maps(0)
    histogram = ours.uncertainty_histogram(u, np.zeros(u.shape, bool))[None].astype(float)
    assert np.isnan(ours.pixel_auroc(np.ones((1, 1)), histogram)).all()
    assert np.isnan(ours.error_overlap(np.ones((1, 1)), histogram)).all()
