"""How often the class is wrong at this uncertainty, and whether a person should look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from napari_uml.inference.trust import Trust

BANNER_STYLE = (
    "background-color: #F0E442; color: black; border-left: 6px solid #D55E00; padding: 4px; font-weight: bold;"
)
"""Dark on yellow in either theme; the words say it, the colours only draw the eye."""


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
