"""What is slow at first is prepared without a stop, and leaves no trace."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

import pytest

from napari_uml.widgets.gentle_import import no_collection, open_torch_library, prepare_labels

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.skipif(sys.platform != "linux", reason="the library is opened beforehand on Linux alone")
def test_the_library_is_opened_beforehand_and_torch_works_with_it(run_python: Callable[..., str]) -> None:
    code = """
from napari_uml.widgets.gentle_import import import_predictor, open_torch_library
import sys
assert open_torch_library()
assert "torch" not in sys.modules
assert "libtorch_cpu" in open("/proc/self/maps").read()
assert len(list(import_predictor())) == 4
import torch
print(float(torch.ones(2, 2).matmul(torch.ones(2, 2)).sum()))
"""
    assert run_python("-W", "ignore", "-c", code) == "8.0\n"


def test_without_torch_nothing_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_uml.widgets.gentle_import.find_spec", lambda name: None)
    assert not open_torch_library()


def test_the_collector_waits_and_goes_on_as_before() -> None:
    assert gc.isenabled()
    with no_collection():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
    gc.disable()
    try:
        with no_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_collector_goes_on_after_an_error() -> None:
    with pytest.raises(ImportError), no_collection():
        raise ImportError
    assert gc.isenabled()


def test_labels_are_compiled_once() -> None:
    prepare_labels()
    prepare_labels()
    assert prepare_labels.cache_info().misses == 1
