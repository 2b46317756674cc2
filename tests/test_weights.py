"""Weights files, the registry and the user's own models; every file is tiny."""

import hashlib
import json
import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from napari_uml import weights
from napari_uml.config import EncoderConfig, Focus, Task, preset
from napari_uml.errors import WeightsError
from napari_uml.weights import WeightsInfo, find_weights, import_weights, load_tensors, read_info, save_weights
from napari_uml.weights.registry import bundled_folder, load_registry, local_path

INFO = WeightsInfo(
    name="tiny",
    title="Tiny model",
    version="1",
    config=preset("compact", 2, 3),
    task=Task(channels=1, seg_classes=("background", "rim", "cup"), cls_classes=("normal", "glaucoma")),
    image_size=64,
    focus=Focus(structures=("rim", "cup")),
    training={"data": ["simulated"], "seed": 3},
    validation={"dice/cup": {"value": 0.9, "n": 4}},
    calibration={
        "dataset": "Sim",
        "split": "val",
        "n": 4,
        "referral_threshold": 0.2,
        "knots": [{"uncertainty": 0.3, "chance": 0.1, "low": 0.0, "high": 0.3}],
    },
    intensity={"mean": (0.5,), "std": (0.25,)},
    licence="CC0",
    not_for="anything",
    written_by="napari-uml 0.1.0",
)
TENSORS = {"a.weight": torch.linspace(-2, 2, 12).reshape(3, 4), "a.steps": torch.tensor(70_000)}


@pytest.fixture
def path(tmp_path):
    """A good weights file."""
    path = tmp_path / "some" / "tiny.safetensors"
    save_weights(path, TENSORS, INFO)
    return path


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty cache folder, and a bundled folder with an empty registry."""
    (tmp_path / "bundled").mkdir()
    (tmp_path / "cache").mkdir()
    monkeypatch.setattr("napari_uml.weights.registry.bundled_folder", lambda: tmp_path / "bundled")
    monkeypatch.setenv("NAPARI_UML_CACHE", str(tmp_path / "cache"))
    register(tmp_path)
    return tmp_path


def register(home: Path, **files: Path) -> None:
    """Write a registry with these names and files."""
    models = {
        name: {
            "file": f"{name}.safetensors",
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "size": file.stat().st_size,
            "urls": ["https://example.org/x"],
            "title": name.capitalize(),
        }
        for name, file in files.items()
    }
    (home / "bundled" / "registry.json").write_text(json.dumps({"models": models}))


def with_metadata(path: Path, **changes: object) -> Path:
    """A weights file whose description is changed by hand."""
    content = {**INFO.model_dump(mode="json"), **changes}
    save_file({"a": torch.zeros(2)}, path, {"napari_uml": json.dumps(content)})
    return path


# --- the file -----------------------------------------------------------------------------------------------------


def test_description_survives_the_file(path):
    assert read_info(path) == INFO


def test_floats_are_stored_in_half_precision_and_integers_as_they_are(path):
    stored = load_file(path)
    assert stored["a.weight"].dtype == torch.float16
    assert stored["a.steps"].dtype == torch.int64


def test_loaded_floats_are_float32_within_half_precision(path):
    loaded = load_tensors(path)
    assert loaded["a.weight"].dtype == torch.float32
    torch.testing.assert_close(loaded["a.weight"], TENSORS["a.weight"], rtol=1e-3, atol=0)
    assert loaded["a.steps"] == 70_000


def test_full_precision_gives_back_the_same_numbers(tmp_path):
    tensors = {"a": torch.tensor([1e-30, 1 / 3, 1e30])}
    save_weights(tmp_path / "x", tensors, INFO, half=False)
    assert torch.equal(load_tensors(tmp_path / "x")["a"], tensors["a"])


def test_shared_and_transposed_tensors_are_saved(tmp_path):
    base = torch.arange(6.0).reshape(2, 3)
    save_weights(tmp_path / "x", {"a": base, "b": base.T}, INFO)
    assert torch.equal(load_tensors(tmp_path / "x")["b"], base.T)


def test_values_beyond_half_precision_are_stored_in_full(tmp_path):
    tensors = {"variance": torch.tensor([1.0, 7e4]), "weight": torch.tensor([1.0])}
    save_weights(tmp_path / "x", tensors, INFO)
    assert torch.equal(load_tensors(tmp_path / "x")["variance"], tensors["variance"])
    assert load_file(tmp_path / "x")["weight"].dtype == torch.float16


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_cannot_be_stored_leave_the_old_file_alone(path, value):
    before = path.read_bytes()
    with pytest.raises(WeightsError, match="NaN in b"):
        save_weights(path, {"b": torch.tensor([1.0, value])}, INFO)
    assert path.read_bytes() == before


def test_write_that_fails_midway_leaves_the_old_file_and_nothing_else(path, monkeypatch):
    def write_half(self, content):
        with self.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    monkeypatch.setattr(Path, "write_bytes", write_half)
    with pytest.raises(WeightsError, match=r"tiny\.safetensors cannot be written: No space left on device"):
        save_weights(path, {"a": torch.ones(9)}, INFO)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


class Trap:
    """Unpickling it makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return (Path.touch, (self.file,))


@pytest.mark.parametrize("name", ["x.pt", "x.safetensors"])
@pytest.mark.parametrize("kind", ["zip", "legacy", "plain"])
def test_pickle_is_refused_under_any_name_and_never_run(tmp_path, kind, name):
    file, sprung = tmp_path / name, tmp_path / "sprung"
    if kind == "plain":
        file.write_bytes(pickle.dumps(Trap(sprung)))
    else:
        torch.save({"a": Trap(sprung)}, file, _use_new_zipfile_serialization=kind == "zip")
    for call in (read_info, load_tensors):
        with pytest.raises(WeightsError, match=r"is a pickle, which can run any program.*Ask its author"):
            call(file)
    assert not sprung.exists()


def test_old_text_pickle_is_known_by_its_suffix(tmp_path):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"a": 1}, protocol=0))
    with pytest.raises(WeightsError, match="is a pickle"):
        read_info(tmp_path / "x.pkl")


def test_header_length_that_looks_like_a_pickle_is_read(tmp_path):
    header = json.dumps({"__metadata__": {"napari_uml": INFO.model_dump_json()}})
    length = 0x0480 | (len(header) // 0x10000 + 1) * 0x10000  # first bytes 80 04, those of a pickle
    file = tmp_path / "x.safetensors"
    file.write_bytes(struct.pack("<Q", length) + header.ljust(length).encode())
    assert file.read_bytes()[:2] == b"\x80\x04"
    assert read_info(file) == INFO


@pytest.mark.parametrize("keep", [12, 200, -1])
def test_truncated_file_says_so(path, keep):
    path.write_bytes(path.read_bytes()[:keep])
    for call in (read_info, load_tensors):
        with pytest.raises(WeightsError, match=r"tiny\.safetensors is damaged or cut short"):
            call(path)


@pytest.mark.parametrize(("content", "words"), [(b"", "is empty"), (b"Hello, I am a text.", "is no weights file")])
def test_file_of_another_kind_says_what_was_expected(tmp_path, content, words):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match=words):
        read_info(tmp_path / "x.safetensors")


@pytest.mark.parametrize("name", ["missing.safetensors", "."])
def test_unreadable_path_is_named(tmp_path, name):
    with pytest.raises(WeightsError, match=r"Cannot read the weights file"):
        read_info(tmp_path / name)


def test_safetensors_of_another_program_is_refused(tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / "x", {"format": "pt"})
    with pytest.raises(WeightsError, match="of another program"):
        read_info(tmp_path / "x")


def test_newer_format_tells_to_update(tmp_path):
    file = with_metadata(tmp_path / "x", format_version=2, written_by="napari-uml 9.0", unheard_of=1)
    with pytest.raises(
        WeightsError, match=r"newer version \(napari-uml 9\.0\); update with `pip install -U napari-uml`"
    ):
        read_info(file)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"unheard_of": 1}, "unheard_of is not known here"),
        ({"image_size": 10**9}, "image_size: Input should be less than"),
        ({"licence": "x" * 2_000_000}, "at most 1000000 are read"),
        ({"format_version": 0}, "format_version"),
    ],
)
def test_wrong_description_names_the_field_in_one_short_line(tmp_path, changes, words):
    with pytest.raises(WeightsError, match=words) as raised:
        read_info(with_metadata(tmp_path / "x", **changes))
    assert len(str(raised.value)) < 600
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"training": ' + '{"a": ' * 10_000, "7", "not JSON"])
def test_description_that_is_no_object_is_refused(tmp_path, text):
    save_file({"a": torch.zeros(2)}, tmp_path / "x", {"napari_uml": text})
    with pytest.raises(WeightsError, match="does not describe a model"):
        read_info(tmp_path / "x")


def test_infinite_values_in_a_file_are_refused(tmp_path):
    save_file({"a": torch.tensor([0.0, torch.inf])}, tmp_path / "x")
    with pytest.raises(WeightsError, match="NaN in a"):
        load_tensors(tmp_path / "x")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "../evil"}, "name"),
        ({"config": preset("compact", 5, 3)}, "for \\(2, 3\\) classes and structures"),
        ({"focus": Focus(structures=("disc",))}, "Unknown structure disc"),
        ({"intensity": {"mean": (0.1, 0.2, 0.3), "std": (1.0,)}}, "of 1 channels"),
        ({"intensity": {"mean": (0.1,)}}, "of 1 channels"),
    ],
)
def test_description_whose_parts_do_not_fit_is_refused(changes, words):
    with pytest.raises(ValidationError, match=words):
        WeightsInfo(**{**dict(INFO), **changes})


def test_encoder_that_would_be_downloaded_is_refused():
    config = INFO.config.model_copy(update={"seg_encoder": EncoderConfig(name="hf-hub:someone/something")})
    with pytest.raises(ValidationError, match="plain name of an encoder"):
        WeightsInfo(**{**dict(INFO), "config": config})


def test_tensors_that_fit_pass():
    weights.check_fits({"a": (2, 3)}, {"a": torch.zeros(2, 3).shape})


def test_tensors_that_do_not_fit_are_listed_in_one_short_sentence():
    expected = {"a": (2, 3), **{f"layer{i}": (1,) for i in range(50)}}
    with pytest.raises(WeightsError) as raised:
        weights.check_fits(expected, {"a": (3, 2), "b": (1,)})
    assert str(raised.value) == (
        "The weights do not fit the network they name (missing: layer0, layer1, layer2 and 47 more; unexpected: b; "
        "of another shape: a (3, 2) instead of (2, 3))."
    )


def test_torch_is_not_imported_to_list_models_or_read_a_description(home, path):
    code = (
        "import sys; from napari_uml.weights import *; "
        f"read_info({str(path)!r}); list_models(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- models by name -----------------------------------------------------------------------------------------------


def test_registry_of_this_repository_is_valid_and_its_bundled_files_are_the_registered_ones():
    for model in load_registry().models.values():
        if (bundled_folder() / model.file).exists():
            assert local_path(model) == bundled_folder() / model.file


def test_damaged_registry_says_what_to_do(home):
    (home / "bundled" / "registry.json").write_text('{"models": {"x": {"file": "../x.safetensors"}}}')
    with pytest.raises(
        WeightsError, match=r"registry\.json is damaged \(models\.x\.file: .*; install napari-uml again"
    ):
        load_registry()


def test_path_is_found_as_it_is(home, path):
    assert find_weights(path) == find_weights(str(path)) == path


@pytest.mark.parametrize("folder", ["bundled", "cache"])
def test_registered_name_is_found_bundled_or_in_the_cache(home, path, folder):
    register(home, fundus=path)
    file = path.rename(home / folder / "fundus.safetensors")
    assert find_weights("fundus") == file


def test_registered_name_goes_before_a_file_of_that_name(home, path, monkeypatch):
    register(home, fundus=path)
    monkeypatch.chdir(home)
    Path("fundus").write_bytes(b"something else")
    with pytest.raises(WeightsError, match="not on this computer"):
        find_weights("fundus")
    assert find_weights("./fundus") == Path("fundus")


def test_missing_weights_say_how_to_get_them_and_are_not_downloaded(home, path):
    register(home, fundus=path)
    with pytest.raises(WeightsError) as raised:
        find_weights("fundus")
    assert "`napari-uml models fetch fundus`" in str(raised.value)
    assert f"put fundus.safetensors into {home / 'cache'} by hand" in str(raised.value)
    assert list((home / "cache").iterdir()) == []


def test_registered_file_with_another_hash_is_refused(home, path):
    register(home, fundus=path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    (home / "bundled" / "fundus.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match="is not the registered file of 'fundus'"):
        find_weights("fundus")


def test_good_download_replaces_a_damaged_bundled_file(home, path):
    register(home, fundus=path)
    (home / "bundled" / "fundus.safetensors").write_bytes(b"damaged")
    good = path.rename(home / "cache" / "fundus.safetensors")
    assert find_weights("fundus") == good


def test_file_is_hashed_once_until_it_changes(home, path, monkeypatch):
    hashed = []
    digest = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *args: hashed.append(1) or digest(*args))
    register(home, fundus=path)
    file = path.rename(home / "cache" / "fundus.safetensors")
    find_weights("fundus")
    find_weights("fundus")
    assert len(hashed) == 1
    file.write_bytes(file.read_bytes()[::-1])
    with pytest.raises(WeightsError, match="is not the registered file"):
        find_weights("fundus")


def test_unknown_name_suggests_the_closest_and_lists_the_valid_ones(home, path):
    register(home, fundus=path, breast=path)
    import_weights(path)
    with pytest.raises(
        ValueError, match=r"one of the models fundus, breast, tiny, got 'fundos'\. Did you mean 'fundus'"
    ):
        find_weights("fundos")


@pytest.mark.parametrize("path", ["no/such.safetensors", "such.safetensors", "", ".", Path("fundus")])
def test_path_without_a_file_is_named(home, path):
    with pytest.raises(ValueError, match=r"path of a weights file, got '.*', which is no file"):
        find_weights(path)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"])
def test_name_that_no_file_can_have_is_unknown(home, name):
    with pytest.raises(ValueError, match="Expected one of the models"):
        find_weights(name)


def test_list_shows_where_every_model_is(home, path):
    other = path.with_name("other")
    save_weights(other, {"a": torch.zeros(5)}, INFO)
    register(home, breast=path, fundus=path, skin=other)
    (home / "bundled" / "breast.safetensors").write_bytes(path.read_bytes())
    (home / "bundled" / "skin.md").write_text("# Skin")
    (home / "cache" / "fundus.safetensors").write_bytes(path.read_bytes())
    import_weights(path, "mine")
    found = {m.name: (m.title, m.source, m.path, m.size) for m in weights.list_models()}
    size = path.stat().st_size
    assert found == {
        "breast": ("Breast", "bundled", home / "bundled" / "breast.safetensors", size),
        "fundus": ("Fundus", "cache", home / "cache" / "fundus.safetensors", size),
        "skin": ("Skin", "not downloaded", None, other.stat().st_size),
        "mine": ("Tiny model", "user", home / "cache" / "models" / "mine.safetensors", size),
    }
    assert [m.card for m in weights.list_models()] == [None, None, home / "bundled" / "skin.md", None]


def test_damaged_model_of_the_user_is_listed_with_its_problem(home):
    weights.user_folder().mkdir()
    (weights.user_folder() / "bad.safetensors").write_bytes(b"")
    (entry,) = weights.list_models()
    assert entry.name == "bad"
    assert "is empty" in entry.problem


def test_model_on_a_drive_that_is_gone_is_listed_with_its_problem(home):
    weights.user_folder().mkdir()
    (weights.user_folder() / "away.safetensors").symlink_to(home / "no such drive")
    (entry,) = weights.list_models()
    assert (entry.name, entry.size) == ("away", 0)
    assert "away.safetensors cannot be read: No such file" in entry.problem


# --- the user's own models ------------------------------------------------------------------------------------------


def test_imported_model_is_found_by_the_name_in_the_file_and_stays_where_it_was(home, path):
    assert import_weights(path) == INFO
    assert find_weights("tiny").read_bytes() == path.read_bytes()
    assert find_weights("tiny").parent == weights.user_folder()


def test_import_of_the_same_file_again_changes_nothing(home, path):
    import_weights(path)
    assert import_weights(path) == INFO
    assert [entry.name for entry in weights.list_models()] == ["tiny"]


def test_import_replaces_another_model_only_when_asked(home, path):
    import_weights(path)
    save_weights(path, {"a": torch.zeros(5)}, INFO)
    with pytest.raises(WeightsError, match="another model called 'tiny'"):
        import_weights(path)
    import_weights(path, overwrite=True)
    assert find_weights("tiny").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", ["My Model", "../up", "", "x" * 65, "con.safetensors"])
def test_name_that_is_no_name_is_refused(home, path, name):
    with pytest.raises(ValueError, match="Expected a name of up to 64 small letters"):
        import_weights(path, name)


def test_name_of_a_registered_model_is_refused(home, path):
    register(home, fundus=path)
    import_weights(path)
    for call in (lambda: import_weights(path, "fundus"), lambda: weights.rename_weights("tiny", "fundus")):
        with pytest.raises(ValueError, match="'fundus' is the name of a model that comes with napari-uml"):
            call()


def test_file_that_cannot_be_used_is_not_imported(home, path):
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WeightsError, match="damaged"):
        import_weights(path)
    assert weights.list_models() == ()


def test_file_with_infinite_values_is_not_imported(home, path):
    save_file({"a": torch.tensor(torch.inf)}, path, {"napari_uml": INFO.model_dump_json()})
    with pytest.raises(WeightsError, match="NaN in a"):
        import_weights(path)


def test_renamed_model_is_found_by_its_new_name_only(home, path):
    import_weights(path)
    assert weights.rename_weights("tiny", "better") == find_weights("better")
    assert [entry.name for entry in weights.list_models()] == ["better"]


def test_rename_never_replaces_a_model(home, path):
    import_weights(path, "one")
    import_weights(path, "two")
    with pytest.raises(WeightsError, match="another model called 'two'"):
        weights.rename_weights("one", "two")
    assert find_weights("one").is_file()


def test_deleted_model_is_gone_and_others_stay(home, path):
    import_weights(path, "one")
    import_weights(path, "two")
    weights.delete_weights("one")
    assert [entry.name for entry in weights.list_models()] == ["two"]


def test_registered_models_cannot_be_deleted(home, path):
    register(home, fundus=path)
    file = path.rename(home / "bundled" / "fundus.safetensors")
    with pytest.raises(ValueError, match="got 'fundus'"):
        weights.delete_weights("fundus")
    assert file.is_file()


def test_verify_gives_the_hash_and_reads_everything(home, path):
    import_weights(path)
    assert weights.verify("tiny") == hashlib.sha256(path.read_bytes()).hexdigest()
    find_weights("tiny").write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WeightsError, match="damaged"):
        weights.verify("tiny")


def test_verify_notices_a_change_that_left_size_and_time_alone(home, path):
    register(home, fundus=path)
    file = path.rename(home / "cache" / "fundus.safetensors")
    find_weights("fundus")
    times = (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    file.write_bytes(file.read_bytes()[::-1])
    os.utime(file, ns=times)
    with pytest.raises(WeightsError, match="is not the registered file"):
        weights.verify("fundus")
