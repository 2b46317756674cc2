"""All problems of a list at once, each with its row, and the split that is suggested."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tests.tiny import tiny_dataset

from napari_uml.data.dataset import Problem, Record, read_dataset
from napari_uml.data.list_checks import find_problems
from napari_uml.data.splitting import group_of, suggest_split


@pytest.fixture
def dataset(tmp_path):
    return read_dataset(tiny_dataset(tmp_path / "blobs"))


def save(path, array):
    Image.fromarray(np.asarray(array)).save(path)


def test_a_good_list_has_no_problems(dataset):
    assert find_problems(dataset) == []


def test_every_problem_is_found_at_once_with_its_row(dataset):
    images, masks = dataset.folder / "images", dataset.folder / "masks"
    save(masks / "train0.png", np.zeros((48, 55), np.uint8))
    save(masks / "train1.png", np.full((48, 56), 7, np.uint8))
    save(images / "train2.png", np.full((48, 56), 9, np.uint8))
    (images / "train3.png").write_bytes(b"nonsense")
    (images / "train4.png").unlink()
    Image.open(images / "train5.png").save(images / "val0.tif")
    (images / "val0.png").unlink()
    records = [replace(r, image="images/val0.tif") if r.image == "images/val0.png" else r for r in dataset.records]
    records[0] = replace(records[0], label="odd", split="nowhere")
    problems = find_problems(replace(dataset, records=tuple(records)))
    expected = {
        ("images/train0.png", "expected a label among benign, malignant, got odd"),
        ("images/train0.png", "expected a split among train, val, test, got nowhere"),
        ("images/train4.png", "images/train4.png does not exist"),
        ("images/train1.png", "Expected structure numbers 0 to 1"),
        ("images/train2.png", "every pixel is 9"),
        ("images/train3.png", "expected an image (PNG, JPEG"),
        ("images/train5.png", "these are the same: images/train5.png (train), images/val0.tif (val)"),
        ("images/val0.tif", "these are the same: images/train5.png (train), images/val0.tif (val)"),
    }
    for row, words in expected:
        assert any(problem.row == row and words in problem.text for problem in problems), (row, words)
    assert len(problems) == len(expected)


def test_a_mask_of_another_size_belongs_to_its_row(dataset):
    save(dataset.folder / "masks" / "val1.png", np.zeros((48, 55), np.uint8))
    (problem,) = find_problems(dataset)
    assert problem.row == "images/val1.png"
    assert "Expected a mask of 48 x 56 pixels" in problem.text


def test_nothing_annotated_is_one_problem(dataset):
    bare = tuple(replace(record, mask="", label="") for record in dataset.records)
    (problem,) = find_problems(replace(dataset, records=bare))
    assert problem.text.startswith("Expected annotated images, no row")


def test_masks_without_an_annotated_pixel_are_not_annotated(dataset):
    for record in dataset.records:
        save(dataset.folder / record.mask, np.full((48, 56), 255, np.uint8))
    bare = tuple(replace(record, label="") for record in dataset.records)
    assert "no row has a class or a mask" in find_problems(replace(dataset, records=bare))[0].text


def test_nothing_to_validate_on_and_classes_with_one_example(dataset):
    training = tuple(record for record in dataset.records if record.split == "train")
    few = tuple(replace(r, label="malignant" if i == 3 else "benign") for i, r in enumerate(training))
    problems = find_problems(replace(dataset, records=few))
    assert "the split val has none" in problems[0].text
    assert problems[1:] == [
        Problem(
            "images/train3.png",
            "Expected at least 2 examples of malignant to train on, got 1; add more, or remove the class.",
        )
    ]


def test_a_list_without_classes_may_train_masks_alone(dataset):
    bare = tuple(replace(record, label="") for record in dataset.records)
    assert find_problems(replace(dataset, records=bare)) == []


def test_not_annotated_that_was_meant_as_a_structure_is_told(dataset):
    for record in dataset.of_split("train"):
        mask = dataset.read_mask(record)
        save(dataset.folder / record.mask, mask * 255)
    (problem,) = find_problems(dataset)
    assert problem.row == "images/train0.png"
    assert "write 1 instead of 255" in problem.text


def test_a_check_that_is_no_longer_wanted_stops(dataset):
    save(dataset.folder / "masks" / "val3.png", np.zeros((48, 55), np.uint8))
    assert find_problems(dataset, lambda: True) == []
    assert find_problems(dataset) != []


# ---- suggested split


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("patient12_left.png", "patient12"),
        ("images/Patient-012.tif", "patient12"),
        ("sub-07_ses-1.nii.gz", "sub7"),
        ("lesion_3 b.jpg", "lesion3"),
        ("0031_OD.jpg", "0031"),
        ("0031-left.jpg", "0031"),
        ("pid-3.png", "pid3"),
        ("2021_id4_left.png", "id4"),
        ("scan01case2.png", "case2"),
        ("ImgPatient12.png", "patient12"),
        ("leftEyeSUBJECT-3.png", "subject3"),
        ("covid19_0001.png", ""),
        ("thyroid2_003.png", ""),
        ("ISIC_0024306.jpg", ""),
        ("benign (12).png", ""),
        ("image.png", ""),
    ],
)
def test_file_names_tell_whom_they_show(name, group):
    assert group_of(name) == group


def rows(*names, label="a", split="train", mask="m"):
    return [Record(name, mask, label, split, "") for name in names]


def test_groups_stay_together_and_classes_are_spread():
    records = [
        Record(f"{label}/patient{patient}_{side}.png", "", label, "train", "")
        for label, patients in (("a", range(20)), ("b", range(100, 108)))
        for patient in patients
        for side in ("left", "right")
    ]
    found = suggest_split(records, seed=3)
    of_group = {}
    for image, split in found.splits.items():
        assert of_group.setdefault(group_of(image), split) == split
    validating = [record.label for record in records if found.splits[record.image] == "val"]
    assert (validating.count("a"), validating.count("b")) == (10, 4)
    assert found.groups["a/patient3_left.png"] == "patient3"
    assert suggest_split(records, seed=3) == found
    assert suggest_split(records, seed=4).splits != found.splits


def test_two_examples_are_left_to_train_and_one_validates():
    found = suggest_split(rows("x1", "x2", "x3") + rows("y1", "y2", label="b"))
    assert [found.splits[name] for name in ("y1", "y2")] == ["train", "train"]
    assert sorted(found.splits[name] for name in ("x1", "x2", "x3")) == ["train", "train", "val"]
    assert sorted(suggest_split(rows("x1", "x2")).splits.values()) == ["train", "val"]
    assert suggest_split(rows("x1")).splits == {"x1": "train"}


def test_what_tests_keeps_testing_with_its_group_and_bare_rows_train():
    records = [
        *rows("patient1_left", split="test"),
        *rows("patient1_right"),
        *rows("u", label="", mask="", split="val"),
    ]
    found = suggest_split([*records, *rows("x1", "x2", "x3", "x4")])
    assert found.splits["patient1_right"] == "test"
    assert found.splits["u"] == "train"


def test_what_validates_keeps_validating_when_the_list_grows():
    first = rows(*(f"x{i}" for i in range(8)))
    for seed in range(5):
        before = suggest_split(first, seed=seed).splits
        moved = [replace(row, split=before[row.image]) for row in first]
        assert suggest_split(moved, seed=seed + 1).splits == before
        grown = [*rows(*(f"n{i}" for i in range(8))), *moved]
        after = suggest_split(grown, seed=seed).splits
        assert {image for image, split in before.items() if split == "val"} <= {
            i for i, s in after.items() if s == "val"
        }
        assert sum(split == "val" for split in after.values()) == 4
        assert suggest_split(grown, seed=seed).splits == after


def test_more_than_a_quarter_that_validate_stay_with_their_groups():
    records = [*rows("patient1_left", "y1", "y2", split="val"), *rows("patient1_right", "x1", "x2", "x3")]
    found = suggest_split(records).splits
    assert {image for image, split in found.items() if split == "val"} == {
        "patient1_left",
        "patient1_right",
        "y1",
        "y2",
    }


def test_a_class_that_does_not_validate_is_drawn_beside_what_does():
    records = [*rows("x1", split="val"), *rows("x2", "x3", "x4"), *rows("y1", "y2", "y3", "y4", label="b")]
    found = suggest_split(records).splits
    assert [image for image in ("x1", "x2", "x3", "x4") if found[image] == "val"] == ["x1"]
    assert sum(found[image] == "val" for image in ("y1", "y2", "y3", "y4")) == 1


def test_a_group_of_several_classes_leaves_two_examples_of_each():
    mixed = [*rows("patient1_a"), *rows("patient1_b", label="b")]
    found = suggest_split([*mixed, *rows("x1", "x2", "x3", "x4"), *rows("y1", "y2", label="b")], share=0.9)
    training = [name for name, split in found.splits.items() if split == "train"]
    assert sum(name.startswith("x") or name == "patient1_a" for name in training) >= 2
    assert sum(name.startswith("y") or name == "patient1_b" for name in training) == 2


def test_a_share_that_is_none_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        suggest_split([], share=1.0)
