"""The losses of mutual learning (Eq. 7-10), for batches that may lack labels, masks or parts of masks.

Every term is a sum over examples divided by their number, so that several processes can share one batch: `all_sum`
adds a tensor up over the processes and is the identity for one process. Half types are computed in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from napari_uml.config import IGNORE
from napari_uml.nn.evidence import dirichlet, evidence_from_logits, full_precision, probability, strength

if TYPE_CHECKING:
    from napari_uml.nn.output import UMLOutput

WEIGHTS = {"mutual": 0.1, "class": 0.5, "mask": 0.4}
"""Weights of L_m, L_c and L_s in the total loss (Eq. 10)."""

INTERACTION_WEIGHT = 0.05
"""Of the disagreement between the tasks, where a system has that term (DSI-Net)."""

EPSILON = 1.0  # pixels
DICE_SOURCES = ("expected", "softmax")

AllSum = Callable[[Tensor], Tensor]


def identity(x: Tensor) -> Tensor:
    """The sum over a single process."""
    return x


class UMLLoss(NamedTuple):
    """The total loss and its three parts, scalars; a part that the batch knows nothing about is 0."""

    total: Tensor
    mutual: Tensor
    class_: Tensor
    mask: Tensor


def evidential_cross_entropy(evidence: Tensor, target: Tensor, all_sum: AllSum = identity) -> Tensor:
    """Expected cross-entropy under the Dirichlet distribution, L_ace for images and L_ice for pixels (Eq. 7).

    mean over examples of sum_k y_k (psi(T) - psi(alpha_k)).

    Parameters
    ----------
    evidence
        (B, K) or (B, Q, H, W), non-negative.
    target
        (B,) or (B, H, W) integers; `IGNORE` and negative numbers are left out.
    all_sum
        Adds up over processes.

    Returns
    -------
    Scalar >= 0; 0 when every target is left out.

    Raises
    ------
    ValueError
        When the shapes do not match, or a target is no integer, or (found on the CPU only: elsewhere it would have to
        be waited for) not below the number of classes.
    """
    index, known = _known(evidence, target)
    evidence = full_precision(evidence)
    chosen = dirichlet(evidence).gather(1, index)
    loss = torch.digamma(strength(evidence)) - torch.digamma(chosen)
    return _mean(loss.squeeze(1), known, all_sum)


def kl_to_uniform(evidence: Tensor, target: Tensor, all_sum: AllSum = identity) -> Tensor:
    """KL divergence of the evidence for wrong classes from no evidence at all (Eq. 8).

    With alpha~ = 1 + (1 - y) e: lnGamma(T~) - sum lnGamma(alpha~_k) - lnGamma(K)
    + sum (alpha~_k - 1)(psi(alpha~_k) - psi(T~)), mean over examples. Shapes, returns and raises as
    `evidential_cross_entropy`. It can be differentiated once.
    """
    index, known = _known(evidence, target)
    wrong = _of_others(full_precision(evidence), index)  # the true class has alpha~ = 1, which adds nothing
    alpha, total = dirichlet(wrong), wrong.sum(dim=1, keepdim=True) + evidence.shape[1]
    # The derivatives of the three factors detached here cancel exactly: so a step is faster, and rounds less.
    log_ratio = torch.lgamma(total.detach()).squeeze(1) - torch.lgamma(alpha.detach()).sum(1)
    psi = torch.digamma(alpha) - torch.digamma(total)
    return _mean(log_ratio - math.lgamma(evidence.shape[1]) + (wrong.detach() * psi).sum(1), known, all_sum)


def dice_loss(probabilities: Tensor, target: Tensor, all_sum: AllSum = identity, image_share: float = 0.0) -> Tensor:
    """-ln of the soft Dice coefficient, mean over structures, sums over the whole batch.

    mean_q -ln[(2 sum p y + eps) / (sum p + sum y + eps)], background included, eps = 1 pixel. In these sums a small
    structure hardly counts beside a large one; a share of the loss can be the mean over the images and their own
    structures instead, with the sums over one image.

    Parameters
    ----------
    probabilities
        (B, Q, H, W) in [0, 1].
    target
        (B, H, W) integers below Q, or `IGNORE`.
    all_sum
        Adds up over processes.
    image_share
        Of the mean over images, in [0, 1].

    Returns
    -------
    Scalar >= 0; 0 when every pixel is left out.

    Raises
    ------
    ValueError
        As `evidential_cross_entropy`.
    """
    index, known = _known(probabilities, target)
    p = full_precision(probabilities) * known[:, None]
    y = torch.zeros_like(p).scatter_(1, index, known[:, None])
    overlap, sizes = (p * y).sum((2, 3)), (p + y).sum((2, 3))  # (B, Q)
    of_batch = _minus_log_dice(*all_sum(torch.stack([overlap.sum(0), sizes.sum(0)]))).mean()
    if not image_share:
        return of_batch
    there = (y.sum((2, 3)) > 0).to(p.dtype)
    return of_batch.lerp(_mean(_minus_log_dice(overlap, sizes), there, all_sum), image_share)


def evidential_mask_loss(
    evidence: Tensor,
    target: Tensor,
    kl_weight: float,
    dice_source: str = "expected",
    all_sum: AllSum = identity,
    image_dice: float = 0.0,
) -> Tensor:
    """L_ice + lambda KL + L_Dice of pixel evidence (Eq. 9).

    Parameters
    ----------
    evidence
        (B, Q, H, W).
    target
        (B, H, W).
    kl_weight
        lambda in [0, 1], already annealed.
    dice_source
        "expected": Dice of p = alpha / T; "softmax": of softmax(e), the authors' habit.
    all_sum
        Adds up over processes.
    image_dice
        `image_share` of `dice_loss`.

    Raises
    ------
    ValueError
        As `evidential_cross_entropy`, or when there is no such Dice source.
    """
    if dice_source not in DICE_SOURCES:
        raise ValueError(f"Expected a Dice source among {', '.join(DICE_SOURCES)}, got {dice_source!r}.")
    evidence = full_precision(evidence)
    p = probability(evidence) if dice_source == "expected" else evidence.softmax(1)
    return _evidential(evidence, target, kl_weight, all_sum) + dice_loss(p, target, all_sum, image_dice)


def uml_loss(
    output: UMLOutput,
    labels: Tensor,
    masks: Tensor,
    kl_weight: float,
    mask_cross_entropy: bool = False,
    dice_source: str = "expected",
    all_sum: AllSum = identity,
    weights: Mapping[str, float] = WEIGHTS,
    image_dice: float = 0.0,
) -> UMLLoss:
    """L = 0.1 L_m + 0.5 L_c + 0.4 L_s (Eq. 10), over the parts that a system has.

    A system without evidence has cross-entropy for L_c, and cross-entropy + Dice for L_s; one whose mask has evidence
    and no mutual mask has the evidential loss alone for L_s; one with an interaction term adds 0.05 of it.

    Parameters
    ----------
    output
        Of the network.
    labels
        (B,) class numbers; negative where unknown.
    masks
        (B, H, W) structure numbers; `IGNORE` where unknown.
    kl_weight
        lambda = min(1, epoch / annealing_epochs) * kl_scale.
    mask_cross_entropy
        Add the cross-entropy of s_1 to L_s of UML.
    dice_source
        See `evidential_mask_loss`.
    all_sum
        Adds up over processes.
    weights
        Of the three parts, by the names that `WEIGHTS` has.
    image_dice
        `image_share` of every `dice_loss`.

    Raises
    ------
    ValueError
        When labels or masks do not have the shapes above, or there is no such Dice source.
    """
    parts = {
        "mutual": _mutual_part(output, masks, kl_weight, dice_source, all_sum, image_dice),
        "class": _class_part(output, labels, kl_weight, all_sum),
        "mask": _mask_part(output, masks, kl_weight, mask_cross_entropy, dice_source, all_sum, image_dice),
    }
    total = torch.stack([weights[name] * part for name, part in parts.items() if part is not None]).sum()
    if output.interaction is not None:
        total = total + INTERACTION_WEIGHT * _mean(output.interaction, torch.ones_like(output.interaction), all_sum)
    return UMLLoss(total, *(total.new_zeros(()) if part is None else part for part in parts.values()))


def _mutual_part(
    output: UMLOutput, masks: Tensor, kl_weight: float, dice_source: str, all_sum: AllSum, image_dice: float
) -> Tensor | None:
    if output.mutual_evidence is None:
        return None
    return evidential_mask_loss(output.mutual_evidence, masks, kl_weight, dice_source, all_sum, image_dice)


def _class_part(output: UMLOutput, labels: Tensor, kl_weight: float, all_sum: AllSum) -> Tensor | None:
    if output.class_evidence is not None:
        return _evidential(output.class_evidence, labels, kl_weight, all_sum)
    return None if output.class_logits is None else _cross_entropy(output.class_logits, labels, all_sum)


def _mask_part(
    output: UMLOutput,
    masks: Tensor,
    kl_weight: float,
    mask_cross_entropy: bool,
    dice_source: str,
    all_sum: AllSum,
    image_dice: float,
) -> Tensor | None:
    terms = []
    mutual = output.mutual_evidence is not None
    if output.mask_logits and (mutual or not output.evidential_mask):
        deep = [dice_loss(full_precision(s).softmax(1), masks, all_sum, image_dice) for s in output.mask_logits]
        terms.append(torch.stack(deep).mean())
        if mask_cross_entropy or not mutual:
            terms.append(_cross_entropy(output.mask_logits[0], masks, all_sum))
    if output.evidential_mask:
        evidence = evidence_from_logits(output.mask_logits[0])
        terms.append(evidential_mask_loss(evidence, masks, kl_weight, dice_source, all_sum, image_dice))
    return torch.stack(terms).sum() if terms else None


def _evidential(evidence: Tensor, target: Tensor, kl_weight: float, all_sum: AllSum) -> Tensor:
    loss = evidential_cross_entropy(evidence, target, all_sum)
    return loss + kl_weight * kl_to_uniform(evidence, target, all_sum) if kl_weight else loss


def _cross_entropy(logits: Tensor, target: Tensor, all_sum: AllSum) -> Tensor:
    index, known = _known(logits, target)
    loss = functional.cross_entropy(full_precision(logits), index.squeeze(1), reduction="none")
    return _mean(loss, known, all_sum)


def _minus_log_dice(overlap: Tensor, sizes: Tensor) -> Tensor:
    return -torch.log((2 * overlap + EPSILON) / (sizes + EPSILON))


def _of_others(values: Tensor, index: Tensor) -> Tensor:
    """(B, K, ...) without the class `index` (B, 1, ...) of every example -> (B, K - 1, ...)."""
    others = torch.arange(values.shape[1] - 1, device=values.device).view(1, -1, *[1] * (values.ndim - 2))
    return values.gather(1, others + (others >= index))


def _known(values: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Class numbers with a class axis, (B, 1, ...) int64, 0 where unknown; and 1 where known, else 0, (B, ...)."""
    expected = (values.shape[0], *values.shape[2:])
    if tuple(target.shape) != expected or target.is_floating_point():
        raise ValueError(f"Expected integer targets of shape {expected}, got {target.dtype} {tuple(target.shape)}.")
    known = (target >= 0) & (target != IGNORE)
    index = torch.where(known, target, 0).long()
    if target.device.type == "cpu" and index.numel() and int(index.max()) >= values.shape[1]:
        raise ValueError(f"Expected class numbers below {values.shape[1]}, got {int(index.max())}.")
    return index[:, None], known.to(full_precision(values).dtype)


def _mean(values: Tensor, known: Tensor, all_sum: AllSum) -> Tensor:
    sums = all_sum(torch.stack([(values * known).sum(), known.sum()]))
    return sums[0] / sums[1].clamp(min=1)
