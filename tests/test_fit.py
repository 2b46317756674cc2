"""Training: reports, resuming to the same numbers, stopping, and what goes wrong."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from tests.tiny import INFO, tiny_dataset, tiny_network, tiny_settings

from napari_uml.baselines.registry import make_network
from napari_uml.config import EncoderConfig, Focus
from napari_uml.data.dataset import read_dataset, write_dataset
from napari_uml.data.samples import load_samples
from napari_uml.errors import DatasetError, DivergedError, MemoryLimitError, UMLError, WeightsError
from napari_uml.nn.losses import uml_loss
from napari_uml.nn.network import UMLNetwork
from napari_uml.training import class_layer, learning, trainer
from napari_uml.training.checkpoint import BEST, LAST, load_checkpoint
from napari_uml.training.fit import Start, Trainer, fit
from napari_uml.training.plan import PREVIEW
from napari_uml.training.validate import Score, Validation, validate

NETWORK = tiny_network()


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    return [read_dataset(tiny_dataset(tmp_path_factory.mktemp("data") / "blobs"))]


def train(run, datasets, **changes):
    """Train to the end and return the reports."""
    options = {
        k: changes.pop(k) for k in ("start", "focus", "resume", "vertical_flip", "mix_in", "on_step") if k in changes
    }
    network = changes.pop("network", NETWORK)
    return list(fit(tiny_settings(**changes), network, datasets, run, **options))


def assert_same(a, b, where=""):
    """Compare nested states bit by bit."""
    assert type(a) is type(b), where
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}/{i}")
    else:
        assert a == b, where


STATES = (
    "weights", "averaged", "optimizer", "scheduler", "anchor",
    "best_score", "best_error", "best_epoch", "metrics", "epoch", "solved",
)  # fmt: skip


def assert_same_run(run, other):
    for file in (LAST, BEST):
        a, b = load_checkpoint(run / file), load_checkpoint(other / file)
        for name in STATES:
            assert_same(getattr(a, name), getattr(b, name), f"{file}: {name}")


def without_time(report):
    fields = ("epoch", "epochs", "losses", "metrics", "learning_rate", "score", "is_best", "stopped")
    return {name: getattr(report, name) for name in fields}


# ---- reports


def test_an_epoch_is_reported_when_its_checkpoints_are_on_disk(tmp_path, blobs):
    run, seen = tmp_path / "new" / "run", []
    for report in fit(tiny_settings(epochs=2), NETWORK, blobs, run):
        assert report.last == run / LAST
        assert load_checkpoint(report.last).epoch == report.epoch
        assert load_checkpoint(report.best).epoch <= report.epoch
        assert torch.is_grad_enabled()
        seen.append(report)
    assert [(r.epoch, r.epochs, r.stopped) for r in seen] == [(1, 2, ""), (2, 2, "all epochs done")]
    assert set(seen[0].losses) == {"total", "mutual", "class", "mask"}
    assert set(seen[0].metrics) == {"dice_present/lesion", "acc", "auc", "u_image", "u_pixel"}
    assert seen[0].score == pytest.approx((seen[0].metrics["dice_present/lesion"] + seen[0].metrics["auc"]) / 2)
    assert seen[0].is_best
    assert seen[0].eta_seconds > 0 == seen[1].eta_seconds
    assert 0 < seen[1].learning_rate < seen[0].learning_rate
    assert 100 < seen[0].memory_mb < 1e5
    assert sorted(p.name for p in run.iterdir()) == [BEST, LAST, PREVIEW]


def test_the_total_is_the_weighted_sum_of_the_losses(tmp_path, blobs):
    (report,) = train(tmp_path, blobs, epochs=1)
    losses = report.losses
    expected = 0.1 * losses["mutual"] + 0.5 * losses["class"] + 0.4 * losses["mask"]
    assert losses["total"] == pytest.approx(expected, rel=1e-5)


def test_training_lowers_the_loss(tmp_path, blobs):
    reports = train(tmp_path, blobs, epochs=12, kl_scale=0.0, learning_rate=5e-3)
    assert reports[-1].losses["total"] < 0.6 * reports[0].losses["total"]


def test_every_step_is_told(tmp_path, blobs):
    steps = []
    train(tmp_path, blobs, epochs=2, on_step=lambda *step: steps.append(step))
    assert [(step, of) for step, of, _ in steps] == [(1, 2), (2, 2)] * 2
    assert all(math.isfinite(loss) for *_, loss in steps)


def test_randomness_is_in_the_seed_alone(tmp_path, blobs):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = train(tmp_path / "a", blobs, seed=5)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    second = train(tmp_path / "b", blobs, seed=5)
    assert [without_time(r) for r in first] == [without_time(r) for r in second]
    assert_same_run(tmp_path / "a", tmp_path / "b")
    (other, _) = train(tmp_path / "c", blobs, seed=6)
    assert other.losses != first[0].losses


# ---- resuming


@pytest.fixture
def known_kind(monkeypatch):
    """Let every start know the images."""
    monkeypatch.setattr(class_layer, "KNOWN_DICE", 0.0)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"recipe": "paper", "ema": 0.0},
        {"anchor": 0.1, "start_size": 32, "image_size": 64},
        {"trainable": "decoders", "seed": 4},
        {"start_share": 0.5, "ema": 0.0},
        {"class_anchor": 0.1},
    ],
    ids=["modern", "paper", "anchor", "decoders", "mixed", "class-anchor"],
)
def test_resuming_gives_the_same_numbers_as_no_interruption(tmp_path, blobs, changes, known_kind):
    start = (
        Start(UMLNetwork(NETWORK).state_dict(), INFO)
        if {"anchor", "start_share", "class_anchor"} & set(changes)
        else None
    )
    whole = train(tmp_path / "whole", blobs, epochs=3, start=start, **changes)
    parts = []
    for epoch in range(3):
        generator = fit(
            tiny_settings(epochs=3, **changes), NETWORK, blobs, tmp_path / "parts", start=None if epoch else start,
            resume=epoch > 0,
        )  # fmt: skip
        parts.append(next(generator))
        generator.close()
    assert train(tmp_path / "parts", blobs, epochs=3, resume=True, **changes) == []  # what is done at the end
    assert [without_time(r) for r in parts] == [without_time(r) for r in whole]
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_an_interrupt_between_batches_leaves_whole_checkpoints_to_go_on_from(tmp_path, blobs):
    train(tmp_path / "whole", blobs, epochs=2)
    calls = []

    def interrupt(step, steps, loss):
        calls.append(step)
        if len(calls) == 3:  # the first batch of the second epoch
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "broken", blobs, epochs=2, on_step=interrupt)
    assert sorted(p.name for p in (tmp_path / "broken").iterdir()) == [BEST, LAST, PREVIEW]
    assert load_checkpoint(tmp_path / "broken" / LAST).epoch == 1
    train(tmp_path / "broken", blobs, epochs=2, resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "broken")


def test_a_finished_run_has_nothing_to_resume(tmp_path, blobs):
    train(tmp_path, blobs, epochs=1)
    assert train(tmp_path, blobs, epochs=1, resume=True) == []


def test_where_it_computes_may_change_on_resuming(tmp_path, blobs):
    next(fit(tiny_settings(epochs=2), NETWORK, blobs, tmp_path))
    reports = train(tmp_path, blobs, epochs=2, precision="bf16", num_workers=0, resume=True)
    assert [r.epoch for r in reports] == [2]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"epochs": 4}, "got other epochs;"),
        ({"learning_rate": 0.1, "seed": 7}, "got other learning_rate, seed;"),
        ({"network": NETWORK.model_copy(update={"dropout": 0.3})}, "got other network;"),
    ],
)
def test_other_settings_are_refused_on_resuming(tmp_path, blobs, changes, named):
    next(fit(tiny_settings(epochs=2), NETWORK, blobs, tmp_path))
    with pytest.raises(UMLError, match=named):
        train(tmp_path, blobs, **{"epochs": 2, "resume": True, **changes})


def test_other_images_are_refused_on_resuming(tmp_path, blobs):
    next(fit(tiny_settings(epochs=2), NETWORK, blobs, tmp_path))
    with pytest.raises(UMLError, match=r"Expected the training images that the run in .* there are 16 now"):
        train(tmp_path, blobs * 2, epochs=2, resume=True)


def test_bad_files_of_both_splits_are_named_at_once(tmp_path):
    dataset = read_dataset(tiny_dataset(tmp_path / "blobs"))
    for split in ("train", "val"):
        (dataset.folder / dataset.of_split(split)[0].mask).write_bytes(b"no mask")
    with pytest.raises(DatasetError) as caught:
        train(tmp_path / "run", [dataset])
    assert ["train0" in problem or "val0" in problem for problem in caught.value.problems] == [True, True]


def test_one_image_less_is_refused_on_resuming_though_the_steps_are_as_many(tmp_path, blobs):
    next(fit(tiny_settings(epochs=2, batch_size=3), NETWORK, blobs, tmp_path))
    gone = blobs[0].of_split("train")[0]
    fewer = replace(blobs[0], records=tuple(record for record in blobs[0].records if record != gone))
    with pytest.raises(UMLError, match="there are 7 now"):
        train(tmp_path, [fewer], epochs=2, batch_size=3, resume=True)


def test_resuming_needs_a_run_and_a_new_run_a_new_folder(tmp_path, blobs):
    with pytest.raises(WeightsError, match="there is none; start the run without --resume"):
        train(tmp_path, blobs, resume=True)
    train(tmp_path, blobs, epochs=1)
    with pytest.raises(UMLError, match=r"Expected a new folder, .* holds a run; add --resume or choose another"):
        train(tmp_path, blobs, epochs=1)


def test_only_a_run_from_scratch_downloads_pretrained_encoders(tmp_path, blobs, monkeypatch):
    asked, create = [], timm.create_model

    def record(name, pretrained, **options):
        asked.append(pretrained)
        return create(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", record)
    encoder = EncoderConfig(name="test_resnet", pretrained=True)
    network = NETWORK.model_copy(update={"class_encoder": encoder, "seg_encoder": encoder})
    next(fit(tiny_settings(epochs=2), network, blobs, tmp_path / "run"))
    train(tmp_path / "run", blobs, epochs=2, network=network, resume=True)
    start = Start(load_checkpoint(tmp_path / "run" / BEST).shown, INFO)
    train(tmp_path / "next", blobs, epochs=1, network=network, start=start)
    assert asked == [True, True, False, False, False, False]
    train(tmp_path / "encoder alone", blobs, epochs=1, network=network, start=Start({}, INFO))
    assert asked[6:] == [True, True]


# ---- average, best epoch, early stop


def test_the_average_follows_the_weights(tmp_path, blobs):
    reports = fit(tiny_settings(epochs=20, batch_size=8, ema=0.5), NETWORK, blobs, tmp_path)  # an epoch is one step
    first, second = (load_checkpoint(next(reports).last) for _ in range(2))
    assert_same(first.averaged, first.weights)  # the first step is the start of the average
    name = "instructor.classify.weight"
    assert torch.allclose(second.averaged[name], 0.5 * (first.weights[name] + second.weights[name]), atol=1e-7)
    assert not torch.allclose(second.averaged[name], second.weights[name], atol=1e-5)


def test_without_a_decay_nothing_is_averaged(tmp_path, blobs):
    train(tmp_path, blobs, epochs=1, ema=0.0)
    assert load_checkpoint(tmp_path / LAST).averaged == {}


def scores(monkeypatch, *values, error=0.0):
    """Let validation find these scores."""
    left = iter(values)
    monkeypatch.setattr(trainer, "validate", lambda *_: Validation({}, Score(next(left), error)))


def test_training_stops_without_a_better_score_and_keeps_the_best(tmp_path, blobs, monkeypatch):
    scores(monkeypatch, 0.5, 0.7, 0.6, 0.69, 0.9)
    reports = train(tmp_path, blobs, epochs=9, patience=2)
    assert [r.is_best for r in reports] == [True, True, False, False]
    assert [r.stopped for r in reports] == ["", "", "", "no better score for 2 epochs"]
    assert reports[-1].eta_seconds == 0
    assert (load_checkpoint(tmp_path / BEST).epoch, load_checkpoint(tmp_path / LAST).epoch) == (2, 4)
    assert train(tmp_path, blobs, epochs=9, patience=2, resume=True) == []


def test_of_epochs_within_a_standard_error_the_last_is_the_best(tmp_path, blobs, monkeypatch):
    scores(monkeypatch, 0.5, 0.7, 0.65, 0.59, 0.61, error=0.1)
    reports = train(tmp_path, blobs, epochs=9, patience=3)
    assert [r.is_best for r in reports] == [True, True, True, False, True]
    assert reports[-1].stopped == "no better score for 3 epochs"  # none above 0.7
    assert load_checkpoint(tmp_path / BEST).epoch == 5


def test_the_best_epoch_is_remembered_on_resuming(tmp_path, blobs, monkeypatch):
    scores(monkeypatch, 0.7, 0.5, 0.6, 0.65, error=0.06)
    generator = fit(tiny_settings(epochs=4), NETWORK, blobs, tmp_path)
    next(generator), next(generator)
    generator.close()
    assert [r.is_best for r in train(tmp_path, blobs, epochs=4, resume=True)] == [False, True]


# ---- data


def rewritten(blobs, folder, change):
    """Write the table of the blobs anew, a record at a time; None leaves it out."""
    (dataset,) = blobs
    records = [changed for record in dataset.records if (changed := change(record)) is not None]
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
        for path in (dataset.folder / name).iterdir():
            (folder / name / path.name).write_bytes(path.read_bytes())
    write_dataset(folder, dataset.info, records)
    return [read_dataset(folder)]


def replaced(record, **values):
    return type(record)(**{name: values.get(name, getattr(record, name)) for name in record.__slots__})


@pytest.mark.parametrize(
    ("missing", "metrics"),
    [
        ({"mask": ""}, {"acc", "auc", "u_image", "u_pixel"}),
        ({"label": ""}, {"dice_present/lesion", "u_image", "u_pixel"}),
    ],
    ids=["masks", "labels"],
)
def test_what_is_not_annotated_is_not_trained_nor_validated(tmp_path, blobs, missing, metrics):
    datasets = rewritten(blobs, tmp_path / "data", lambda record: replaced(record, **missing))
    (report,) = train(tmp_path / "run", datasets, epochs=1)
    assert set(report.metrics) == metrics
    assert (report.losses["mask"] == 0) == ("mask" in missing)
    assert (report.losses["class"] == 0) == ("label" in missing)
    assert report.score is not None


def test_images_without_mask_and_label_are_left_out(tmp_path, blobs):
    (dataset,) = blobs
    bare = rewritten(blobs, tmp_path / "data", lambda record: replaced(record, mask="", label=""))
    with pytest.raises(DatasetError, match="annotated training image"):
        train(tmp_path / "none", bare, epochs=1)
    first = dataset.of_split("train")[0].image
    fewer = rewritten(blobs, tmp_path / "fewer", lambda r: replaced(r, mask="", label="") if r.image == first else r)
    without = rewritten(blobs, tmp_path / "without", lambda r: None if r.image == first else r)
    train(tmp_path / "a", fewer, epochs=1)
    train(tmp_path / "b", without, epochs=1)
    assert_same(load_checkpoint(tmp_path / "a" / LAST).weights, load_checkpoint(tmp_path / "b" / LAST).weights)


def test_without_validation_images_every_epoch_is_the_best(tmp_path, blobs):
    datasets = rewritten(blobs, tmp_path / "data", lambda record: record if record.split == "train" else None)
    reports = train(tmp_path / "run", datasets, epochs=2)
    assert [(r.metrics, r.score, r.is_best) for r in reports] == [({}, None, True)] * 2
    assert load_checkpoint(tmp_path / "run" / BEST).epoch == 2


def test_what_is_mixed_in_trains_and_does_not_validate(tmp_path, blobs):
    options = {"config": tiny_settings(epochs=1, batch_size=4), "network": NETWORK, "datasets": blobs}
    alone = Trainer(**options, run=tmp_path / "alone")
    mixed = Trainer(**options, run=tmp_path / "mixed", mix_in=blobs)
    assert len(mixed.training) == 2 * len(alone.training)
    assert sum(sample.mixed for sample in mixed.training) == len(alone.training)
    assert mixed.steps == 2 * alone.steps
    assert len(mixed.validation) == len(alone.validation) > 0


@pytest.mark.parametrize("mixed", [False, True])
def test_without_training_images_there_is_nothing_to_train(tmp_path, blobs, mixed):
    datasets = rewritten(blobs, tmp_path / "data", lambda record: record if record.split == "val" else None)
    with pytest.raises(DatasetError, match="at least 1 annotated training image"):
        train(tmp_path / "run", datasets, mix_in=blobs if mixed else ())


def test_data_sets_with_other_classes_and_other_annotation_train_together(tmp_path, blobs):
    other = INFO.model_copy(update={
        "name": "Other", "channels": 3, "seg_classes": ("background", "vessel"), "cls_classes": ("odd", "benign"),
    })  # fmt: skip
    second = read_dataset(tiny_dataset(tmp_path / "other", other))
    unlabelled = rewritten(blobs, tmp_path / "data", lambda record: replaced(record, label=""))
    datasets = [*unlabelled, second]
    (report,) = train(tmp_path / "run", datasets, epochs=1, network=tiny_network(3, 3), batch_size=8)
    assert {"dice_present/lesion", "dice_present/vessel", "auc"} <= set(report.metrics)


def test_a_batch_larger_than_the_data_set_is_all_of_it(tmp_path, blobs):
    steps = []
    (report,) = train(tmp_path, blobs, epochs=1, batch_size=100, on_step=lambda *step: steps.append(step[:2]))
    assert steps == [(1, 1)]
    assert report.images_per_second < 8 / 0.01


def test_small_structures_are_learnt_twice(tmp_path, blobs):
    steps = []
    focus = Focus(structures=("lesion",), trigger=0.4)
    train(tmp_path, blobs, epochs=1, focus=focus, on_step=lambda *step: steps.append(step[:2]))
    assert steps == [(1, 3), (2, 3), (3, 3)]  # eight images and four crops


# ---- start, frozen parts, anchor


def test_training_starts_from_given_weights(tmp_path, blobs):
    torch.manual_seed(9)
    tensors = UMLNetwork(NETWORK).state_dict()
    train(tmp_path, blobs, epochs=1, start=Start(tensors, INFO), learning_rate=1e-9, weight_decay=0, ema=0.0)
    found = load_checkpoint(tmp_path / LAST).weights
    for name in ("instructor.classify.weight", "class_encoder.backbone.conv1.0.weight", "navigator.heads.0.weight"):
        assert torch.allclose(found[name], tensors[name], atol=1e-6)


@pytest.mark.parametrize("whole", [True, False])
def test_a_class_encoder_of_its_own_goes_before_that_of_the_start(tmp_path, blobs, whole):
    torch.manual_seed(9)
    tensors, other = (UMLNetwork(NETWORK).state_dict() for _ in range(2))
    encoder = {name: weight for name, weight in other.items() if name.startswith("class_encoder.")}
    start = Start(tensors if whole else {}, INFO, encoder)
    train(tmp_path, blobs, epochs=1, start=start, learning_rate=1e-9, weight_decay=0, ema=0.0)
    found = load_checkpoint(tmp_path / LAST).weights
    name = "class_encoder.backbone.conv1.0.weight"
    assert torch.allclose(found[name], other[name], atol=1e-6)
    name = "mask_encoder.backbone.conv1.0.weight"
    assert torch.allclose(found[name], tensors[name], atol=1e-6) == whole


def test_a_class_encoder_alone_is_no_start_to_mix_in(tmp_path, blobs):
    with pytest.raises(ValueError, match="Expected a model to start from"):
        train(tmp_path, blobs, epochs=1, start=Start({}, INFO), start_share=0.25)


@pytest.mark.parametrize("part", ["decoders", "heads"])
def test_frozen_parts_do_not_change(tmp_path, blobs, part):
    tensors = UMLNetwork(NETWORK).state_dict()
    train(tmp_path, blobs, epochs=1, start=Start(tensors, INFO), trainable=part)
    found = load_checkpoint(tmp_path / LAST).shown
    changed = {name for name in found if not torch.equal(found[name], tensors[name])}
    assert not [name for name in changed if "encoder" in name]
    assert "instructor.classify.weight" in changed
    assert any("mixers" in name for name in changed) == (part == "decoders")


def test_an_anchor_keeps_the_weights_near_the_start(tmp_path, blobs):
    tensors = UMLNetwork(NETWORK).state_dict()
    distances = []
    for anchor in (0.0, 100.0):
        run = tmp_path / str(anchor)
        options = {"epochs": 4, "ema": 0.0, "weight_decay": 0, "clip": 1e9, "learning_rate": 1e-2}
        train(run, blobs, start=Start(tensors, INFO), anchor=anchor, **options)
        name = "instructor.head.0.weight"
        distances.append((load_checkpoint(run / LAST).weights[name] - tensors[name]).norm().item())
    assert distances[1] < 0.5 * distances[0]


def test_with_few_images_the_class_is_learnt_by_its_last_layer_alone(tmp_path, blobs, known_kind):
    tensors, classify = UMLNetwork(NETWORK).state_dict(), "instructor.classify.weight"
    options = {"epochs": 2, "ema": 0.0, "weight_decay": 0, "learning_rate": 1e-2, "start_share": 0.25, "kl_scale": 0}
    train(tmp_path, blobs, start=Start(tensors, INFO), class_anchor=0.01, choose_share=True, **options)
    best, last = load_checkpoint(tmp_path / BEST), load_checkpoint(tmp_path / LAST)
    learning = {name for name, x in last.weights.items() if not torch.equal(x, tensors[name])}
    assert {classify, "mutual.head.0.weight", "mask_encoder.backbone.conv1.0.weight"} <= learning
    assert not [name for name in learning if "class_encoder" in name]
    assert {name for name in learning if "instructor" in name} == {classify}

    assert list(best.solved) == [classify]
    assert not last.solved
    assert torch.equal(best.shown[classify], best.solved[classify])
    assert not torch.equal(best.shown[classify], tensors[classify])
    network = UMLNetwork(NETWORK).eval()
    network.load_state_dict(best.shown)
    samples = load_samples(blobs, "val", 32, INFO)
    with torch.no_grad():
        told = validate(network, samples, INFO, 32, 4, torch.device("cpu"))
    assert best.metrics == pytest.approx(told.metrics, abs=1e-3)


def test_images_of_another_kind_are_learnt_by_all_that_sees_them(tmp_path, blobs):
    tensors = UMLNetwork(NETWORK).state_dict()  # it outlines nothing
    train(tmp_path, blobs, epochs=1, start=Start(tensors, INFO), class_anchor=10.0, ema=0.0)
    found = load_checkpoint(tmp_path / BEST)
    assert (found.keeps_class, found.solved) == (False, {})
    for name in ("instructor.head.0.weight", "class_encoder.backbone.conv1.0.weight"):
        assert not torch.equal(found.weights[name], tensors[name])


def test_new_classes_are_learnt_by_all_that_sees_them(tmp_path, blobs, known_kind):
    tensors = UMLNetwork(NETWORK).state_dict()
    old = INFO.model_copy(update={"cls_classes": ("something", "else")})
    train(tmp_path, blobs, epochs=1, start=Start(tensors, old), class_anchor=10.0, ema=0.0)
    found = load_checkpoint(tmp_path / BEST)
    assert not found.solved
    for name in ("instructor.head.0.weight", "class_encoder.backbone.conv1.0.weight"):
        assert not torch.equal(found.weights[name], tensors[name])


def test_a_new_structure_does_not_make_known_classes_new(tmp_path, blobs, known_kind):
    tensors, old = UMLNetwork(NETWORK).state_dict(), INFO.model_copy(update={"seg_classes": ("background", "node")})
    train(tmp_path, blobs, epochs=1, start=Start(tensors, old), class_anchor=10.0, anchor=1e-3)
    found = load_checkpoint(tmp_path / BEST)
    assert list(found.solved) == ["instructor.classify.weight"]
    assert not [name for name in found.anchor if "mutual.head.1" in name or "navigator.heads" in name]


def test_a_class_that_is_not_to_be_learnt_is_not_solved_for(tmp_path, blobs, known_kind):
    tensors = UMLNetwork(NETWORK).state_dict()
    train(tmp_path, blobs, epochs=1, start=Start(tensors, INFO), class_anchor=10.0, class_weight=0.0)
    assert not load_checkpoint(tmp_path / BEST).solved


def test_no_share_is_chosen_where_only_the_class_layer_learns(tmp_path, blobs, known_kind):
    network = NETWORK.model_copy(update={"arch": "ec"})
    settings = tiny_settings(epochs=1, class_anchor=10.0, start_share=0.25, choose_share=True)
    list(fit(settings, network, blobs, tmp_path, start=Start(make_network(network).state_dict(), INFO)))
    best = load_checkpoint(tmp_path / BEST)
    assert best.share is None
    assert best.solved


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_model_holds_its_share_of_the_start(tmp_path, blobs, ema):
    tensors = UMLNetwork(NETWORK).state_dict()
    train(tmp_path, blobs, epochs=2, start=Start(tensors, INFO), start_share=0.25, ema=ema)
    kept = load_checkpoint(tmp_path / LAST)
    trained, shown = kept.averaged if ema else kept.weights, kept.shown
    for name in ("instructor.head.0.weight", "instructor.classify.weight", "class_encoder.backbone.conv1.0.weight"):
        assert not torch.equal(trained[name], tensors[name])
        assert torch.allclose(shown[name], 0.25 * tensors[name] + 0.75 * trained[name], atol=1e-6)
    statistics = [name for name in shown if "running" in name]
    assert all(torch.equal(shown[name], tensors[name]) for name in statistics)


def test_validation_judges_the_mixture(tmp_path, blobs, monkeypatch):
    judged = []
    real = trainer.validate

    def validate(forward, samples, *rest):
        judged.append(forward(torch.zeros(1, 3, 64, 64)).mask_logits[0])
        return real(forward, samples, *rest)

    monkeypatch.setattr(trainer, "validate", validate)
    start = Start(UMLNetwork(NETWORK).state_dict(), INFO)
    train(tmp_path, blobs, epochs=1, start=start, start_share=0.5, precision="float32")
    network = UMLNetwork(NETWORK).eval()
    network.load_state_dict(load_checkpoint(tmp_path / LAST).shown)
    with torch.no_grad():
        assert torch.allclose(network(torch.zeros(1, 3, 64, 64)).mask_logits[0], judged[0], atol=1e-3)


def test_the_share_that_the_validation_images_allow_is_chosen_at_the_end(tmp_path, blobs, monkeypatch):
    told, judged, real = [], [], trainer.validate

    def choose(answered):
        told.append(answered)
        return 0.75

    def validate(forward, *rest):
        judged.append(forward(torch.zeros(1, 3, 64, 64)).mask_logits[0])
        return real(forward, *rest)

    monkeypatch.setattr(trainer, "largest_share", choose)
    monkeypatch.setattr(trainer, "validate", validate)
    tensors = UMLNetwork(NETWORK).state_dict()
    options = {"start": Start(tensors, INFO), "start_share": 0.25, "choose_share": True, "ema": 0.0}
    train(tmp_path, blobs, epochs=2, precision="float32", **options)
    assert [sorted(answered) for answered in told] == [[0, 0.25, 0.5, 0.75]]  # once, after the last epoch
    best, last = (load_checkpoint(tmp_path / name) for name in (BEST, LAST))
    assert (best.start_share, last.start_share) == (0.75, 0.25)
    name = "instructor.head.0.weight"
    assert torch.allclose(best.shown[name], 0.75 * tensors[name] + 0.25 * best.weights[name], atol=1e-6)
    of_shares = judged[-4:]  # each of its own mixture
    assert not any(torch.equal(a, b) for a, b in itertools.pairwise(of_shares))
    network = UMLNetwork(NETWORK).eval()
    network.load_state_dict(best.shown)
    with torch.no_grad():
        assert torch.allclose(network(torch.zeros(1, 3, 64, 64)).mask_logits[0], of_shares[-1], atol=1e-3)


def test_a_share_that_was_not_chosen_is_chosen_when_the_run_goes_on(tmp_path, blobs, monkeypatch):
    options = {"start": Start(UMLNetwork(NETWORK).state_dict(), INFO), "start_share": 0.25, "choose_share": True}
    answers = [KeyboardInterrupt(), 0.5]

    def choose(answered):
        answer = answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    monkeypatch.setattr(trainer, "largest_share", choose)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, blobs, epochs=1, **options)
    assert load_checkpoint(tmp_path / BEST).share is None
    going_on = {"resume": True, "start_share": 0.25, "choose_share": True}
    for _ in range(2):  # the second time there is nothing left to choose
        assert train(tmp_path, blobs, epochs=1, **going_on) == []
        assert load_checkpoint(tmp_path / BEST).share == 0.5


def test_pictures_that_are_validated_on_are_not_trained_on(tmp_path):
    folder = tiny_dataset(tmp_path / "blobs")
    with Image.open(folder / "images" / "train3.png") as picture:
        picture.save(folder / "images" / "val1.png", compress_level=1)
    with pytest.raises(DatasetError, match=r"these are the same: .*train3.png \(train\), .*val1.png \(val\)"):
        train(tmp_path / "run", [read_dataset(folder)], epochs=1)


def test_short_memory_while_the_share_is_chosen_is_told_and_keeps_the_run(tmp_path, blobs, monkeypatch):
    def choose(answered):
        raise MemoryError

    monkeypatch.setattr(trainer, "largest_share", choose)
    options = {"start": Start(UMLNetwork(NETWORK).state_dict(), INFO), "start_share": 0.25, "choose_share": True}
    with pytest.raises(MemoryLimitError, match="start a new run with a smaller batch"):
        train(tmp_path, blobs, epochs=1, **options)
    assert load_checkpoint(tmp_path / BEST).start_share == 0.25


def test_nothing_random_is_mixed_into_what_is_new(tmp_path, blobs):
    old = INFO.model_copy(update={"cls_classes": ("something", "else")})
    train(tmp_path, blobs, epochs=1, start=Start(UMLNetwork(NETWORK).state_dict(), old), start_share=0.5, ema=0.0)
    kept = load_checkpoint(tmp_path / LAST)
    assert torch.equal(kept.shown["instructor.classify.weight"], kept.weights["instructor.classify.weight"])
    assert not torch.equal(kept.shown["instructor.head.0.weight"], kept.weights["instructor.head.0.weight"])


@pytest.mark.parametrize("setting", ["start_share", "class_anchor"])
def test_nothing_can_be_kept_without_a_start(tmp_path, blobs, setting):
    with pytest.raises(ValueError, match=f"Expected a model to start from, as {setting} keeps to it, got none"):
        train(tmp_path, blobs, epochs=1, **{setting: 0.5})


# ---- what goes wrong


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_last_good_checkpoint(tmp_path, blobs, monkeypatch):
    calls = []

    def poisoned(*args):
        calls.append(1)
        loss = uml_loss(*args)
        return loss._replace(total=loss.total * math.nan) if len(calls) > 3 else loss

    monkeypatch.setattr(learning, "uml_loss", poisoned)
    message = "The loss is nan in epoch 2; the checkpoints up to epoch 1 are kept. Try a smaller learning rate"
    with pytest.raises(DivergedError, match=message):
        train(tmp_path, blobs, epochs=3)
    for name in (LAST, BEST):
        kept = load_checkpoint(tmp_path / name)
        assert kept.epoch == 1
        assert all(torch.isfinite(value).all() for value in kept.weights.values() if value.is_floating_point())


def test_weights_that_break_in_the_last_step_are_not_saved(tmp_path, blobs):
    one = trainer.Trainer(tiny_settings(batch_size=8), NETWORK, blobs, tmp_path)
    next(iter(one.net.parameters())).register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(DivergedError, match="The weights are no longer finite in epoch 1; there is no checkpoint yet"):
        one.train_epoch()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("MPS backend out of memory"),
        MemoryError(),
    ],
    ids=["cuda", "cpu", "mps", "python"],
)
def test_too_little_memory_is_said_in_one_sentence(tmp_path, blobs, monkeypatch, error):
    def fail(*args):
        raise error

    monkeypatch.setattr(learning, "uml_loss", fail)
    with pytest.raises(MemoryLimitError, match="batches of 4 images of 32 x 32; start a new run with a smaller") as e:
        train(tmp_path, blobs)
    assert "\n" not in str(e.value)


def test_other_errors_of_torch_are_not_taken_for_lack_of_memory(tmp_path, blobs, monkeypatch):
    def fail(*args):
        raise RuntimeError("a bug")

    monkeypatch.setattr(learning, "uml_loss", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        train(tmp_path, blobs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"processes": 3}, "Expected a batch_size divisible by 3 processes, got 4"),
        ({"network": tiny_network(3, 4)}, "for 2 classes and 2 structures, as the data sets have, got one for 3 and 4"),
        ({"focus": Focus(structures=("disc",))}, "Expected a focus among lesion, got disc"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(tmp_path, blobs, changes, message):
    with pytest.raises(ValueError, match=message):
        train(tmp_path / "run", blobs, **changes)
    assert not (tmp_path / "run").exists()


def test_bad_images_are_all_named_before_the_first_epoch(tmp_path, blobs):
    datasets = rewritten(blobs, tmp_path / "data", lambda record: record)
    for name in ("train1", "train2"):
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "data" / "masks" / f"{name}.png")
    with pytest.raises(DatasetError) as caught:
        train(tmp_path / "run", datasets)
    assert len(caught.value.problems) == 2
