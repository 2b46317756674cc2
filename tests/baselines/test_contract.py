"""One contract for every architecture: shapes, gradients, learning, weights files, predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import numpy as np
import pytest
import torch
from tests.tiny import INFO, tiny_network

from napari_uml.baselines.registry import ARCHITECTURES, make_network
from napari_uml.config import Arch, Task, UMLConfig, preset
from napari_uml.errors import WeightsError
from napari_uml.inference.folding import fold_batch_norm
from napari_uml.inference.predictor import UMLPredictor
from napari_uml.nn.losses import uml_loss
from napari_uml.training.learning import choose_trainable
from napari_uml.training.transfer import transfer
from napari_uml.weights import WeightsInfo, save_weights

if TYPE_CHECKING:
    from pathlib import Path

    from napari_uml.nn.base import Network

every_architecture = pytest.mark.parametrize("arch", list(ARCHITECTURES))
LABELS = torch.tensor([0, 1])
MASKS = torch.zeros(2, 64, 64, dtype=torch.long)
MASKS[0, 10:50, 10:50] = 1
MASKS[1, 30:45, 20:40] = 1


def config(arch: str, classes: int = 2, structures: int = 2) -> UMLConfig:
    return UMLConfig.model_validate({**tiny_network(classes, structures).model_dump(), "arch": arch, "dropout": 0.0})


def build(arch: str, **changes: int) -> Network:
    torch.manual_seed(0)
    return make_network(config(arch, **changes), download=False)


def images() -> torch.Tensor:
    noise = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    return 0.3 * noise + 0.6 * MASKS[:, None]


def info_of(arch: str) -> WeightsInfo:
    task = Task.model_validate(INFO.model_dump(include=set(Task.model_fields)))
    return WeightsInfo(
        name=arch, title=ARCHITECTURES[arch].title, version="1", config=config(arch), task=task, image_size=64,
        training={}, validation={}, intensity={"mean": (0.5,), "std": (0.2,)}, licence="CC0", not_for="use",
        written_by="a test",
    )  # fmt: skip


def weights_of(arch: str, folder: Path) -> Path:
    path = folder / f"{arch}.safetensors"
    save_weights(path, build(arch).state_dict(), info_of(arch), half=False)
    return path


def test_the_registry_has_every_architecture_that_a_configuration_may_name():
    assert tuple(ARCHITECTURES) == get_args(Arch)


@every_architecture
def test_the_output_has_what_the_registry_promises(arch):
    architecture, network = ARCHITECTURES[arch], build(arch, classes=3, structures=4).eval()
    with torch.no_grad():
        out = network(torch.rand(2, 1, 50, 67))
    assert out.answers == architecture.answers
    assert all(logits.shape == (2, 4, 50, 67) for logits in out.mask_logits)
    for part, answer, shape in (
        ("class", out.class_answer, (2, 3)),
        ("mask", out.mask_answer, (2, 4, 50, 67)),
    ):
        assert (answer is not None) == (part in architecture.answers)
        if answer is not None:
            assert answer.measure == architecture.measure
            assert answer.belief.shape == shape
            assert answer.uncertainty.shape == (2, 1, *shape[2:])
            assert answer.belief.dtype == answer.uncertainty.dtype == torch.float32
            assert torch.allclose(answer.probability.sum(1), torch.ones(()), atol=1e-5)
            assert 0 <= answer.uncertainty.min() <= answer.uncertainty.max() <= 1 + 1e-6


@every_architecture
def test_every_parameter_learns(arch):
    network = build(arch).train()
    uml_loss(network(images()), LABELS, MASKS, 1.0, mask_cross_entropy=True).total.backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


@every_architecture
def test_the_loss_falls_on_a_tiny_batch(arch):
    network = build(arch).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        loss = uml_loss(network(images()), LABELS, MASKS, 0.1, mask_cross_entropy=True)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        losses.append(loss)
    assert losses[-1].total < 0.8 * losses[0].total
    has_mask, has_class = (part in ARCHITECTURES[arch].answers for part in ("mask", "class"))
    assert (losses[0].mask > 0) == has_mask
    assert (losses[0].class_ > 0) == has_class


@every_architecture
def test_images_without_label_and_mask_are_learnt_from_without_harm(arch):
    unknown = uml_loss(build(arch)(images()), torch.tensor([-1, -1]), torch.full_like(MASKS, 255), 1.0)
    assert torch.isfinite(unknown.total)
    assert unknown.mask == unknown.class_ == unknown.mutual == 0


@every_architecture
def test_folded_batch_norm_is_the_same_function(arch):
    plain, folded = build(arch).eval(), fold_batch_norm(build(arch).eval())
    with torch.no_grad():
        before, after = plain(images()), folded(images())
    for one, other in ((before.class_answer, after.class_answer), (before.mask_answer, after.mask_answer)):
        assert (one is None) == (other is None)
        if one is not None:
            assert torch.allclose(one.belief, other.belief, atol=1e-4)


@every_architecture
def test_saved_weights_predict_as_the_network_does(arch, tmp_path):
    predictor = UMLPredictor.load(weights_of(arch, tmp_path), "cpu", "float32")
    image = np.random.default_rng(0).random((64, 64), dtype=np.float32)
    prediction = predictor.predict(image, details=True)
    with torch.no_grad():
        out = build(arch).eval()(torch.from_numpy(image)[None, None])
    assert prediction.answers == ARCHITECTURES[arch].answers
    if out.class_answer is None:
        assert prediction.opinion.uncertainty == 1
        assert not prediction.opinion.belief.any()
    else:
        expected = out.class_answer.probability[0].numpy()
        np.testing.assert_allclose(prediction.opinion.probability, expected, atol=1e-4)
        assert prediction.opinion.measure == ARCHITECTURES[arch].measure
    if out.mask_answer is None:
        assert (prediction.pixel_uncertainty == 1).all()
        assert not prediction.mask.any()
    else:
        expected = out.mask_answer.uncertainty[0, 0].numpy()
        np.testing.assert_allclose(prediction.pixel_uncertainty, expected, atol=1e-3)
        np.testing.assert_allclose(prediction.pixel_probability.sum(0), 1, atol=1e-3)
        assert prediction.measure == ARCHITECTURES[arch].measure


@every_architecture
def test_weights_of_another_architecture_are_refused(arch, tmp_path):
    other = "bcs" if arch != "bcs" else "ec"
    path = tmp_path / "other.safetensors"
    save_weights(path, build(other).state_dict(), info_of(arch))
    with pytest.raises(WeightsError, match="do not fit the network"):
        UMLPredictor.load(path)


@every_architecture
def test_only_the_last_layers_learn_when_only_heads_do(arch):
    network = build(arch)
    choose_trainable(network, "heads")
    learning = {name for name, p in network.named_parameters() if p.requires_grad}
    assert learning >= {*network.last_layers.classes, *network.last_layers.structures}
    assert not any("encoder" in name for name in learning)
    choose_trainable(build(arch), "decoders")


@every_architecture
def test_classes_and_structures_of_another_task_are_matched_by_name(arch):
    old = Task(seg_classes=("background", "rim", "cup"), cls_classes=("normal", "glaucoma"))
    new = Task(seg_classes=("background", "cup"), cls_classes=("glaucoma", "other", "normal"))
    first, second = build(arch, structures=3), build(arch, classes=3)
    transfer(second, first.state_dict(), old, new)
    before, after = first.state_dict(), second.state_dict()
    for name in second.last_layers.classes:
        assert torch.equal(after[name][2], before[name][0])
    for name in second.last_layers.structures:
        assert torch.equal(after[name][1], before[name][2])


@every_architecture
def test_without_an_answer_a_rectangle_and_a_stack_are_no_problem(arch, tmp_path):
    predictor = UMLPredictor.load(weights_of(arch, tmp_path), "cpu", "float32")
    stack = np.random.default_rng(0).random((2, 40, 52), dtype=np.float32)
    prediction = predictor.predict(stack, stack=True)
    assert prediction.mask.shape == (2, 40, 52)
    assert prediction.answers == ARCHITECTURES[arch].answers
    assert prediction.opinion.measure == prediction.opinions[0].measure


@pytest.mark.slow
@every_architecture
def test_sizes_are_comparable_with_uml(arch):
    def parameters(name: str) -> int:
        network = make_network(preset("compact", 3, 2).model_copy(update={"arch": name}))
        return sum(p.numel() for p in network.parameters())

    assert 0.3 < parameters(arch) / parameters("uml") < 1.3
