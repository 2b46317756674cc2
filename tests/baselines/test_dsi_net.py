"""The pieces of DSI-Net, worked by hand."""

from __future__ import annotations

import pytest
import torch

from napari_uml.baselines.dsi_net import CategoryGuide, foreground, mined_location, pooled, task_interaction
from napari_uml.nn.losses import INTERACTION_WEIGHT, uml_loss
from napari_uml.nn.output import UMLOutput


def test_interaction_is_the_mean_of_both_divergences():
    p, q = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.8, 0.2]])
    # KL(p || q) = .5 ln(.5/.8) + .5 ln(.5/.2) = .2231; KL(q || p) = .8 ln(.8/.5) + .2 ln(.2/.5) = .1927
    assert task_interaction(p.log(), q.log()).item() == pytest.approx((0.2231 + 0.1927) / 2, abs=1e-4)


def test_interaction_is_symmetric_and_0_for_equal_classes():
    a, b = torch.randn(3, 4), torch.randn(3, 4)
    assert torch.allclose(task_interaction(a, b), task_interaction(b, a))
    assert torch.allclose(task_interaction(a, a + 7), torch.zeros(3), atol=1e-6)
    assert (task_interaction(a, b) > 0).all()


def test_total_has_a_twentieth_of_the_interaction():
    masks, labels = torch.zeros(2, 4, 4, dtype=torch.long), torch.tensor([0, 1])
    logits, classes = torch.randn(2, 2, 4, 4), torch.randn(2, 2)

    def total(interaction: torch.Tensor | None) -> torch.Tensor:
        out = UMLOutput(None, None, (logits,), False, class_logits=classes, interaction=interaction)
        return uml_loss(out, labels, masks, 0.0).total

    added = total(torch.tensor([1.0, 3.0])) - total(None)
    assert INTERACTION_WEIGHT == 0.05
    assert added.item() == pytest.approx(0.05 * 2)


def test_foreground_is_everything_but_the_background():
    logits = torch.tensor([0.2, 0.3, 0.5]).log()[None, :, None, None]
    assert foreground(logits).item() == pytest.approx(0.8)


def test_pooling_looks_where_the_weight_is():
    features = torch.tensor([[[[1.0, 5.0]], [[2.0, 6.0]]]])  # (1, 2, 1, 2)
    assert pooled(features, torch.tensor([[[[0.0, 1.0]]]])).flatten().tolist() == pytest.approx([5, 6])
    assert pooled(features, torch.tensor([[[[1.0, 3.0]]]])).flatten().tolist() == pytest.approx([4, 5])


def test_pooling_without_a_lesion_is_finite():
    assert torch.isfinite(pooled(torch.rand(1, 2, 3, 3), torch.zeros(1, 1, 3, 3))).all()


def test_places_that_look_like_the_seeds_are_found_too():
    features = torch.zeros(1, 2, 1, 3)
    features[0, 0, 0, :2] = 1  # the first two places look alike, the third does not
    features[0, 1, 0, 2] = 1
    found = mined_location(features, torch.tensor([[[[1.0, 0.0, 0.0]]]]))
    assert found.flatten().tolist() == pytest.approx([1, 1, 0], abs=1e-5)


def test_guidance_is_stronger_where_features_agree_with_the_class():
    guide = CategoryGuide(2, 2)
    with torch.no_grad():
        guide.query.weight.copy_(torch.eye(2)[:, :, None, None])
        guide.value.weight.zero_()
    x = torch.tensor([[[[4.0, 0.0]], [[0.0, 4.0]]]])
    guided = guide(x, torch.tensor([[1.0, -1.0]]))
    # agreement sigmoid(4 / sqrt 2) = .944 at the first place, sigmoid(-4 / sqrt 2) = .056 at the second
    assert guided[0, :, 0, 0].tolist() == pytest.approx([4 * 1.9442, 0], abs=1e-3)
    assert guided[0, :, 0, 1].tolist() == pytest.approx([0, 4 * 1.0558], abs=1e-3)
