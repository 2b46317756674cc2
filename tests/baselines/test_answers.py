"""Opinions and outputs of systems without evidence."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_uml.nn.output import Answer
from napari_uml.results import Opinion

NAMES = ("a", "b")


def test_entropy_is_1_for_even_probabilities_and_0_for_a_certain_class():
    assert Opinion.from_probability(NAMES, np.array([0.5, 0.5])).uncertainty == pytest.approx(1)
    assert Opinion.from_probability(NAMES, np.array([1.0, 0.0])).uncertainty == 0


def test_image_and_pixel_entropy_are_the_same_number():
    p = torch.tensor([[0.7, 0.2, 0.1]])
    answer = Answer.from_logits(p.log())
    opinion = Opinion.from_probability(("a", "b", "c"), p[0].numpy())
    assert answer.uncertainty.item() == pytest.approx(opinion.uncertainty, abs=1e-6)
    assert torch.allclose(answer.probability, p)


def test_probabilities_that_do_not_sum_to_1_are_refused():
    with pytest.raises(ValueError, match="Expected probabilities to sum to 1"):
        Opinion(NAMES, np.array([0.5, 0.3], dtype=np.float32), 0.2, "entropy")


def test_probabilities_are_what_they_are_and_have_no_evidence():
    opinion = Opinion.from_probability(NAMES, np.array([0.8, 0.2]))
    np.testing.assert_allclose(opinion.probability, [0.8, 0.2], rtol=1e-6)
    with pytest.raises(ValueError, match="rests on evidence"):
        _ = opinion.evidence


def test_a_volume_has_the_mean_of_its_slices_probabilities():
    one, other = (Opinion.from_probability(NAMES, np.array(p)) for p in ([0.9, 0.1], [0.3, 0.7]))
    fused = Opinion.fuse([one, other])
    np.testing.assert_allclose(fused.probability, [0.6, 0.4], rtol=1e-6)
    assert fused.measure == "entropy"


def test_evidence_and_probabilities_cannot_be_fused():
    with pytest.raises(ValueError, match="same classes"):
        Opinion.fuse([Opinion.from_probability(NAMES, np.array([0.9, 0.1])), Opinion.from_evidence(NAMES, np.ones(2))])


def test_an_opinion_without_evidence_knows_nothing():
    opinion = Opinion.from_evidence(NAMES, np.zeros(2))
    assert opinion.uncertainty == 1
    assert not opinion.belief.any()
