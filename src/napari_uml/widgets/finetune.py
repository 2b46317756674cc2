"""The Fine-tune dock: your own annotations in, a better model out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QApplication, QFrame, QMessageBox, QVBoxLayout, QWidget

from napari_uml.widgets.analyse import AnalyseWidget
from napari_uml.widgets.finetune_bench import FinetuneBench
from napari_uml.widgets.finetune_curves_panel import CurvesPanel
from napari_uml.widgets.finetune_result_panel import ResultPanel
from napari_uml.widgets.finetune_session import Stage
from napari_uml.widgets.finetune_settings_panel import SettingsPanel
from napari_uml.widgets.finetune_start_panel import StartPanel
from napari_uml.widgets.finetune_train_panel import TrainPanel
from napari_uml.widgets.panel import Dock, Panel, Scroll, Section
from napari_uml.widgets.small_print import disclaimer
from napari_uml.widgets.still_window import main_window
from napari_uml.widgets.training_list.panel import TrainingListPanel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import Any

    import napari.viewer
    from qtpy.QtGui import QCloseEvent, QShowEvent

    from napari_uml.widgets.finetune_session import FinetuneSession
    from napari_uml.widgets.finetune_work import Process, Work

SCROLLED: tuple[type[Panel], ...] = (StartPanel, SettingsPanel, CurvesPanel, ResultPanel)
"""The panels that scroll, below the training list; one with a title gets a section that folds."""
QUESTIONS: dict[Stage, str] = {
    Stage.TRAINING: "Training is going on. Stop it? The best epoch so far is kept, and the run can go on later.",
    Stage.STOPPING: "The best epoch is being saved. Close anyway? It is saved, and the run can go on later.",
    Stage.JUDGING: "The new model is being compared and added. Stop that? It is offered again next time.",
}


class FinetuneWidget(Dock):
    """The dock.

    Parameters
    ----------
    viewer
        The napari viewer that it works on.
    training_list
        What is trained on: a `TrainingListPanel`, or for tests a widget with its `folder`, `changed`, `unsaved`,
        `refresh_models`, `set_trained_on` and `stop`.
    session
        The state to start from; a new one by default.
    launch, judging
        As `FinetuneBench` takes them; for tests.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        training_list: Any = None,
        session: FinetuneSession | None = None,
        launch: Callable[[Path, Sequence[str]], Process] | None = None,
        judging: Callable[[Path, str], Work] | None = None,
    ) -> None:
        super().__init__()
        self.bench = FinetuneBench(viewer, session, launch, judging, self)
        self.session = self.bench.session
        self.training_list = training_list if training_list is not None else TrainingListPanel(viewer)
        self.panels: dict[type[Panel], Panel] = {}
        self._window: QWidget | None = None
        self._build()
        self.training_list.changed.connect(self._on_list)
        self.session.events.stage.connect(self._on_stage)
        self.bench.models_changed.connect(self._on_models)
        self.bench.wanted.connect(self._on_use)
        QApplication.instance().aboutToQuit.connect(self.stop)
        self._on_list()

    def _build(self) -> None:
        content = QWidget()
        scrolled = QVBoxLayout(content)
        scrolled.setContentsMargins(0, 0, Scroll.GAP // 2, 0)
        scrolled.setSpacing(4)
        scrolled.addWidget(Section("Training list", self.training_list, expanded=True))
        for kind in SCROLLED:
            scrolled.addWidget(self._made(kind))
        line = QFrame()
        line.setFrameShape(QFrame.Shape.HLine)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 6)
        layout.setSpacing(2)
        layout.addWidget(Scroll(content), 1)
        for part in (line, self._made(TrainPanel), disclaimer()):
            layout.addWidget(part)
        layout.addStretch()

    def _made(self, kind: type[Panel]) -> QWidget:
        panel = self.panels[kind] = kind(self.bench)
        return Section(panel.title, panel, panel.expanded) if panel.title else panel

    def may_close(self) -> bool:
        """Whether the dock may go: nothing is going on and all is saved, or the user agrees to stop and to lose it."""
        questions = self._questions()
        return not questions or (
            QMessageBox.question(self, "Fine-tune", "\n\n".join(questions)) == QMessageBox.StandardButton.Yes
        )

    def _questions(self) -> list[str]:
        going_on, unsaved = QUESTIONS.get(self.session.stage, ""), self.training_list.unsaved
        painted = f"The labels of {unsaved} were changed and are not saved. Close without them?" if unsaved else ""
        return [question for question in (going_on, painted) if question]

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Ask before the window that the dock is in is closed; napari may ask after us, and stay open."""
        if watched is self._window and event.type() == QEvent.Type.Close and self._questions():
            if not self.may_close():
                event.ignore()
                return True
            self.bench.stop()
            QTimer.singleShot(0, self._stop_when_closed)
        return bool(super().eventFilter(watched, event))

    def _stop_when_closed(self) -> None:
        if self._window is not None and not self._window.isVisible():
            self.stop()

    def showEvent(self, event: QShowEvent) -> None:
        """Watch the window that the dock is in, or floats above, now."""
        window = main_window(self)
        if window is not self._window and window is not self:
            self._window = window
            window.installEventFilter(self)
        super().showEvent(event)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Ask, then stop."""
        if not self.may_close():
            event.ignore()
            return
        super().closeEvent(event)

    def stop(self) -> None:
        """Stop the training and what the list does."""
        self.bench.close()
        self.training_list.stop()

    def _on_list(self) -> None:
        self.bench.set_folder(self.training_list.folder)

    def _on_stage(self, stage: Stage) -> None:
        self.training_list.set_trained_on(stage is not Stage.IDLE)

    def _on_models(self, before: str, name: str) -> None:
        """Offer the models in the training list and in the Analyse docks at once; what was renamed stays chosen."""
        self.training_list.refresh_models({before: name} if before and name else None)
        for dock in main_window(self).findChildren(AnalyseWidget):
            if before and name and dock.session.model == before:
                dock.session.model = name
            dock.bench.refresh_models()

    def _on_use(self, name: str) -> None:
        """Choose a model in the Analyse dock; open one when there is none."""
        docks = main_window(self).findChildren(AnalyseWidget)
        if not docks:
            docks = [self.bench.viewer.window.add_plugin_dock_widget("napari-uml", "Analyse (UML)")[1]]
        for dock in docks:
            dock.bench.refresh_models()
            dock.session.model = name
