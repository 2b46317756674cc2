"""Check boxes for the maps behind an answer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, QTimer
from qtpy.QtWidgets import QCheckBox, QLabel, QVBoxLayout

from napari_uml.widgets.extra_layers import EXTRA_KINDS, ExtraKind
from napari_uml.widgets.layers import MARK
from napari_uml.widgets.panel import Panel
from napari_uml.widgets.session import ready_reason

if TYPE_CHECKING:
    from collections.abc import Collection

    from napari_uml.widgets.extra_layers import ExtraLayer

NO_MAP = "This model has no such map."


class ExtraPanel(Panel):
    """Shows a layer while its box is ticked; runs again when the answer came without the map that is wanted."""

    title = "More layers"
    tour = (
        "<b>More layers</b> show what led to the mask: the belief in each structure, the mutual and the reliable mask, "
        "and where mutual and final mask disagree; the doubt 1 - p in each pixel; and outlines "
        "inside and around each structure."
    )

    def _build(self) -> None:
        self._roles: dict[str, set[str]] = {kind.text: set() for kind in EXTRA_KINDS}
        self.boxes: dict[str, QCheckBox] = {}
        self.note = QLabel()
        self.note.setWordWrap(True)
        self.note.setVisible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 0, 0, 0)
        layout.setSpacing(2)
        for kind in EXTRA_KINDS:
            box = self.boxes[kind.text] = QCheckBox(kind.text)
            box.setToolTip(f"{kind.tip}\nThe network runs again to show it." if kind.needs_details else kind.tip)
            layout.addWidget(box)
        layout.addWidget(self.note)

    def _connect(self) -> None:
        for kind in EXTRA_KINDS:
            self.boxes[kind.text].toggled.connect(partial(self._on_toggled, kind))
        self.session.events.result.connect(self._show_result)
        self._unticked: list[ExtraKind] = []
        self._later = QTimer(self, singleShot=True)
        self._later.timeout.connect(self._hide_unticked)
        self.bench.viewer.layers.events.removed.connect(self._on_removed)

    def _on_toggled(self, kind: ExtraKind, ticked: bool) -> None:
        self.session.details = any(k.needs_details and self.boxes[k.text].isChecked() for k in EXTRA_KINDS)
        self._tell("")
        if not ticked:
            self._hide(kind)
            return
        result = self.session.result
        if result is None:
            self._tell("It comes with the next run.")
        elif kind.needs_details and not result.request.details:
            self._tell("It comes with the next run." if ready_reason(self.session) else "")
            self.bench.run()
        else:
            self._tell("" if self._show(kind) else NO_MAP)

    def _show_result(self) -> None:
        if self.session.result is not None:
            shown = [self._show(kind) for kind in EXTRA_KINDS if self.boxes[kind.text].isChecked()]
            self._tell("" if all(shown) else NO_MAP)

    def _show(self, kind: ExtraKind) -> bool:
        """Show the layers of a kind, and none of an earlier answer; False when the model has none."""
        result, image = self.session.result, self.bench.image
        if result is None or image is None or (kind.needs_details and not result.request.details):
            return True
        layers: tuple[ExtraLayer, ...] = kind.make(result)
        self._hide(kind, keep={layer.role for layer in layers})
        for layer in layers:
            self.bench.layers.show_extra(image, result, layer.role, layer.data, layer.style)
            self._roles[kind.text].add(layer.role)
        return bool(layers)

    def _hide(self, kind: ExtraKind, keep: Collection[str] = ()) -> None:
        roles = self._roles[kind.text]
        self._roles[kind.text] = roles & {*keep}
        for role in roles - {*keep}:
            self.bench.layers.hide_extra(role)

    def _on_removed(self, event: Any) -> None:
        """Untick what the user deleted by hand; what else the box has shown goes, too."""
        role = event.value.metadata.get(MARK, {}).get("role")
        if self.session.result is None:  # the image changed, and took its layers with it
            return
        for kind in EXTRA_KINDS:
            if role in self._roles[kind.text] and self.boxes[kind.text].isChecked():
                with QSignalBlocker(self.boxes[kind.text]):
                    self.boxes[kind.text].setChecked(False)
                self._unticked.append(kind)
                self._later.start()  # when the viewer has let go of the first one

    def _hide_unticked(self) -> None:
        while self._unticked:
            self._hide(self._unticked.pop())

    def _tell(self, text: str) -> None:
        self.note.setText(text)
        self.note.setVisible(bool(text))
