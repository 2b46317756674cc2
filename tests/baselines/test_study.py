"""The tables' runs: what is trained on what, going on after an interruption, intervals and paired differences."""

from __future__ import annotations

import gzip
import json
import shutil
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.tiny import tiny_dataset, tiny_network

from napari_uml.training.plan import LAST, MODEL, write_plan

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a study of one epoch on a tiny data set, two seeds."""
    import study

    for module in ("napari_uml.training.planning", "study"):
        monkeypatch.setattr(f"{module}.preset", lambda _, *sizes, **__: tiny_network(*sizes))
    tiny_dataset(tmp_path / "data" / "blobs")
    words = f"x --small --data {tmp_path / 'data'} --sets blobs --seeds 0 1 --epochs 1 --runs {tmp_path / 'runs'}"
    monkeypatch.setattr(sys, "argv", words.split())
    made = study.arguments("")
    return replace(made, settings={**made.settings, "image_size": 32, "batch_size": 4, "device": "cpu"})


def scores(dice: np.ndarray, probability: np.ndarray | None = None) -> Any:
    from study import Scores

    n = len(dice)
    u = None if probability is None else 1 - probability.max(1)
    return Scores(
        np.arange(n).astype(str),
        np.arange(n) % 2,
        probability,
        u,
        {"lesion": dice},
        {"lesion": 10 - dice},
        None,
        "here",
    )


def test_test_images_have_no_part_in_training(study: Any) -> None:
    from study import splits

    training, test = splits(study, "blobs")
    assert {r.image for r in test.records} == {f"images/val{i}.png" for i in range(4)}
    assert not {r.image for r in test.records} & {r.image for r in training.records}
    assert len(training.records) == 8
    assert {r.split for r in training.records} == {"train", "val"}


def test_a_finished_run_is_neither_trained_nor_scored_again(
    study: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import study as module

    variants = [module.of_arch("ec"), module.Variant("ec-ensemble", "", "ec", way="ensemble", base="ec")]
    first = module.run_all(study, variants, (0.0, 0.1))
    assert {key: len(runs) for key, runs in first.items()} == {
        ("blobs", "ec", 0.0): 2, ("blobs", "ec", 0.1): 2,
        ("blobs", "ec-ensemble", 0.0): 1, ("blobs", "ec-ensemble", 0.1): 1,
    }  # fmt: skip
    monkeypatch.setattr(module, "fit", None)
    monkeypatch.setattr(module, "_score", None)
    again = module.run_all(study, variants, (0.0, 0.1))
    for key, runs in first.items():
        for one, other in zip(runs, again[key], strict=True):
            np.testing.assert_array_equal(one.probability, other.probability)
            assert one.dice == {}
            assert one.histograms is None
    stated = json.loads(gzip.decompress((study.scores / "blobs" / "ec-1-sigma-0.1.json.gz").read_bytes()))
    assert (stated["seed"], stated["sigma"]) == (1, 0.1)
    assert stated["recipe"].items() >= {"arch": "ec", "images": 300, "epochs": 1, "image_size": 32}.items()
    assert "1 epochs at 32 x 32, at most 300 images, 15 % of them to choose the epoch" in study.budget


def test_scores_need_neither_runs_nor_data(study: Any) -> None:
    import study as module

    (first,) = module.run_all(replace(study, seeds=(1,)), [module.of_arch("tbrats")]).values()
    shutil.rmtree(study.folder / "blobs")
    shutil.rmtree(study.data)
    (again,) = module.run_all(replace(study, seeds=(1,)), [module.of_arch("tbrats")]).values()
    np.testing.assert_array_equal(first[0].histograms, again[0].histograms)


def test_an_ensemble_of_other_seeds_is_scored_for_itself(study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import study as module

    asked = []
    monkeypatch.setattr(module, "_trained", lambda *_: None)
    monkeypatch.setattr(module, "_score", lambda *args: asked.append(args[-1].name))
    monkeypatch.setattr(module, "read_scores", lambda *_: scores(np.ones(1)))
    monkeypatch.setattr(module, "AUGMENTATION", 1)
    ensemble = module.Variant("ec-ensemble", "", "ec", way="ensemble", base="ec")
    for seeds in ((0, 1), (0, 1, 2)):
        module.run_all(replace(study, seeds=seeds), [ensemble])
    assert asked == ["ec-ensemble-0-1-sigma-0.json.gz", "ec-ensemble-0-1-2-sigma-0.json.gz"]


def test_scores_of_another_recipe_are_refused(study: Any) -> None:
    import study as module

    study = replace(study, seeds=(0,))
    module.run_all(study, [module.of_arch("ec")])
    with pytest.raises(SystemExit, match=r"has kl_scale None instead of 0.5; choose another"):
        module.run_all(study, [replace(module.of_arch("ec"), settings={"kl_scale": 0.5})])
    other = replace(module.of_arch("tbrats"), settings={"kl_scale": 0.5})
    module.run_all(study, [other])
    with pytest.raises(SystemExit, match=r"has kl_scale 0.5 instead of None"):
        module.run_all(study, [module.of_arch("tbrats")])


def test_runs_of_different_augmentation_are_not_compared(study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import study as module

    study = replace(study, seeds=(0,))
    (made,) = module.run_all(study, [module.of_arch("ec")]).values()
    assert made[0].augmentation == module.AUGMENTATION
    monkeypatch.setattr(module, "AUGMENTATION", made[0].augmentation + 1)
    module.run_all(study, [module.of_arch("ec")])  # nothing is new
    with pytest.raises(SystemExit, match=r"others on blobs have 3; delete their scores"):
        module.run_all(study, [module.of_arch("ec"), module.of_arch("tbrats")])
    assert not (study.folder / "blobs" / "tbrats-0").exists()  # nor was it trained in vain
    (study.scores / "blobs" / "ec-0-sigma-0.json.gz").unlink()
    (again,) = module.run_all(study, [module.of_arch("ec")]).values()  # scores of a run that is there
    assert again[0].augmentation == made[0].augmentation
    run = study.folder / "blobs" / "ec-0"
    (run / MODEL).rename(run / LAST)
    with pytest.raises(SystemExit, match=r"has version 3 of the augmentation"):
        module._trained(study, module.of_arch("ec"), "blobs", 0)  # it would end with another one


def test_every_data_set_has_a_table_of_its_own(study: Any) -> None:
    from study import of_arch, run_all
    from study_table import cells, publish

    found = run_all(study, [of_arch("ec")])
    path = publish("table1", study, "blobs", {"": cells({"EC": found["blobs", "ec", 0.0]}, "EC", 50)}, "EC", "x", found)
    assert path == study.folder / "table1-small-trial-1-blobs.md"
    assert path.read_text().startswith("# Table 1, blobs: x\n\n`python benchmarks/table1.py --small --sets blobs`")
    assert path.with_suffix(".csv").exists()


@pytest.fixture
def begun(study: Any) -> Any:
    """Return a study whose first run of EC is done, as far as the files tell."""
    import study as module

    run = study.folder / "blobs" / "ec-0"
    options, settings = {"arch": "ec", "name": "blobs-ec"}, {**study.settings, "seed": 0}
    write_plan(run, module.new_plan(run, [study.data / "blobs"], options, settings))
    (run / MODEL).touch()
    return study


def test_a_run_of_the_same_settings_is_used_on_any_device(begun: Any) -> None:
    import study as module

    elsewhere = replace(begun, settings={**begun.settings, "device": "cuda"})
    assert module._trained(elsewhere, module.of_arch("ec"), "blobs", 0) == begun.folder / "blobs" / "ec-0" / MODEL


@pytest.mark.parametrize("file", [MODEL, LAST])
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"settings": {"kl_scale": 1.0}}, "kl_scale 0.2 instead of 1.0"),
        ({"network": {"navigator": False}}, "navigator True instead of False"),
        ({"arch": "tbrats"}, "arch 'ec' instead of 'tbrats'"),
    ],
)
def test_a_run_of_other_settings_is_refused(begun: Any, changes: dict[str, Any], words: str, file: str) -> None:
    import study as module

    run = begun.folder / "blobs" / "ec-0"
    (run / MODEL).rename(run / file)
    with pytest.raises(SystemExit, match=f"ec-0 has {words}; choose another folder, or delete it"):
        module._trained(begun, replace(module.of_arch("ec"), **changes), "blobs", 0)


def test_an_interrupted_run_goes_on(study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import study as module

    study = replace(study, seeds=(0,), settings={**study.settings, "epochs": 2})
    fit = module.fit

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        yield next(iter(fit(*args, **kwargs)))
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        module.run_all(study, [module.of_arch("tbrats")])
    epochs = []

    def watched(*args: Any, **kwargs: Any) -> Any:
        for report in fit(*args, **kwargs):
            epochs.append(report.epoch)
            yield report

    monkeypatch.setattr(module, "fit", watched)
    module.run_all(study, [module.of_arch("tbrats")])
    assert epochs == [2]
    assert (study.folder / "blobs" / "tbrats-0" / MODEL).exists()


def test_a_better_row_is_marked_and_an_equal_one_is_not() -> None:
    from study_table import cells

    rng = np.random.default_rng(0)
    base = rng.uniform(0.3, 0.9, 60)
    rows = {"a": [scores(base)] * 3, "same": [scores(base)] * 3, "better": [scores(base + 0.05)] * 3}
    found = cells(rows, "a", resamples=200)
    assert found["a"]["Dice lesion"].difference is None
    assert found["same"]["Dice lesion"].difference == (0, 0, 0)
    assert found["same"]["Dice lesion"].mark("Dice lesion") == ""
    better = found["better"]["Dice lesion"]
    assert better.difference == pytest.approx((0.05, 0.05, 0.05))  # paired: the spread of the images drops out
    assert better.high - better.low > 0.05
    assert better.mark("Dice lesion") == " ▲"
    assert found["better"]["ASSD lesion"].mark("ASSD lesion") == " ▲"  # smaller distances are better


def test_missing_what_is_hard_is_not_a_better_distance() -> None:
    from study_table import cells

    dice = np.linspace(0.1, 0.9, 60)
    whole = scores(dice)
    easy = np.where(dice < 0.4, np.nan, 10 - dice)
    blind, worse = (replace(whole, distance={"lesion": values}) for values in (easy, easy + 0.1))
    found = cells({"a": [whole] * 3, "blind": [blind] * 3, "worse": [worse]}, "a", resamples=200)
    assert found["blind"]["ASSD lesion"].value < found["a"]["ASSD lesion"].value - 0.1
    assert found["blind"]["ASSD lesion"].difference == (0, 0, 0)
    assert found["blind"]["ASSD lesion"].mark("ASSD lesion") == ""
    assert found["worse"]["ASSD lesion"].difference == pytest.approx((0.1, 0.1, 0.1))  # one run, against every seed
    assert found["worse"]["ASSD lesion"].mark("ASSD lesion") == " ▼"


def test_distances_are_compared_seed_by_seed() -> None:
    from study_table import cells

    distances = [(1.0, 9.0, np.nan), (2.0, np.nan, 9.0)]
    base, row = (
        [replace(scores(np.full(3, 0.5)), distance={"lesion": np.array(d) + extra}) for d in distances]
        for extra in (0, np.array([1.0, np.nan, 3.0]))
    )
    found = cells({"base": base, "row": row}, "base", resamples=50)
    assert found["row"]["ASSD lesion"].difference is not None
    assert found["row"]["ASSD lesion"].difference[0] == pytest.approx((1 + (1 + 3) / 2) / 2)


def test_scores_of_other_images_are_refused() -> None:
    from study_table import cells

    whole = scores(np.linspace(0.1, 0.9, 60))
    other = replace(whole, groups=whole.groups[::-1])
    with pytest.raises(ValueError, match="the same images in every row, later has others"):
        cells({"a": [whole, whole], "later": [whole, other]}, "a", resamples=50)


def test_seeds_widen_the_interval() -> None:
    from study_table import cells

    base = np.random.default_rng(0).uniform(0.4, 0.6, 60)
    steady, shaky = [scores(base)] * 3, [scores(base + shift) for shift in (-0.2, 0.0, 0.2)]
    found = cells({"steady": steady, "shaky": shaky}, "steady", resamples=300)
    widths = {row: columns["Dice lesion"].high - columns["Dice lesion"].low for row, columns in found.items()}
    assert found["shaky"]["Dice lesion"].value == pytest.approx(base.mean())
    assert widths["shaky"] > 3 * widths["steady"]


def test_figures_are_those_of_the_evaluation() -> None:
    from study_table import figures

    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.3, 0.7]])
    found = figures(scores(np.array([0.5, 0.7, np.nan, 0.9]), p), np.ones((1, 4)))
    assert found["ACC"][0] == 0.75  # labels 0, 1, 0, 1: the third is wrong
    assert found["AUC"][0] == 1
    assert found["Dice lesion"][0] == pytest.approx(0.7)
    assert found["AUROC wrong class"][0] == 1  # the wrong one is the least sure
    assert found["AURC"][0] == pytest.approx((0 + 0 + 0 + 1 / 4) / 4)
    assert found["ECE"][0] == pytest.approx((0.1 + 0.2 + 0.6 + 0.3) / 4)
    assert found["NLL"][0] == pytest.approx(-np.log([0.9, 0.8, 0.4, 0.7]).mean())


def test_markdown_and_csv_have_every_row_and_a_dash_for_what_is_not_answered() -> None:
    from study_table import as_csv, cells, markdown

    p = np.tile([[0.9, 0.1], [0.2, 0.8]], (5, 1))
    dice = np.linspace(0.1, 0.9, 10)
    found = cells({"both": [scores(dice, p)], "mask": [scores(dice)]}, "both", resamples=50)
    table = markdown(found).splitlines()
    assert table[0].split(" | ")[1] == "ACC"
    assert table[3].startswith("| mask | - |")
    assert "0.500" in table[3]
    lines = as_csv({"blobs": found}).splitlines()
    assert any(line.startswith("blobs,mask,Dice lesion,0.5,") for line in lines)
    assert not any(line.startswith("blobs,mask,ACC") for line in lines)
