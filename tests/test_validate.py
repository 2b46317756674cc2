"""Validation in training: how sure a score is, which decides what the best epoch is."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from napari_uml.config import Task
from napari_uml.data.samples import Sample
from napari_uml.nn.output import UMLOutput
from napari_uml.training.validate import auc_error, validate

SIZE = 8
TASK = Task(seg_classes=("background", "lesion"), cls_classes=("benign", "malignant"), channels=1)


def test_error_of_an_auc_is_what_repeated_draws_spread():
    rng = np.random.default_rng(0)
    labels = np.repeat([1, 0], [40, 60])
    aucs = [roc_auc_score(labels, rng.normal(size=100) + 1.2 * labels) for _ in range(2000)]
    assert auc_error(float(np.mean(aucs)), 40, 60) == pytest.approx(np.std(aucs), rel=0.15)


def test_error_of_an_auc_grows_with_fewer_images_and_is_never_none():
    errors = [auc_error(1.0, n, n) for n in (1, 2, 10, 100)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0.3
    assert 0 < errors[-1] < 0.02
    assert auc_error(0.2, 5, 9) == pytest.approx(auc_error(0.8, 5, 9))


def answered(found, evidence):
    """What a network says that finds these masks and this evidence for the classes."""
    logits = torch.nn.functional.one_hot(torch.from_numpy(found).long(), 2).permute(0, 3, 1, 2).float()
    return UMLOutput(
        class_evidence=torch.tensor(evidence), mutual_evidence=None, mask_logits=(logits,), evidential_mask=True
    )


def sample(mask, label, name="a"):
    image = torch.zeros(1, SIZE, SIZE, dtype=torch.uint8)
    return Sample(image, torch.from_numpy(mask), label, source=0, name=name)


def test_score_worked_by_hand():
    half, whole, none = (np.zeros((SIZE, SIZE), np.uint8) for _ in range(3))
    half[:4], whole[:] = 1, 1
    samples = [sample(half, 0, "a"), sample(whole, 1, "b"), sample(none, -1, "c")]
    found = np.stack([whole, whole, none])
    output = answered(found, [[9.0, 1.0], [1.0, 9.0], [9.0, 1.0]])
    metrics, score, known = validate(lambda _: output, samples, TASK, SIZE, 3, torch.device("cpu"))
    dice = (2 / 3 + 1) / 2  # the third image has no lesion
    assert metrics["dice_present/lesion"] == pytest.approx(dice)
    assert metrics["auc"] == metrics["acc"] == 1
    assert score.value == pytest.approx((dice + 1) / 2)
    dice_error = np.std([2 / 3, 1], ddof=1) / np.sqrt(2)
    assert score.error == pytest.approx(np.hypot(dice_error, auc_error(1, 1, 1)) / 2)
    assert known == pytest.approx([2 / 3, 1, np.nan], nan_ok=True)


def test_two_looks_at_an_image_count_for_one_in_the_error():
    half, whole = np.zeros((SIZE, SIZE), np.uint8), np.ones((SIZE, SIZE), np.uint8)
    half[:4] = 1
    once = [sample(half, 0, "a"), sample(whole, 1, "b")]
    twice = [once[0], once[1], once[0], once[1]]
    evidence = [[9.0, 1.0], [1.0, 9.0]]
    found = {
        len(samples): validate(
            lambda _: answered(np.stack([whole] * len(samples)), evidence * (len(samples) // 2)),  # noqa: B023
            samples, TASK, SIZE, 4, torch.device("cpu"),
        )
        for samples in (once, twice)
    }  # fmt: skip
    assert found[4].metrics == found[2].metrics
    assert found[4].score == pytest.approx(found[2].score)
    assert found[4].answered == pytest.approx([2 / 3, 1])


def test_without_masks_an_image_is_answered_by_the_probability_of_its_class():
    unknown = np.full((SIZE, SIZE), 255, np.uint8)
    output = answered(np.stack([unknown * 0] * 2), [[9.0, 1.0], [1.0, 9.0]])
    samples = [sample(unknown, 0, "a"), sample(unknown, -1, "b")]
    known = validate(lambda _: output, samples, TASK, SIZE, 2, torch.device("cpu")).answered
    assert known == pytest.approx([10 / 12, np.nan], nan_ok=True)


def test_one_image_is_unsure_and_unknown_ones_have_no_score():
    mask = np.ones((SIZE, SIZE), np.uint8)
    output = answered(mask[None], [[9.0, 1.0]])
    score = validate(lambda _: output, [sample(mask, -1)], TASK, SIZE, 1, torch.device("cpu")).score
    assert score == (1, 0.5)
    unknown = sample(np.full((SIZE, SIZE), 255, np.uint8), -1)
    metrics, score, known = validate(lambda _: output, [unknown], TASK, SIZE, 1, torch.device("cpu"))
    assert score is None
    assert np.isnan(known).all()
    assert set(metrics) == {"u_image", "u_pixel"}
