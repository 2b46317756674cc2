"""The card of a model in a window: data, figures, terms, what it is not for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QDialog, QDialogButtonBox, QTextBrowser, QVBoxLayout, QWidget

from napari_uml.errors import WeightsError
from napari_uml.evaluation.card import model_card
from napari_uml.weights import read_info, sha256

if TYPE_CHECKING:
    from pathlib import Path

    from qtpy.QtCore import QUrl

    from napari_uml.weights import ModelEntry

NO_CARD = "This model has no card yet: its weights are not on this computer, and no card came with napari-uml."


class CardDialog(QDialog):
    """Shows a card; it leaves the rest of napari usable.

    A card that came with napari-uml is shown as Markdown. What a weights file says of itself was written by somebody
    else, so it is shown as plain text. No link is followed and no picture is loaded from anywhere.
    """

    def __init__(self, entry: ModelEntry, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Model card: {entry.title}")
        self.resize(640, 520)
        self.text = _Offline(self)
        self.text.setAccessibleName("Model card")
        self.text.setToolTip("What the model is, how good it is, what it was trained on and what it is not for.")
        text, is_ours = card_text(entry)
        if is_ours:
            self.text.setMarkdown(text)
        else:
            self.text.setPlainText(text)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.button(QDialogButtonBox.StandardButton.Close).setToolTip("Close the card (Esc).")
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(self.text)
        layout.addWidget(buttons)


def card_text(entry: ModelEntry) -> tuple[str, bool]:
    """The card of a model, and whether it came with napari-uml, so that it may be shown as Markdown."""
    if entry.card is not None:
        try:
            return entry.card.read_text(encoding="utf-8"), entry.source != "user"
        except (OSError, UnicodeDecodeError) as error:
            return f"The card cannot be read: {error}.", False
    if entry.problem:
        return entry.problem, False
    if entry.path is None:
        return NO_CARD, False
    try:
        return _made_card(entry.path), False
    except WeightsError as error:
        return str(error), False


class _Offline(QTextBrowser):
    """Loads nothing, whatever the text asks for."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setOpenLinks(False)

    def loadResource(self, kind: int, name: QUrl) -> object:
        return None


def _made_card(path: Path) -> str:
    return model_card(read_info(path), [], sha256(path), path.stat().st_size)
