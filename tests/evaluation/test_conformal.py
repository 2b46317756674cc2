"""Sets keep their coverage on simulated draws."""

from __future__ import annotations

import numpy as np
import pytest

from napari_uml.evaluation.conformal import class_set_threshold, fit_contours, lower_quantile, outline_limits


def test_class_sets_hold_the_true_class_as_often_as_stated() -> None:
    generator = np.random.default_rng(0)

    def draw(n: int) -> tuple[np.ndarray, np.ndarray]:
        p = generator.dirichlet([0.6] * 3, n)
        return p, np.array([generator.choice(3, p=row**0.5 / (row**0.5).sum()) for row in p])  # p claims too much

    covered = []
    for _ in range(60):
        p, label = draw(50)
        threshold = class_set_threshold(p[np.arange(50), label])
        q, truth = draw(100)
        covered.append(np.mean([row[k] >= threshold for row, k in zip(q, truth, strict=True)]))
    assert 0.89 <= np.mean(covered) <= 0.93


def test_with_too_few_images_every_class_is_in_the_set() -> None:
    assert class_set_threshold(np.full(8, 0.9)) == 0
    assert class_set_threshold(np.linspace(0.1, 0.9, 9)) == pytest.approx(0.1)


def test_outlines_of_an_image_by_hand() -> None:
    p = np.array([0.9, 0.8, 0.7, 0.6, 0.3, 0.2])
    inside = np.array([True, True, False, True, True, False])
    inner, outer = outline_limits(p, inside, spared=0.0)
    assert outer == 0.3
    assert inner == pytest.approx(0.7)
    assert inner > 0.7
    inner, outer = outline_limits(p, inside, spared=0.25)  # one pixel of four
    assert outer == 0.6
    assert inner == pytest.approx(0.2)
    assert outline_limits(p, np.zeros(6, dtype=bool)) is None
    assert outline_limits(p, inside) is None  # a single one of four pixels is more than may be spared
    assert outline_limits(p, np.ones(6, dtype=bool), spared=0.25)[0] == 0.0


def test_outlines_hold_in_as_many_new_images_as_stated() -> None:
    generator = np.random.default_rng(1)

    def image() -> tuple[np.ndarray, np.ndarray]:
        inside = np.arange(300) < 100
        shift = generator.normal(0, 1)  # images differ
        return 1 / (1 + np.exp(-(generator.normal(0, 1, 300) + 4 * inside - 2 + shift))), inside

    held = []
    for _ in range(60):
        contours = fit_contours([outline_limits(*image()) for _ in range(40)])
        for _ in range(20):
            p, inside = image()
            held.append([(p >= contours.inner)[~inside].sum() <= 5, (p < contours.outer)[inside].sum() <= 5])
    assert np.all(np.mean(held, axis=0) >= 0.88)


def test_few_images_have_no_outlines() -> None:
    assert fit_contours([]) is None
    assert fit_contours([(0.6, 0.4)] * 8) is None
    nested = fit_contours([(0.4, 0.6)] * 9)
    assert nested.inner >= nested.outer


def test_lower_quantile_is_the_kth_smallest() -> None:
    values = np.arange(1.0, 20)  # 19: k = 2
    assert lower_quantile(values, 0.9) == 2.0
