"""The whole network: both presets, every switch, any size, grey and colour."""

import pytest
import torch
from tests.tiny import tiny_network
from torch import nn

from napari_uml.config import EncoderConfig, UMLConfig, preset
from napari_uml.nn.base import IMAGENET_MEAN, IMAGENET_STD
from napari_uml.nn.evidence import dirichlet, evidence_from_logits
from napari_uml.nn.losses import uml_loss
from napari_uml.nn.network import UMLNetwork
from napari_uml.nn.output import Intermediates

SWITCHES = [(True, True), (True, False), (False, True), (False, False)]


def build(**changes: object) -> UMLNetwork:
    torch.manual_seed(0)
    return UMLNetwork(UMLConfig.model_validate({**tiny_network().model_dump(), **changes})).eval()


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@torch.no_grad()
def look(network: UMLNetwork, image: torch.Tensor, intermediates: bool = False):
    return network(image, intermediates)


@pytest.fixture(scope="module")
def paper() -> UMLNetwork:
    torch.manual_seed(0)
    return UMLNetwork(preset("paper", 2, 3)).eval()


@pytest.fixture(scope="module")
def compact() -> UMLNetwork:
    torch.manual_seed(0)
    return UMLNetwork(preset("compact", 3, 2)).eval()


# ---- presets


def test_paper_has_39_4_million_parameters(paper):
    assert parameters(paper) == pytest.approx(39.4e6, abs=5e4)
    assert paper.class_encoder.channels == (64, 256, 512, 1024)
    assert paper.mask_encoder.channels == (64, 128, 256, 512)
    assert paper.class_encoder.strides == paper.mask_encoder.strides == (1, 2, 4, 8)
    assert paper.stride == 8


def test_light_is_compact_with_other_encoders(compact):
    light = UMLNetwork(preset("light", 3, 2))
    assert light.class_encoder.channels == light.mask_encoder.channels == (16, 24, 40, 112)
    assert light.class_encoder.strides == (2, 4, 8, 16)
    assert parameters(light) == pytest.approx(8.4e6, abs=5e4)
    assert light.config == compact.config.model_copy(
        update={"class_encoder": light.config.class_encoder, "seg_encoder": light.config.seg_encoder}
    )


def test_every_parameter_of_the_paper_preset_learns(paper):
    paper.train()
    masks = torch.randint(0, 3, (2, 32, 32))
    uml_loss(paper(torch.rand(2, 3, 32, 32)), torch.tensor([0, 1]), masks, 1.0).total.backward()
    still = [name for name, p in paper.named_parameters() if p.grad is None]
    paper.zero_grad()
    paper.eval()
    assert still == []


def test_widths_of_the_paper_preset(paper):
    inner = look(paper, torch.rand(1, 3, 32, 32), intermediates=True).intermediates
    assert [tuple(x.shape[1:]) for x in inner.mixed] == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)]
    assert inner.reliable_top.shape[1:] == (3, 32, 32)
    assert inner.reliable_bottom.shape[1:] == (3, 4, 4)
    assert inner.mask_features.shape[1:] == (128, 32, 32)
    assert inner.guidance.shape[1:] == (128, 4, 4)
    assert inner.head_features.shape[1:] == inner.instructed.shape[1:] == (1024, 4, 4)


def test_paper_as_printed_swaps_the_encoders():
    network = UMLNetwork(preset("paper-as-printed", 2, 3))
    assert network.class_encoder.channels == (64, 128, 256, 512)
    assert network.mask_encoder.channels == (64, 256, 512, 1024)
    assert look(network.eval(), torch.rand(1, 3, 16, 16)).class_evidence.shape == (1, 2)


def test_compact_is_a_quarter_of_the_size_and_works_at_half_the_resolution(compact):
    assert 8e6 < parameters(compact) < 11e6
    inner = look(compact, torch.rand(1, 3, 64, 64), intermediates=True).intermediates
    assert [tuple(x.shape[1:]) for x in inner.mixed] == [(64, 32, 32), (64, 16, 16), (64, 8, 8), (64, 4, 4)]
    assert [type(m) for m in compact.instructor.head] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]


@pytest.mark.parametrize("part", ["mixers", "mutual", "navigator", "instructor"])
def test_convolutions_outside_the_encoders_are_kaiming_normal_by_fan_out(compact, part):
    for module in getattr(compact, part).modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 3000:
            out = module.weight.shape[0] * module.weight.shape[2] * module.weight.shape[3]
            assert module.weight.std().item() == pytest.approx((2 / out) ** 0.5, rel=0.1)


# ---- outputs


@pytest.mark.parametrize(("navigator", "instructor"), SWITCHES)
@pytest.mark.parametrize("evidential", [True, False])
def test_the_output_has_the_same_shapes_whatever_is_switched_on(navigator, instructor, evidential):
    network = build(navigator=navigator, instructor=instructor, evidential_mask=evidential, num_classes=4)
    out = look(network, torch.rand(2, 3, 64, 48))
    assert out.class_evidence.shape == (2, 4)
    assert out.mutual_evidence.shape == out.mask_evidence.shape == (2, 2, 64, 48)
    assert [s.shape for s in out.mask_logits] == [(2, 2, 64, 48)]
    assert [s.shape for s in network.train()(torch.rand(2, 3, 64, 48)).mask_logits] == [(2, 2, 64, 48)] * 4
    assert (out.class_evidence >= 0).all()
    assert (out.mutual_evidence >= 0).all()
    assert out.intermediates is None


@pytest.mark.parametrize(("navigator", "instructor"), SWITCHES)
def test_intermediates_come_on_request_and_lack_what_is_switched_off(navigator, instructor):
    network, image = build(navigator=navigator, instructor=instructor), torch.rand(1, 3, 64, 64)
    out = look(network, image, intermediates=True)
    inner = out.intermediates
    assert isinstance(inner, Intermediates)
    assert len(inner.class_features) == len(inner.mixed) == 4
    assert (inner.reliable_top is not None) == (inner.reliable_bottom is not None) == navigator
    assert (inner.guidance is not None) == instructor
    assert torch.equal(out.class_evidence, look(network, image).class_evidence)


def test_switches_leave_parameters_out():
    sizes = [parameters(build(navigator=n, instructor=i)) for n, i in SWITCHES]
    assert sizes[0] > max(sizes[1], sizes[2])
    assert sizes[3] < min(sizes[1], sizes[2])


@pytest.mark.parametrize("size", [(64, 64), (65, 63), (1, 1), (16, 200), (33, 47), (7, 9)], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_grey_or_colour(size, channels):
    out = look(build(), torch.rand(2, channels, *size))
    assert out.mask_logits[0].shape == out.mutual_evidence.shape == (2, 2, *size)
    assert torch.isfinite(out.class_evidence).all()


def test_grey_is_the_same_as_three_equal_channels():
    network, grey = build(), torch.rand(2, 1, 32, 32)
    one, three = look(network, grey), look(network, grey.repeat(1, 3, 1, 1))
    assert torch.equal(one.class_evidence, three.class_evidence)


def test_padding_repeats_the_border_and_is_cropped():
    network, image = build(), torch.rand(1, 3, 50, 64)
    padded = torch.cat([image, image[:, :, -1:].expand(-1, -1, 14, -1)], dim=2)
    assert torch.allclose(look(network, image).mask_logits[0], look(network, padded).mask_logits[0][:, :, :50])


def test_imagenet_statistics_are_subtracted_inside_unless_switched_off():
    plain, inside = build(normalise=False), build()
    image = torch.rand(1, 3, 64, 64)
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    assert torch.allclose(look(inside, image).class_evidence, look(plain, (image - mean) / std).class_evidence)
    assert not {"mean", "std"} & set(inside.state_dict())


@pytest.mark.parametrize(("source", "shift"), [("alpha", 1.0), ("evidence", 0.0)])
def test_mask_source_decides_whether_m_is_alpha_or_evidence(source, shift):
    network = build(mask_source=source, normalise=True)
    seen = {}
    network.navigator.register_forward_hook(lambda _, inputs, __: seen.update(mask=inputs[2], u=inputs[3]))
    network.mutual.register_forward_hook(lambda _, __, output: seen.update(evidence=evidence_from_logits(output)))
    look(network, torch.rand(1, 3, 64, 64))
    assert torch.allclose(seen["mask"], seen["evidence"] + shift)
    assert torch.allclose(seen["u"], 2 / dirichlet(seen["evidence"]).sum(1, keepdim=True))


def test_the_uncertainty_shown_belongs_to_the_mask_only_when_it_is_evidential():
    image = torch.rand(1, 3, 64, 64)
    own, mutual = look(build(evidential_mask=True), image), look(build(evidential_mask=False), image)
    assert torch.equal(own.mask_evidence, evidence_from_logits(own.mask_logits[0]))
    logits = own.mask_logits[0]
    same = own.mask_evidence.argmax(1) == logits.argmax(1)
    assert same[logits.amax(1) > -50].all()  # far below, the evidence of every class is 0
    assert mutual.mask_evidence is mutual.mutual_evidence


def test_evidence_and_logits_are_float32_under_autocast_and_close():
    network, image = build(), torch.rand(2, 3, 64, 64)
    exact = look(network, image)
    with torch.autocast("cpu", torch.bfloat16):
        out = look(network, image)
    assert {out.class_evidence.dtype, out.mutual_evidence.dtype, out.mask_logits[0].dtype} == {torch.float32}
    assert torch.allclose(out.class_evidence, exact.class_evidence, rtol=0.1, atol=0.1)


def test_images_of_a_batch_do_not_influence_each_other():
    network, images = build(), torch.rand(3, 3, 64, 64)
    together, alone = look(network, images), look(network, images[1:2])
    assert torch.allclose(together.class_evidence[1:2], alone.class_evidence, atol=1e-5)
    assert torch.allclose(together.mask_logits[0][1:2], alone.mask_logits[0], atol=1e-4)


def test_every_loss_reaches_every_part():
    network = build().train()
    masks = torch.randint(0, 2, (2, 64, 64))
    uml_loss(network(torch.rand(2, 3, 64, 64)), torch.tensor([0, 1]), masks, 0.5, True).total.backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


# ---- refused


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 2, 64, 64), (1, 4, 64, 64), (1, 64, 64, 3)])
def test_images_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"Expected images of shape \(B, 1 or 3, H, W\), got"):
        build()(torch.rand(shape))


def test_encoders_of_different_strides_are_refused():
    other = EncoderConfig(name="test_convnext").model_dump()
    with pytest.raises(ValueError, match=r"same strides, got \(2, 4, 8, 16\) of test_resnet and \(4, 8, 16, 32\)"):
        build(seg_encoder=other)
