"""What a network says of a batch: about the class, about the structures, or about both.

`UMLOutput`    raw evidence and logits, what the losses read; a part that a system does not answer is None or empty
`Answer`       belief (B, K, ...) and uncertainty (B, 1, ...) of either part, what everything else reads
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

from napari_uml.nn.evidence import belief, evidence_from_logits, full_precision, uncertainty

if TYPE_CHECKING:
    from torch import Tensor

    from napari_uml.results import Measure, Part


class Answer(NamedTuple):
    """About the class (B, K) or the structures (B, Q, H, W); see `napari_uml.results.Opinion`.

    Attributes
    ----------
    belief
        Belief masses; of a system without evidence its probabilities.
    uncertainty
        (B, 1, ...) in [0, 1].
    measure
        What the uncertainty is.
    """

    belief: Tensor
    uncertainty: Tensor
    measure: Measure

    @classmethod
    def from_evidence(cls, evidence: Tensor) -> Answer:
        """Belief e / T and vacuity K / T (Eq. 2)."""
        return cls(belief(evidence), uncertainty(evidence), "vacuity")

    @classmethod
    def from_logits(cls, logits: Tensor) -> Answer:
        """Probabilities p = softmax(logits) and their entropy H(p) / ln K."""
        p = full_precision(logits).softmax(1)
        entropy: Tensor = torch.special.entr(p)
        return cls(p, entropy.sum(1, keepdim=True) / math.log(p.shape[1]), "entropy")

    @property
    def probability(self) -> Tensor:
        """Expected probabilities, shape of `belief`; they sum to 1."""
        if self.measure == "entropy":
            return self.belief
        return self.belief + self.uncertainty / self.belief.shape[1]


def summed_up(features: Tensor) -> Tensor:
    """(B, C, h, w) coarsest features of the class encoder, or of the only one -> (B, C) their mean over the image."""
    return full_precision(features.detach()).mean(dim=(2, 3))


@dataclass(frozen=True, slots=True)
class Intermediates:
    """Feature maps for the figures of the paper (Fig. 3, S2); those of a part that is switched off are None.

    Attributes
    ----------
    class_features, mixed
        f^c_1..4 and f^m_1..4, finest first.
    reliable_top, reliable_bottom
        Reliable masks M^r_1 and M^r_4, (B, Q, h, w).
    mask_features, guidance, head_features, instructed
        r^s, eta, F and r^c, (B, C, h, w).
    """

    class_features: tuple[Tensor, ...]
    mixed: tuple[Tensor, ...]
    reliable_top: Tensor | None
    reliable_bottom: Tensor | None
    mask_features: Tensor
    guidance: Tensor | None
    head_features: Tensor
    instructed: Tensor


@dataclass(frozen=True, slots=True)
class UMLOutput:
    """What the network says of a batch; UML has all but `class_logits` and `interaction`, other systems what they have.

    Attributes
    ----------
    class_evidence
        e^c (B, K), non-negative, float32.
    mutual_evidence
        e^s (B, Q, H, W), non-negative, float32: evidence of the mutual mask M.
    mask_logits
        s_1..s_4, finest first, each (B, Q, H, W) float32 on the input's grid; the final mask is argmax s_1. A system
        has as many as it trains, UML in evaluation mode s_1 alone; none: no mask.
    evidential_mask
        Whether softplus(s_1) is trained as evidence (too, where there is mutual evidence).
    intermediates
        On request only.
    class_logits
        (B, K) of a system whose class comes from a softmax.
    interaction
        (B,) disagreement between the two tasks of an image, >= 0, where a system trains against it (DSI-Net).
    features
        (B, C) float32, see `summed_up`: what images unlike the training images are known by.
    """

    class_evidence: Tensor | None
    mutual_evidence: Tensor | None
    mask_logits: tuple[Tensor, ...]
    evidential_mask: bool
    intermediates: Intermediates | None = None
    class_logits: Tensor | None = None
    interaction: Tensor | None = None
    features: Tensor | None = None

    @property
    def mask_evidence(self) -> Tensor | None:
        """(B, Q, H, W) the evidence shown beside the mask: that of s_1 when it is evidential, else the mutual one."""
        return evidence_from_logits(self.mask_logits[0]) if self.evidential_mask else self.mutual_evidence

    @property
    def class_answer(self) -> Answer | None:
        """About the class; None when the system does not answer it."""
        if self.class_evidence is not None:
            return Answer.from_evidence(self.class_evidence)
        return None if self.class_logits is None else Answer.from_logits(self.class_logits)

    @property
    def mask_answer(self) -> Answer | None:
        """About the structures, as shown beside the mask; None when the system finds none."""
        evidence = self.mask_evidence
        if evidence is not None:
            return Answer.from_evidence(full_precision(evidence))
        return Answer.from_logits(self.mask_logits[0]) if self.mask_logits else None

    @property
    def answers(self) -> tuple[Part, ...]:
        """What the system answers."""
        has: dict[Part, bool] = {
            "mask": bool(self.mask_logits),
            "class": self.class_evidence is not None or self.class_logits is not None,
        }
        return tuple(part for part, there in has.items() if there)
