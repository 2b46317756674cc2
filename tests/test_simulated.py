from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import convex_hull_image

from napari_uml.data.simulated import (
    SimulatedImage,
    simulate_dermoscopy,
    simulate_fundus,
    simulate_fundus_photograph,
    simulate_ultrasound,
    simulate_ultrasound_sweep,
)
from napari_uml.data.simulated.canvas import blob, noise, stroke

KINDS = [
    *((simulate_ultrasound, kind) for kind in ("normal", "benign", "malignant")),
    *((simulate_fundus, kind) for kind in ("normal", "glaucoma")),
    *((simulate_dermoscopy, kind) for kind in ("nevus", "melanoma", "seborrheic_keratosis")),
]
SIZES = {simulate_ultrasound: (320, 384), simulate_fundus: (512, 512, 3), simulate_dermoscopy: (256, 256, 3)}


@pytest.fixture(scope="module")
def photograph() -> SimulatedImage:
    return simulate_fundus_photograph(seed=1)


@pytest.fixture(scope="module")
def sweep() -> SimulatedImage:
    return simulate_ultrasound_sweep(slices=9)


@cache
def picture(simulate, seed: int, kind: str) -> SimulatedImage:
    return simulate(seed, kind)


def brightness(image: SimulatedImage) -> np.ndarray:
    return image.pixels.mean(axis=2) if image.pixels.ndim > image.mask.ndim else image.pixels.astype(float)


def height(mask: np.ndarray) -> int:
    rows = np.flatnonzero(mask.any(axis=1))
    return int(rows[-1] - rows[0] + 1)


def ring(mask: np.ndarray, inner: int, outer: int) -> np.ndarray:
    distance = ndimage.distance_transform_edt(~mask)
    return (distance > inner) & (distance < outer)


@pytest.mark.parametrize(("simulate", "kind"), KINDS)
def test_picture_and_truth_have_the_stated_size_type_structures_and_label(simulate, kind):
    image = picture(simulate, 1, kind)
    structures = 1 if image.label == "normal" and simulate is simulate_ultrasound else len(image.task.seg_classes)
    assert image.pixels.shape == SIZES[simulate]
    assert image.mask.shape == SIZES[simulate][:2]
    assert image.pixels.dtype == image.mask.dtype == np.uint8
    assert image.label == kind
    assert kind in image.task.cls_classes
    assert set(np.unique(image.mask)) == set(range(structures))
    assert len(image.spacing) == 2
    assert image.name.startswith("Simulated")


@pytest.mark.parametrize(("simulate", "kind"), KINDS)
def test_same_seed_gives_the_same_picture_and_another_seed_another(simulate, kind):
    first, again, other = picture(simulate, 1, kind), simulate(1, kind), picture(simulate, 0, kind)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    np.testing.assert_array_equal(first.mask, again.mask)
    assert (first.pixels != other.pixels).mean() > 0.5


@pytest.mark.parametrize(
    "simulate", [simulate_ultrasound, simulate_ultrasound_sweep, simulate_fundus, simulate_dermoscopy]
)
def test_unknown_kind_is_refused_with_the_known_ones(simulate):
    with pytest.raises(ValueError, match=r"among .*, got 'cyst'"):
        simulate(kind="cyst")


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("simulate", "kind"),
    [case for case in KINDS if case[0] is not simulate_fundus and case[1] != "normal"],
)
def test_lesion_is_darker_than_what_surrounds_it(simulate, kind, seed):
    image = picture(simulate, seed, kind)
    lesion, values = image.mask == 1, brightness(image)
    assert 0.02 < lesion.mean() < 0.4
    assert values[lesion].mean() < values[ring(lesion, 4, 20)].mean() - 25


@pytest.mark.parametrize("seed", range(2))
def test_truth_of_the_lesion_lies_where_its_edge_is(seed):
    image = picture(simulate_ultrasound, seed, "benign")
    lesion, values = image.mask == 1, brightness(image)
    just_inside = lesion & (ndimage.distance_transform_edt(lesion) < 6)
    just_outside = ring(lesion, 1, 6)
    assert values[just_inside].mean() < 0.65 * values[just_outside].mean()


def test_benign_lesion_is_wider_than_tall_and_brightens_what_lies_behind_while_malignant_darkens_it():
    behind = {}
    for kind in ("benign", "malignant"):
        image, tissue = picture(simulate_ultrasound, 1, kind), picture(simulate_ultrasound, 1, "normal")
        rows, columns = np.nonzero(image.mask)
        middle = slice(int(np.percentile(columns, 30)), int(np.percentile(columns, 70)))
        below = slice(rows.max() + 4, rows.max() + 40)
        behind[kind] = image.pixels[below, middle].mean() - tissue.pixels[below, middle].mean()
        if kind == "benign":
            assert np.ptp(columns) > 1.3 * np.ptp(rows)
    assert behind["malignant"] < -10 < 10 < behind["benign"]


def test_malignant_margin_is_more_ragged_than_a_benign_one():
    def hollows(kind):
        lesion = picture(simulate_ultrasound, 1, kind).mask == 1
        return 1 - lesion.sum() / convex_hull_image(lesion).sum()

    assert hollows("benign") < 0.03 < 0.05 < hollows("malignant")


@pytest.mark.parametrize("seed", range(2))
def test_cup_is_brighter_than_the_rim_and_the_rim_than_the_retina(seed):
    image = picture(simulate_fundus, seed, "glaucoma")
    values = brightness(image)
    cup, rim, retina = (np.median(values[image.mask == number]) for number in (2, 1, 0))
    assert cup > rim + 30 > retina + 50


@pytest.mark.parametrize("ratio", [0.3, 0.55, 0.85])
def test_cup_has_the_vertical_size_that_was_asked_for_and_it_decides_the_label(ratio):
    image = simulate_fundus(7, cup_to_disc=ratio)
    assert height(image.mask == 2) / height(image.mask > 0) == pytest.approx(ratio, rel=0.08)
    assert image.label == ("glaucoma" if ratio > 0.6 else "normal")


@pytest.mark.parametrize("ratio", [0.1, 0.95, float("nan")])
def test_impossible_cup_is_refused(ratio):
    with pytest.raises(ValueError, match=r"ratio from 0.2 to 0.9"):
        simulate_fundus(cup_to_disc=ratio)


def test_disc_is_as_high_in_millimetres_as_a_real_one(photograph):
    for image in (picture(simulate_fundus, 1, "normal"), photograph):
        assert height(image.mask > 0) * image.spacing[0] == pytest.approx(1.85, rel=0.05)


def test_photograph_shows_a_small_disc_in_a_round_field_on_black(photograph):
    values = brightness(photograph)
    assert photograph.pixels.shape == (880, 1024, 3)
    assert values[:40, :40].max() < 10
    assert photograph.label == "glaucoma"
    assert 0.15 < height(photograph.mask > 0) / 880 < 0.25
    assert values[photograph.mask == 2].mean() > 2 * values[400:480, 480:560].mean()


def test_sweep_passes_over_the_lesion(sweep):
    areas = (sweep.mask == 1).sum(axis=(1, 2))
    assert sweep.pixels.shape == sweep.mask.shape == (9, 320, 384)
    assert sweep.spacing == (1.0, 0.125, 0.125)
    assert areas[0] == areas[-1] == 0
    assert areas.argmax() == 4
    assert sweep.pixels[sweep.mask == 1].mean() < 0.75 * sweep.pixels[sweep.mask == 0].mean()


def test_neighbouring_slices_look_more_alike_than_distant_ones(sweep):
    smooth = ndimage.gaussian_filter(sweep.pixels.astype(float), (0, 4, 8))
    smooth -= smooth.mean(axis=(0, 2), keepdims=True)
    neighbours, distant = (np.corrcoef(smooth[0].ravel(), smooth[i].ravel())[0, 1] for i in (1, 8))
    assert neighbours > distant + 0.3


def test_empty_sweep_is_refused():
    with pytest.raises(ValueError, match="one slice or more, got 0"):
        simulate_ultrasound_sweep(slices=0)


def test_noise_has_mean_zero_and_unit_variance_and_is_smooth():
    field = noise(np.random.default_rng(0), (400, 400), (8, 8))
    assert field.mean() == pytest.approx(0, abs=0.1)
    assert field.std() == pytest.approx(1, abs=0.1)
    assert np.abs(np.diff(field, axis=0)).max() < 0.6


def test_smooth_outline_is_the_ellipse_asked_for():
    inside = blob(np.random.default_rng(0), (100, 120), (50, 60), (20, 30), ()) < 1
    assert inside.sum() == pytest.approx(np.pi * 20 * 30, rel=0.02)
    assert height(inside) == pytest.approx(40, abs=1)


def test_stroke_covers_its_width_and_may_leave_the_canvas():
    canvas = np.zeros((40, 40))
    stroke(canvas, [(20, -30), (20, 70)], 6)
    np.testing.assert_allclose(canvas.sum(axis=0), 6, atol=0.3)
    assert canvas.max() == 1
