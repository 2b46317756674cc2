"""Checkpoints: whole or not at all, and never a program."""

import pickle

import pytest
import torch
from tests.tiny import tiny_network, tiny_settings

from napari_uml.errors import WeightsError
from napari_uml.training import checkpoint as module
from napari_uml.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint


def example(**changes: object) -> Checkpoint:
    values = {
        "network": tiny_network(), "train": tiny_settings(), "epoch": 3, "weights": {"a": torch.rand(2, 3)},
        "averaged": {"a": torch.rand(2, 3)}, "optimizer": {"state": {0: {"step": torch.tensor(4.0)}}},
        "scheduler": {"last_epoch": 12}, "best_score": 0.5, "best_epoch": 2, "seconds": 9.5,
        "metrics": {"auc": 0.5}, **changes,
    }  # fmt: skip
    return Checkpoint(**values)


def test_round_trip(tmp_path):
    saved = example(anchor={"a": torch.ones(1)}, scaler={"scale": 2.0})
    save_checkpoint(tmp_path / "last.ckpt", saved)
    loaded = load_checkpoint(tmp_path / "last.ckpt")
    for name in ("network", "train", "epoch", "scheduler", "best_score", "best_epoch", "seconds", "metrics", "scaler"):
        assert getattr(loaded, name) == getattr(saved, name)
    assert torch.equal(loaded.weights["a"], saved.weights["a"])
    assert torch.equal(loaded.averaged["a"], saved.averaged["a"])
    assert torch.equal(loaded.optimizer["state"][0]["step"], torch.tensor(4.0))
    assert torch.equal(loaded.anchor["a"], torch.ones(1))


def test_the_average_is_shown_where_there_is_one():
    averaged, plain = example(), example(averaged={})
    assert averaged.shown["a"] is averaged.averaged["a"]
    assert plain.shown["a"] is plain.weights["a"]


def test_what_was_solved_for_is_shown():
    solved = torch.zeros(1)
    shown = example(anchor={"a": torch.ones(1)}, share=0.5, solved={"a": solved}).shown
    assert shown["a"] is solved


def test_fields_that_an_older_version_did_not_write_are_empty(tmp_path):
    save_checkpoint(tmp_path / "last.ckpt", example())
    values = torch.load(tmp_path / "last.ckpt", weights_only=True)
    del values["anchor"], values["scaler"]
    torch.save(values, tmp_path / "last.ckpt")
    loaded = load_checkpoint(tmp_path / "last.ckpt")
    assert loaded.anchor == loaded.scaler == {}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("unexpected pos"), OSError(28, "No space left")])
def test_a_write_that_breaks_off_leaves_the_old_checkpoint_and_nothing_else(tmp_path, monkeypatch, error):
    path = tmp_path / "last.ckpt"
    save_checkpoint(path, example(epoch=1))

    def half(values, part):
        part.write_bytes(b"half")
        raise error

    monkeypatch.setattr(module.torch, "save", half)
    kind = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else WeightsError
    with pytest.raises(kind, match=r"Cannot write|"):
        save_checkpoint(path, example(epoch=2))
    assert load_checkpoint(path).epoch == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"last.ckpt, there is none; start the run without --resume"):
        load_checkpoint(tmp_path / "last.ckpt")


class Program:
    def __reduce__(self):
        return (print, ("this must never be printed",))


def damaged(tmp_path, how):
    path = tmp_path / "last.ckpt"
    save_checkpoint(path, example())
    whole = path.read_bytes()
    if how == "cut short":
        path.write_bytes(whole[: len(whole) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_text("not a checkpoint")
    elif how == "program":
        path.write_bytes(pickle.dumps(Program(), protocol=2))
    elif how == "another file of torch":
        torch.save({"state_dict": {}}, path)
    elif how == "a list":
        torch.save([1, 2], path)
    elif how == "other settings":
        values = torch.load(path, weights_only=True)
        torch.save({**values, "train": '{"epochs": 0}'}, path)
    return path


@pytest.mark.parametrize(
    "how", ["cut short", "empty", "text", "program", "another file of torch", "a list", "other settings"]
)
def test_a_damaged_checkpoint_is_one_sentence_and_runs_no_program(tmp_path, capsys, how):
    with pytest.raises(WeightsError, match=r"Expected a checkpoint of a training run, .* is damaged") as caught:
        load_checkpoint(damaged(tmp_path, how))
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""
