"""Which part of the package may import which, and what must start without torch."""

from __future__ import annotations

import ast
import importlib.metadata
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOURCE = Path(__file__).parents[1] / "src"

LAYERS = (
    {"errors", "config", "results", "calibration", "familiarity", "files", "shell"},
    {"nn", "baselines", "data", "weights"},
    {"inference"},
    {"evaluation"},
    {"training"},
    {"widgets", "cli", "__main__"},
)
"""Parts of the package, lowest first: a part imports from its own row and from those before it."""

QT = {"PyQt6", "PySide6", "magicgui", "napari", "pyqtgraph", "qtpy", "superqt", "vispy"}


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}
PARTS = [name for name in MODULES if name != "napari_uml"]
WIDGETS = [name for name in PARTS if name.startswith("napari_uml.widgets")]


def imported_by(name: str) -> Iterator[str]:
    """Yield every module that a module imports anywhere, in functions and for type checking too."""
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "napari_uml":
            yield from (f"napari_uml.{alias.name}" for alias in node.names if alias.name != "__version__")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import"
            yield node.module or ""


def row_of(name: str) -> int:
    part = name.split(".")[1]
    rows = [row for row, parts in enumerate(LAYERS) if part in parts]
    assert rows, f"napari_uml.{part} is in no row of LAYERS"
    return rows[0]


@pytest.mark.parametrize("name", PARTS)
def test_imports_only_go_down(name: str) -> None:
    ours = [imported for imported in imported_by(name) if imported.startswith("napari_uml.")]
    assert [imported for imported in ours if row_of(imported) > row_of(name)] == []


@pytest.mark.parametrize("name", sorted(set(PARTS) - set(WIDGETS)))
def test_only_widgets_know_qt(name: str) -> None:
    assert {imported.split(".")[0] for imported in imported_by(name)} & QT == set()


def test_every_imported_library_is_a_declared_dependency() -> None:
    homes = importlib.metadata.packages_distributions()
    tops = {imported.split(".")[0] for name in MODULES for imported in imported_by(name)}
    libraries = {homes[top][0] for top in tops - sys.stdlib_module_names - {"napari_uml"}}
    declared = {canonicalize_name(Requirement(line).name) for line in importlib.metadata.requires("napari-uml") or []}
    assert {canonicalize_name(library) for library in libraries} - declared - {"pydantic-core"} == set()


HELP = """
from typer.testing import CliRunner
from napari_uml.cli import app
assert CliRunner().invoke(app, ["--help"]).exit_code == 0
"""


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("import napari_uml", id="package"),
        pytest.param("import napari_uml.data.reading", id="reading"),
        pytest.param("import napari_uml.weights", id="weights"),
        pytest.param("; ".join(f"import {name}" for name in WIDGETS), id="widgets"),
        pytest.param(HELP, id="help"),
    ],
)
def test_torch_is_not_imported_by(code: str, run_python: Callable[..., str]) -> None:
    assert run_python("-c", f"{code}\nimport sys; print('torch' in sys.modules)") == "False\n"
