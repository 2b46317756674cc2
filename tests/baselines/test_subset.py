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


def test_a_class_that_the_data_lack_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        draw(monkeypatch, tiny_dataset(tmp_path / "source"), tmp_path / "out", "--classes", "cyst=1")
    assert "cyst" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
