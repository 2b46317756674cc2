"""Which names a start model knows already, renamed ones among them."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from tests.tiny import tiny_network

from napari_uml.config import Task
from napari_uml.data.kept import match_names, match_numbers, what_is_kept
from napari_uml.data.tasks import merge_tasks
from napari_uml.nn.network import UMLNetwork
from napari_uml.training.transfer import transfer

OLD = Task(seg_classes=("background", "lesion"), cls_classes=("benign", "malignant"))
RENAMED = Task(
    seg_classes=("background", "tumour"), cls_classes=("nevus", "malignant", "other"),
    former_structures={"tumour": ("lesion",)}, former_classes={"nevus": ("benign",)},
)  # fmt: skip


def test_renamed_names_are_kept_and_others_are_new():
    kept = what_is_kept(OLD, RENAMED)
    assert kept.structures == {"background": "background", "tumour": "lesion"}
    assert kept.classes == {"nevus": "benign", "malignant": "malignant", "other": None}
    assert kept.new == ("other",)
    assert kept.dropped == ()
    assert "nevus (was benign)" in kept.words
    assert "New and untrained: other." in kept.words


def test_what_is_no_longer_found_is_said():
    task = Task(seg_classes=("background", "vessel"), cls_classes=("benign", "malignant"))
    assert what_is_kept(OLD, task).words.endswith("New and untrained: vessel. No longer found: lesion.")


@pytest.mark.parametrize(
    ("old", "old_former", "new", "new_former", "expected"),
    [
        (("a", "b"), {}, ("a", "b"), {"a": ("b",), "b": ("a",)}, {"a": "b", "b": "a"}),
        (("a", "b"), {"a": ("b",), "b": ("a",)}, ("a", "b"), {"a": ("b",), "b": ("a",)}, {"a": "a", "b": "b"}),
        (("b",), {}, ("c",), {"c": ("a", "b")}, {"c": "b"}),
        (("a",), {}, ("b", "a"), {"b": ("a",)}, {"b": "a", "a": None}),
        (("b",), {"b": ("a",)}, ("b",), {}, {"b": "b"}),
    ],
    ids=["swapped", "swapped before training", "twice renamed", "name given again", "weights renamed"],
)
def test_history_decides(old, old_former, new, new_former, expected):
    assert match_names(old, old_former, new, new_former) == expected


def test_renaming_keeps_the_weights_of_the_heads():
    torch.manual_seed(0)
    old, new = UMLNetwork(tiny_network(2, 2)), UMLNetwork(tiny_network(3, 2))
    assert transfer(new, old.state_dict(), OLD, RENAMED).new == ("other",)
    for name in new.last_layers.classes:
        assert torch.equal(new.state_dict()[name][:2], old.state_dict()[name])
    for name in new.last_layers.structures:
        assert torch.equal(new.state_dict()[name], old.state_dict()[name])


def test_earlier_names_survive_the_merging_of_data_sets():
    merged = merge_tasks([RENAMED, OLD])
    assert merged.former_classes == RENAMED.former_classes
    assert merged.former_structures == RENAMED.former_structures


@pytest.mark.parametrize("field", ["former_structures", "former_classes"])
def test_earlier_names_of_nothing_are_refused(field):
    with pytest.raises(ValidationError, match="Unknown"):
        Task(**{**OLD.model_dump(), field: {"nothing": ("x",)}})


FUNDUS = Task(
    seg_classes=("background", "rim", "cup", "vessel"), cls_classes=("a", "b"), former_structures={"rim": ("disc",)}
)


@pytest.mark.parametrize(
    ("named", "numbers"),
    [
        ({}, {0: 0, 1: 1, 2: 2, 3: 3}),
        ({0: "background", 1: "cup", 2: "rim"}, {0: 0, 1: 2, 2: 1, 3: 3}),
        ({0: "background", 1: "disc"}, {0: 0, 1: 1, 2: 2, 3: 3}),
        ({0: "background", 1: "disc", 2: "rim"}, {0: 0, 2: 1, 3: 3}),
        ({0: "skin", 1: "lesion"}, {0: 0, 2: 2, 3: 3}),
        ({0: "background", 1: "vessel"}, {0: 0, 1: 3, 2: 2}),
    ],
    ids=["none", "swapped", "earlier name", "earlier and new name", "others", "not painted by number"],
)
def test_numbers_are_found_by_their_names(named, numbers):
    assert match_numbers(named, FUNDUS) == numbers
