"""The tour goes from panel to panel; every control can be reached with the keyboard and says what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QScrollBar,
    QTableView,
    QWidget,
)

from napari_uml.widgets.analyse import AnalyseWidget
from napari_uml.widgets.preview_panel import PreviewPanel

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

CONTROLS = (QAbstractButton, QComboBox, QAbstractSlider, QAbstractSpinBox)


@pytest.fixture
def dock(qtbot: QtBot, load: Any) -> AnalyseWidget:
    viewer = ViewerModel()
    viewer.add_image(np.random.default_rng(0).random((5, 32, 40)), name="stack")
    dock = AnalyseWidget(viewer, load=load)
    qtbot.addWidget(dock)
    dock.resize(460, 640)
    dock.show()
    qtbot.waitExposed(dock)
    return dock


def controls(dock: AnalyseWidget) -> list[QWidget]:
    found = [control for kind in CONTROLS for control in dock.findChildren(kind)]
    return [c for c in found if not isinstance(c, QScrollBar) and not isinstance(c.parentWidget(), QTableView)]


def test_every_control_has_a_tooltip_and_a_name(dock: AnalyseWidget) -> None:
    nameless = [c for c in controls(dock) if not (c.accessibleName() or getattr(c, "text", str)())]
    assert nameless == []
    parents = [c for c in controls(dock) if not (c.toolTip() or c.parentWidget().toolTip())]
    assert parents == []


def test_the_tab_key_reaches_every_control_from_top_to_bottom(dock: AnalyseWidget) -> None:
    chain, widget = [], dock.nextInFocusChain()
    while widget is not dock and len(chain) < 500:
        chain.append(widget)
        widget = widget.nextInFocusChain()
    wanted = [c for c in controls(dock) if c.isVisible() and not isinstance(c.parentWidget(), CONTROLS)]
    assert [c for c in wanted if not c.focusPolicy() & Qt.FocusPolicy.TabFocus] == []
    assert [c for c in wanted if c not in chain] == []
    order = [panel for panel in dock.panels.values() if any(panel.isAncestorOf(c) for c in wanted)]
    reached = [next(n for n, w in enumerate(chain) if panel.isAncestorOf(w) and w in wanted) for panel in order]
    assert reached == sorted(reached)


def test_the_tour_shows_every_panel_and_leaves_no_trace(qtbot: QtBot, dock: AnalyseWidget) -> None:
    before = [button.isChecked() for button in dock.findChildren(QAbstractButton)]
    dock.help.click()
    tour, texts = dock.tour, []
    while tour.isVisible():
        texts.append(tour.text.text())
        qtbot.keyClick(tour.next, Qt.Key.Key_Space)
    assert texts == [panel.tour for panel in dock.panels.values() if panel.tour]
    assert len(texts) >= 5
    assert [button.isChecked() for button in dock.findChildren(QAbstractButton)] == before


def test_the_tour_can_go_back_and_be_left_with_escape(qtbot: QtBot, dock: AnalyseWidget) -> None:
    dock.help.click()
    first = dock.tour.text.text()
    assert not dock.tour.back.isEnabled()
    dock.tour.next.click()
    assert dock.tour.text.text() != first
    dock.tour.back.click()
    assert dock.tour.text.text() == first
    with qtbot.waitActive(dock):
        dock.activateWindow()
    qtbot.keyClick(dock, Qt.Key.Key_Escape)
    assert not dock.tour.isVisible()


def test_a_folded_section_is_opened_while_the_tour_speaks_of_it(dock: AnalyseWidget) -> None:
    preview = dock.panels[PreviewPanel]
    preview.parentWidget().button.setChecked(False)
    dock.help.click()
    while dock.tour.text.text() != PreviewPanel.tour:
        dock.tour.next.click()
    assert preview.isVisible()
    dock.tour.end.click()
    assert not preview.isVisible()
