"""The class on few images: what stays, and what its last layer is solved for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from tests.tiny import INFO, tiny_dataset, tiny_network, tiny_settings

from napari_uml.baselines.registry import make_network
from napari_uml.data.dataset import read_dataset
from napari_uml.data.samples import Sample, load_samples
from napari_uml.nn.evidence import evidence_from_logits
from napari_uml.nn.losses import evidential_cross_entropy
from napari_uml.training.class_layer import KeptFeatures, freeze_class, knows_kind, solve_class_layer

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from napari_uml.nn.base import Network

CPU = torch.device("cpu")


def network_of(arch: str) -> Network:
    torch.manual_seed(0)
    return make_network(tiny_network().model_copy(update={"arch": arch})).eval()


def weight_of(network: Network) -> Tensor:
    return network.state_dict()[network.last_layers.classes[0]]


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """Eight, of which two are malignant."""
    found = load_samples([read_dataset(tiny_dataset(tmp_path / "blobs"))], "train", 32, INFO)
    return [sample for i, sample in enumerate(found) if i % 2 == 0 or i < 4]


def solved(network: Network, samples: list[Sample], pull: float, **changes: object) -> Tensor:
    settings = tiny_settings(class_anchor=pull, **changes)
    return solve_class_layer(network, network, samples, weight_of(network), settings, CPU)


def taught_by(loss: Tensor, network: Network) -> set[str]:
    """Return the names of what a loss has a gradient for."""
    network.zero_grad()
    loss.backward()
    return {name for name, p in network.named_parameters() if p.grad is not None and p.grad.any()}


@pytest.mark.parametrize("arch", ["uml", "ec", "bcs"])
def test_the_class_loss_teaches_its_last_layer_alone(arch: str) -> None:
    network = network_of(arch).train()
    freeze_class(network)
    KeptFeatures(network)
    output = network(torch.rand(2, 3, 64, 64))
    told = output.class_logits if output.class_evidence is None else output.class_evidence
    assert told is not None
    assert taught_by(told.square().sum(), network) == set(network.last_layers.classes)


def test_the_kind_is_known_by_the_outlines() -> None:
    assert knows_kind({"dice_present/rim": 0.6, "dice_present/cup": 0.8, "auc": 0.1})
    assert not knows_kind({"dice_present/rim": 0.5, "dice_present/cup": 0.8, "auc": 1.0})
    assert knows_kind({"auc": 0.1})  # nothing is outlined


def test_what_the_last_layer_reads_is_kept() -> None:
    network, images = network_of("uml"), torch.rand(2, 3, 64, 64)
    freeze_class(network)
    kept = KeptFeatures(network)
    network(images)
    assert kept(images) < 1e-5
    with torch.no_grad():
        network.get_submodule("mask_encoder").get_parameter("backbone.conv1.0.weight").mul_(2)
    network(images)
    term = kept(images)
    assert term > 1e-3
    taught = taught_by(term, network)
    assert {name.split(".")[0] for name in taught} == {"mask_encoder", "mixers", "mutual", "navigator"}

    kept.load(network.state_dict())
    network(images)
    assert kept(images) < 1e-5


@pytest.mark.parametrize("balanced", [0.0, 0.5, 1.0])
def test_nothing_near_is_better(samples: list[Sample], balanced: float) -> None:
    network, read = network_of("uml"), []
    weight = solved(network, samples, 1.0, balanced=balanced)
    start, labels = weight_of(network), torch.tensor([sample.label for sample in samples])
    layer = network.get_submodule("instructor.classify")
    layer.register_forward_pre_hook(lambda _layer, inputs: read.append(inputs[0]))
    with torch.no_grad():
        network(torch.stack([sample.image.float() / 255 for sample in samples]))
    counts = labels.bincount().float() ** (1 - balanced)

    def objective(tried: Tensor) -> float:
        evidence = evidence_from_logits(read[0] @ tried.T)
        losses = torch.stack([evidential_cross_entropy(evidence[labels == k], labels[labels == k]) for k in (0, 1)])
        return float((losses * counts / counts.sum()).sum() + 1.0 / len(labels) * (tried - start).square().sum())

    best = objective(weight)
    assert best < objective(start)
    for _ in range(20):
        assert best < objective(weight + 0.05 * torch.randn_like(weight))


@pytest.mark.parametrize("arch", ["uml", "bcs"])
def test_the_more_pull_the_nearer_the_start(samples: list[Sample], arch: str) -> None:
    network = network_of(arch)
    before = {name: x.clone() for name, x in network.state_dict().items()}
    moved = []
    for pull in (0.01, 1.0, 1e6):
        weight = solved(network, samples, pull)
        moved.append(float((weight - weight_of(network)).norm()))
    assert moved[0] > moved[1] > moved[2]
    assert moved[2] == pytest.approx(0, abs=1e-4)
    assert all(torch.equal(x, before[name]) for name, x in network.state_dict().items())


def test_only_own_images_of_known_class_count(samples: list[Sample]) -> None:
    network = network_of("ec")
    others = [replace(samples[0], mixed=True, label=1), replace(samples[0], label=-1)]
    alone, among = solved(network, samples, 1.0), solved(network, [*samples, *others], 1.0)
    assert torch.equal(alone, among)


def test_one_class_tells_nothing(samples: list[Sample]) -> None:
    network = network_of("uml")
    for told in ([sample for sample in samples if sample.label == 0], [replace(samples[0], label=-1)]):
        assert torch.equal(solved(network, told, 1.0), weight_of(network))
