"""Lengths, estimates, jobs, comparison and the card of a run: what the Fine-tune dock is built on."""

from __future__ import annotations

import platform
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from tests.tiny import INFO, tiny_dataset, tiny_network, tiny_settings

from napari_uml.baselines.registry import make_network
from napari_uml.calibration import Calibration
from napari_uml.config import Task, TrainConfig
from napari_uml.data.dataset import read_dataset
from napari_uml.errors import UMLError, WeightsError
from napari_uml.evaluation.answers import read_answers
from napari_uml.evaluation.compare import compare
from napari_uml.evaluation.comparison import COMPARISON, PICTURES, read_comparison
from napari_uml.evaluation.metrics import metrics_difference, metrics_record
from napari_uml.evaluation.scores import ImageScores, image_scores
from napari_uml.inference.predictor import UMLPredictor
from napari_uml.results import Opinion
from napari_uml.training import estimate, outcome
from napari_uml.training.estimate import measure_pace
from napari_uml.training.export import export_run
from napari_uml.training.job import resumed, with_smaller_batch
from napari_uml.training.lengths import LENGTHS, Counts, settings_for
from napari_uml.training.outcome import judge_run
from napari_uml.training.pace import Pace, in_words, seconds
from napari_uml.training.plan import CARD, MODEL, first_start, read_plan
from napari_uml.training.run_state import mark_ended, unfinished_runs
from napari_uml.weights import find_weights, list_models, read_info, write_info
from napari_uml.widgets.finetune_session import FinetuneSession

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_uml.config import UMLConfig
    from napari_uml.nn.base import Network


@pytest.mark.parametrize("part", ["heads", "decoders", "all"])
@pytest.mark.parametrize("images", [1, 10, 80, 5000])
def test_lengths_are_valid_settings_and_longer_in_turn(part: Any, images: int) -> None:
    configs = [TrainConfig.model_validate(settings_for(length, part, images)) for length in LENGTHS]
    assert [config.epochs for config in configs] == sorted({config.epochs for config in configs})
    assert {config.trainable for config in configs} == {part}


@pytest.mark.parametrize("images", [10, 30, 80])
def test_quick_looks_at_about_as_many_images_whatever_their_number(images: int) -> None:
    assert 1000 <= settings_for("quick", "decoders", images)["epochs"] * images < 1100


def test_a_run_from_random_weights_has_no_start_to_mix_in() -> None:
    known, untrained = FinetuneSession(start="clinic").settings(), FinetuneSession(start="").settings()
    for name in ("start_share", "class_anchor"):
        assert (known[name] > 0, untrained[name]) == (True, 0)


def test_new_classes_are_learnt_by_more_than_their_last_layer(make_run: Callable[..., Path]) -> None:
    start = export_run(make_run())
    renamed = INFO.model_copy(update={"cls_classes": ("benign", "cyst")})
    session = FinetuneSession(start="clinic", start_info=start, info=INFO)
    assert session.settings()["class_anchor"] > 0
    session.mix_info = renamed
    assert session.settings()["class_anchor"] == 0
    session.info, session.mix_info = renamed, None
    assert session.settings()["class_anchor"] == 0


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(ValueError, match="one training image or more"):
        settings_for("quick", "all", 0)


def test_time_of_a_run_counts_learning_and_validating() -> None:
    pace = Pace(train=1.0, looking=0.5, memory_mb=1)
    assert seconds(pace, Counts(10, 4), 3, views=2) - seconds(pace, Counts(10, 4), 0) == 3 * 2 * (10 + 2)
    assert seconds(pace, Counts(10, 4), 3, mixed=True) - seconds(pace, Counts(10, 4), 0) == 3 * (2 * 10 + 2)


@pytest.mark.parametrize(
    ("time", "words"), [(3, "about 10 s"), (64, "about 60 s"), (600, "about 10 min"), (9000, "about 2.5 h")]
)
def test_time_in_words(time: float, words: str) -> None:
    assert in_words(time) == words


def test_pace_is_measured_and_learning_takes_longer_than_looking() -> None:
    pace = measure_pace(tiny_settings(batch_size=8, image_size=64), tiny_network(), steps=4)
    assert pace.train > pace.looking > 0


@pytest.mark.parametrize("arch", ["uml", "tbrats"])
def test_a_class_encoder_that_stays_takes_no_time_to_learn(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Network] = []

    def make(network: UMLConfig, download: bool = True) -> Network:
        made.append(make_network(network, download))
        return made[-1]

    monkeypatch.setattr(estimate, "make_network", make)
    network = tiny_network().model_copy(update={"arch": arch})
    measure_pace(tiny_settings(image_size=64, class_anchor=10.0), network, steps=1)
    learning = {name.split(".")[0] for name, p in made[0].named_parameters() if p.grad is not None}
    assert "class_encoder" not in learning
    assert learning & {"mask_encoder", "encoder"}


def test_freed_memory_is_kept_where_the_library_can(run_python: Callable[..., str]) -> None:
    code = "from napari_uml.training.memory import keep_freed_memory; print(keep_freed_memory())"
    has_glibc = platform.libc_ver()[0] == "glibc"
    assert run_python("-c", code) == f"{has_glibc}\n"


def test_run_goes_on_by_its_folder_alone(tmp_path: Path) -> None:
    assert resumed(tmp_path).arguments == ["--resume"]


def test_smaller_batch_takes_over_from_the_last_checkpoint(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    run = make_run(settings=tiny_settings(epochs=10, batch_size=4, image_size=64), start="fundus-disc")
    (run / "curves.csv").write_text("epoch\n1\n2\n3\n")
    job = with_smaller_batch(run, read_plan(run), tmp_path / "new")
    assert job.settings["batch_size"] == 2
    assert job.settings["epochs"] == 7
    assert job.options["from"] == str(run / "last.ckpt")
    assert "preset" not in job.options


def test_smaller_batch_without_a_checkpoint_is_the_same_run(tmp_path: Path, make_plan: Any) -> None:
    plan = make_plan(settings=tiny_settings(batch_size=4), start="fundus-disc")
    job = with_smaller_batch(tmp_path, plan, tmp_path / "new")
    assert (job.options["from"], job.settings["batch_size"]) == ("fundus-disc", 2)
    assert "epochs" in job.settings
    network = tiny_network().model_copy(update={"arch": "ec"})
    begun = {"arch": "ec", "preset": "light", "class_encoder": "skin", "learn_norm": True}
    plan = make_plan(
        settings=tiny_settings(batch_size=4), network=network, preset="light", class_encoder="skin", learn_norm=True
    )
    assert begun.items() <= with_smaller_batch(tmp_path, plan, tmp_path / "new").options.items()


def test_batch_of_one_cannot_be_smaller(tmp_path: Path, make_plan: Any) -> None:
    with pytest.raises(ValueError, match="halved"):
        with_smaller_batch(tmp_path, make_plan(settings=tiny_settings(batch_size=1)), tmp_path / "new")


def test_start_of_runs_that_took_over_is_that_of_the_first(make_run: Callable[..., Path], make_plan: Any) -> None:
    run = make_run(start="fundus-disc")
    assert first_start(make_plan(start=str(run / "last.ckpt"))) == "fundus-disc"
    assert first_start(make_plan(start="")) == ""


def scored(probability: float, group: str) -> ImageScores:
    p = np.array([probability, 1 - probability])
    return ImageScores(group, p, 0.2, 0.2, label=0)


def test_difference_is_paired_and_that_of_the_records(make_plan: Any) -> None:
    task = make_plan().task
    before = [scored(p, f"g{i}") for i, p in enumerate((0.1, 0.2, 0.7, 0.4))]
    after = [scored(p, f"g{i}") for i, p in enumerate((0.6, 0.7, 0.8, 0.9))]
    change = metrics_difference(before, after, (task, task))
    old, new = (metrics_record(scores, task) for scores in (before, after))
    assert change["acc"].value == pytest.approx(new["acc"].value - old["acc"].value) == 0.75
    same = metrics_difference(before, before, (task, task))
    assert (same["acc"].low, same["acc"].value, same["acc"].high) == (0, 0, 0)


def test_distance_changes_on_the_images_where_both_models_find_the_structure() -> None:
    truth = np.zeros((12, 12), dtype=np.uint8)
    truth[4:8, 4:8] = 1

    def answer(columns: int, group: str) -> ImageScores:
        mask = np.zeros_like(truth)
        mask[4:8, 4 : 4 + columns] = 1
        return image_scores(
            OLD, group=group, mask=mask, true_mask=truth, pixel_uncertainty=np.full(truth.shape, 0.1),
            class_probability=np.array([0.5, 0.5]), class_uncertainty=0.2, label=None,
        )  # fmt: skip

    before = [answer(4, "a"), answer(4, "b"), answer(2, "c")]
    after = [answer(3, "a"), answer(0, "b"), answer(4, "c")]  # b is missed
    change = metrics_difference(before, after, (OLD, OLD))
    one, other = (metrics_record([scores[0], scores[2]], OLD) for scores in (before, after))
    assert change["assd/rim"].n == 2
    assert change["assd/rim"].value == pytest.approx(other["assd/rim"].value - one["assd/rim"].value)
    assert change["dice/rim"].n == 3


def test_difference_of_other_images_is_refused(make_plan: Any) -> None:
    task = make_plan().task
    with pytest.raises(ValueError, match="same images"):
        metrics_difference([scored(0.1, "a")], [scored(0.1, "b")], (task, task))


OLD = Task(
    seg_classes=("background", "rim", "cup"), cls_classes=("benign", "malignant"), unions={"disc": ("rim", "cup")}
)


def found(task: Task, probability: dict[str, float], label: str, group: str) -> ImageScores:
    mask = np.full((4, 4), task.seg_classes.index("cup"), dtype=np.uint8)
    p = np.array([probability.get(name, 0.0) for name in task.cls_classes])
    return image_scores(
        task, group=group, mask=mask, true_mask=mask, pixel_uncertainty=np.full((4, 4), 0.1), class_probability=p,
        class_uncertainty=0.2, label=task.cls_classes.index(label),
    )  # fmt: skip


@pytest.mark.parametrize("classes", [("malignant", "benign"), ("normal", "malignant", "benign")])
def test_difference_matches_classes_by_name(classes: tuple[str, ...]) -> None:
    new = OLD.model_copy(update={"cls_classes": classes, "seg_classes": ("background", "cup", "rim")})
    answers = [(0.9, "benign"), (0.7, "malignant"), (0.6, "benign"), (0.2, "malignant"), (0.1, "malignant")]
    before, after = (
        [found(task, {"benign": p, "malignant": 1 - p}, label, f"g{i}") for i, (p, label) in enumerate(answers)]
        for task in (OLD, new)
    )
    change = metrics_difference(before, after, (OLD, new))
    assert {name: metric.value for name, metric in change.items() if metric.value} == {}
    shared = {f"{kind}/{name}" for kind in ("auc", "sens_at_85_spec") for name in ("benign", "malignant")}
    assert shared | {"auc", "acc", "dice/rim", "dice/cup", "dice/disc"} <= set(change)
    assert "auc/normal" not in change


def test_every_model_is_compared_under_its_own_names(make_run: Callable[..., Path], blobs: Path) -> None:
    run = make_run()
    export_run(run)
    before, after = (UMLPredictor.load(run / MODEL, "cpu", "float32") for _ in range(2))
    classes, predict = ("normal", "malignant", "benign"), after.predict
    task = before.info.task.model_copy(update={"cls_classes": classes, "unions": {"all": ("lesion",)}})
    before.info = before.info.model_copy(update={"task": task})
    opinion = Opinion.from_evidence(classes, np.array([0.0, 1.0, 2.0]))
    before.predict = lambda *x, **named: replace(predict(*x, **named), opinions=(opinion,))  # type: ignore[method-assign]
    comparison = compare(before, after, blobs)
    assert {"sens_at_85_spec/benign", "acc", "dice/lesion"} <= set(comparison.difference)
    for name, change in comparison.difference.items():
        expected = comparison.after.metrics[name].value - comparison.before.metrics[name].value
        assert change.value == pytest.approx(expected), name


@pytest.mark.parametrize("unions", [{}, {"disc": ("cup",)}])
def test_difference_leaves_out_what_the_models_make_up_of_other_structures(unions: dict[str, tuple[str, ...]]) -> None:
    ratio = {"name": "cup/disc ratio", "of": ("cup",), "to": ("rim", "cup")}
    old = Task.model_validate(OLD.model_dump() | {"measurements": (ratio,)})
    new = Task.model_validate(OLD.model_dump() | {"unions": unions, "measurements": ({**ratio, "to": ("cup",)},)})
    before, after = ([found(task, {"benign": 1.0}, "benign", "g")] for task in (old, new))
    change = metrics_difference(before, after, (old, new))
    assert {"dice/rim", "dice/cup"} <= set(change)
    assert not {"dice/disc", "vcdr_mae"} & set(change)
    assert {"dice/disc", "vcdr_mae"} <= set(metrics_difference(before, before, (old, old)))


def test_run_is_judged_and_its_model_is_found_by_name(make_run: Callable[..., Path]) -> None:
    start, run = make_run("start"), make_run("run")
    export_run(start)
    plan = read_plan(run).model_copy(update={"start": str(start / "model.safetensors")})
    (run / "train.json").write_text(plan.model_dump_json())
    export_run(run)
    seen: list[tuple[int, int]] = []
    comparison = judge_run(run, "clinic", lambda done, total: seen.append((done, total)))
    assert comparison == read_comparison(run / COMPARISON)
    assert comparison.before is not None
    assert {m.value for m in comparison.difference.values()} == {0}  # the same weights
    assert seen[-1] == (8, 8)
    with Image.open(run / PICTURES) as picture:
        assert picture.width > 3 * 160  # truth, before, after
    assert find_weights("clinic").read_bytes() == (run / "model.safetensors").read_bytes()
    (entry,) = [entry for entry in list_models() if entry.name == "clinic"]
    assert entry.card is not None
    assert "| figure |" in entry.card.read_text()


def test_model_is_calibrated_when_enough_validation_images_have_a_class(
    make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run()
    export_run(run)
    judge_run(run)
    assert read_info(run / MODEL).calibration is None
    assert "not calibrated: 20 validation images need a class, 4 have one" in read_comparison(run / COMPARISON).note
    monkeypatch.setattr(outcome, "ENOUGH", 1)
    judge_run(run)
    info = read_info(run / MODEL)
    assert info.calibration is not None
    assert info.familiarity is not None
    assert "not calibrated" not in read_comparison(run / COMPARISON).note
    assert f"Fitted on {info.calibration.source}" in (run / CARD).read_text(encoding="utf-8")
    monkeypatch.undo()
    assert "not calibrated" not in judge_run(run).note  # though these images alone would be too few


def test_figures_of_calibration_are_not_compared_on_the_images_that_it_was_fitted_on(
    make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = make_run("start")
    export_run(start)
    run = make_run("run", start=str(start / MODEL))
    export_run(run)
    flattered = {"ece", "ece_adaptive", "nll", "brier"}
    assert flattered <= set(judge_run(run).difference)  # few images, not calibrated
    monkeypatch.setattr(outcome, "ENOUGH", 1)
    comparison = judge_run(run)
    assert flattered <= set(comparison.before.metrics) & set(comparison.after.metrics)
    assert set(comparison.difference) == set(comparison.after.metrics) - flattered


@pytest.mark.parametrize(
    ("dataset", "split", "compared"),
    [("Dots, Blobs", "val", False), ("Dots", "val", True), ("Blobs B", "val", True), ("Blobs", "test", True)],
)
def test_figures_of_calibration_are_compared_when_it_was_fitted_elsewhere(
    make_run: Callable[..., Path], blobs: Path, dataset: str, split: str, compared: bool
) -> None:
    run = make_run()
    export_run(run)
    before, after = (UMLPredictor.load(run / MODEL, "cpu", "float32") for _ in range(2))
    knots = ({"uncertainty": 0.2, "chance": 0.1, "low": 0.0, "high": 0.3},)
    fitted = Calibration(dataset=dataset, split=split, n=4, knots=knots, referral_threshold=0.1)
    after.info = after.info.model_copy(update={"calibration": fitted})
    assert ("nll" in compare(before, after, blobs).difference) == compared


@pytest.mark.parametrize("arch", ["bcs", "dsi-net", "transunet", "tbrats"])
def test_model_without_evidence_for_a_class_is_not_calibrated(
    make_run: Callable[..., Path],
    napari_uml: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    blobs: Path,
    arch: str,
) -> None:
    monkeypatch.setattr(outcome, "ENOUGH", 1)
    run = make_run(network=tiny_network().model_copy(update={"arch": arch}))
    export_run(run)
    assert "gives no evidence for a class" in judge_run(run).note
    assert read_info(run / MODEL).calibration is None
    code, _, err = napari_uml("calibrate", run / MODEL, blobs, "--device", "cpu", "--precision", "float32")
    assert (code, err.count("\n")) == (2, 1)
    assert "Expected a model that gives evidence for a class" in err


def test_model_without_a_mask_is_calibrated_on_its_class_alone(
    make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcome, "ENOUGH", 1)
    run = make_run(network=tiny_network().model_copy(update={"arch": "ec"}))
    export_run(run)
    judge_run(run)
    calibration = read_info(run / MODEL).calibration
    assert (calibration.n, calibration.pixel_scale, calibration.structures) == (4, None, {})


def test_mask_without_evidence_is_left_out_of_the_answers(make_run: Callable[..., Path], blobs: Path) -> None:
    run = make_run()
    export_run(run)
    predictor, dataset = UMLPredictor.load(run / MODEL, "cpu", "float32"), read_dataset(blobs)
    assert all(answer.pixels is not None for answer in read_answers(predictor, [dataset], "val"))
    predict = predictor.predict
    predictor.predict = lambda image: replace(predict(image), measure="entropy")  # type: ignore[method-assign]
    answers = list(read_answers(predictor, [dataset], "val"))
    assert [(answer.label, answer.pixels) for answer in answers] == [(0, None), (1, None)] * 2


def test_start_model_that_knows_other_names_is_not_compared(make_run: Callable[..., Path]) -> None:
    run = make_run(start="fundus-disc")
    export_run(run)
    comparison = judge_run(run)
    assert comparison.before is None
    assert "does not know lesion, benign, malignant" in comparison.note


def test_run_without_a_model_is_not_judged(make_run: Callable[..., Path]) -> None:
    with pytest.raises(UMLError, match="has none yet"):
        judge_run(make_run())


def test_name_that_cannot_be_had_is_refused_before_the_comparison(
    make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run()
    export_run(run)
    judge_run(run, "clinic")
    other = make_run("other", title="Other")
    export_run(other)
    monkeypatch.setattr(outcome, "compare", None)
    with pytest.raises(WeightsError, match="another model called 'clinic'"):
        judge_run(other, "clinic")
    for name in ("No Name", "breast-ultrasound"):
        with pytest.raises(ValueError, match=name):
            judge_run(other, name)
    assert not (other / COMPARISON).exists()


def test_run_whose_model_could_not_be_added_is_offered_again(
    make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise WeightsError("No space left on device.")

    run = make_run()
    export_run(run)
    mark_ended(run, "all epochs done")
    with monkeypatch.context() as patch:
        patch.setattr(outcome, "import_weights", full)
        with pytest.raises(WeightsError, match="No space left"):
            judge_run(run, "clinic")
    assert [found.folder for found in unfinished_runs(run.parent)] == [run]
    judge_run(run, "clinic")
    judge_run(run, "clinic")  # the same file may be there
    assert unfinished_runs(run.parent) == []


def test_what_the_dock_mixes_in_is_told_to_the_command(tmp_path: Path) -> None:
    session = FinetuneSession(folder=tmp_path / "list", mix_in=tmp_path / "old", start="clinic", name="mine")
    words = session.job(tmp_path / "run").arguments
    assert words[0] == str(tmp_path / "list")
    assert words[words.index("--mix-in") + 1] == str(tmp_path / "old")
    assert str(tmp_path / "old") not in words[: words.index("--mix-in")]


@pytest.mark.parametrize("arch", ["ec", "tbrats"])
def test_pace_is_that_of_the_architecture(monkeypatch: pytest.MonkeyPatch, arch: str) -> None:
    made: list[str] = []

    def make(network: UMLConfig, download: bool = True) -> Network:
        made.append(network.arch)
        return make_network(network, download)

    monkeypatch.setattr(estimate, "make_network", make)
    measure_pace(tiny_settings(image_size=64), tiny_network().model_copy(update={"arch": arch}), steps=1)
    assert made == [arch]


def test_models_are_compared_on_the_first_data_set_with_validation_images_and_a_calibration_stays(
    make_run: Callable[..., Path], blobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcome, "ENOUGH", 1)
    own = tiny_dataset(tmp_path / "own")
    table = (own / "index.csv").read_text()
    (own / "index.csv").write_text("".join(line for line in table.splitlines(keepends=True) if ",val," not in line))
    run = make_run(datasets=(own, blobs))
    knots = ({"uncertainty": 0.2, "chance": 0.1, "low": 0.0, "high": 0.3},)
    fitted = Calibration(dataset="elsewhere", split="val", n=4, knots=knots, referral_threshold=0.1)
    write_info(run / MODEL, export_run(run).model_copy(update={"calibration": fitted}))
    assert judge_run(run).after.n == 4
    assert read_info(run / MODEL).calibration == fitted
