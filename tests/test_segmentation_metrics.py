import numpy as np
import pytest

from napari_uml.evaluation.segmentation import confusion_matrix, dice, iou, true_pixels


def blobs(seed: int, structures: int = 3) -> np.ndarray:
    from skimage.filters import gaussian

    field = gaussian(np.random.default_rng(seed).normal(size=(48, 40)), 4)
    return np.digitize(field, np.quantile(field, [0.6, 0.85][: structures - 1]))


@pytest.mark.parametrize("members", [(0,), (1,), (2,), (1, 2)])
def test_dice_agrees_with_monai(members: tuple[int, ...]) -> None:
    import torch
    from monai.metrics import DiceMetric

    truth, found = blobs(1), blobs(2)
    metric = DiceMetric(include_background=True, reduction="none")
    regions = [torch.from_numpy(np.isin(m, members))[None, None].float() for m in (found, truth)]
    assert dice(confusion_matrix(truth, found, 3), members) == pytest.approx(float(metric(*regions)), abs=1e-6)


def test_dice_worked_by_hand() -> None:
    truth, found = np.array([[0, 1, 1, 2]]), np.array([[0, 1, 2, 2]])
    confusion = confusion_matrix(truth, found, 3)
    assert confusion.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]
    assert dice(confusion, (1,)) == pytest.approx(2 / 3)  # 2 * 1 / (2 + 1)
    assert dice(confusion, (1, 2)) == 1.0
    assert true_pixels(confusion, (1,)) == 2


def test_dice_of_many_images_is_that_of_each() -> None:
    each = [confusion_matrix(blobs(i), blobs(i + 9), 3) for i in range(4)]
    assert dice(np.stack(each), (1, 2)).tolist() == [float(dice(c, (1, 2))) for c in each]


def test_dice_of_a_structure_in_neither_mask_is_one_and_in_a_single_one_zero() -> None:
    empty, full = np.zeros((4, 4), dtype=int), np.ones((4, 4), dtype=int)
    assert dice(confusion_matrix(empty, empty, 2), (1,)) == 1.0
    assert dice(confusion_matrix(empty, full, 2), (1,)) == 0.0
    assert dice(confusion_matrix(full, empty, 2), (1,)) == 0.0


def test_confusion_matrix_refuses_other_shapes_and_unknown_numbers() -> None:
    with pytest.raises(ValueError, match="same shape"):
        confusion_matrix(np.zeros((4, 4), int), np.zeros((4, 5), int), 2)
    with pytest.raises(ValueError, match=r"class numbers 0 to 1, got 0 to 2"):
        confusion_matrix(np.array([[0, 2]]), np.array([[0, 1]]), 2)


def test_intersection_over_union_agrees_with_scikit_learn() -> None:
    from sklearn.metrics import jaccard_score

    truth, found = blobs(1), blobs(2)
    expected = jaccard_score(truth.ravel() == 1, found.ravel() == 1)
    assert iou(dice(confusion_matrix(truth, found, 3), (1,))) == pytest.approx(expected)
    assert iou(np.array([0.0, 2 / 3, 1.0])) == pytest.approx([0, 0.5, 1])
