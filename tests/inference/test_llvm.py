"""Triton is left out of a process that has another LLVM, and only there."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from napari_uml.inference import llvm

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def no_triton_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, "triton")


@pytest.mark.usefixtures("no_triton_yet")
@pytest.mark.parametrize(
    ("maps", "left_out"),
    [
        ("7f00-7f01 r-xp /lib/libLLVM-15.so.1\n", True),
        ("7f00-7f01 r-xp /lib/libGLX_nvidia.so.0\n", False),
        (None, False),
    ],
)
def test_triton_is_left_out_where_an_llvm_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, maps: str | None, left_out: bool
) -> None:
    if maps is not None:
        (tmp_path / "maps").write_text(maps)
    monkeypatch.setattr(llvm, "MAPS", tmp_path / "maps")
    assert llvm.leave_triton_out() is left_out
    assert ("triton" in sys.modules) is left_out
    if left_out:
        with pytest.raises(ImportError):
            __import__("triton")


def test_triton_that_is_loaded_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "maps").write_text("/lib/libLLVM-15.so.1")
    monkeypatch.setattr(llvm, "MAPS", tmp_path / "maps")
    monkeypatch.setitem(sys.modules, "triton", sys)
    assert not llvm.leave_triton_out()
    assert sys.modules["triton"] is sys


def test_the_predictor_leaves_it_out_before_anything_imports_timm(
    tmp_path: Path, run_python: Callable[..., str]
) -> None:
    (tmp_path / "maps").write_text("/lib/libLLVM-15.so.1")
    said = run_python(
        "-c",
        "import sys, pathlib; from napari_uml.inference import llvm; llvm.MAPS = pathlib.Path('maps'); "
        "import napari_uml.inference.predictor; print('timm' in sys.modules, sys.modules['triton'])",
    )
    assert said.split() == ["True", "None"]
