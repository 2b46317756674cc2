from dataclasses import replace

import numpy as np
import pytest

from napari_uml.config import Measurement, Task
from napari_uml.inference.measure import MeasuredValue, class_numbers, extent, extent_ratio, measure, measure_slice
from napari_uml.results import Box, Opinion, Prediction, stack_predictions

RATIO = Measurement(name="vertical cup/disc ratio", axis="vertical", of=("cup",), to=("rim", "cup"))
FUNDUS = Task(
    seg_classes=("background", "rim", "cup"),
    cls_classes=("normal", "glaucoma"),
    unions={"disc": ("rim", "cup")},
    measurements=(RATIO,),
)


def fundus() -> np.ndarray:
    """Disc of 12 rows and 10 columns, cup of 6 rows and 4 columns."""
    mask = np.zeros((20, 20), dtype=np.uint8)
    mask[4:16, 5:15] = 1
    mask[7:13, 8:12] = 2
    return mask


def certain(mask: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.eye(3, dtype=np.float32)[mask], -1, 0)


def row(values: tuple[MeasuredValue, ...], structure: str, name: str, unit: str = "") -> MeasuredValue:
    (found,) = [v for v in values if (v.structure, v.name, v.unit) == (structure, name, unit)]
    return found


def test_areas_shares_and_uncertainties_of_structures_and_unions() -> None:
    mask = fundus()
    u = np.where(mask == 2, 0.5, 0.1).astype(np.float32)
    values = measure(mask, certain(mask), u, FUNDUS, spacing=(0.5, 0.1), units="mm")
    assert row(values, "cup", "area", "px").value == 24
    assert row(values, "rim", "area", "px").value == 96
    assert row(values, "disc", "area", "px").value == 120
    assert row(values, "disc", "area", "mm²").value == pytest.approx(6.0)
    assert row(values, "disc", "share of image").value == pytest.approx(120 / 400)
    assert row(values, "cup", "mean uncertainty").value == pytest.approx(0.5)
    assert row(values, "disc", "mean uncertainty").value == pytest.approx((24 * 0.5 + 96 * 0.1) / 120)


def test_without_a_spacing_there_are_no_physical_units() -> None:
    mask = fundus()
    values = measure(mask, certain(mask), np.full(mask.shape, 0.1), FUNDUS)
    assert {v.unit for v in values} == {"px", ""}


def test_declared_ratio_and_its_axis() -> None:
    mask = fundus()
    assert extent_ratio(mask, (2,), (1, 2), "vertical") == 6 / 12
    assert extent_ratio(mask, (2,), (1, 2), "horizontal") == 4 / 10
    values = measure(mask, certain(mask), np.full(mask.shape, 0.1), FUNDUS)
    assert row(values, "", RATIO.name) == MeasuredValue("", RATIO.name, 0.5, "", 0.5, 0.5)


def test_extent_does_not_jump_with_a_stray_pixel() -> None:
    region = fundus() > 0
    region[0, 0] = region[19, 19] = True
    assert (extent(region, "vertical"), extent(region, "horizontal")) == (12, 10)


def test_ratio_without_a_denominator_is_undefined_and_without_a_numerator_zero() -> None:
    empty, rim = np.zeros((8, 8), np.uint8), np.ones((8, 8), np.uint8)
    assert extent_ratio(empty, (2,), (1, 2), "vertical") is None
    assert extent_ratio(rim, (2,), (1, 2), "vertical") == 0
    values = measure(empty, certain(empty), np.full(empty.shape, 0.1), FUNDUS)
    assert row(values, "", RATIO.name).value is None
    assert row(values, "disc", "area", "px").value == 0
    assert row(values, "disc", "mean uncertainty").value is None


def test_plausible_range_comes_from_the_contours_at_one_and_three_quarters() -> None:
    mask = fundus()
    p = certain(mask)
    p[:, 6, 8:12] = np.array([[0.0], [0.74], [0.26]])  # a row that may be cup: p >= 0.25
    p[:, 12, 8:12] = np.array([[0.0], [0.26], [0.74]])  # a row that may not be: p < 0.75
    p[:, 11, 8:12] = np.array([[0.0], [0.24], [0.76]])  # a row that is
    p[:, 5, 8:12] = np.array([[0.0], [0.76], [0.24]])  # a row that is not
    p[:, 16, 5:15] = np.array([[0.6], [0.4], [0.0]])  # a row that may be disc
    values = measure(mask, p, np.full(mask.shape, 0.1), FUNDUS)
    area = row(values, "cup", "area", "px")
    assert (area.low, area.value, area.high) == (20, 24, 28)
    ratio = row(values, "", RATIO.name)
    assert ratio.value == 0.5
    assert (ratio.low, ratio.high) == pytest.approx((5 / 13, 7 / 12))


def test_plausible_ratio_of_a_part_never_exceeds_one() -> None:
    mask = fundus()
    unknown = np.full((3, 20, 20), 1 / 3, dtype=np.float32)
    ratio = row(measure(mask, unknown, np.ones(mask.shape), FUNDUS), "", RATIO.name)
    assert (ratio.low, ratio.value, ratio.high) == (0.0, 0.5, 1.0)
    doubtful = np.where(mask > 0, np.array([0.3, 0.4, 0.3])[:, None, None], certain(mask))
    doubtful[:, 7:13] = certain(mask)[:, 7:13]  # cup up to 12 rows, disc at least 6
    assert row(measure(mask, doubtful, np.ones(mask.shape), FUNDUS), "", RATIO.name).high == 1.0


def test_plausible_ratio_has_no_upper_end_when_another_structure_may_be_absent() -> None:
    task = Task(
        seg_classes=("background", "a", "b"),
        cls_classes=("x", "y"),
        measurements=({"name": "a/b", "of": ("a",), "to": ("b",)},),
    )
    mask = np.repeat(np.array([[1], [1], [2], [0]], np.uint8), 4, axis=1)
    p = certain(mask)
    p[:, 2] = np.array([[0.4], [0.0], [0.6]])
    ratio = row(measure(mask, p, np.full(mask.shape, 0.1), task), "", "a/b")
    assert (ratio.low, ratio.value, ratio.high) == (2.0, 2.0, None)


def test_range_includes_the_value_of_a_mask_from_another_head() -> None:
    small, large = fundus(), np.zeros((20, 20), np.uint8)
    large[2:18, 5:15] = 1
    large[3:17, 8:12] = 2  # ratio 14/16 instead of 6/12
    for mask, other in ((small, large), (large, small)):
        values = measure(mask, certain(other), np.full(mask.shape, 0.1), FUNDUS)
        found = {"cup": row(values, "cup", "area", "px"), "ratio": row(values, "", RATIO.name)}
        assert (found["cup"].low, found["cup"].high) == (24, 56)
        assert (found["ratio"].low, found["ratio"].high) == (6 / 12, 14 / 16)
        assert found["ratio"].value == (6 / 12 if mask is small else 14 / 16)


def predicted(mask: np.ndarray, p: np.ndarray, u: float) -> Prediction:
    return Prediction(
        mask=mask, pixel_belief=p.astype(np.float32), pixel_uncertainty=np.full(mask.shape, u, np.float32),
        opinions=(Opinion.from_probability(FUNDUS.cls_classes, np.array([0.3, 0.7])),), looked_at=(None,),
        structure_names=FUNDUS.seg_classes, mask_map="mask", seconds=0.0, model="m", device="cpu", precision="float32",
        measure="entropy",
    )  # fmt: skip


def test_probabilities_of_a_model_without_evidence_are_measured_as_they_are() -> None:
    mask = fundus()
    p = certain(mask)
    p[:, 3, 5:15] = np.array([[0.8], [0.1], [0.1]])  # with a share of the entropy it would pass for disc
    first = predicted(mask, p, 0.9)
    expected = measure(mask, p, first.pixel_uncertainty, FUNDUS)
    assert row(expected, "disc", "area", "px").high == 120
    assert measure_slice(first, 0, FUNDUS) == expected
    stack = stack_predictions([predicted(np.zeros_like(mask), p, 0.2), first])
    assert measure_slice(stack, 1, FUNDUS) == expected


def test_the_doubt_is_that_in_the_structure_shown_in_every_slice() -> None:
    p = certain(fundus()) * 0.7 + 0.1
    sure, unlike = predicted(fundus(), p, 0.2), predicted(np.zeros_like(fundus()), p, 0.2)
    stack = stack_predictions([sure, unlike])
    np.testing.assert_allclose(stack.pixel_doubt[0], 0.2, atol=1e-6)
    np.testing.assert_allclose(stack.pixel_doubt[1], np.where(fundus() == 0, 0.2, 0.9), atol=1e-6)
    with_evidence = replace(stack, pixel_belief=stack.pixel_belief * 0.7, measure="vacuity")  # u = 0.2, a third each
    np.testing.assert_allclose(with_evidence.pixel_doubt[0], 1 - 0.8 * 0.7 - 0.2 / 3, atol=1e-6)


def test_measuring_what_nobody_looked_at_leaves_the_prediction_as_it_is() -> None:
    mask = fundus()
    seen = replace(predicted(mask, certain(mask), 1.0), looked_at=(Box(0, 0, 4, 4),))
    before = seen.pixel_belief.copy()
    assert row(measure_slice(seen, 0, FUNDUS), "disc", "area", "px").low == 0
    np.testing.assert_array_equal(seen.pixel_belief, before)


def test_class_numbers_of_unions_and_structures_are_joined() -> None:
    assert class_numbers(FUNDUS, ("disc", "cup")) == (1, 2)


def test_arrays_that_do_not_fit_are_refused() -> None:
    mask = fundus()
    with pytest.raises(ValueError, match=r"probabilities \(3, 20, 20\)"):
        measure(mask, certain(mask)[:2], np.ones(mask.shape), FUNDUS)
    with pytest.raises(ValueError, match="Expected a mask"):
        measure(mask, certain(mask), np.ones((3, 3)), FUNDUS)


def test_measuring_needs_neither_torch_nor_scikit_learn() -> None:
    import subprocess
    import sys

    code = "import sys, napari_uml.inference.measure; sys.exit(bool({'torch', 'sklearn', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
