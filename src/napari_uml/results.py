"""What the network answers, as plain numpy: opinions, predictions and the reports of a training epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence  # noqa: TC003 (pydantic reads the annotations of EpochReport)
from dataclasses import dataclass, replace
from pathlib import Path  # noqa: TC003 (as above)
from typing import Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

Part = Literal["mask", "class"]
PARTS: Final[tuple[Part, ...]] = ("mask", "class")
"""What a system can answer."""

Measure = Literal["vacuity", "entropy"]
"""What an uncertainty is: the mass u = K / T that no class got, or the entropy H(p) / ln K of probabilities."""

SYMBOLS: Final[Mapping[Measure, str]] = {"vacuity": "u", "entropy": "entropy"}
"""Short names of the uncertainty, for tables and legends."""

SILENT: Final[Mapping[Part, str]] = {
    "mask": "No structures: this model tells classes apart only.",
    "class": "No class: this model finds structures only.",
}
"""What to say instead of the part that a system does not answer."""

SUM_TOLERANCE = 1e-3
"""How far beliefs and uncertainty may be from a sum of 1 (half precision rounds by 5e-4)."""


@dataclass(frozen=True, slots=True, eq=False)
class Opinion:
    """A belief per class and the uncertainty, which sum to 1 (Eq. 1-3); or probabilities and their entropy.

    Attributes
    ----------
    class_names
        K names.
    belief
        (K,) belief masses in [0, 1). Of a system without evidence the probabilities, which sum to 1 by themselves.
    uncertainty
        u in (0, 1], the mass that no class got; or the entropy of the probabilities, in [0, 1].
    measure
        Which of the two.
    """

    class_names: tuple[str, ...]
    belief: Float
    uncertainty: float
    measure: Measure = "vacuity"

    def __post_init__(self) -> None:
        if self.belief.shape != (len(self.class_names),):
            raise ValueError(f"Expected {len(self.class_names)} beliefs, got an array of shape {self.belief.shape}.")
        vacuous = self.measure == "vacuity"
        total = float(self.belief.sum()) + (self.uncertainty if vacuous else 0)
        if not abs(total - 1) <= SUM_TOLERANCE:
            what = "beliefs and uncertainty" if vacuous else "probabilities"
            raise ValueError(f"Expected {what} to sum to 1, got {total:.6f}.")

    @classmethod
    def from_evidence(cls, class_names: Sequence[str], evidence: NDArray[np.floating]) -> Self:
        """The opinion that K non-negative masses of evidence hold: b = e / T, u = K / T, T = sum(e) + K."""
        evidence = np.asarray(evidence, dtype=np.float64)
        strength = float(evidence.sum()) + evidence.size
        return cls(tuple(class_names), (evidence / strength).astype(np.float32), evidence.size / strength)

    @classmethod
    def from_probability(cls, class_names: Sequence[str], probability: NDArray[np.floating]) -> Self:
        """The answer of a system without evidence: K probabilities that sum to 1, and H(p) / ln K."""
        p = np.asarray(probability, dtype=np.float64)
        entropy = -float(np.sum(p * np.log(np.where(p > 0, p, 1)))) / np.log(p.size)
        return cls(tuple(class_names), p.astype(np.float32), min(max(float(entropy), 0.0), 1.0), "entropy")

    @classmethod
    def fuse(cls, opinions: Sequence[Opinion]) -> Opinion:
        """Averaging belief fusion (Jøsang 2016): the opinion that the mean evidence holds.

        For slices of one volume, whose evidence is not independent: more slices do not make u smaller by themselves.
        Opinions without evidence are fused by their mean probabilities.

        Raises
        ------
        ValueError
            When there is no opinion, or they speak of different classes.
        """
        if len({(o.class_names, o.measure) for o in opinions}) != 1:
            raise ValueError("Expected one or more opinions about the same classes.")
        if opinions[0].measure == "entropy":
            return cls.from_probability(opinions[0].class_names, np.mean([o.belief for o in opinions], axis=0))
        mean = np.mean([o.evidence for o in opinions], axis=0)
        return cls.from_evidence(opinions[0].class_names, mean)

    @property
    def evidence(self) -> NDArray[np.float64]:
        """(K,) evidence e = b T, non-negative; an opinion that has none raises ValueError."""
        if self.measure != "vacuity":
            raise ValueError("Expected an opinion that rests on evidence, got probabilities.")
        return np.asarray(self.belief, dtype=np.float64) * len(self.class_names) / self.uncertainty

    @property
    def probability(self) -> Float:
        """(K,) expected probabilities p = alpha / T = b + u / K; they sum to 1."""
        if self.measure == "entropy":
            return self.belief
        return (self.belief + self.uncertainty / len(self.class_names)).astype(np.float32)

    @property
    def predicted(self) -> str:
        """Name of the most probable class."""
        return self.class_names[int(np.argmax(self.belief))]

    @property
    def superlative(self) -> str:
        """What the predicted class has, for people."""
        return "Most belief" if self.measure == "vacuity" else "Most probable"

    @property
    def dissonance(self) -> float:
        """Conflict between the beliefs, 0 (one class has them all) to 1 (spread evenly)."""
        return float(dissonance(self.belief[:, None])[0])


def dissonance(belief: NDArray[np.floating]) -> Float:
    """Conflicting evidence: sum_k b_k [sum_{j != k} b_j (1 - |b_j - b_k| / (b_j + b_k))] / sum_{j != k} b_j.

    Parameters
    ----------
    belief
        (K, ...) belief masses.

    Returns
    -------
    (...) in [0, 1]; 0 where a single class has all the belief or none has any.
    """
    b = np.asarray(belief, dtype=np.float32)
    total = np.zeros(b.shape[1:], dtype=np.float32)
    for k in range(b.shape[0]):
        others = np.delete(b, k, axis=0)
        pair = others + b[k]
        balance = 1 - np.abs(others - b[k]) / np.where(pair > 0, pair, 1)
        weight = others.sum(axis=0)
        total += b[k] * (others * balance).sum(axis=0) / np.where(weight > 0, weight, 1)
    return total


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of an image in pixels: rows [top, bottom), columns [left, right)."""

    top: int
    left: int
    bottom: int
    right: int

    def __post_init__(self) -> None:
        if not (0 <= self.top < self.bottom and 0 <= self.left < self.right):
            raise ValueError(f"Expected 0 <= top < bottom and 0 <= left < right, got {self}.")

    @property
    def slices(self) -> tuple[slice, slice]:
        """Row and column slices for an (H, W, ...) array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.bottom - self.top, self.right - self.left


@dataclass(frozen=True, slots=True)
class Corruption:
    """A known damage to the network's input, so that one sees what the answer bears.

    Attributes
    ----------
    kind, strength
        What is done and how much of it, see `napari_uml.inference.corruptions.KINDS`.
    """

    kind: str
    strength: float

    def __str__(self) -> str:
        return f"{self.kind}={self.strength!r}"


@dataclass(frozen=True, slots=True, eq=False)
class PredictionDetails:
    """What the network went through on the way to a mask, on the image's grid.

    Attributes
    ----------
    mutual_mask
        uint8 (H, W) or (D, H, W): structure numbers of the mutual mask M, the most evident one of every pixel.
    reliable_mask
        float32 (Q, H, W) or (D, Q, H, W): reliable mask M^r at the finest level (Eq. 4), not bounded; None without the
        navigator.
    """

    mutual_mask: NDArray[np.uint8]
    reliable_mask: Float | None


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """Everything that the network said of one image (H, W) or one stack (D, H, W).

    Attributes
    ----------
    mask
        uint8 (H, W) or (D, H, W): number of the structure of every pixel, 0 the background.
    pixel_belief
        float32 (Q, H, W) or (D, Q, H, W): belief mass of every structure, in [0, 1).
    pixel_uncertainty
        float32, shape of `mask`: u of every pixel, in (0, 1]; with the beliefs it sums to 1.
    opinions
        One opinion about the class a slice; a single one for an image.
    structure_names
        Q names, background first.
    looked_at
        The rectangle that the answer comes from, one a slice; None where the whole image was read once. Outside it
        every pixel is background: with the uncertainty of the first look where there was one, else with u = 1.
    mask_map
        Which distribution the uncertainty belongs to: "mask" (the mask's own) or "mutual" (the mutual decoder's, as in
        the paper).
    seconds
        Wall time of the prediction.
    model, device, precision, sigma, seed
        How it was made: name of the model, `cpu` / `cuda:0` / `mps`, `float32` / `bf16` / `fp16`, the noise's standard
        deviation on the [0, 1] scale and its seed.
    corruption
        What was done to the input before the noise was added; None: nothing.
    details
        On request only.
    evidence_scales
        What the evidence of the class and of the pixels was multiplied by, from the weights' calibration.
    answers
        What the system answers. On the other part it knows nothing and has no belief, u = 1; such a mask is empty, and
        neither is worth showing.
    measure
        What the uncertainty of the pixels is; the beliefs of a system without evidence are its probabilities.
    unlike
        Of every slice, whether what the network saw of it, noise and corruption included, is so unlike the training
        images that nothing is known of its errors (`likeness.is_unlike`); empty: not looked at.
    """

    mask: NDArray[np.uint8]
    pixel_belief: Float
    pixel_uncertainty: Float
    opinions: tuple[Opinion, ...]
    structure_names: tuple[str, ...]
    looked_at: tuple[Box | None, ...]
    mask_map: str
    seconds: float
    model: str
    device: str
    precision: str
    sigma: float = 0.0
    seed: int = 0
    details: PredictionDetails | None = None
    corruption: Corruption | None = None
    evidence_scales: tuple[float, float] = (1.0, 1.0)
    answers: tuple[Part, ...] = PARTS
    measure: Measure = "vacuity"
    unlike: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        if self.pixel_uncertainty.shape != self.mask.shape:
            raise ValueError(f"Expected an uncertainty of shape {self.mask.shape}, got {self.pixel_uncertainty.shape}.")
        axis = self.mask.ndim - 2
        expected = (*self.mask.shape[:axis], len(self.structure_names), *self.mask.shape[axis:])
        if self.pixel_belief.shape != expected:
            raise ValueError(f"Expected beliefs of shape {expected}, got {self.pixel_belief.shape}.")
        slices = self.mask.shape[0] if self.mask.ndim == 3 else 1
        if len(self.opinions) != slices or len(self.looked_at) != slices:
            raise ValueError(f"Expected {slices} opinions and rectangles, got {len(self.opinions)}.")

    @property
    def opinion(self) -> Opinion:
        """The opinion about the image, or about the volume (averaging belief fusion over its slices)."""
        return self.opinions[0] if len(self.opinions) == 1 else Opinion.fuse(self.opinions)

    @property
    def pixel_probability(self) -> Float:
        """Expected probability of every structure, shape of `pixel_belief`; sums to 1 over the structures."""
        if self.measure == "entropy":
            return self.pixel_belief
        axis = self.mask.ndim - 2
        return self.pixel_belief + np.expand_dims(self.pixel_uncertainty, axis) / np.float32(len(self.structure_names))

    @property
    def pixel_doubt(self) -> Float:
        """The doubt 1 - p in the structure that `mask` names, shape of `mask`, in [0, 1].

        It is high where evidence lacks, as u is, and also where there is as much of it for two structures. p is that
        of `pixel_probability`: of the mutual mask's distribution where `mask_map` says so, and outside `looked_at`,
        where there is no belief, only of u.
        """
        axis = self.mask.ndim - 2
        named = np.expand_dims(self.mask, axis).astype(np.intp)
        p = np.take_along_axis(self.pixel_belief, named, axis).squeeze(axis)
        if self.measure == "vacuity":
            p = p + self.pixel_uncertainty / np.float32(len(self.structure_names))
        return np.clip(1 - p, 0, 1)


def stack_predictions(slices: Sequence[Prediction]) -> Prediction:
    """The prediction of a stack (D, H, W) from those of its slices (H, W), in their order; `seconds` add up.

    Raises
    ------
    ValueError
        When there is no slice, or their sizes differ.
    """
    if not slices or len({s.mask.shape for s in slices}) != 1:
        raise ValueError("Expected the predictions of one or more slices of the same size.")
    return replace(
        slices[0],
        mask=np.stack([s.mask for s in slices]),
        pixel_belief=np.stack([s.pixel_belief for s in slices]),
        pixel_uncertainty=np.stack([s.pixel_uncertainty for s in slices]),
        opinions=tuple(o for s in slices for o in s.opinions),
        looked_at=tuple(box for s in slices for box in s.looked_at),
        seconds=sum(s.seconds for s in slices),
        device=slices[-1].device,  # a GPU whose memory was used up gave way to the CPU
        precision=slices[-1].precision,
        details=_stack_details([s.details for s in slices]),
        unlike=tuple(one for s in slices for one in s.unlike),
    )


def _stack_details(slices: Sequence[PredictionDetails | None]) -> PredictionDetails | None:
    """Those of all slices; None when one has none."""
    known = [details for details in slices if details is not None]
    if len(known) < len(slices):
        return None
    reliable = [details.reliable_mask for details in known if details.reliable_mask is not None]
    return PredictionDetails(np.stack([d.mutual_mask for d in known]), np.stack(reliable) if reliable else None)


@dataclass(frozen=True, slots=True)
class EpochReport:
    """What one epoch of training brought; the checkpoints it names are on disk when it is reported.

    Attributes
    ----------
    epoch, epochs
        The epoch just ended, from 1, and how many there will be.
    losses
        Means over the epoch: `total`, `mutual`, `class`, `mask`.
    metrics
        Validation figures by name, see `napari_uml.evaluation.metrics`; empty when there is nothing to validate on.
    learning_rate
        At the end of the epoch.
    score
        What the best checkpoint is chosen by: mean of the validation Dice and AUC; None without validation.
    is_best
        Whether this epoch is the best so far: the last whose score is at most one standard error below the highest.
    seconds, images_per_second, eta_seconds, memory_mb
        Wall time of the epoch, training speed, time to the last epoch, peak memory of the process.
    last, best
        Paths of the checkpoints.
    stopped
        Why this was the last epoch; empty while there are more.
    """

    epoch: int
    epochs: int
    losses: Mapping[str, float]
    metrics: Mapping[str, float]
    learning_rate: float
    score: float | None
    is_best: bool
    seconds: float
    images_per_second: float
    eta_seconds: float
    memory_mb: float
    last: Path
    best: Path
    stopped: str = ""
