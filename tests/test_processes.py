"""Several processes that train as one, on the CPU; and how they end."""

import multiprocessing
import os
from itertools import islice

import pytest
import torch
from tests.tiny import INFO, tiny_dataset, tiny_network, tiny_settings
from torch import distributed

from napari_uml.data.dataset import read_dataset
from napari_uml.errors import DeviceError, UMLError
from napari_uml.inference.devices import Device
from napari_uml.nn.network import UMLNetwork
from napari_uml.training import class_layer, processes
from napari_uml.training.checkpoint import BEST, LAST, load_checkpoint
from napari_uml.training.fit import Start, fit
from napari_uml.training.plan import PREVIEW
from napari_uml.training.processes import Member, make_fabric, together

NETWORK = tiny_network().model_copy(update={"dropout": 0.0})


@pytest.fixture
def blobs(tmp_path):
    return [read_dataset(tiny_dataset(tmp_path / "blobs"))]


def is_shift_of_normalised(name: str) -> bool:
    """Biases before batch normalisation or a softmax have no gradient but rounding, which Adam blows up."""
    convolution = (".blocks." in name or ".guide." in name) and name.endswith((".0.bias", ".4.bias"))
    return convolution or name.endswith("channel_query.bias")


def test_two_processes_train_like_one_and_stop_when_nobody_asks_for_more(tmp_path, blobs, capfd):
    threads, steps = torch.get_num_threads(), []
    one = list(islice(fit(tiny_settings(epochs=3), NETWORK, blobs, tmp_path / "one"), 2))
    generator = fit(
        tiny_settings(epochs=3, processes=2), NETWORK, blobs, tmp_path / "two", on_step=lambda *s: steps.append(s)
    )
    two = [next(generator), next(generator)]
    assert len(multiprocessing.active_children()) == 1
    generator.close()
    assert not multiprocessing.active_children()
    assert not distributed.is_initialized()
    assert torch.get_num_threads() == threads
    assert capfd.readouterr() == ("", "")
    for a, b in zip(one, two, strict=True):
        assert b.losses == pytest.approx(a.losses, rel=1e-4)
        assert b.metrics == pytest.approx(a.metrics, abs=2e-3)
    assert [s[:2] for s in steps] == [(1, 2), (2, 2)] * 2
    weights = [load_checkpoint(tmp_path / name / LAST).weights for name in ("one", "two")]
    assert weights[0].keys() == weights[1].keys()
    for name, value in weights[0].items():
        if value.is_floating_point() and not is_shift_of_normalised(name) and "running" not in name:
            assert (weights[1][name] - value).abs().mean() < 1e-5, name
    assert sorted(p.name for p in (tmp_path / "two").iterdir()) == [BEST, LAST, PREVIEW]


@pytest.mark.parametrize("instructor", [True, False])
def test_what_no_loss_reaches_may_be_anchored_in_several_processes(tmp_path, blobs, instructor, monkeypatch):
    monkeypatch.setattr(class_layer, "KNOWN_DICE", 0.0)  # here; the other process is told
    network = NETWORK.model_copy(update={"instructor": instructor})
    start = Start(UMLNetwork(network).state_dict(), INFO)
    settings = tiny_settings(epochs=1, processes=2, anchor=1e-3, class_anchor=10.0)
    (report,) = fit(settings, network, blobs, tmp_path / "run", start=start)
    assert report.stopped
    assert load_checkpoint(tmp_path / "run" / BEST).solved


def test_a_process_that_dies_ends_the_others_with_one_sentence(tmp_path, blobs):
    def kill(step, steps, loss):
        multiprocessing.active_children()[0].kill()

    network = NETWORK.model_copy(update={"instructor": False})  # the last guide has no gradient: nobody waits for it
    with pytest.raises(UMLError, match=r"one of its 2 processes died \(exit code -9\).*go on with --resume"):
        list(fit(tiny_settings(epochs=3, processes=2), network, blobs, tmp_path / "run", on_step=kill))
    assert not multiprocessing.active_children()
    assert not distributed.is_initialized()


class Deadly:
    """Ends the process that unpickles it, as the missing main guard of a script would."""

    def __reduce__(self):
        return os._exit, (1,)


def test_a_process_that_does_not_start_is_one_sentence():
    with (
        pytest.raises(UMLError, match="Expected a second process to start, it did not; call fit under"),
        together(2, print, (Deadly(),)),
    ):
        pytest.fail("must not begin")
    assert not multiprocessing.active_children()


def test_one_process_starts_no_other():
    with together(1, os.abort, ()) as member:
        assert member is None
        assert not multiprocessing.active_children()


# ---- devices


@pytest.fixture
def asked(monkeypatch):
    """Record what Fabric is asked for."""
    calls = []
    monkeypatch.setattr(processes, "Fabric", lambda **options: calls.append(options))
    return calls


@pytest.mark.parametrize(
    ("device", "expected"),
    [("cpu", ("cpu", 1)), ("cuda:0", ("cuda", [0])), ("cuda:3", ("cuda", [3])), ("mps", ("mps", 1))],
)
def test_the_chosen_device_is_the_one_used(asked, monkeypatch, device, expected):
    monkeypatch.setattr(processes, "choose_device", lambda name: Device(device, device))
    make_fabric(tiny_settings(), None, some_unused=False)
    assert (asked[0]["accelerator"], asked[0]["devices"]) == expected


@pytest.mark.parametrize(
    ("precision", "expected"), [("float32", "32-true"), ("bf16", "bf16-mixed"), ("fp16", "16-mixed")]
)
def test_precision_in_fabric_s_words(asked, monkeypatch, precision, expected):
    monkeypatch.setattr(processes, "choose_device", lambda name: Device("cuda:0", "Some GPU"))
    make_fabric(tiny_settings(precision=precision), None, some_unused=False)
    assert asked[0]["precision"] == expected


def test_fp16_is_refused_on_the_cpu(asked):
    with pytest.raises(DeviceError, match="Expected bf16 or float32 to train on the CPU, got fp16"):
        make_fabric(tiny_settings(precision="fp16"), None, some_unused=False)


@pytest.mark.parametrize(("device", "found"), [("mps", 1), ("cuda:0", 2)])
def test_more_processes_than_devices_are_refused(asked, monkeypatch, device, found):
    monkeypatch.setattr(processes, "choose_device", lambda name: Device(device, device))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(DeviceError, match=f"Expected 3 .* devices for as many processes, found {found}; set processes"):
        make_fabric(tiny_settings(), Member(0, 3, 1), some_unused=False)
