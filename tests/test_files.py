"""Whole files or none, also where another program holds them for a moment."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from napari_uml import files
from napari_uml.errors import UMLError
from napari_uml.files import check_writable, remove, replacing, safe_name, write_text


def test_a_file_that_is_held_for_a_moment_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, replace, attempts = tmp_path / "curves.csv", Path.replace, []

    def held(part: Path, target: Path) -> Path:
        attempts.append(target)
        if len(attempts) < 3:
            raise PermissionError(13, "The process cannot access the file")
        return replace(part, target)

    monkeypatch.setattr(Path, "replace", held)
    monkeypatch.setattr(files, "PAUSE", 0.0)
    with pytest.raises(UMLError, match="cannot be written"):
        write_text(path, "new")  # elsewhere that is no moment's matter
    attempts.clear()
    monkeypatch.setattr(files, "os", SimpleNamespace(name="nt"))
    write_text(path, "new")
    assert (path.read_text(), len(attempts)) == ("new", 3)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a b/c:d", "a-b-c-d"),
        ("+1.5 T", "+1.5-T"),
        ("..", ""),
        ("-x.", "x"),
        ("ü" * 80, "ü" * 50),
        ("x" * 300, "x" * 100),
    ],
)
def test_a_name_becomes_one_that_every_file_system_takes(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_a_file_that_cannot_be_removed_is_named(tmp_path: Path) -> None:
    remove(tmp_path / "not there")
    with pytest.raises(UMLError, match="cannot be removed: Is a directory"):
        remove(tmp_path)


def test_a_block_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fill_the_disk() -> None:
        with replacing(path) as part:
            part.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(UMLError, match="cannot be written: No space left on device"):
        fill_the_disk()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_drive_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "exists", lambda _: False)
    with pytest.raises(UMLError, match=r"the drive of .*out is not there; connect it"):
        check_writable(Path("/lost/out"))
