"""Lines for the shells of the systems."""

from types import SimpleNamespace

import pytest

from napari_uml import shell

WORDS = ["napari-uml", "predict", r"C:\R&D\scan(1).png", "--roi", "10,20,30,40", "--sigma", "0.05", "-o", r"C:\out"]


def test_posix_words_are_quoted() -> None:
    assert shell.shell_line(["napari-uml", "predict", "my scan.png"]) == "napari-uml predict 'my scan.png'"


def test_windows_words_mean_the_same_to_powershell_and_cmd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "os", SimpleNamespace(name="nt"))
    line = shell.shell_line(WORDS)
    assert line == r'napari-uml predict "C:\R&D\scan(1).png" --roi "10,20,30,40" --sigma 0.05 -o C:\out'
