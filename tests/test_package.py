"""The package as a user gets it: public names, manifest, and a wheel that is whole."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from npe2 import PluginManifest

import napari_uml

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "napari_uml"


@pytest.mark.parametrize("name", napari_uml.__all__)
def test_public_name_is_found_and_listed(name: str) -> None:
    assert getattr(napari_uml, name).__name__ == name
    assert name in dir(napari_uml)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'napari_uml' has no attribute 'predictor'"):
        _ = napari_uml.predictor


def test_base_installation_brings_neither_qt_nor_napari() -> None:
    base = [line.lower() for line in importlib.metadata.requires("napari-uml") or [] if "extra ==" not in line]
    assert any(line.startswith("numpy") for line in base)
    assert [line for line in base if line.startswith(("napari", "pyqt", "pyside"))] == []


def test_manifest_at_the_top_is_a_link_to_the_one_in_the_package() -> None:
    assert (ROOT / "napari.yaml").resolve() == (PACKAGE / "napari.yaml").resolve()


def test_manifest_is_valid_and_its_functions_exist() -> None:
    manifest = PluginManifest.from_file(PACKAGE / "napari.yaml")
    manifest.validate_imports()
    assert manifest.name == "napari-uml"


def test_reader_claims_medical_formats_only() -> None:
    readers = PluginManifest.from_file(PACKAGE / "napari.yaml").contributions.readers or []
    assert {pattern for reader in readers for pattern in reader.filename_patterns} == {"*.dcm", "*.nii", "*.nii.gz"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the Python of a new environment with the built wheel; its dependencies are those of this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT], check=True)
    builder = venv.EnvBuilder()
    builder.create(folder / "env")
    python = builder.ensure_directories(folder / "env").env_exe
    (wheel,) = folder.glob("*.whl")
    install = ["-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "--quiet", wheel]
    subprocess.run([sys.executable, *install], check=True)
    where = subprocess.check_output([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True)
    (Path(where.strip()) / "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return python


@pytest.mark.slow
def test_installed_wheel_finds_its_manifest(installed: str, run_python: Callable[..., str]) -> None:
    assert "valid" in run_python("-m", "npe2", "validate", "napari-uml", "--imports", python=installed)


@pytest.mark.slow
def test_installed_wheel_finds_and_verifies_its_weights(installed: str, run_python: Callable[..., str]) -> None:
    code = (
        "from napari_uml.weights import find_weights, list_models; "
        "[print(find_weights(model.name)) for model in list_models() if model.source == 'bundled']"
    )
    found = {Path(line) for line in run_python("-c", code, python=installed).splitlines()}
    assert {path.name for path in found} == {path.name for path in (ROOT / "weights").glob("*.safetensors")} != set()
    assert all(path.is_relative_to(Path(installed).parents[1]) for path in found)
