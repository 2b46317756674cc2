"""What learns and what stays, and the pull towards the start."""

import pytest
import torch
from tests.tiny import tiny_network, tiny_settings
from torch import nn

from napari_uml.nn.losses import uml_loss
from napari_uml.nn.network import UMLNetwork
from napari_uml.training.learning import Anchor, LossModule, choose_trainable, freeze_norm


@pytest.fixture
def network() -> UMLNetwork:
    torch.manual_seed(0)
    return UMLNetwork(tiny_network())


def learning(network: UMLNetwork) -> set[str]:
    return {name for name, p in network.named_parameters() if p.requires_grad}


def test_all_decoders_or_heads(network):
    everything = learning(network)
    choose_trainable(network, "all")
    assert learning(network) == everything
    choose_trainable(network, "decoders")
    assert learning(network) == {name for name in everything if "encoder" not in name}
    choose_trainable(network, "heads")
    heads = {"instructor.classify.weight", "mutual.head.0.weight", "mutual.head.1.weight"}
    assert learning(network) == heads | {f"navigator.heads.{i}.weight" for i in range(4)}


@pytest.mark.parametrize("part", ["all", "decoders", "heads"])
def test_statistics_of_what_does_not_learn_stay(network, part):
    choose_trainable(network, part)
    network.train()
    freeze_norm(network)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network(torch.rand(2, 3, 64, 64))
    moved = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert any("encoder" in name for name in moved) == (part == "all")
    assert any("encoder" not in name for name in moved) == (part != "heads")
    assert all("running" in name or "num_batches" in name for name in moved)


def test_the_anchor_is_the_squared_distance_times_its_weight():
    layer = nn.Linear(2, 1)
    layer.bias.requires_grad_(False)
    anchor = Anchor(layer, 0.5)
    assert anchor().item() == 0
    with torch.no_grad():
        layer.weight += torch.tensor([[1.0, 2.0]])
        layer.bias += 100
    assert anchor().item() == pytest.approx(0.5 * (1 + 4))
    anchor().backward()
    assert torch.allclose(layer.weight.grad, torch.tensor([[1.0, 2.0]]))


def test_an_anchor_can_pull_more_on_one_parameter():
    layer = nn.Linear(2, 1)
    anchor = Anchor(layer, 0.5, more={"bias": 2.0})
    with torch.no_grad():
        layer.weight += 1
        layer.bias += 1
    assert anchor().item() == pytest.approx(0.5 * 2 + 2.5)


def test_an_anchor_of_new_layers_alone_pulls_nowhere():
    layer = nn.Linear(2, 1)
    assert torch.equal(layer.weight.sum() + Anchor(layer, 0.5, ["weight", "bias"])(), layer.weight.sum())


def test_an_anchor_can_be_moved():
    layer = nn.Linear(2, 1)
    anchor = Anchor(layer, 1.0)
    anchor.load({name: torch.zeros_like(p) for name, p in layer.named_parameters()})
    expected = sum(p.square().sum() for p in layer.parameters())
    assert torch.allclose(anchor(), expected)


@pytest.mark.parametrize("changes", [{}, {"mask_cross_entropy": False, "dice_source": "softmax", "image_dice": 0.5}])
def test_the_loss_module_passes_the_settings_on(network, changes):
    config = tiny_settings(**changes)
    network.eval()
    images, masks, labels = torch.rand(2, 3, 64, 64), torch.randint(0, 2, (2, 64, 64)), torch.tensor([0, 1])
    with torch.no_grad():
        found, pull = LossModule(network, config)(images, masks, labels, 0.3)
        expected = uml_loss(
            network(images), labels, masks, 0.3, config.mask_cross_entropy, config.dice_source,
            image_dice=config.image_dice,
        )  # fmt: skip
    assert torch.equal(torch.stack(found), torch.stack(expected))
    assert pull == 0
