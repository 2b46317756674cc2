"""The model card says everything that a user of a model must know."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from napari_uml.calibration import Calibration
from napari_uml.config import Focus
from napari_uml.evaluation.card import model_card, recalibrated_card
from napari_uml.evaluation.record import Metric, MetricsRecord
from napari_uml.training.export import export_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_uml.weights import WeightsInfo

SHA256 = "ab" * 32


@pytest.fixture
def info(make_run: Callable[..., Path]) -> WeightsInfo:
    told = {
        "focus": Focus(structures=("lesion",)),
        "licence": "Blobs: CC0\nSkin: BY; NC",
        "started_from": "the model x",
    }
    return export_run(make_run(**told))


def record(dataset: str, **values: float) -> MetricsRecord:
    metrics = {name: Metric(value=value, low=value - 0.1, high=value + 0.1, n=4) for name, value in values.items()}
    return MetricsRecord(model="blobs", dataset=dataset, split="val", n=4, metrics=metrics)


def rows(card: str, heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading."""
    below = card.split(f"## {heading}")[1].split("\n\n")[1].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in below if "---" not in line]


def test_figures_have_a_table_a_data_set_and_a_column_a_sigma(info: WeightsInfo) -> None:
    records = [
        (0.0, record("Blobs", acc=0.9, ece=0.2, hd95=0.3)),
        (0.0, record("Skin", auc=0.7)),
        (0.05, record("Blobs", acc=0.8)),
    ]
    card = model_card(info, records, SHA256, 1_250_000)
    assert rows(card, "Blobs, val (n = 4)") == [
        ["figure", "sigma 0", "sigma 0.05"],
        ["`acc`", "0.900 (0.800 to 1.000)", "0.800 (0.700 to 0.900)"],
        ["`ece`", "0.200 (0.100 to 0.300)", "-"],
    ]
    assert rows(card, "Skin, val (n = 4)")[1] == ["`auc`", "0.700 (0.600 to 0.800)"]
    assert "95 %" in card
    assert "Validation in training" not in card


def test_model_that_was_not_evaluated_shows_its_best_epoch(info: WeightsInfo) -> None:
    card = model_card(info, [], SHA256, 1_250_000)
    assert rows(card, "Validation in training")[1:] == [["`dice_present/lesion`", "0.500"], ["`auc`", "0.750"]]
    assert "95 %" not in card


def test_card_says_what_it_is_and_what_it_is_not_for(info: WeightsInfo) -> None:
    card = model_card(info, [], SHA256, 1_250_000)
    for words in (
        "# Drawn blobs (`blobs`, version 1)", "**lesion**", "**benign, malignant**", "Its input is 64 x 64",
        "looks twice", info.not_for, f"1.2 MB, SHA-256 `{SHA256}`", "- Blobs: CC0\n- Skin: BY; NC", info.written_by,
    ):  # fmt: skip
        assert words in card


def test_card_says_how_it_was_trained(info: WeightsInfo) -> None:
    card = model_card(info, [], SHA256, 1_250_000)
    assert rows(card, "Training") == [["data set", "train", "val"], ["Blobs", "8", "4"]]
    for words in (
        "Started from the model x; epoch 1 of 3 was the best; this run took 3 minutes.",
        "```\nnapari-uml train blobs -o run\n```", "epochs 2", "seed 0", "recipe modern",
    ):  # fmt: skip
        assert words in card


def test_card_says_what_the_weights_are_a_mixture_of(info: WeightsInfo) -> None:
    assert "mixture" not in model_card(info, [], SHA256, 1_250_000)
    mixed = info.model_copy(update={"training": {**info.training, "start_share": 0.75}})
    card = model_card(mixed, [], SHA256, 1_250_000)
    assert "Its weights are a mixture: 75% those of the start, 25% trained." in card


def test_card_says_when_the_class_encoder_is_that_of_the_start(info: WeightsInfo) -> None:
    said = "Class encoder and class head are those of the start; only the last layer learnt the class."
    for keeps in (False, True):
        kept = info.model_copy(update={"training": {**info.training, "keeps_class": keeps}})
        assert (said in model_card(kept, [], SHA256, 1_250_000)) == keeps


def test_card_has_the_commands_of_all_stages_in_order(info: WeightsInfo) -> None:
    assert "made by, in this order" not in model_card(info, [], SHA256, 1_250_000)
    staged = info.model_copy(update={"training": {**info.training, "earlier": ["first", "second"]}})
    card = model_card(staged, [], SHA256, 1_250_000)
    assert f"```\n{info.training['command']}\n```" in card
    assert "The weights that it started from were made by, in this order:\n\n```\nfirst\nsecond\n```" in card


def test_card_says_how_it_was_calibrated_and_judged(info: WeightsInfo) -> None:
    assert "Not calibrated" in model_card(info, [], SHA256, 1)
    figures = {"ece": {"value": 0.05, "low": 0.02, "high": 0.09}, "ece/before": {"value": 0.2}}
    calibration = Calibration(
        dataset="Blobs", split="val", n=4, referral_threshold=0.25, target_risk=0.05, folds=5, figures=figures,
        knots=({"uncertainty": 0.2, "chance": 0.1, "low": 0.02, "high": 0.3},), kept_share={"value": 0.75},
        kept_risk={"value": 0.04}, class_scale={"value": 2.5, "low": 2, "high": 3}, class_set_threshold=0.4,
        contours={"lesion": {"inner": 0.9, "outer": 0.2, "spared": 0.05, "coverage": 0.9, "n": 9}},
    )  # fmt: skip
    card = model_card(info.model_copy(update={"calibration": calibration}), [], SHA256, 1)
    for words in (
        "Fitted on Blobs val, n = 4", "scale of the class: 2.500 (2.000 to 3.000)", "5-fold cross-fitting",
        "At u = 0.200 the class is wrong in 10.0% (2.0% to 30.0%)", "above a chance of an error of 25.0%",
        "`ece`: 0.050 (0.020 to 0.090), before 0.200", "p of 0.400 or more", "Outlines of lesion for 90%",
    ):  # fmt: skip
        assert words in card
    assert "Not calibrated" not in card
    assert "It speaks of images" not in card
    far = calibration.model_copy(update={"reach": 2.5})
    card = model_card(info.model_copy(update={"calibration": far}), [], SHA256, 1)
    assert "It speaks of images up to a distance of 2.50 from the training images." in card
    nowhere_sure = calibration.model_copy(update={"referral_threshold": 0.0})
    card = model_card(info.model_copy(update={"calibration": nowhere_sure}), [], SHA256, 1)
    assert "about every image: not even the most certain ones keep errors below 5.0%" in card


def test_card_of_weights_that_were_calibrated_anew_is_that_of_the_new_file(info: WeightsInfo) -> None:
    knots = ({"uncertainty": 0.2, "chance": 0.1, "low": 0.02, "high": 0.3},)
    fitted = Calibration(dataset="Blobs", split="val", n=4, referral_threshold=0.25, knots=knots)
    new = info.model_copy(update={"calibration": fitted})
    card = model_card(info, [], SHA256, 1_250_000)
    assert recalibrated_card(card, SHA256, new, "cd" * 32, 1_260_000) == model_card(new, [], "cd" * 32, 1_260_000)
    assert recalibrated_card(card, "cd" * 32, new, SHA256, 1) is None
    measured = recalibrated_card(model_card(info, [(0.0, record("Blobs", acc=0.9))], SHA256, 1), SHA256, new, "cd", 1)
    assert rows(measured, "Blobs, val (n = 4)")[1] == ["`acc`", "0.900 (0.800 to 1.000)"]
    assert measured.index("0.900 (") < measured.index("The figures above were measured before")


def test_every_row_of_a_table_has_as_many_cells(info: WeightsInfo) -> None:
    card = model_card(info, [(0.0, record("Blobs", acc=0.9)), (0.1, record("Blobs"))], SHA256, 1)
    for table in re.findall(r"(?:^\|.*\n)+", card, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1
