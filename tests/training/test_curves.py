"""The curves of a run as CSV and picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from napari_uml.errors import UMLError
from napari_uml.training.curves import add_epoch, draw_curves, read_curves

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_uml.results import EpochReport

    MakeReport = Callable[..., EpochReport]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "curves.csv"


def test_row_has_losses_figures_and_learning_rate(path: Path, make_report: MakeReport) -> None:
    report = make_report(path.parent)
    add_epoch(path, report)
    (row,) = read_curves(path)
    assert row["epoch"] == 1
    assert {name.removeprefix("loss/"): row[name] for name in row if name.startswith("loss/")} == report.losses
    assert {name: row[name] for name in report.metrics} == report.metrics
    assert (row["learning_rate"], row["score"], row["seconds"]) == (1e-3, 0.5, 2.0)


def test_run_that_goes_on_replaces_the_epochs_done_again(path: Path, make_report: MakeReport) -> None:
    for epoch in (1, 2, 3):
        add_epoch(path, make_report(path.parent, epoch))
    add_epoch(path, make_report(path.parent, 2, seconds=9.0))
    assert [(row["epoch"], row["seconds"]) for row in read_curves(path)] == [(1, 2), (2, 9)]


def test_figure_that_comes_later_is_absent_before(path: Path, make_report: MakeReport) -> None:
    add_epoch(path, make_report(path.parent, 1, metrics={}, score=None))
    add_epoch(path, make_report(path.parent, 2, metrics={"auc": 0.5}))
    first, second = read_curves(path)
    assert "auc" not in first
    assert second["auc"] == 0.5


@pytest.mark.parametrize(
    "content",
    [
        b"epoch;loss/total\n1;0,5\n", b"epoch,loss/total\n1,n/a\n", b"epoch,loss/total\n1,0.5,7\n", b"a\n1\n", b"\xff",
        b'epoch\n"' + b"1" * 200_000 + b'"\n',
    ],
)  # fmt: skip
def test_curves_that_another_program_saved_are_refused_in_words_and_left(
    path: Path, make_report: MakeReport, content: bytes
) -> None:
    path.write_bytes(content)
    with pytest.raises(UMLError, match="Expected the curves that training wrote in"):
        add_epoch(path, make_report(path.parent))
    with pytest.raises(UMLError, match="Expected the curves that training wrote in"):
        draw_curves(path, path.with_suffix(".png"))
    assert path.read_bytes() == content
    assert [*path.parent.glob("*")] == [path]


def test_nothing_is_left_beside_the_file(path: Path, make_report: MakeReport) -> None:
    add_epoch(path, make_report(path.parent))
    assert list(path.parent.iterdir()) == [path]


def test_picture_shows_the_curves(path: Path, make_report: MakeReport) -> None:
    pictures = []
    for epoch in (1, 2):
        add_epoch(path, make_report(path.parent, epoch))
        draw_curves(path, path.with_suffix(".png"), "blobs")
        with Image.open(path.with_suffix(".png")) as image:
            assert image.format == "PNG"
            pictures.append(np.asarray(image))
    assert pictures[0].shape == pictures[1].shape == (1000, 1500, 4)
    assert (pictures[0] != pictures[1]).any()


def test_picture_is_drawn_without_validation(path: Path, make_report: MakeReport) -> None:
    add_epoch(path, make_report(path.parent, metrics={}, score=None))
    draw_curves(path, path.with_suffix(".png"))
    assert path.with_suffix(".png").stat().st_size > 10_000
