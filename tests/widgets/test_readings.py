"""What the dock says of an answer in words and numbers: pixels, trust, measurements; no window needed."""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.layers import Image

from napari_uml.calibration import Calibration, Knot
from napari_uml.config import Measurement, Task
from napari_uml.inference.measure import MeasuredValue, measure_slice
from napari_uml.inference.trust import trust_in
from napari_uml.results import Box, Opinion
from napari_uml.widgets.geometry import pixel_size
from napari_uml.widgets.jobs import analyse
from napari_uml.widgets.layer_arrays import element_at, position_in, source_of
from napari_uml.widgets.measured import Measured, as_csv, measure_result, words
from napari_uml.widgets.reading_modes import Reading
from napari_uml.widgets.readout import as_html, in_words, pixel_at
from napari_uml.widgets.session import Result, Session

if TYPE_CHECKING:
    from conftest import FakePredictor

RNG = np.random.default_rng(0)
RATIO = Task(
    seg_classes=("background", "rim", "cup"), cls_classes=("normal", "glaucoma"), unions={"disc": ("rim", "cup")},
    measurements=(Measurement(name="vertical cup/disc ratio", of=("cup",), to=("disc",)),),
)  # fmt: skip


def answer(image: Image, predictor: FakePredictor, box: Box | None = None, **choices: Any) -> Result:
    session = Session(model="fake", **choices)
    session.choose(source_of(image))
    session.position = position_in(image, (1,) * image.ndim)
    if box is not None:
        session.area, session.box = "rectangle", box
    *_, result = analyse(session.request(), image.data)(predictor, lambda: False)
    assert isinstance(result, Result)
    return result


def test_a_pixel_of_a_stack_is_read_in_its_slice(predictor: FakePredictor) -> None:
    image = Image(RNG.random((4, 8, 9)))
    result = answer(image, predictor, slices="all")
    pixel = pixel_at(result, (2, 3, 5))
    assert pixel is not None
    np.testing.assert_array_equal(pixel.belief, result.prediction.pixel_belief[2, :, 3, 5])
    np.testing.assert_allclose(pixel.probability, result.prediction.pixel_probability[2, :, 3, 5])
    assert pixel.predicted == result.prediction.mask[2, 3, 5]
    assert pixel.belief.sum() + pixel.uncertainty == pytest.approx(1)


def test_there_is_no_pixel_where_nobody_looked(predictor: FakePredictor) -> None:
    image = Image(RNG.random((4, 8, 9)))
    one_slice = answer(image, predictor)
    assert pixel_at(one_slice, (1, 3, 5)) is not None
    assert pixel_at(one_slice, (2, 3, 5)) is None
    part = answer(image, predictor, Box(2, 2, 6, 6))
    assert pixel_at(part, (1, 2, 5)) is not None
    assert pixel_at(part, (1, 1, 5)) is None
    cancelled = answer(image, predictor, slices="all")
    cut = {name: getattr(cancelled.prediction, name)[:2] for name in ("mask", "pixel_belief", "pixel_uncertainty")}
    few = replace(cancelled.prediction, **cut, opinions=cancelled.prediction.opinions[:2], looked_at=(None, None))
    assert pixel_at(replace(cancelled, prediction=few), (2, 3, 5)) is None


def test_the_cursor_finds_its_element_through_the_transform() -> None:
    image = Image(np.zeros((8, 9, 3)), rgb=True, scale=(2, 3), translate=(10, 20), rotate=30)
    assert element_at(image, image.data_to_world((5, 7))) == (5, 7, 0)
    assert element_at(image, image.data_to_world((8, 7))) is None
    assert element_at(image, image.data_to_world((-1, 7))) is None


def test_the_readout_has_every_number_and_dashes_without_a_pixel(predictor: FakePredictor) -> None:
    image = Image(RNG.random((8, 9)))
    result = answer(image, predictor)
    task = result.loaded.info.task
    pixel = pixel_at(result, tuple(np.argwhere(result.prediction.mask == 1)[0]))
    assert pixel is not None
    html = as_html(task, pixel)
    for text in ("0.12", "<b>0.88</b>", "<b>0.75</b>", "0.25", task.colors[1], "dissonance"):
        assert text in html
    assert "lesion 0.88" in in_words(pixel)
    assert "0." not in as_html(task, None)
    assert as_html(task, None).count("<tr>") == html.count("<tr>")


def test_a_calibrated_model_says_how_often_such_a_pixel_is_wrong(predictor: FakePredictor) -> None:
    knots = (Knot(uncertainty=0.0, chance=0.0, low=0.0, high=0.1), Knot(uncertainty=1.0, chance=0.8, low=0.3, high=0.9))
    fitted = calibrated(0.5).model_copy(update={"structures": {"lesion": knots}})
    result = answer(Image(RNG.random((8, 9))), predictor)
    info = result.loaded.info.model_copy(update={"calibration": fitted})
    result = replace(result, loaded=replace(result.loaded, info=info))
    found, other = (pixel_at(result, tuple(np.argwhere(result.prediction.mask == number)[0])) for number in (1, 0))
    assert found is not None
    assert other is not None
    assert found.wrong == pytest.approx(0.8 * found.uncertainty)
    assert other.wrong is None  # the background has no map here
    at = tuple(np.argwhere(result.prediction.mask == 1)[0])
    unlike = pixel_at(replace(result, prediction=replace(result.prediction, unlike=(True,))), at)
    assert unlike is not None
    assert unlike.wrong is None  # nothing is known of such an image
    assert "<td align='right'>20%</td>" in as_html(info.task, found, calibrated=True)
    assert "wrong in 20% of such pixels" in in_words(found)
    assert "wrong" not in as_html(info.task, found) + in_words(other)
    assert "wrong" in as_html(info.task, None, calibrated=True)


OPINION = Opinion.from_evidence(("a", "b"), np.array([2.0, 1.0]))


def calibrated(threshold: float) -> Calibration:
    knots = (Knot(uncertainty=0.0, chance=0.0, low=0.0, high=0.1), Knot(uncertainty=1.0, chance=0.5, low=0.3, high=0.7))
    return Calibration(dataset="REFUGE", split="val", n=50, knots=knots, referral_threshold=threshold)


def test_trust_names_the_chance_and_the_images_behind_it() -> None:
    trust = trust_in(OPINION, calibrated(0.5))
    assert "20\N{NO-BREAK SPACE}%" in trust.line
    assert "REFUGE val, n = 50" in trust.line
    assert "12\N{NO-BREAK SPACE}% to 34\N{NO-BREAK SPACE}%" in trust.explanation
    assert trust.referral == ""


def test_trust_says_nothing_of_an_image_unlike_the_training_images() -> None:
    trust = trust_in(OPINION, calibrated(0.5), unlike=True)
    assert "not known" in trust.line
    assert "%" not in trust.line
    assert trust.referral.startswith("Let an expert look")
    assert "not calibrated" in trust_in(OPINION, None, unlike=True).line


def test_trust_refers_above_the_threshold_and_says_when_it_does_not_know() -> None:
    assert "19\N{NO-BREAK SPACE}%" in trust_in(OPINION, calibrated(0.19)).referral
    unknown = trust_in(OPINION, None)
    assert "not calibrated" in unknown.line
    assert unknown.referral == ""


def test_a_threshold_of_nothing_refers_every_image_and_says_why() -> None:
    assert "every image" in trust_in(OPINION, calibrated(0)).referral
    aimed = calibrated(0).model_copy(update={"target_risk": 0.05})
    assert trust_in(OPINION, aimed).referral.endswith("keeps errors below 5\N{NO-BREAK SPACE}%.")


def test_trust_names_the_classes_that_are_still_possible() -> None:
    assert "coverage" not in trust_in(OPINION, calibrated(0.5)).line
    both, one, none = (
        trust_in(OPINION, calibrated(0.5).model_copy(update={"class_set_threshold": at})).line for at in (0.1, 0.5, 0.9)
    )
    assert both.endswith("With 90\N{NO-BREAK SPACE}% coverage: <b>a or b</b>")
    assert one.endswith("<b>a</b>")
    odd = Opinion.from_evidence(("<5 mm", "b"), np.array([2.0, 1.0]))
    strict = calibrated(0.5).model_copy(update={"class_set_threshold": 0.5})
    assert trust_in(odd, strict).line.endswith("<b>&lt;5 mm</b>")
    assert none.endswith("No class is probable enough for 90\N{NO-BREAK SPACE}% coverage.")


def test_a_pixel_has_a_size_where_the_layer_has_a_unit_of_length() -> None:
    plane = Reading("none")
    assert pixel_size(Image(np.zeros((8, 9)), scale=(2, 3)), plane, 2) is None
    size = pixel_size(Image(np.zeros((8, 9)), scale=(2, 3), rotate=20, units="mm"), plane, 2)
    assert size is not None
    np.testing.assert_allclose(size[0], (2, 3))
    assert size[1] == "mm"
    assert pixel_size(Image(np.zeros((8, 9)), units=("mm", "um")), plane, 2) is None


def test_the_size_of_a_sheared_pixel_gives_its_area() -> None:
    affine = np.array([[2.0, 1.0, 5.0], [0.5, 3.0, 6.0], [0.0, 0.0, 1.0]])
    size = pixel_size(Image(np.zeros((8, 9)), affine=affine, units="um"), Reading("none"), 2)
    assert size is not None
    assert np.prod(size[0]) == pytest.approx(5.5)
    assert size[1] == "µm"


def test_measurements_of_a_stack_are_those_of_the_slice(predictor: FakePredictor) -> None:
    stack = np.zeros((3, 8, 9))
    stack[1, 2:5, 2:6] = 1
    stack[2, 0, 0] = 1
    result = answer(Image(stack), predictor, slices="all")
    areas = [measure_result(result, number, ((2.0, 3.0), "mm")).values[:2] for number in range(3)]
    assert [(px.value, mm.value, mm.unit) for px, mm in areas] == [(0, 0, "mm²"), (12, 72, "mm²"), (1, 6, "mm²")]


def test_nothing_is_plausible_where_nobody_looked(predictor: FakePredictor) -> None:
    image = np.zeros((40, 40))
    image[10:20, 10:20] = 1
    result = answer(Image(image), predictor)
    box = Box(5, 5, 25, 25)
    u, belief = result.prediction.pixel_uncertainty.copy(), result.prediction.pixel_belief.copy()
    outside = np.ones((40, 40), dtype=bool)
    outside[box.slices] = False
    u[outside], belief[:, outside] = 1, 0
    seen = replace(result.prediction, pixel_uncertainty=u, pixel_belief=belief, looked_at=(box,))
    area = measure_slice(seen, 0, result.loaded.info.task)[0]
    assert (area.value, area.low, area.high) == (100, 100, 100)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (MeasuredValue("cup", "area", 12345, "px", 9000, 20000), ("cup area", "12 345 px", "9 000 to 20 000")),
        (MeasuredValue("cup", "area", 1.2345, "mm²", 1.0, 1.5), ("cup area", "1.23 mm²", "1 to 1.5")),
        (MeasuredValue("cup", "share of image", 0.034, "", 0.03, 0.04), ("cup share", "3.4 %", "3.0 % to 4.0 %")),
        (MeasuredValue("cup", "mean uncertainty", None), ("cup mean uncertainty", "not in the image", "")),
        (
            MeasuredValue("", "vertical cup/disc ratio", None),
            ("vertical cup/disc ratio", "undefined: no disc found", ""),
        ),
        (
            MeasuredValue("", "vertical cup/disc ratio", 0.5, low=0.4),
            ("vertical cup/disc ratio", "0.50", "0.40 or more"),
        ),
    ],
)
def test_measurements_in_words(value: MeasuredValue, expected: tuple[str, str, str]) -> None:
    assert tuple(" ".join(text.split()) for text in words(value, RATIO)) == expected


def test_csv_has_unrounded_numbers_and_empty_cells() -> None:
    values = (MeasuredValue("cup", "area", 1 / 3, "mm²", 0.25, 0.5), MeasuredValue("cup", "mean uncertainty", None))
    text = as_csv(Measured("a, b", 4, RATIO, values))
    rows = list(csv.DictReader(text.splitlines()))
    assert float(rows[0]["value"]) == 1 / 3
    assert (rows[0]["image"], rows[0]["slice"], rows[0]["unit"]) == ("a, b", "4", "mm²")
    assert rows[1]["value"] == ""
