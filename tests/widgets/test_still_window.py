import time

import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QLabel, QMainWindow, QWidget

from napari_uml.widgets.still_window import main_window, still_window, when_drawn


class Picture(QWidget):
    drawn = 0

    def paintEvent(self, event):
        self.drawn += 1


@pytest.fixture
def window(qtbot):
    window = QMainWindow()
    qtbot.addWidget(window)
    window.setCentralWidget(Picture())
    window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, QDockWidget())
    window.findChild(QDockWidget).setWidget(QLabel("dock"))
    with qtbot.waitExposed(window):
        window.show()
    qtbot.waitUntil(lambda: window.centralWidget().drawn > 0)
    return window


def test_nothing_is_drawn_meanwhile_and_everything_afterwards(qtbot, window):
    picture = window.centralWidget()
    before = picture.drawn
    with still_window(window.findChild(QLabel)):
        picture.repaint()
        assert picture.drawn == before
    qtbot.waitUntil(lambda: picture.drawn > before and window.updatesEnabled())


def test_after_several_changes_in_a_row_everything_is_drawn(qtbot, window):
    picture, steps = window.centralWidget(), [0.004, 0.07, 0.005, 0.03, 0.03]
    before = picture.drawn

    def step():
        with still_window(window.findChild(QLabel)):
            time.sleep(steps.pop())
        if steps:
            QTimer.singleShot(0, step)

    step()
    qtbot.waitUntil(lambda: not steps and picture.drawn > before and window.updatesEnabled())


def test_who_waits_for_the_drawing_is_called_once_and_can_take_a_picture(qtbot, window):
    drawn = []
    when_drawn(window, lambda: drawn.append("at once"))
    with still_window(window.findChild(QLabel)):
        pass
    when_drawn(window, lambda: drawn.append(window.updatesEnabled()))
    assert drawn == ["at once"]
    qtbot.waitUntil(lambda: drawn == ["at once", True])
    with still_window(window.findChild(QLabel)):
        pass
    qtbot.waitUntil(window.updatesEnabled)
    assert len(drawn) == 2


def test_the_window_draws_again_after_an_error_and_without_the_dock(qtbot, window):
    def fail():
        with still_window(window.findChild(QLabel)):
            window.findChild(QDockWidget).deleteLater()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    qtbot.waitUntil(window.updatesEnabled)


def test_of_a_floating_dock_it_is_the_window_below(qtbot, window):
    window.findChild(QDockWidget).setFloating(True)
    assert window.findChild(QLabel).window() is not window
    assert main_window(window.findChild(QLabel)) is window
