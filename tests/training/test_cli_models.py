"""`napari-uml models` as a user types it."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING

import pytest

from napari_uml.errors import WeightsError
from napari_uml.training.export import export_run
from napari_uml.weights import delete_weights, rename_weights, user_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of models that come with the package: none yet."""
    folder = tmp_path / "bundled"
    folder.mkdir()
    (folder / "registry.json").write_text('{"models": {}}')
    monkeypatch.setattr("napari_uml.weights.registry.bundled_folder", lambda: folder)
    return folder


@pytest.fixture
def file(make_run: Callable[..., Path]) -> Path:
    """Return a weights file that calls itself blobs."""
    run = make_run()
    export_run(run)
    return run / "model.safetensors"


@pytest.fixture
def shipped(bundled: Path, file: Path) -> Path:
    """Register `shipped`, which is there, and `remote`, which is not and has no address; return the folder."""
    shutil.copy(file, bundled / "shipped.safetensors")
    (bundled / "shipped.md").write_text("# The card\n")
    digest, size = hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_size
    models = {
        name: {"file": f"{name}.safetensors", "sha256": digest, "size": size, "urls": [], "title": f"The {name} one"}
        for name in ("shipped", "remote")
    }
    (bundled / "registry.json").write_text(json.dumps({"models": models}))
    return bundled


@pytest.mark.usefixtures("shipped")
def test_list_shows_every_model_and_where_it_is(napari_uml: Command, file: Path) -> None:
    napari_uml("models", "add", file, "--name", "mine")
    (user_folder() / "broken.safetensors").write_bytes(b"PK\x03\x04")
    code, out, err = napari_uml("models", "list")
    rows = {line.split()[0]: line for line in out.splitlines()}
    assert code == 0
    assert list(rows) == ["name", "shipped", "remote", "broken", "mine"]
    assert "The shipped one" in rows["shipped"]
    assert rows["shipped"].split()[-2:] == ["bundled", f"{file.stat().st_size / 1e6:.1f}"]
    assert "not downloaded" in rows["remote"]
    assert "Drawn blobs" in rows["mine"]
    assert "user (unusable)" in rows["broken"]
    assert err.startswith("broken: ")
    assert "pickle" in err


@pytest.mark.usefixtures("shipped")
def test_list_as_json_has_paths(napari_uml: Command) -> None:
    shipped, remote = json.loads(napari_uml("models", "list", "--json")[1])
    assert (shipped["name"], shipped["source"]) == ("shipped", "bundled")
    assert shipped["path"].endswith("shipped.safetensors")
    assert (remote["source"], remote["path"]) == ("not downloaded", "")


@pytest.mark.usefixtures("shipped")
def test_info_of_a_shipped_model_is_its_card(napari_uml: Command) -> None:
    assert napari_uml("models", "info", "shipped") == (0, "# The card\n\n", "")


@pytest.mark.usefixtures("bundled")
def test_info_of_a_file_is_made_from_it(napari_uml: Command, file: Path) -> None:
    code, out, _ = napari_uml("models", "info", file)
    assert code == 0
    assert out.startswith("# Drawn blobs (`blobs`, version 1)")
    assert hashlib.sha256(file.read_bytes()).hexdigest() in out
    assert json.loads(napari_uml("models", "info", file, "--json")[1])["task"]["cls_classes"] == ["benign", "malignant"]


@pytest.mark.usefixtures("bundled")
def test_model_is_added_renamed_and_removed(napari_uml: Command, file: Path) -> None:
    assert napari_uml("models", "add", file) == (0, "added blobs: Drawn blobs\n", "")
    assert napari_uml("models", "rename", "blobs", "spots") == (0, "blobs is spots now\n", "")
    assert (user_folder() / "spots.safetensors").read_bytes() == file.read_bytes()
    assert napari_uml("models", "remove", "spots") == (0, "removed spots\n", "")
    assert list(user_folder().iterdir()) == []
    assert file.exists()


@pytest.mark.usefixtures("bundled")
def test_another_model_is_replaced_only_when_asked(
    napari_uml: Command, file: Path, make_run: Callable[..., Path]
) -> None:
    napari_uml("models", "add", file)
    run = make_run("other", title="Another")
    export_run(run)
    other = run / "model.safetensors"
    code, _, err = napari_uml("models", "add", other)
    assert (code, err.count("\n")) == (2, 1)
    assert napari_uml("models", "add", other, "--overwrite") == (0, "added blobs: Another\n", "")


@pytest.mark.usefixtures("shipped")
def test_verify_reads_the_file_and_finds_damage(napari_uml: Command, file: Path) -> None:
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert napari_uml("models", "verify", "shipped") == (0, f"shipped is whole, SHA-256 {digest}\n", "")
    content = bytearray(file.read_bytes())
    content[-1000:] = b"\xff" * 1000
    file.write_bytes(content)
    code, _, err = napari_uml("models", "verify", file)
    assert (code, err.count("\n")) == (2, 1)
    assert "NaN" in err


@pytest.mark.usefixtures("shipped")
def test_fetch_brings_a_model_or_says_how_to_do_without(napari_uml: Command, shipped: Path) -> None:
    assert napari_uml("models", "fetch", "shipped") == (
        0, f"shipped is in {shipped / 'shipped.safetensors'}\n", "",
    )  # fmt: skip
    code, _, err = napari_uml("models", "fetch", "remote")
    assert (code, err.count("\n")) == (2, 1)
    assert "by hand" in err


@pytest.mark.usefixtures("bundled")
@pytest.mark.parametrize(
    "arguments",
    [("info", "nobody"), ("verify", "nobody"), ("add", "nowhere.safetensors"), ("fetch", "nobody"),
     ("rename", "nobody", "somebody"), ("remove", "nobody"), ("dance",), ("info",), ()],
)  # fmt: skip
def test_wrong_input_gives_one_line(arguments: tuple[str, ...], napari_uml: Command) -> None:
    code, out, err = napari_uml("models", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)


@pytest.mark.usefixtures("bundled")
def test_file_that_the_system_keeps_is_named(napari_uml: Command, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    napari_uml("models", "add", file)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.rename", refuse)
    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    with pytest.raises(WeightsError, match=r"rename .*blobs\.safetensors: Permission denied"):
        rename_weights("blobs", "spots")
    with pytest.raises(WeightsError, match=r"delete .*blobs\.safetensors: Permission denied"):
        delete_weights("blobs")
