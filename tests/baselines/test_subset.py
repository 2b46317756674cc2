"""A smaller copy of a data set: only training images of the wanted classes, the same ones every time."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from tests.tiny import tiny_dataset

from napari_uml.data.dataset import check_images, read_dataset

if TYPE_CHECKING:
    from pathlib import Path


def draw(monkeypatch: pytest.MonkeyPatch, source: Path, output: Path, *options: str) -> None:
    import subset

    monkeypatch.setattr(sys, "argv", ["subset.py", str(source), "-o", str(output), *options])
    subset.main()


def test_a_part_is_drawn_from_the_training_images_and_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tiny_dataset(tmp_path / "source")
    wanted = ("--classes", "malignant=2", "benign=90", "--rename", "malignant=melanoma")
    for name in ("one", "two"):
        draw(monkeypatch, source, tmp_path / name, *wanted)
    one, two = (read_dataset(tmp_path / name) for name in ("one", "two"))
    assert one.records == two.records
    assert sorted(r.label for r in one.records) == ["benign"] * 4 + ["melanoma"] * 2
    assert all(r.split == "train" for r in one.records)
    assert not check_images(one)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--classes", "cyst=1"), "cyst"),
        (("--classes", "benign=1"), "2 items"),
        (("--classes", "benign=1", "malignant=1", "--rename", "malignant=benign"), "benign"),
        (("--classes", "benign=1", "malignant=1", "--rename", "cyst=lump"), "cyst"),
    ],
)
def test_classes_that_make_no_data_set_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    words: str,
) -> None:
    with pytest.raises(SystemExit):
        draw(monkeypatch, tiny_dataset(tmp_path / "source"), tmp_path / "out", *options)
    assert words in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_a_data_set_is_not_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tiny_dataset(tmp_path / "source")
    table = (source / "index.csv").read_bytes()
    with pytest.raises(SystemExit):
        draw(monkeypatch, source, source, "--classes", "benign=1", "malignant=1")
    assert (source / "index.csv").read_bytes() == table
