"""The Analyse dock: an image in, structures, beliefs and uncertainty out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFrame, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_uml.widgets.bench import Bench
from napari_uml.widgets.extra_panel import ExtraPanel
from napari_uml.widgets.input_panel import InputPanel
from napari_uml.widgets.measurements_panel import MeasurementsPanel
from napari_uml.widgets.model_panel import ModelPanel
from napari_uml.widgets.noise_panel import NoisePanel
from napari_uml.widgets.opinion_panel import OpinionPanel
from napari_uml.widgets.panel import Dock, Panel, Scroll, Section
from napari_uml.widgets.places_panel import PlacesPanel
from napari_uml.widgets.preview_panel import PreviewPanel
from napari_uml.widgets.run_panel import RunPanel
from napari_uml.widgets.save_panel import SavePanel
from napari_uml.widgets.slices_panel import SlicesPanel
from napari_uml.widgets.small_print import disclaimer
from napari_uml.widgets.tour import Tour

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari.viewer

    from napari_uml.widgets.session import Predictor, Session

SCROLLED: tuple[type[Panel], ...] = (
    InputPanel,
    ModelPanel,
    PreviewPanel,
    MeasurementsPanel,
    NoisePanel,
    SlicesPanel,
    ExtraPanel,
)
"""The panels that scroll, from top to bottom; one with a title gets a section that folds."""
PINNED: tuple[type[Panel], ...] = (RunPanel, OpinionPanel, PlacesPanel, SavePanel)
"""The panels below them that stay visible."""


class AnalyseWidget(Dock):
    """The dock.

    Parameters
    ----------
    viewer
        The napari viewer that it works on.
    session
        The state to start from; a new one by default.
    load
        Makes a predictor of the names of model, device and precision; for tests.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        session: Session | None = None,
        load: Callable[[str, str, str], Predictor] | None = None,
    ) -> None:
        super().__init__()
        self.bench = Bench(viewer, session, load, self)
        self.session = self.bench.session
        self.panels: dict[type[Panel], Panel] = {}
        self._build()

    def _build(self) -> None:
        content = QWidget()
        scrolled = QVBoxLayout(content)
        scrolled.setContentsMargins(0, 0, Scroll.GAP // 2, 0)
        scrolled.setSpacing(4)
        for kind in SCROLLED:
            scrolled.addWidget(self._made(kind))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 6)
        layout.setSpacing(2)
        layout.addWidget(Scroll(content), 1)
        for kind in PINNED:
            if kind.divided:
                line = QFrame()
                line.setFrameShape(QFrame.Shape.HLine)
                layout.addWidget(line)
            layout.addWidget(self._made(kind))
        layout.addLayout(self._footer())
        layout.addStretch()
        self.tour = Tour(list(self.panels.values()), self)
        self.tour.closed.connect(self.help.setFocus)
        self.help.clicked.connect(self.tour.begin)
        layout.insertWidget(0, self.tour)

    def _footer(self) -> QHBoxLayout:
        self.help = QPushButton("Help")
        self.help.setToolTip("A two-minute tour of this dock.")
        layout = QHBoxLayout()
        layout.addWidget(disclaimer(), 1)
        layout.addWidget(self.help)
        return layout

    def _made(self, kind: type[Panel]) -> QWidget:
        panel = self.panels[kind] = kind(self.bench)
        if isinstance(panel, RunPanel):
            panel.add_shortcut(self)
        return Section(panel.title, panel, panel.expanded) if panel.title else panel

    def stop(self) -> None:
        """Stop the worker."""
        self.bench.close()
