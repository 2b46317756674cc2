"""Samples in memory: numbers of a merged task, missing annotation, crops, and how often each is visited."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tests.tiny import INFO, tiny_dataset

from napari_uml.config import IGNORE, Focus, Measurement, Task
from napari_uml.data.dataset import read_dataset
from napari_uml.data.resize import to_input
from napari_uml.data.samples import Sample, derive_seed, epoch_length, epoch_order, load_samples
from napari_uml.data.tasks import merge_tasks
from napari_uml.errors import DatasetError

FUNDUS = Task(
    modality="fundus", channels=3, seg_classes=("background", "rim", "cup"), cls_classes=("normal", "glaucoma"),
    unions={"disc": ("rim", "cup")}, measurements=(Measurement(name="vcdr", of=("cup",), to=("disc",)),),
)  # fmt: skip
BREAST = Task(modality="ultrasound", channels=1, seg_classes=("background", "lesion"), cls_classes=("normal", "benign"))


@pytest.fixture
def folder(tmp_path):
    return tiny_dataset(tmp_path / "blobs")


def edit_table(folder, change):
    path = folder / "index.csv"
    path.write_text("".join(change(line) for line in path.read_text().splitlines(keepends=True)))


def made(labels, sources=None) -> list[Sample]:
    """Return samples without content."""
    image, mask = torch.zeros(1, 2, 2, dtype=torch.uint8), torch.zeros(2, 2, dtype=torch.uint8)
    sources = sources or [0] * len(labels)
    return [Sample(image, mask, label, source) for label, source in zip(labels, sources, strict=True)]


# ---- loading


def test_images_are_squashed_as_for_prediction(folder):
    dataset = read_dataset(folder)
    samples = load_samples([dataset], "train", 64, dataset.info)
    assert len(samples) == 8
    assert [sample.label for sample in samples] == [0, 1] * 4
    pixels = np.asarray(Image.open(folder / "images" / "train0.png")).astype(np.float32) / 255
    expected = to_input(pixels, 64)
    assert samples[0].image.shape == (3, 64, 64)
    assert (samples[0].image / 255 - expected).abs().max() <= 0.5 / 255 + 1e-6
    assert samples[0].mask.unique().tolist() == [0, 1]


def test_grey_takes_a_third_of_the_memory(folder):
    dataset = read_dataset(folder)
    (sample, *_) = load_samples([dataset], "val", 64, dataset.info)
    assert sample.pixels.shape == (1, 64, 64)
    assert sample.pixels.dtype == torch.uint8


def test_colour_pictures_of_a_grey_task_become_grey_as_in_prediction(folder):
    for path in (folder / "images").iterdir():
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 56, 3), dtype=np.uint8)).save(path)
    dataset = read_dataset(folder)
    assert load_samples([dataset], "val", 64, dataset.info)[0].pixels.shape[0] == 1
    colour = dataset.info.model_copy(update={"channels": 3})
    assert load_samples([dataset], "val", 64, colour)[0].pixels.shape[0] == 3


def test_missing_masks_and_labels_are_marked(folder):
    edit_table(folder, lambda line: line.replace("masks/train0.png", "").replace("train1.png,malignant", "train1.png,"))
    dataset = read_dataset(folder)
    samples = load_samples([dataset], "train", 64, dataset.info)
    assert (samples[0].mask == IGNORE).all()
    assert samples[0].label == 0
    assert samples[1].label == -1
    assert (samples[1].mask != IGNORE).all()


def test_data_sets_of_different_classes_get_the_numbers_of_the_merged_task(tmp_path):
    other = INFO.model_copy(update={
        "name": "Other", "seg_classes": ("background", "vessel", "lesion"), "cls_classes": ("odd", "benign"),
    })  # fmt: skip
    datasets = [read_dataset(tiny_dataset(tmp_path / name, info)) for name, info in (("a", INFO), ("b", other))]
    task = merge_tasks([dataset.info for dataset in datasets])
    assert task.seg_classes == ("background", "lesion", "vessel")
    assert task.cls_classes == ("benign", "malignant", "odd")
    samples = load_samples(datasets, "train", 64, task)
    assert [(s.source, s.label) for s in samples] == [(0, 0), (0, 1)] * 4 + [(1, 2), (1, 0)] * 4
    assert samples[0].mask.unique().tolist() == [0, 1]  # lesion
    assert samples[8].mask.unique().tolist() == [0, 2]  # vessel
    assert torch.equal(samples[0].mask == 1, samples[8].mask == 2)


def test_small_structures_come_a_second_time_as_a_crop(folder):
    dataset = read_dataset(folder)
    focus = Focus(structures=("lesion",), crop_factor=1.5, trigger=0.4)  # the small discs are 15 of 48 pixels
    samples = load_samples([dataset], "train", 64, dataset.info, focus)
    assert [s.label for s in samples] == [0, 0, 1] * 4
    shares = [(s.mask == 1).float().mean().item() for s in samples]
    assert shares[1] > 3 * shares[0]
    assert shares[1] == pytest.approx(np.pi / 4 / 1.5**2, abs=0.05)


def test_every_bad_file_is_named_at_once(folder):
    (folder / "images" / "train2.png").write_bytes(b"no image")
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(folder / "masks" / "train4.png")
    dataset = read_dataset(folder)
    with pytest.raises(DatasetError) as caught:
        load_samples([dataset], "train", 64, dataset.info)
    assert len(caught.value.problems) == 2
    assert "train2.png" in caught.value.problems[0]
    assert "images/train4.png" in caught.value.problems[1]


def test_masks_that_use_255_as_a_structure_are_refused(folder):
    for path in (folder / "masks").iterdir():
        Image.fromarray(np.asarray(Image.open(path)) * np.uint8(255)).save(path)
    dataset = read_dataset(folder)
    with pytest.raises(DatasetError, match="got only 0 and 255, which means not annotated; write 1"):
        load_samples([dataset], "train", 64, dataset.info)


def test_single_masks_that_may_use_255_as_a_structure_are_warned_of(folder, caplog):
    for number in (0, 2):
        path = folder / "masks" / f"train{number}.png"
        Image.fromarray(np.asarray(Image.open(path)) * np.uint8(255)).save(path)
    dataset = read_dataset(folder)
    load_samples([dataset], "train", 64, dataset.info)
    (said,) = [record.getMessage() for record in caplog.records]
    assert "train0.png (and 1 more), got only 0 and 255" in said


def test_masks_partly_annotated_or_without_any_structure_are_fine(folder):
    empty = np.zeros((48, 56), np.uint8)
    Image.fromarray(empty).save(folder / "masks" / "train0.png")
    empty[:9] = IGNORE
    Image.fromarray(empty).save(folder / "masks" / "train1.png")
    dataset = read_dataset(folder)
    assert load_samples([dataset], "train", 64, dataset.info)[1].mask.unique().tolist() == [0, IGNORE]


# ---- merging


def test_one_task_stays_as_it_is():
    assert merge_tasks([FUNDUS]) == FUNDUS
    assert merge_tasks([FUNDUS, FUNDUS]) == FUNDUS


def test_names_are_joined_in_order():
    merged = merge_tasks([BREAST, FUNDUS])
    assert merged.seg_classes == ("background", "lesion", "rim", "cup")
    assert merged.cls_classes == ("normal", "benign", "glaucoma")
    assert merged.channels == 3
    assert merged.modality == "several"
    assert merged.unions == FUNDUS.unions
    assert merged.measurements == FUNDUS.measurements


def test_extra_fields_of_a_data_set_do_not_enter_the_task(folder):
    assert type(merge_tasks([read_dataset(folder).info])) is Task
    assert "name" not in json.loads(merge_tasks([read_dataset(folder).info]).model_dump_json())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seg_classes": ("nothing", "rim", "cup")}, "same name for structure 0"),
        ({"unions": {"disc": ("rim",)}}, "one meaning of the union 'disc'"),
        ({"measurements": (Measurement(name="vcdr", of=("rim",), to=("disc",)),)}, "the measurement 'vcdr'"),
        ({"seg_classes": ("background", "disc"), "unions": {}, "measurements": ()}, "disc is both; rename it"),
    ],
)
def test_contradictions_between_data_sets_are_refused(change, message):
    other = Task.model_validate({**FUNDUS.model_dump(), **change})
    with pytest.raises(DatasetError, match=message):
        merge_tasks([FUNDUS, other])


# ---- order


def test_without_balance_every_sample_is_visited_once_in_another_order_each_epoch():
    samples = made([0, 1] * 50)
    orders = [epoch_order(samples, 0.0, seed, epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0), (0, 0))]
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert orders[0] == orders[3]
    assert orders[0] != orders[1]
    assert orders[0] != orders[2]
    assert orders[1] != orders[2]


@pytest.mark.parametrize(("balance", "share"), [(1.0, 1 / 2), (0.5, 1 / 4), (1e-9, 1 / 10)])
def test_balance_decides_how_often_the_rare_class_is_visited(balance, share):
    samples = made([1] * 100 + [0] * 900)
    visits = Counter(samples[i].label for epoch in range(20) for i in epoch_order(samples, balance, 0, epoch))
    assert sum(visits.values()) == 20_000
    assert visits[1] / 20_000 == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("balance", [0.0, 0.5])
def test_of_what_is_mixed_in_an_epoch_visits_as_many_as_of_the_rest(balance):
    samples = [replace(sample, mixed=number >= 10) for number, sample in enumerate(made([0, 1] * 100))]
    orders = [epoch_order(samples, balance, 0, epoch) for epoch in range(50)]
    assert {len(order) for order in orders} == {20} == {epoch_length(samples)}
    assert {sum(number >= 10 for number in order) for order in orders} == {10}
    assert len({number for order in orders for number in order}) > 150  # others every time
    assert any(number >= 10 for number in orders[0][:10])  # not one after the other
    assert epoch_length(samples[:14]) == 14


def test_balance_counts_a_class_within_its_data_set():
    samples = made([0] * 810 + [0] * 90 + [-1] * 100, [0] * 810 + [1] * 190)
    visits = Counter((samples[i].source, samples[i].label) for e in range(20) for i in epoch_order(samples, 1.0, 0, e))
    assert [visits[cell] / 20_000 for cell in ((0, 0), (1, 0), (1, -1))] == pytest.approx([1 / 3] * 3, abs=0.02)


def test_seeds_of_neighbours_differ():
    seeds = {derive_seed(a, b) for a in range(50) for b in range(50)}
    assert len(seeds) == 2500
    assert derive_seed(3, 7) == derive_seed(3, 7)
