"""What a model's calibration says of an answer: how often it is wrong then, which classes are left, who should look."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_uml.calibration import Calibration
    from napari_uml.results import Opinion


@dataclass(frozen=True, slots=True)
class Trust:
    """What to say of an answer.

    Attributes
    ----------
    line
        One line, and another with the classes that are still possible; HTML.
    explanation
        Where it comes from.
    referral
        Advice to have a person look; empty when there is none.
    """

    line: str
    explanation: str
    referral: str = ""


def trust_in(opinion: Opinion, calibration: Calibration | None, *, unlike: bool = False) -> Trust:
    """What a model's calibration says of an opinion about the class.

    Parameters
    ----------
    opinion, calibration
        The opinion, and the calibration of the model that holds it.
    unlike
        Whether the image is unlike the training images (`likeness.is_unlike`): then a calibration says nothing of it.
    """
    if calibration is None:
        return Trust(
            "Chance that the class is wrong: not calibrated",
            "This model's file does not say how often it was wrong at which uncertainty.",
        )
    if unlike:
        return Trust(
            "Chance that the class is wrong: <b>not known</b>, the image is unlike the training images",
            f"How often the class was wrong is known of {calibration.source}; it says nothing of an unlike image.",
            "Let an expert look: the image is unlike those that the model knows.",
        )
    chance = calibration.chance(opinion.uncertainty)
    line = f"Chance that the class is wrong: <b>{percent(chance.value)}</b> ({escape(calibration.source)})"
    explanation = (
        f"Among images of {calibration.source}, the class was wrong in {percent(chance.value)} at an uncertainty "
        f"of {opinion.uncertainty:.2f} (95 % interval {percent(chance.low)} to {percent(chance.high)}).\n"
        "Images of another kind or from another device may fare worse."
    )
    classes = calibration.class_set(opinion)
    if classes is not None:
        line += f"<br>{_class_set(classes, calibration.set_coverage)}"
    if not calibration.refers(opinion.uncertainty):
        return Trust(line, explanation)
    return Trust(line, explanation, _referral(calibration))


def _class_set(classes: tuple[str, ...], coverage: float) -> str:
    """The classes that are still possible; none when the image is less like any class than most are."""
    if not classes:
        return f"No class is probable enough for {percent(coverage)} coverage."
    return f"With {percent(coverage)} coverage: <b>{escape(' or '.join(classes))}</b>"


def _referral(calibration: Calibration) -> str:
    """Advice to have a person look; a threshold of 0 asks so for every image."""
    limit, target = calibration.referral_threshold, calibration.target_risk
    if limit > 0:
        return f"Let an expert look: chance of an error above {percent(limit)}."
    if target is None:
        return "Let an expert look at every image of this model."
    return f"Let an expert look: no certainty of this model keeps errors below {percent(target)}."


def percent(share: float) -> str:
    """A share of 0..1 in per cent, without false precision."""
    value = 100 * share
    if value < 1:
        return "under 1\N{NO-BREAK SPACE}%"
    return f"{value:.0f}\N{NO-BREAK SPACE}%"
