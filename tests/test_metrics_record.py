import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from napari_uml.config import IGNORE, Task
from napari_uml.errors import UMLError
from napari_uml.evaluation.metrics import metrics_record
from napari_uml.evaluation.record import Metric, MetricsRecord, format_table, read_record, write_record
from napari_uml.evaluation.scores import ImageScores, image_scores

RATIO = {"name": "vertical cup/disc ratio", "of": ("cup",), "to": ("rim", "cup")}
TASK = Task(
    seg_classes=("background", "rim", "cup"),
    cls_classes=("normal", "glaucoma"),
    unions={"disc": ("rim", "cup")},
    measurements=(RATIO,),
)
STRUCTURES = ("rim", "cup", "disc")
MASK_NAMES = {f"{m}/{s}" for m in ("dice", "dice_present", "iou", "assd", "hd95", "nsd") for s in STRUCTURES} | {
    "vcdr_mae", "auroc_pixel_error", "ueo",
}  # fmt: skip
CLASS_NAMES = {f"{m}/{c}" for m in ("auc", "sens_at_85_spec") for c in TASK.cls_classes} | {
    "acc", "balanced_acc", "f1_weighted", "auc", "ece", "ece_adaptive", "nll", "brier", "aurc",
    "risk_at_80", "auroc_misclassified",
}  # fmt: skip


def eye_mask(disc: int = 12, cup: int = 6, top: int = 4) -> np.ndarray:
    mask = np.zeros((32, 32), dtype=np.uint8)
    mask[top : top + disc, 8:20] = 1
    middle = top + (disc - cup) // 2
    mask[middle : middle + cup, 11:17] = 2
    return mask


def image(
    group: str = "g",
    found: np.ndarray | None = None,
    truth: np.ndarray | None = None,
    p: float = 0.8,
    u: float = 0.3,
    label: int | None = None,
) -> ImageScores:
    found = eye_mask() if found is None else found
    wrong = np.zeros(found.shape, bool) if truth is None else found != truth
    return image_scores(
        TASK,
        group=group,
        mask=found,
        pixel_uncertainty=np.where(wrong, 0.6, 0.1).astype(np.float32),
        class_probability=np.array([1 - p, p]),
        class_uncertainty=u,
        true_mask=truth,
        label=label,
    )


def cohort(n: int = 40, seed: int = 0) -> list[ImageScores]:
    generator = np.random.default_rng(seed)
    scores = []
    for i in range(n):
        label = int(generator.integers(2))
        p = float(np.clip(0.3 + 0.4 * label + generator.normal(0, 0.25), 0.01, 0.99))
        found = eye_mask(12 + int(generator.integers(-2, 3)), 6 + int(generator.integers(-2, 3)))
        u = float(generator.uniform(0.1, 0.9))
        scores.append(image(str(i // 2), found, eye_mask(), p, u, label))
    return scores


def test_all_names_of_the_record_are_there_and_no_others() -> None:
    assert set(metrics_record(cohort(), TASK, resamples=20)) == MASK_NAMES | CLASS_NAMES | {"u_image", "u_pixel"}


def test_every_interval_includes_its_value_and_is_seeded() -> None:
    scores = cohort()
    found = metrics_record(scores, TASK, resamples=300, seed=3)
    assert all(m.low <= m.value <= m.high for m in found.values())
    assert found["acc"].low < found["acc"].high
    assert found == metrics_record(scores, TASK, resamples=300, seed=3)
    assert found != metrics_record(scores, TASK, resamples=300, seed=4)


def test_images_of_a_group_are_resampled_together() -> None:
    each = [image(str(i), p=0.9 if i % 2 else 0.1, label=1) for i in range(40)]
    alone = metrics_record(each, TASK)["acc"]
    paired = metrics_record([image(str(i // 2), p=0.9 if i % 2 else 0.1, label=1) for i in range(40)], TASK)["acc"]
    assert alone.low < 0.5 < alone.high
    assert (paired.low, paired.value, paired.high) == (0.5, 0.5, 0.5)  # each group is half right


def test_one_group_or_no_resamples_give_values_without_intervals() -> None:
    for found in (metrics_record([image("a"), image("a")], TASK), metrics_record(cohort(), TASK, resamples=0)):
        assert all(m.low is None and m.high is None for m in found.values())


def test_images_without_mask_or_label_take_part_in_what_they_can() -> None:
    scores = [image("a", truth=eye_mask(), u=0.2), image("b", label=1, u=0.4), image("c", u=0.9)]
    found = metrics_record(scores, TASK, resamples=0)
    assert found["dice/cup"] == Metric(value=1.0, n=1)
    assert found["acc"] == Metric(value=1.0, n=1)
    assert found["u_image"].n == 3
    assert found["u_image"].value == pytest.approx(0.5)
    assert found["u_pixel"].value == pytest.approx(0.1)


def test_without_any_truth_only_uncertainties_remain() -> None:
    assert set(metrics_record([image()], TASK)) == {"u_image", "u_pixel"}


def test_a_single_class_leaves_out_what_needs_two() -> None:
    found = metrics_record([image(str(i), p=0.3 + 0.1 * i, label=1) for i in range(5)], TASK, resamples=50)
    absent = {"auc", "auc/normal", "auc/glaucoma", "sens_at_85_spec/normal", "sens_at_85_spec/glaucoma"}
    assert set(found) == CLASS_NAMES - absent | {"u_image", "u_pixel"}


def test_no_mistake_leaves_out_the_auroc_of_mistakes() -> None:
    found = metrics_record([image("a", truth=eye_mask(), p=0.9, label=1), image("b", p=0.1, label=0)], TASK)
    assert not {"auroc_misclassified", "auroc_pixel_error", "ueo"} & set(found)
    assert found["aurc"].value == 0


def test_empty_masks_count_in_dice_but_not_in_dice_present_or_distance() -> None:
    empty = np.zeros((32, 32), dtype=np.uint8)
    scores = [image("a", empty, empty), image("b", eye_mask(), empty), image("c", eye_mask(), eye_mask())]
    found = metrics_record(scores, TASK, resamples=0)
    assert found["dice/disc"] == Metric(value=2 / 3, n=3)  # 1, 0, 1
    assert found["dice_present/disc"] == Metric(value=1.0, n=1)
    assert found["assd/disc"] == Metric(value=0.0, n=1)
    assert found["vcdr_mae"] == Metric(value=0.0, n=1)


def test_a_structure_that_no_truth_has_is_absent_where_undefined() -> None:
    no_cup = np.where(eye_mask() == 2, 1, eye_mask())
    found = metrics_record([image("a", no_cup, no_cup), image("b", no_cup, no_cup)], TASK)
    assert found["dice/cup"].value == 1.0
    assert "dice_present/cup" not in found
    assert "assd/cup" not in found


def test_ratio_error_is_the_mean_and_a_missed_disc_counts_as_ratio_zero() -> None:
    scores = [
        image("a", eye_mask(12, 6), eye_mask(12, 9)),  # 0.5 for 0.75
        image("b", np.zeros((32, 32), np.uint8), eye_mask(12, 9)),  # nothing for 0.75
    ]
    assert metrics_record(scores, TASK, resamples=0)["vcdr_mae"] == Metric(value=(0.25 + 0.75) / 2, n=2)


def test_a_task_without_the_ratio_has_no_ratio_error() -> None:
    plain = TASK.model_copy(update={"measurements": ()})
    mask = eye_mask()
    scores = image_scores(
        plain, group="a", mask=mask, pixel_uncertainty=np.full(mask.shape, 0.1), class_probability=np.array([0.5, 0.5]),
        class_uncertainty=0.5, true_mask=mask,
    )  # fmt: skip
    assert "vcdr_mae" not in metrics_record([scores], plain)


def test_ignored_pixels_count_nowhere() -> None:
    truth, found = eye_mask(), eye_mask()
    found[20:24, 8:20] = 2  # wrong, but
    truth[20:24, 8:20] = IGNORE  # nobody knows
    result = metrics_record([image("a", found, truth)], TASK)
    assert result["dice/cup"].value == result["dice/disc"].value == 1.0
    assert result["assd/cup"].value == result["vcdr_mae"].value == 0.0
    assert image("a", found, truth).mask.histograms.sum() == (truth != IGNORE).sum()
    assert image("a", found, np.full_like(truth, IGNORE)).mask is None


def test_the_doubt_finds_wrong_pixels_that_u_misses() -> None:
    truth, found = eye_mask(), eye_mask()
    found[0, :8] = 1
    truth[31] = IGNORE
    scores = image_scores(
        TASK, group="a", mask=found, pixel_uncertainty=np.full(found.shape, 0.1),
        class_probability=np.array([0.5, 0.5]), class_uncertainty=0.5, true_mask=truth,
        pixel_doubt=np.where(found != truth, 0.4, 0.05),
    )  # fmt: skip
    result = metrics_record([scores], TASK)
    assert result["auroc_pixel_error"].value == 0.5
    assert result["auroc_pixel_error_p"].value == 1.0
    assert scores.mask.by_doubt.sum() == (truth != IGNORE).sum()
    assert "auroc_pixel_error_p" not in metrics_record([image("a", found, truth)], TASK)


def test_distances_can_be_left_out() -> None:
    mask = eye_mask()
    scores = image_scores(
        TASK, group="a", mask=mask, pixel_uncertainty=np.full(mask.shape, 0.1), class_probability=np.array([0.5, 0.5]),
        class_uncertainty=0.5, true_mask=mask, distances=False,
    )  # fmt: skip
    found = metrics_record([scores], TASK)
    assert found["dice/disc"].value == 1.0
    assert not [name for name in found if name.startswith(("assd", "hd95", "nsd"))]


def test_permuted_labels_give_chance() -> None:
    generator = np.random.default_rng(1)
    label = generator.integers(0, 2, 400)
    p = np.clip(label * 0.5 + generator.uniform(0, 0.5, 400), 0.01, 0.99)
    small = np.zeros((4, 4), np.uint8)
    true = metrics_record([image(str(i), small, p=p[i], label=int(label[i])) for i in range(400)], TASK)["auc"]
    mixed = generator.permutation(label)
    chance = metrics_record([image(str(i), small, p=p[i], label=int(mixed[i])) for i in range(400)], TASK)["auc"]
    assert true.low > 0.95
    assert chance.low < 0.5 < chance.high


def test_scores_keep_no_maps() -> None:
    scores = image("a", truth=eye_mask())
    arrays = [scores.class_probability, scores.mask.confusion, scores.mask.histograms]
    assert sum(a.nbytes for a in arrays) < 10_000
    kept = [getattr(o, f.name) for o in (scores, scores.mask) for f in fields(o)]
    assert sum(isinstance(value, np.ndarray) for value in kept) == len(arrays)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": 2}, "label from 0 to 1, got 2"),
        ({"class_probability": np.array([0.5, 0.2])}, "sum to 1"),
        ({"class_probability": np.array([np.nan, 0.2])}, "sum to 1"),
        ({"class_probability": np.ones(1)}, "Expected 2 class probabilities"),
        ({"true_mask": np.zeros((3, 3), int)}, r"true mask of shape \(32, 32\)"),
        ({"true_mask": np.full((32, 32), 3)}, "class numbers 0 to 2"),
        ({"pixel_uncertainty": np.ones((3, 3))}, "uncertainty"),
        ({"pixel_uncertainty": np.full((32, 32), np.nan)}, "uncertainties up to 1"),
    ],
)
def test_what_does_not_fit_the_task_is_refused(change: dict, message: str) -> None:
    good = {
        "group": "a", "mask": eye_mask(), "pixel_uncertainty": np.full((32, 32), 0.1),
        "class_probability": np.array([0.5, 0.5]), "class_uncertainty": 0.5, "true_mask": eye_mask(), "label": 1,
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        image_scores(TASK, **(good | change))


def test_no_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="one image or more"):
        metrics_record([], TASK)


def record() -> MetricsRecord:
    return MetricsRecord(
        model="fundus-disc",
        dataset="refuge",
        split="val",
        n=50,
        metrics={"dice/cup": Metric(value=0.86, low=0.84, high=0.88, n=50), "auc": Metric(value=0.9, n=49)},
    )


def test_a_record_survives_the_file_and_has_the_layout_of_the_format(tmp_path: Path) -> None:
    write_record(record(), tmp_path / "m.json")
    assert read_record(tmp_path / "m.json") == record()
    content = json.loads((tmp_path / "m.json").read_text())
    assert list(content) == ["model", "dataset", "split", "n", "metrics"]
    assert content["metrics"]["dice/cup"] == {"value": 0.86, "low": 0.84, "high": 0.88, "n": 50}


def test_a_record_is_not_overwritten_unasked(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text("mine")
    with pytest.raises(UMLError, match=r"m\.json is there already"):
        write_record(record(), path)
    assert path.read_text() == "mine"
    write_record(record(), path, overwrite=True)
    assert read_record(path) == record()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "m.json"
    path.write_text("old")
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UMLError, match="No space left"):
        write_record(record(), path, overwrite=True)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", ["", "[]", '{"model": "a"}', '{"model": "a", "extra": 1}'])
def test_another_file_is_refused_in_one_sentence(tmp_path: Path, content: str) -> None:
    path = tmp_path / "m.json"
    path.write_text(content)
    with pytest.raises(UMLError, match=r"m\.json is not a metrics record") as error:
        read_record(path)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_refused_and_a_missing_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "none" / "m.json"
    with pytest.raises(UMLError, match="cannot be read"):
        read_record(path)
    write_record(record(), path)
    assert read_record(path) == record()
    with pytest.raises(UMLError, match="cannot be written"):
        write_record(record(), path / "below-a-file.json")


def test_the_table_shows_every_figure_with_interval_and_n() -> None:
    assert format_table(record()).splitlines() == [
        "fundus-disc on refuge, val, 50 images",
        "",
        "metric    value  95 % interval   n",
        "----------------------------------",
        "dice/cup  0.860  0.840 - 0.880  50",
        "auc       0.900                 49",
    ]
