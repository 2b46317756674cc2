"""Borders compared: against MONAI and by hand."""

import numpy as np
import pytest
from tests.test_segmentation_metrics import blobs

from napari_uml.evaluation.surface import SurfaceScores, surface_scores

NEW_IN_MONAI = "ignore:.*always_return_as_numpy.*:FutureWarning"


@pytest.mark.filterwarnings(NEW_IN_MONAI)
@pytest.mark.parametrize("seed", range(4))
def test_surface_scores_agree_with_monai(seed: int) -> None:
    import torch
    from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance, compute_surface_dice

    truth, found = blobs(seed) > 0, blobs(seed + 20) > 0  # both touch the image's edge
    assert truth[0].any()
    tensors = [torch.from_numpy(r)[None, None] for r in (found, truth)]
    scores = surface_scores(truth, found, tolerance=1.5)
    expected = compute_average_surface_distance(*tensors, include_background=True, symmetric=True)
    assert scores.assd == pytest.approx(float(expected), abs=1e-5)
    expected = compute_hausdorff_distance(*tensors, include_background=True, percentile=95)
    assert scores.hd95 == pytest.approx(float(expected), abs=1e-5)
    expected = compute_surface_dice(*tensors, class_thresholds=[1.5], include_background=True)
    assert scores.surface_dice == pytest.approx(float(expected), abs=1e-5)


def test_surface_scores_worked_by_hand() -> None:
    truth, found = np.zeros((9, 9), bool), np.zeros((9, 9), bool)
    truth[1, 1] = found[1, 1] = found[5, 4] = True
    # truth -> found 0; found -> truth 0 and sqrt(16 + 9) = 5; three border pixels
    there, back = surface_scores(truth, found), surface_scores(found, truth)
    assert there == back
    assert there.assd == pytest.approx(5 / 3)
    assert there.hd95 == pytest.approx(0.95 * 5)  # between 0 and 5
    assert there.surface_dice == pytest.approx(2 / 3)  # the tolerance is 0.09 pixels
    assert surface_scores(truth, found, tolerance=5).surface_dice == 1


def test_empty_regions_have_no_distance_and_a_missed_one_no_agreement() -> None:
    empty, full = np.zeros((4, 4), bool), np.ones((4, 4), bool)
    assert surface_scores(empty, empty) is None
    assert surface_scores(empty, full) == surface_scores(full, empty) == SurfaceScores(None, None, 0.0)
    assert surface_scores(full, full) == SurfaceScores(0.0, 0.0, 1.0)
