"""Mutual decoder, navigator and instructor, step by step against Eq. 4-6."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from napari_uml.nn.decoders import DoubleConv, Guide, MutualDecoder, Navigator, UpStages, shrink, upsample
from napari_uml.nn.instructor import Instructor

MASK_CHANNELS, WIDTHS, Q = (3, 4, 5, 6), (7, 8, 9), 3


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def features(channels, size=16, batch=2):
    return [torch.randn(batch, c, size >> i, size >> i) for i, c in enumerate(channels)]


def navigator(guided=True, mixed=10, bottom=11):
    return Navigator(MASK_CHANNELS, mixed, WIDTHS, bottom, Q, 0.1, guided).eval()


def test_double_conv_is_twice_conv_norm_relu_dropout():
    kinds = [type(layer) for layer in DoubleConv(3, 5, 0.1)]
    assert kinds == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Dropout2d] * 2
    (first, *_, second) = [m for m in DoubleConv(3, 5, 0.1) if isinstance(m, nn.Conv2d)]
    assert (first.in_channels, first.out_channels, second.in_channels, second.out_channels) == (3, 5, 5, 5)
    assert first.kernel_size == (3, 3)
    assert first.bias is not None


def test_up_stages_join_the_skip_with_the_convolved_coarser_features():
    skips, bottom = features((3, 4, 5)), torch.randn(2, 6, 2, 2)
    stages = UpStages(6, (3, 4, 5), WIDTHS, 0.1).eval()
    results = stages(bottom, skips)
    assert stages.channels == [5 + 9, 4 + 8, 3 + 7]
    x = bottom
    for block, skip, result in zip(stages.blocks, reversed(skips), results, strict=True):
        up = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        x = torch.cat([skip, block(up)], 1)
        assert torch.equal(result, x)


def test_mutual_decoder_gives_logits_on_the_finest_grid():
    mixed = features((3, 4, 5, 6))
    decoder = MutualDecoder((3, 4, 5, 6), WIDTHS, 12, Q, 0.1).eval()
    logits = decoder(mixed)
    assert logits.shape == (2, Q, 16, 16)
    assert torch.equal(logits, decoder.head(decoder.stages(mixed[3], mixed[:3])[-1]))
    assert [(c.kernel_size, c.bias) for c in decoder.head] == [((1, 1), None)] * 2


def test_navigator_is_equations_4_and_5():
    net, masks, mixed = navigator(), features(MASK_CHANNELS), torch.randn(2, 10, 2, 2)
    mutual, u = torch.rand(2, Q, 16, 16) * 5 + 1, torch.rand(2, 1, 16, 16)
    with torch.no_grad():
        found = net(masks, mixed, mutual, u)
        trust = torch.exp(-functional.avg_pool2d(u, 8))
        x = net.bottom(torch.cat([masks[3], mixed], 1) * trust)
        s4 = net.heads[3](x)
        reliable_bottom = (s4 + functional.avg_pool2d(mutual, 8)) * trust
        x = net.guide_bottom.join(torch.cat([x, net.guide_bottom.embed(reliable_bottom)], 1))
        results = net.stages(x, masks[:3])
        s3, s2, s1 = (net.heads[i](y) for i, y in zip((2, 1, 0), results, strict=True))
        reliable_top = (s1 + mutual) * torch.exp(-u)
        r_s = net.guide_top.join(torch.cat([results[2], net.guide_top.embed(reliable_top)], 1))
    for a, b in zip(found.logits, (s1, s2, s3, s4), strict=True):
        assert torch.allclose(a, b, atol=1e-6)
    assert torch.allclose(found.reliable_bottom, reliable_bottom, atol=1e-6)
    assert torch.allclose(found.reliable_top, reliable_top, atol=1e-6)
    assert torch.allclose(found.features, r_s, atol=1e-6)
    assert net.channels == r_s.shape[1] == 3 + 7


def test_guide_embeds_with_norm_and_relu_and_has_no_bias():
    guide = Guide(Q, 10)
    assert [type(layer) for layer in guide.embed] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert (guide.join.in_channels, guide.join.out_channels, guide.join.kernel_size) == (20, 10, (1, 1))
    assert guide.join.bias is None
    assert guide.embed[0].bias is None


def test_without_guidance_mutual_mask_and_uncertainty_have_no_influence():
    net, masks, mixed = navigator(guided=False), features(MASK_CHANNELS), torch.randn(2, 10, 2, 2)
    with torch.no_grad():
        one, other = (
            net(masks, mixed, torch.rand(2, Q, 16, 16) * scale, torch.rand(2, 1, 16, 16)) for scale in (1, 100)
        )
    assert torch.equal(one.logits[0], other.logits[0])
    assert one.reliable_top is None
    assert one.reliable_bottom is None
    assert torch.equal(net.heads[0](one.features), one.logits[0])  # eta comes from the top decoder feature
    assert not any("guide" in name for name, _ in net.named_parameters())


def test_where_the_uncertainty_is_high_the_mutual_mask_counts_less():
    net, masks, mixed = navigator(), features(MASK_CHANNELS), torch.randn(2, 10, 2, 2)
    mutual = torch.ones(2, Q, 16, 16)
    with torch.no_grad():
        sure = net(masks, mixed, mutual, torch.zeros(2, 1, 16, 16)).reliable_top
        unsure = net(masks, mixed, mutual, torch.ones(2, 1, 16, 16))
    assert torch.allclose(sure, net(masks, mixed, mutual, torch.zeros(2, 1, 16, 16)).logits[0] + 1, atol=1e-6)
    assert torch.allclose(unsure.reliable_top, (unsure.logits[0] + 1) * torch.exp(torch.tensor(-1.0)), atol=1e-6)


def test_upsample_leaves_the_same_size_alone():
    x = torch.rand(1, 2, 4, 4)
    assert upsample(x, (4, 4)) is x
    assert upsample(x, (8, 8)).shape == (1, 2, 8, 8)


def test_shrink_is_the_mean_over_areas():
    x = torch.rand(2, 3, 16, 24)
    assert torch.allclose(shrink(x, torch.empty(1, 1, 2, 3)), functional.avg_pool2d(x, 8))


# ---- instructor


def test_instructor_is_equation_6():
    net = Instructor(10, "dilated", (12, 8), 5, 4, 0.1).eval()
    class_features, mixed, mask_features = torch.randn(2, 6, 4, 4), torch.randn(2, 4, 4, 4), torch.randn(2, 5, 32, 32)
    with torch.no_grad():
        found = net(class_features, mixed, mask_features)
        f = net.head(torch.cat([class_features, mixed], 1))
        eta = functional.avg_pool2d(mask_features, 8)
        r_c = f + f * net.guide(eta)
    assert torch.allclose(found.features, f)
    assert torch.allclose(found.guidance, eta, atol=1e-6)
    assert torch.allclose(found.instructed, r_c, atol=1e-6)
    assert torch.allclose(found.logits, r_c.mean((2, 3)) @ net.classify.weight.T, atol=1e-6)
    assert net.classify.bias is None


def test_without_the_instructor_the_head_is_pooled_and_the_mask_has_no_influence():
    net = Instructor(10, "conv", (8,), 5, 4, 0.1, guided=False).eval()
    class_features, mixed = torch.randn(2, 6, 4, 4), torch.randn(2, 4, 4, 4)
    with torch.no_grad():
        one, other = (net(class_features, mixed, torch.randn(2, 5, 32, 32)) for _ in range(2))
    assert torch.equal(one.logits, other.logits)
    assert one.guidance is None
    assert one.instructed is one.features


def test_the_dilated_head_is_depthwise_then_pointwise():
    head = Instructor(1536, "dilated", (1024, 512, 512, 1024), 128, 2, 0.1).head
    assert [type(layer) for layer in head] == [nn.Conv2d, nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * 4
    convolutions = [layer for layer in head if isinstance(layer, nn.Conv2d)]
    depthwise, pointwise = convolutions[::2], convolutions[1::2]
    assert [(c.in_channels, c.out_channels) for c in pointwise] == [(1536, 1024), (1024, 512), (512, 512), (512, 1024)]
    assert all(c.groups == c.in_channels == c.out_channels and c.dilation == (2, 2) for c in depthwise)
    assert all(c.bias is None for c in convolutions)
