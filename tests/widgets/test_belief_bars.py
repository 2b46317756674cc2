"""The bars of an opinion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from qtpy.QtGui import QColor, QPalette

from napari_uml.results import Opinion
from napari_uml.widgets.belief_bars import BELIEF_COLORS, UNCERTAINTY_COLORS, BeliefBars

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

OPINION = Opinion(("normal", "benign"), np.array([0.2, 0.5], dtype=np.float32), 0.3)


@pytest.fixture
def bars(qtbot: QtBot) -> BeliefBars:
    bars = BeliefBars()
    qtbot.addWidget(bars)
    bars.resize(300, 80)
    return bars


def columns(bars: BeliefBars, color: str) -> int:
    """Return how many columns of the picture have that very colour."""
    picture = bars.grab().toImage()
    wanted = QColor(color).rgb()
    return sum(any(picture.pixel(x, y) == wanted for y in range(picture.height())) for x in range(picture.width()))


def test_a_screen_reader_hears_every_number(bars: BeliefBars) -> None:
    bars.set_opinion(OPINION)
    assert bars.accessibleDescription() == "Belief: normal 0.20, benign 0.50; uncertainty 0.30."


def test_bars_are_as_long_as_the_beliefs(bars: BeliefBars) -> None:
    bars.set_opinion(OPINION)
    longest = columns(bars, BELIEF_COLORS[1])
    bars.set_opinion(Opinion(OPINION.class_names, np.array([0.1, 0.25], dtype=np.float32), 0.65))
    assert columns(bars, BELIEF_COLORS[1]) == pytest.approx(longest / 2, abs=2)


def test_before_an_answer_there_are_names_but_no_bars(bars: BeliefBars) -> None:
    bars.set_opinion(None, ("normal", "benign"))
    assert columns(bars, BELIEF_COLORS[1]) == columns(bars, UNCERTAINTY_COLORS[1]) == 0
    assert bars.accessibleDescription() == "No opinion yet."


@pytest.mark.parametrize(("ground", "light"), [("#26282c", 0), ("#efebe9", 1)])
def test_colours_suit_the_ground(bars: BeliefBars, ground: str, light: int) -> None:
    palette = bars.palette()
    palette.setColor(QPalette.ColorRole.Window, QColor(ground))
    bars.setPalette(palette)
    bars.set_opinion(OPINION)
    assert columns(bars, BELIEF_COLORS[light]) > 0
    assert columns(bars, BELIEF_COLORS[1 - light]) == 0


def test_one_row_a_class_and_one_for_the_uncertainty(bars: BeliefBars) -> None:
    bars.set_opinion(OPINION)
    three = bars.sizeHint().height()
    bars.set_opinion(Opinion(("a", "b", "c"), np.array([0.2, 0.2, 0.2], dtype=np.float32), 0.4))
    assert bars.sizeHint().height() == three * 4 / 3
