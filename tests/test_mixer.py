"""The mixer against the order of operations that the paper draws."""

import pytest
import torch

from napari_uml.nn.mixer import Mixer, PolarisedAttention


def naive(mixer: Mixer, class_features: torch.Tensor, mask_features: torch.Tensor) -> torch.Tensor:
    """Project, shuffle, attend and reduce every pixel, one after the other.

    z = sigmoid(LN(W_z(W_v(x) softmax(W_q x)))), y = z x, g = sigmoid(mean(V_q y) V_v y), A = g y + y.
    """

    def project(layer, features):  # a 1 x 1 convolution
        projected = torch.einsum("oc,bchw->bohw", layer.weight.flatten(1), features)
        return projected if layer.bias is None else projected + layer.bias[:, None, None]

    parts = [project(mixer.project_class, class_features), project(mixer.project_mask, mask_features)]
    x, attention = mixer.shuffle(torch.cat(parts, dim=1)), mixer.attention
    weights = project(attention.channel_query, x).flatten(2).softmax(2)  # (B, 1, hw)
    values = project(attention.channel_value, x).flatten(2)  # (B, C/2, hw)
    pooled = (values * weights).sum(2)[:, :, None, None]
    z = torch.sigmoid(attention.norm(project(attention.channel_out, pooled).flatten(1)))
    y = z[:, :, None, None] * x
    query = project(attention.spatial_query, y).mean((2, 3))  # (B, C/2)
    g = torch.sigmoid((query[:, :, None, None] * project(attention.spatial_value, y)).sum(1, keepdim=True))
    attended = g * y + y
    return attended if isinstance(mixer.reduce, torch.nn.Identity) else project(mixer.reduce, attended)


@pytest.mark.parametrize("width", [None, 6])
@pytest.mark.parametrize("shape", [(2, 3, 5, 5, 7), (3, 40, 24, 16, 16), (1, 300, 200, 4, 4)], ids=str)
def test_one_product_of_all_matrices_equals_one_step_after_the_other(shape, width):
    torch.manual_seed(0)
    batch, of_class, of_mask, height, wide = shape
    mixer = Mixer(of_class, of_mask, project=32, width=width, groups=4)
    torch.nn.init.normal_(mixer.attention.norm.weight)  # not the identity
    torch.nn.init.normal_(mixer.attention.norm.bias)
    class_features, mask_features = (torch.randn(batch, c, height, wide) for c in (of_class, of_mask))
    with torch.no_grad():
        found = mixer(class_features, mask_features)
        assert (found - naive(mixer, class_features, mask_features)).abs().max() < 1e-5


def test_weights_of_channels_and_pixels_lie_between_0_and_1():
    torch.manual_seed(0)
    with torch.no_grad():
        of_channels, of_pixels = PolarisedAttention(8)(5 * torch.randn(2, 36, 3), torch.randn(8, 3))
    assert of_channels.shape == (2, 8)
    assert of_pixels.shape == (2, 36, 1)
    for weights in (of_channels, of_pixels):
        assert 0 < weights.min() < weights.max() < 1


def test_channels_of_both_encoders_are_shuffled_in_four_groups():
    mixer = Mixer(3, 5, project=256, width=None, groups=4)
    x = torch.arange(512.0).view(1, 512, 1, 1)
    expected = x.view(1, 128, 4, 1, 1).transpose(1, 2).reshape(1, 512, 1, 1)
    assert torch.equal(mixer.shuffle(x), expected)


def test_fourth_level_keeps_twice_the_projected_channels_and_others_are_reduced():
    class_features, mask_features = torch.rand(2, 3, 4, 4), torch.rand(2, 5, 4, 4)
    for width, channels in ((None, 16), (6, 6)):
        mixer = Mixer(3, 5, project=8, width=width, groups=4)
        assert mixer.width == channels
        assert mixer(class_features, mask_features).shape == (2, channels, 4, 4)


def test_only_the_attention_has_biases():
    mixer = Mixer(3, 5, project=8, width=6, groups=4)
    for layer in (mixer.project_class, mixer.project_mask, mixer.reduce):
        assert layer.bias is None
    attention = mixer.attention
    for name in ("channel_query", "channel_value", "channel_out", "spatial_query", "spatial_value"):
        assert getattr(attention, name).bias is not None


def test_one_pixel_is_enough():
    mixer = Mixer(3, 5, project=8, width=None, groups=4)
    assert mixer(torch.rand(1, 3, 1, 1), torch.rand(1, 5, 1, 1)).shape == (1, 16, 1, 1)


def test_every_parameter_learns():
    mixer = Mixer(3, 5, project=8, width=6, groups=4)
    mixer(torch.randn(2, 3, 4, 4), torch.randn(2, 5, 4, 4)).square().sum().backward()
    assert [name for name, p in mixer.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
