"""The state of the dock, without a viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import Mock

import numpy as np
import pytest

from napari_uml.results import Box
from napari_uml.weights import ModelEntry
from napari_uml.widgets.jobs import analyse
from napari_uml.widgets.opinion_panel import chosen_since
from napari_uml.widgets.reading_modes import Reading
from napari_uml.widgets.session import (
    Message,
    Progress,
    Result,
    Session,
    Source,
    State,
    ready_reason,
    same_pixels,
)

if TYPE_CHECKING:
    from conftest import FakePredictor

SOURCE = Source("a", "image", (8, 9), False)
STACK = Source("b", "stack", (5, 8, 9), False)


@pytest.fixture
def session(models: tuple[ModelEntry, ...]) -> Session:
    session = Session(models=models, model="fake")
    session.choose(SOURCE)
    return session


def result_of(session: Session, predictor: FakePredictor, data: np.ndarray) -> Result:
    *_, last = analyse(session.request(), data)(predictor, lambda: False)
    assert isinstance(last, Result)
    return last


def test_a_complete_session_is_ready(session: Session) -> None:
    assert ready_reason(session) == ""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"source": None}, "Open an image"),
        ({"model": ""}, "Choose a model"),
        ({"model": "", "models": ()}, "no model"),
        ({"model": "far"}, "not on this computer"),
        ({"models": (ModelEntry("fake", "Fake", "user", None, 1, problem="It is damaged."),)}, "It is damaged."),
        ({"area": "rectangle"}, "Draw a rectangle"),
        ({"state": State.RUNNING}, "in progress"),
    ],
)
def test_the_reason_names_what_is_missing(session: Session, change: dict[str, object], reason: str) -> None:
    for name, value in change.items():
        setattr(session, name, value)
    assert reason in ready_reason(session)


def test_no_request_without_an_image() -> None:
    with pytest.raises(ValueError, match="Open an image"):
        Session().request()


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"sigma": 0.1, "details": True}, True),
        ({"position": (2, 4, 4)}, True),  # the slider of the slices alone counts
        ({"position": (3, 0, 0)}, False),
        ({"slices": "all"}, False),
        ({"area": "rectangle", "box": Box(0, 0, 4, 4)}, False),
        ({"reading": Reading("none", stack_axis=1)}, False),
    ],
)
def test_a_sweep_belongs_to_the_answer_about_the_same_pixels(
    session: Session, changes: dict[str, object], same: bool
) -> None:
    session.choose(STACK, (2, 0, 0))
    before = session.request()
    for name, value in changes.items():
        setattr(session, name, value)
    assert same_pixels(before, session.request()) == same


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sigma": 0.1, "device": "cpu", "box": Box(0, 0, 4, 4)}, ()),
        ({"position": (2, 4, 4)}, ()),
        ({"position": (3, 0, 0)}, ("another slice",)),
        ({"slices": "all"}, ("other slices",)),
        ({"model": "far"}, ("another model",)),
        ({"area": "rectangle", "box": Box(0, 0, 4, 4)}, ("another region",)),
        ({"reading": Reading("none", stack_axis=1)}, ("another way to read it",)),
    ],
)
def test_what_was_chosen_since_an_answer(
    session: Session, predictor: FakePredictor, changes: dict[str, object], words: tuple[str, ...]
) -> None:
    session.choose(STACK, (2, 0, 0))
    result = result_of(session, predictor, np.random.default_rng(0).random(STACK.shape))
    for name, value in changes.items():
        setattr(session, name, value)
    assert chosen_since(session, result) == words


def test_another_layer_comes_at_once_with_all_that_belongs_to_it(session: Session) -> None:
    session.message, seen = Message("about the image"), []
    for name in ("source", "reading", "position", "message", "result"):
        getattr(session.events, name).connect(
            lambda: seen.append((session.source, session.reading, session.position, session.message))
        )
    session.choose(STACK, (2, 0, 0))
    assert seen[0] == (STACK, Reading("none", stack_axis=0), (2, 0, 0), None)
    assert {*seen} == {seen[0]}


def test_a_request_holds_every_choice(session: Session) -> None:
    session.choose(STACK)
    session.slices, session.area, session.box, session.position = "all", "rectangle", Box(0, 0, 4, 4), (2, 0, 0)
    session.sigma, session.seed, session.device = 0.05, 7, "cpu"
    request = session.request()
    assert (request.all_slices, request.box, request.position) == (True, Box(0, 0, 4, 4), (2, 0, 0))
    assert (request.sigma, request.seed, request.device, request.model) == (0.05, 7, "cpu", "fake")


def test_all_slices_of_a_single_image_is_the_image(session: Session) -> None:
    session.slices = "all"
    assert not session.request().all_slices


def test_a_forgotten_rectangle_is_not_used(session: Session) -> None:
    session.box = Box(0, 0, 4, 4)
    assert session.request().box is None


def test_changes_are_announced(session: Session) -> None:
    heard = Mock()
    session.events.message.connect(heard)
    session.message = Message("hello")
    heard.assert_called_once()


def test_another_image_is_read_anew_and_a_new_name_changes_nothing_else(session: Session) -> None:
    session.choose(STACK)
    session.reading = Reading("none", None, 2)
    session.choose(Source("b", "renamed", (5, 8, 9), False))
    assert session.reading == Reading("none", None, 2)
    session.choose(SOURCE)
    assert session.reading == Reading("none")


def test_results_of_two_images_do_not_mix(session: Session, predictor: FakePredictor) -> None:
    first = result_of(session, predictor, np.random.default_rng(0).random((8, 9)))
    session.accept(first)
    session.choose(STACK)
    assert session.result is None
    session.choose(SOURCE)
    assert session.result is first


def test_a_late_answer_about_another_image_is_kept_but_not_shown(session: Session, predictor: FakePredictor) -> None:
    late = result_of(session, predictor, np.random.default_rng(0).random((8, 9)))
    session.choose(STACK)
    session.accept(late)
    assert session.result is None
    session.choose(SOURCE)
    assert session.result is late


def test_a_removed_image_takes_its_result_along(session: Session, predictor: FakePredictor) -> None:
    session.accept(result_of(session, predictor, np.random.default_rng(0).random((8, 9))))
    session.forget("a")
    assert session.result is None
    assert session.kept == {}


def test_a_stopped_job_keeps_the_slices_that_are_done(session: Session, predictor: FakePredictor) -> None:
    session.choose(STACK)
    session.slices = "all"
    stops = iter([False, True])
    told = list(analyse(session.request(), np.random.default_rng(0).random((5, 8, 9)))(predictor, lambda: next(stops)))
    assert told[:-1] == [Progress(0, 5), Progress(1, 5), Progress(2, 5)]
    assert isinstance(told[-1], Result)
    assert (told[-1].done, told[-1].total) == (2, 5)
    assert told[-1].prediction.mask.shape == (2, 8, 9)


def test_the_opinion_follows_the_slice(session: Session, predictor: FakePredictor) -> None:
    session.choose(STACK)
    session.slices = "all"
    result = result_of(session, predictor, np.random.default_rng(0).random((5, 8, 9)))
    assert result.opinion_at((3, 0, 0)) is result.prediction.opinions[3]
    assert result.opinion_at((9, 0, 0)) is result.prediction.opinions[4]


def test_a_job_tells_when_the_gpu_gave_way_to_the_cpu(session: Session, predictor: FakePredictor) -> None:
    gpu, cpu = Mock(description="Big GPU", reason=""), Mock(description="CPU", reason="Big GPU ran out of memory")
    predictor.device = gpu
    predictor.before_slice = lambda number: setattr(predictor, "device", cpu)
    told = list(analyse(session.request(), np.random.default_rng(0).random((8, 9)))(predictor, lambda: False))
    assert Message("Big GPU ran out of memory; went on with CPU.") in told
    assert told[-1].loaded.reason == "Big GPU ran out of memory"
