"""How often the class is wrong at this uncertainty, and whether a person should look."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from napari_uml.calibration import Calibration
    from napari_uml.results import Opinion

BANNER_STYLE = (
    "background-color: #F0E442; color: black; border-left: 6px solid #D55E00; padding: 4px; font-weight: bold;"
)
"""Dark on yellow in either theme; the words say it, the colours only draw the eye."""


@dataclass(frozen=True, slots=True)
class Trust:
    """What to say of an answer.

    Attributes
    ----------
    line
        One line, and another with the classes that are still possible.
    explanation
        Where it comes from.
    referral
        Advice to have a person look; empty when there is none.
    """

    line: str
    explanation: str
    referral: str = ""


def trust_in(opinion: Opinion, calibration: Calibration | None) -> Trust:
    """What a model's calibration says of an opinion about the class."""
    if calibration is None:
        return Trust(
            "Chance that the class is wrong: not calibrated",
            "This model's file does not say how often it was wrong at which uncertainty.",
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


class TrustLine(QWidget):
    """The line, and below it the banner when there is a reason for one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.line, self.banner = QLabel(self), QLabel(self)
        self.line.setWordWrap(True)
        self.banner.setWordWrap(True)
        self.banner.setStyleSheet(BANNER_STYLE)
        self.banner.setAccessibleName("Referral")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.line)
        layout.addWidget(self.banner)
        self.set_trust(None)

    def set_trust(self, trust: Trust | None) -> None:
        """Say it; None: there is no answer to trust."""
        self.setVisible(trust is not None)
        self.line.setText(trust.line if trust else "")
        self.line.setToolTip(trust.explanation if trust else "")
        self.banner.setText(trust.referral if trust else "")
        self.banner.setToolTip(trust.explanation if trust else "")
        self.banner.setVisible(trust is not None and bool(trust.referral))
