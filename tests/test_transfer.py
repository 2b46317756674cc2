"""Weights of one task as the start of another."""

import pytest
import torch
from tests.tiny import tiny_network

from napari_uml.baselines.registry import make_network
from napari_uml.config import EncoderConfig, Task
from napari_uml.errors import WeightsError
from napari_uml.nn.network import UMLNetwork
from napari_uml.training.transfer import class_encoder, transfer

LAST = UMLNetwork.last_layers

OLD = Task(seg_classes=("background", "rim", "cup"), cls_classes=("normal", "glaucoma"))
NEW = Task(seg_classes=("background", "cup", "vessel", "rim"), cls_classes=("glaucoma", "myopia", "normal"))


def network(task: Task, seed: int, **changes: object) -> UMLNetwork:
    torch.manual_seed(seed)
    config = tiny_network(len(task.cls_classes), len(task.seg_classes))
    return UMLNetwork(config.model_copy(update=changes)).eval()


def test_the_same_task_gets_every_weight():
    old, new = network(OLD, 0), network(OLD, 1)
    assert transfer(new, old.state_dict(), OLD, OLD).new == ()
    for name, value in old.state_dict().items():
        assert torch.equal(new.state_dict()[name], value), name


def test_heads_are_matched_by_name_and_new_names_stay_untrained():
    old, new = network(OLD, 0), network(NEW, 1)
    fresh = {name: value.clone() for name, value in new.state_dict().items()}
    assert transfer(new, old.state_dict(), OLD, NEW).new == ("myopia", "vessel")
    before, after = old.state_dict(), new.state_dict()
    for name in LAST.classes:
        assert torch.equal(after[name], torch.stack([before[name][1], fresh[name][1], before[name][0]]))
    for name in LAST.structures:
        rows = [before[name][0], before[name][2], fresh[name][2], before[name][1]]
        assert torch.equal(after[name], torch.stack(rows)), name
    for name in LAST.structure_inputs:
        columns = [before[name][:, 0], before[name][:, 2], fresh[name][:, 2], before[name][:, 1]]
        assert torch.equal(after[name], torch.stack(columns, dim=1)), name
    heads = {*LAST.classes, *LAST.structures, *LAST.structure_inputs}
    for name in set(after) - heads:
        assert torch.equal(after[name], before[name]), name


def test_every_weight_that_depends_on_the_task_is_matched():
    small, large = network(OLD, 0).state_dict(), network(NEW, 0).state_dict()
    differ = {name for name in small if small[name].shape != large[name].shape}
    assert differ == {*LAST.classes, *LAST.structures, *LAST.structure_inputs}


def test_a_structure_without_its_class_of_the_same_name_is_new():
    old = Task(seg_classes=("background", "rim", "cup"), cls_classes=("lesion", "none"))
    new = Task(seg_classes=("background", "rim", "lesion"), cls_classes=("lesion", "none"))
    assert transfer(network(new, 1), network(old, 0).state_dict(), old, new).new == ("lesion",)


def test_half_precision_weights_are_brought_to_the_network_s():
    old, new = network(OLD, 0), network(OLD, 1)
    half = {k: v.half() if v.is_floating_point() else v for k, v in old.state_dict().items()}
    transfer(new, half, OLD, OLD)
    assert {p.dtype for p in new.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"instructor": False}, "these have other layers"), ({"decoder_widths": (8, 8, 16)}, "Expected .* weights in ")],
)
def test_weights_of_another_network_are_refused_and_leave_this_one_alone(changes, message):
    old, new = network(OLD, 0, **changes), network(OLD, 1)
    fresh = {name: value.clone() for name, value in new.state_dict().items()}
    with pytest.raises(WeightsError, match=message):
        transfer(new, old.state_dict(), OLD, OLD)
    assert all(torch.equal(value, fresh[name]) for name, value in new.state_dict().items())


def test_a_task_that_is_not_that_of_the_weights_is_refused():
    with pytest.raises(WeightsError, match="Expected weights for background, cup, vessel, rim, got 3"):
        transfer(network(OLD, 1), network(OLD, 0).state_dict(), NEW, OLD)


@pytest.mark.parametrize(("old", "new"), [("ec", "uml"), ("uml", "ec"), ("uml", "dsi-net")])
def test_a_class_encoder_has_the_names_of_the_system_that_it_is_for(old, new):
    configs = [tiny_network(2, 3).model_copy(update={"arch": arch}) for arch in (old, new)]
    torch.manual_seed(0)
    source, target = map(make_network, configs)
    found = class_encoder(source.state_dict(), *configs)
    loaded = target.load_state_dict(found, strict=False)
    assert loaded.unexpected_keys == []
    ours = source.get_submodule("encoder" if old == "ec" else "class_encoder")
    theirs = target.get_submodule("encoder" if new == "ec" else "class_encoder")
    for name, weight in theirs.state_dict().items():
        assert torch.equal(weight, ours.state_dict()[name]), name
    assert len(found) == len(theirs.state_dict())


def test_a_class_encoder_that_is_none_or_another_is_refused():
    config = tiny_network(2, 3)
    with pytest.raises(ValueError, match=r"Expected systems with a class encoder .*, got tbrats"):
        class_encoder({}, config.model_copy(update={"arch": "tbrats"}), config)
    other = EncoderConfig(name="tf_efficientnet_lite0")
    with pytest.raises(ValueError, match="got tf_efficientnet_lite0 for test_resnet; train both with the same"):
        class_encoder({}, config.model_copy(update={"class_encoder": other}), config)


@pytest.mark.parametrize("thaws", [True, False])
def test_frozen_batch_normalisation_can_learn_and_the_other_way_round(thaws):
    frozen = EncoderConfig(name="test_resnet", pretrained=True)
    both = [frozen, frozen.model_copy(update={"frozen_norm": False})]
    configs = [tiny_network(2, 3).model_copy(update={"class_encoder": encoder}) for encoder in both]
    old, new = (UMLNetwork(config, download=False) for config in (configs if thaws else configs[::-1]))
    assert transfer(new, old.state_dict(), OLD, OLD).new == ()
    for name, value in new.state_dict().items():
        assert name.endswith("num_batches_tracked") or torch.equal(value, old.state_dict()[name]), name
