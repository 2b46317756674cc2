"""From the uncertainty to the chance of an error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from napari_uml.calibration import BETWEEN, INSIDE, Calibration, Contours
from napari_uml.results import Opinion

KNOTS = (
    {"uncertainty": 0.1, "chance": 0.02, "low": 0.0, "high": 0.1},
    {"uncertainty": 0.5, "chance": 0.2, "low": 0.1, "high": 0.4},
)


def made(**changes: Any) -> Calibration:
    return Calibration(
        **({"dataset": "Sim", "split": "val", "n": 50, "knots": KNOTS, "referral_threshold": 0.1} | changes)
    )


def test_the_chance_is_linear_between_knots_and_level_beyond() -> None:
    calibration = made()
    assert calibration.chance(0.3) == pytest.approx((0.11, 0.05, 0.25))
    assert calibration.chance(0.01).value == 0.02
    assert calibration.chance(1.0) == pytest.approx((0.2, 0.1, 0.4))


def test_a_case_is_referred_above_the_threshold_alone() -> None:
    assert not made(referral_threshold=0.2).refers(0.9)
    assert made(referral_threshold=0.19).refers(0.9)


def test_the_source_names_data_set_and_number() -> None:
    assert made().source == "Sim val, n = 50"


def test_a_class_set_has_the_classes_that_are_probable_enough() -> None:
    opinion = Opinion.from_evidence(("a", "b", "c"), np.array([5.0, 2.0, 0.0]))  # p = 0.6, 0.3, 0.1
    assert made().class_set(opinion) is None
    assert made(class_set_threshold=0.2).class_set(opinion) == ("a", "b")
    assert made(class_set_threshold=0.7).class_set(opinion) == ()
    assert made(class_set_threshold=0.0).class_set(opinion) == ("a", "b", "c")


def test_zones_are_nested() -> None:
    contours = Contours(inner=0.8, outer=0.2, spared=0.05, coverage=0.9, n=50)
    assert contours.zones(np.array([[0.1, 0.2], [0.79, 0.8]])).tolist() == [[0, BETWEEN], [BETWEEN, INSIDE]]


@pytest.mark.parametrize(
    "changes",
    [
        {"knots": KNOTS[::-1]},
        {"knots": (KNOTS[0], KNOTS[1] | {"chance": 0.01, "low": 0.0})},
        {"knots": (KNOTS[0] | {"low": 0.05},)},
        {"knots": ()},
        {"n": 0},
        {"referral_threshold": 1.5},
    ],
)
def test_a_map_that_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        made(**changes)
