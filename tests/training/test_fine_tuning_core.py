"""Lengths, estimates, jobs, comparison and the card of a run: what the Fine-tune dock is built on."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from tests.tiny import tiny_network, tiny_settings

from napari_uml.config import TrainConfig
from napari_uml.errors import UMLError, WeightsError
from napari_uml.evaluation import outcome
from napari_uml.evaluation.comparison import COMPARISON, PICTURES, read_comparison
from napari_uml.evaluation.metrics import metrics_difference, metrics_record
from napari_uml.evaluation.outcome import judge_run
from napari_uml.evaluation.scores import ImageScores
from napari_uml.training.estimate import measure_pace
from napari_uml.training.export import export_run
from napari_uml.training.job import resumed, with_smaller_batch
from napari_uml.training.lengths import LENGTHS, Counts, settings_for
from napari_uml.training.pace import Pace, in_words, seconds
from napari_uml.training.plan import CARD, MODEL, first_start, read_plan
from napari_uml.weights import find_weights, list_models, read_info
from napari_uml.widgets.finetune_session import FinetuneSession

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


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
    assert FinetuneSession(start="clinic").settings()["start_share"] > 0
    assert FinetuneSession(start="").settings()["start_share"] == 0


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(ValueError, match="one training image or more"):
        settings_for("quick", "all", 0)


def test_time_of_a_run_counts_learning_and_validating() -> None:
    pace = Pace(train=1.0, looking=0.5, memory_mb=1)
    assert seconds(pace, Counts(10, 4), 3, views=2) - seconds(pace, Counts(10, 4), 0) == 3 * 2 * (10 + 2)


@pytest.mark.parametrize(
    ("time", "words"), [(3, "about 10 s"), (64, "about 60 s"), (600, "about 10 min"), (9000, "about 2.5 h")]
)
def test_time_in_words(time: float, words: str) -> None:
    assert in_words(time) == words


def test_pace_is_measured_and_learning_takes_longer_than_looking() -> None:
    pace = measure_pace(tiny_settings(batch_size=8, image_size=64), tiny_network(), steps=4)
    assert pace.train > pace.looking > 0


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
    change = metrics_difference(before, after, task)
    old, new = (metrics_record(scores, task) for scores in (before, after))
    assert change["acc"].value == pytest.approx(new["acc"].value - old["acc"].value) == 0.75
    same = metrics_difference(before, before, task)
    assert (same["acc"].low, same["acc"].value, same["acc"].high) == (0, 0, 0)


def test_difference_of_other_images_is_refused(make_plan: Any) -> None:
    with pytest.raises(ValueError, match="same images"):
        metrics_difference([scored(0.1, "a")], [scored(0.1, "b")], make_plan().task)


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
    monkeypatch.setattr(outcome, "ENOUGH", 1)
    judge_run(run)
    info = read_info(run / MODEL)
    assert info.calibration is not None
    assert info.familiarity is not None
    assert f"Fitted on {info.calibration.source}" in (run / CARD).read_text(encoding="utf-8")


def test_start_model_that_knows_other_names_is_not_compared(make_run: Callable[..., Path]) -> None:
    run = make_run(start="fundus-disc")
    export_run(run)
    comparison = judge_run(run)
    assert comparison.before is None
    assert "does not know lesion, benign, malignant" in comparison.note


def test_run_without_a_model_is_not_judged(make_run: Callable[..., Path]) -> None:
    with pytest.raises(UMLError, match="has none yet"):
        judge_run(make_run())


def test_name_that_is_taken_is_refused_after_the_comparison(make_run: Callable[..., Path]) -> None:
    run = make_run()
    export_run(run)
    judge_run(run, "clinic")
    other = make_run("other", title="Other")
    export_run(other)
    with pytest.raises(WeightsError, match="another model called 'clinic'"):
        judge_run(other, "clinic")
    assert (other / COMPARISON).exists()
