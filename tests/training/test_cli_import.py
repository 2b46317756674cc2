"""`napari-uml import` as a user types it; test_importers.py has the importers themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, make_dataset: Callable[..., Path]) -> list[Any]:
    """Put importers in place that write the blobs, and return what they are called with."""
    told: list[Any] = []

    def importer(*paths: Path, **options: Any) -> Path:
        told.append((paths, options))
        return make_dataset(paths[-1])

    monkeypatch.setattr("napari_uml.data.importers.refuge.import_refuge", importer)
    monkeypatch.setattr("napari_uml.data.importers.ispy1.import_ispy1", importer)
    return told


def test_refuge_tells_what_it_made(napari_uml: Command, calls: list[Any], tmp_path: Path) -> None:
    made = tmp_path / "refuge"
    assert napari_uml("import", "refuge", "source", made) == (0, f"{made}: Blobs, 8 train, 4 val, 0 test\n", "")
    assert calls == [((Path("source"), made), {"overwrite": False})]


def test_ispy1_passes_its_options_on(napari_uml: Command, calls: list[Any], tmp_path: Path) -> None:
    options = ("--slices", 3, "--fractions", 0.5, 0.25, 0.25, "--seed", 7, "--overwrite")
    assert napari_uml("import", "ispy1", "source", "table.csv", tmp_path / "made", *options)[0] == 0
    ((paths, told),) = calls
    assert paths == (Path("source"), Path("table.csv"), tmp_path / "made")
    assert told == {"slices": 3, "fractions": (0.5, 0.25, 0.25), "seed": 7, "overwrite": True}


@pytest.mark.parametrize(
    "arguments",
    [("refuge", "{empty}", "{made}"), ("refuge", "{empty}"), ("ispy1", "{empty}", "{empty}/no.csv", "{made}"),
     ("brats", "{empty}", "{made}")],
)  # fmt: skip
def test_wrong_input_gives_sentences_and_makes_nothing(
    arguments: tuple[str, ...], napari_uml: Command, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    paths = {"empty": tmp_path / "empty", "made": tmp_path / "made"}
    code, out, err = napari_uml("import", *(argument.format(**paths) for argument in arguments))
    assert (code, out) == (2, "")
    assert err.startswith("napari-uml: ")
    assert "Traceback" not in err
    assert not (tmp_path / "made").exists()
