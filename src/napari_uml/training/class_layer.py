"""The class on few images: what it is told by stays, and the last layer alone learns, close to where it was.

A mask has thousands of pixels to learn from, an image one class. Trained as a whole on a dozen images, a network learns
their classes by heart; and the mask's losses, which reach the class through the mixed features, move what it is told
by. So class encoder and class head stay, no class loss goes further back than the last layer, and what this layer reads
is kept, while the mask learns, by a term of the loss: WEIGHT times the mean squared change of its inputs f_i on the
images of a batch (as Jung et al., "Less-forgetting learning in deep neural networks", 2016). At the end the layer is
solved for:

    min_W  sum_i w_i L(W f_i, y_i) + pull |W - W_0|^2 / N

for N views of images with features f_i and classes y_i, from its start W_0. L is the expected cross-entropy (Eq. 7)
without its KL term, or the cross-entropy of a system without evidence; the w_i sum to 1 and are larger for rarer
classes. The last term is that of a normal prior around the start in a maximum a posteriori estimate, as Chelba and
Acero, "Adaptation of maximum entropy capitalizer", Computer Speech & Language 2006, have it for softmax.

All this holds for images of a kind that the start knows (KNOWN_DICE); others are learnt by all of the network.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from napari_uml.baselines.registry import ARCHITECTURES
from napari_uml.data.augment import as_input
from napari_uml.nn.evidence import evidence_from_logits
from napari_uml.nn.losses import evidential_cross_entropy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor, nn

    from napari_uml.config import TrainConfig
    from napari_uml.data.samples import Sample
    from napari_uml.nn.base import Network
    from napari_uml.nn.output import UMLOutput

WEIGHT = 10.0
"""Of the change of what the last layer reads; of that without it, hardly any is left."""
KNOWN_DICE = 0.7
"""Of the structures in the training images, as the start outlines them: with less they are of a kind that it does not
know, and what it tells their class by is no use to keep. Fundus photographs with their crops had 0.6 from a start that
knew crops alone, skin lesions of another clinic 0.9."""
STEPS = 200
"""Of L-BFGS, at most; a few dozen are enough for it to stand still."""


def knows_kind(figures: Mapping[str, float]) -> bool:
    """Whether a start with such figures on the training images knows their kind; so where no structure is annotated."""
    dice = [value for name, value in figures.items() if name.startswith("dice_present/")]
    return not dice or sum(dice) / len(dice) >= KNOWN_DICE


def freeze_class(network: Network) -> None:
    """Let nothing of class encoder and class head learn but the last layer."""
    for name in (ARCHITECTURES[network.config.arch].class_encoder, network.last_layers.class_head):
        network.get_submodule(name).requires_grad_(False)
    _last_layer(network).requires_grad_(True)


class KeptFeatures:
    """How far what the last layer of the class reads has moved from the start; no class loss reaches beyond the layer.

    Parameters
    ----------
    network
        At the start. It is listened to from now on: what is copied from it later must not be.
    """

    def __init__(self, network: Network) -> None:
        self._start = deepcopy(network).eval().requires_grad_(False)
        self._now = _listened(network, detached=True)
        self._then = _listened(self._start, detached=False)

    def load(self, start: Mapping[str, Tensor]) -> None:
        """Take other weights for those of the start."""
        self._start.load_state_dict(dict(start))

    def __call__(self, images: Tensor) -> Tensor:
        """The term of the loss, a scalar, for images (B, 3, S, S) that the network has just seen."""
        with torch.no_grad():
            self._start(images)
        return WEIGHT * functional.mse_loss(self._now.pop().float(), self._then.pop().float())


def taught(samples: Sequence[Sample]) -> list[Sample]:
    """Those that teach the last layer of the class: their class is known, and they are not only mixed in."""
    return [sample for sample in samples if sample.label >= 0 and not sample.mixed]


def solve_class_layer(
    network: Network,
    forward: Callable[[Tensor], UMLOutput],
    samples: Sequence[Sample],
    start: Tensor,
    config: TrainConfig,
    device: torch.device,
) -> Tensor:
    """The weight (K, C) of the last layer of the class, for the samples whose class is known.

    Parameters
    ----------
    network
        In evaluation mode; it is not changed.
    forward
        (B, 3, S, S) -> its output, without gradients.
    samples
        A class of n of them weighs n ** (1 - `TrainConfig.balanced`), as in the sampling.
    start
        (K, C) W_0.
    config
        Of it the pull is `class_anchor`.
    device
        Of the network.

    Returns
    -------
    W_0 when fewer than two classes are known, which tells nothing apart.
    """
    known = taught(samples)
    labels = torch.tensor([sample.label for sample in known])
    if len(labels.unique()) < 2:
        return start
    features, evidential = _features(network, forward, known, config, device)
    loss = _evidential if evidential else functional.cross_entropy
    counts = labels.bincount()
    shares = counts.where(counts == 0, counts.double().pow(1 - config.balanced))
    shares /= shares.sum()
    weight, pull = start.cpu().clone().requires_grad_(), config.class_anchor / len(known)
    solver = torch.optim.LBFGS([weight], max_iter=STEPS, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        solver.zero_grad()
        logits = functional.linear(features, weight)
        losses = (share * loss(logits[labels == k], labels[labels == k]) for k, share in enumerate(shares) if share)
        value: Tensor = sum(losses, start=pull * (weight - start.cpu()).square().sum())
        value.backward()
        return value

    solver.step(objective)
    return weight.detach()


def _features(
    network: Network,
    forward: Callable[[Tensor], UMLOutput],
    samples: Sequence[Sample],
    config: TrainConfig,
    device: torch.device,
) -> tuple[Tensor, bool]:
    """What the layer reads of every sample (N, C), and whether what it says is evidence."""
    read: list[Tensor] = []
    asked: list[Tensor] = []
    evidential = True
    hook = _last_layer(network).register_forward_pre_hook(lambda _layer, inputs: asked.append(inputs[0]))
    with hook, torch.no_grad():
        for first in range(0, len(samples), config.batch_size):
            batch = samples[first : first + config.batch_size]
            asked.clear()
            output = forward(torch.stack([as_input(sample, config.image_size)[0] for sample in batch]).to(device))
            read.append(asked[0].float().cpu())
            evidential = output.class_evidence is not None
    return torch.cat(read), evidential


def _evidential(logits: Tensor, labels: Tensor) -> Tensor:
    return evidential_cross_entropy(evidence_from_logits(logits), labels)


def _last_layer(network: Network) -> nn.Linear:
    (name,) = network.last_layers.classes
    return network.get_submodule(name.rpartition(".")[0])  # type: ignore[return-value]


def _listened(network: Network, detached: bool) -> list[Tensor]:
    """A list that has what the last layer reads."""
    heard: list[Tensor] = []

    def hear(_layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        heard[:] = inputs
        return tuple(x.detach() for x in inputs) if detached else inputs

    _last_layer(network).register_forward_pre_hook(hear)
    return heard
