"""The Dirichlet algebra, against torch.distributions and numbers worked by hand."""

import pytest
import torch
from torch.distributions import Categorical, Dirichlet

from napari_uml.nn.evidence import (
    belief,
    dirichlet,
    evidence_from_logits,
    expected_entropy,
    full_precision,
    mutual_information,
    probability,
    strength,
    total_entropy,
    uncertainty,
)

SHAPES = [(5, 3), (2, 4, 6, 7)]


@pytest.fixture(params=SHAPES, ids=str)
def evidence(request: pytest.FixtureRequest) -> torch.Tensor:
    return torch.rand(request.param, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 9


def test_numbers_worked_by_hand():
    e = torch.tensor([[1.0, 3.0]])  # alpha = (2, 4), T = 6
    assert dirichlet(e).tolist() == [[2, 4]]
    assert strength(e).tolist() == [[6]]
    assert belief(e)[0].tolist() == pytest.approx([1 / 6, 3 / 6])
    assert uncertainty(e).item() == pytest.approx(2 / 6)
    assert probability(e)[0].tolist() == pytest.approx([2 / 6, 4 / 6])


def test_beliefs_and_uncertainty_sum_to_one(evidence):
    total = belief(evidence).sum(1, keepdim=True) + uncertainty(evidence)
    assert torch.allclose(total, torch.ones_like(total))


def test_probability_is_the_mean_of_the_dirichlet_distribution(evidence):
    expected = Dirichlet(dirichlet(evidence).movedim(1, -1)).mean.movedim(-1, 1)
    assert torch.allclose(probability(evidence), expected)


def test_total_entropy_is_that_of_the_expected_probability(evidence):
    expected = Categorical(probs=probability(evidence).movedim(1, -1)).entropy()
    assert torch.allclose(total_entropy(evidence), expected)


def test_expected_entropy_is_the_mean_over_draws():
    torch.manual_seed(0)
    e = torch.tensor([[0.5, 2.0, 6.0]], dtype=torch.float64)
    draws = Dirichlet(dirichlet(e)[0]).sample((200_000,))
    assert expected_entropy(e).item() == pytest.approx(Categorical(probs=draws).entropy().mean().item(), abs=2e-3)


def test_mutual_information_vanishes_with_evidence_and_is_never_negative():
    balanced = torch.tensor([[0.0, 0.0], [10.0, 10.0], [1e6, 1e6]])
    information = mutual_information(balanced)
    assert information[0] > information[1] > information[2] >= 0


def test_no_evidence_is_full_uncertainty_and_a_million_next_to_none():
    e = torch.tensor([[0.0, 0.0, 0.0], [1e6, 0.0, 0.0]])
    assert uncertainty(e)[:, 0].tolist() == pytest.approx([1.0, 3e-6], rel=1e-3)
    for quantity in (belief, probability, total_entropy, expected_entropy, mutual_information):
        assert torch.isfinite(quantity(e)).all()


def test_classes_can_be_permuted(evidence):
    order = torch.randperm(evidence.shape[1])
    assert torch.allclose(belief(evidence)[:, order], belief(evidence[:, order]))
    assert torch.allclose(uncertainty(evidence), uncertainty(evidence[:, order]))
    assert torch.allclose(mutual_information(evidence), mutual_information(evidence[:, order]))


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float32])
def test_evidence_is_float32_and_not_negative_whatever_the_logits(kind):
    e = evidence_from_logits(torch.tensor([[-1000.0, -3.0, 0.0, 1000.0]], dtype=kind))
    assert e.dtype == torch.float32
    assert (e >= 0).all()
    assert torch.isfinite(e).all()


def test_evidence_stays_float32_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        assert evidence_from_logits(torch.randn(2, 3)).dtype == torch.float32


def test_float64_is_kept():
    assert full_precision(torch.zeros(1, dtype=torch.float64)).dtype == torch.float64
    assert evidence_from_logits(torch.zeros(1, 2, dtype=torch.float64)).dtype == torch.float64
