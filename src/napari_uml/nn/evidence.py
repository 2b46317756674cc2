"""Evidence, belief and uncertainty of a Dirichlet distribution (Eq. 1-3), the same algebra for images and pixels.

The class axis is always axis 1: (B, K) for images, (B, Q, H, W) for pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


def full_precision(x: Tensor) -> Tensor:
    """The tensor in float32 where it is of a half type; float64 stays."""
    return x if x.dtype == torch.float64 else x.float()


def evidence_from_logits(logits: Tensor) -> Tensor:
    """Evidence e = softplus(logits) >= 0 (Eq. 1), at least in float32 whatever the autocast precision."""
    return functional.softplus(full_precision(logits))


def dirichlet(evidence: Tensor) -> Tensor:
    """Parameters alpha = e + 1 of the Dirichlet distribution (Eq. 1)."""
    return evidence + 1


def belief(evidence: Tensor) -> Tensor:
    """Belief mass b = e / T of every class, in [0, 1) (Eq. 2)."""
    return evidence / strength(evidence)


def uncertainty(evidence: Tensor) -> Tensor:
    """Uncertainty u = K / T, in (0, 1], the class axis kept at size 1; with the beliefs it sums to 1 (Eq. 2, 3)."""
    return evidence.shape[1] / strength(evidence)


def probability(evidence: Tensor) -> Tensor:
    """Expected probability p = alpha / T of every class; sums to 1."""
    return dirichlet(evidence) / strength(evidence)


def strength(evidence: Tensor) -> Tensor:
    """Dirichlet strength T = sum_k alpha_k >= K, with the class axis kept at size 1 (Eq. 2)."""
    return evidence.sum(dim=1, keepdim=True) + evidence.shape[1]


def total_entropy(evidence: Tensor) -> Tensor:
    """H(p) in nats: how undecided the expected probabilities are; class axis removed."""
    entropies: Tensor = torch.special.entr(probability(evidence))
    return entropies.sum(dim=1)


def expected_entropy(evidence: Tensor) -> Tensor:
    """-sum_k p_k (psi(alpha_k + 1) - psi(T + 1)) in nats: the part of the entropy that more data cannot remove."""
    p = probability(evidence)
    psi = torch.digamma(dirichlet(evidence) + 1) - torch.digamma(strength(evidence) + 1)
    return -(p * psi).sum(dim=1)


def mutual_information(evidence: Tensor) -> Tensor:
    """H(p) minus the expected entropy, in nats, >= 0: what the network does not know; class axis removed."""
    return (total_entropy(evidence) - expected_entropy(evidence)).clamp(min=0)  # rounding may go below
