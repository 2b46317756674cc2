"""The mixer, and its attention against the order of operations that the paper draws."""

import pytest
import torch

from napari_uml.nn.mixer import Mixer, PolarisedAttention


def naive(attention: PolarisedAttention, x: torch.Tensor) -> torch.Tensor:
    """Project every pixel first, then pool.

    z = sigmoid(LN(W_z(W_v(x) softmax(W_q x)))), y = z x, g = sigmoid(mean(V_q y) V_v y), A = g y + y.
    """

    def project(layer, features):  # a 1 x 1 convolution
        return torch.einsum("oc,bchw->bohw", layer.weight.flatten(1), features) + layer.bias[:, None, None]

    weights = project(attention.channel_query, x).flatten(2).softmax(2)  # (B, 1, hw)
    values = project(attention.channel_value, x).flatten(2)  # (B, C/2, hw)
    pooled = (values * weights).sum(2)[:, :, None, None]
    z = torch.sigmoid(attention.norm(project(attention.channel_out, pooled).flatten(1)))
    y = z[:, :, None, None] * x
    query = project(attention.spatial_query, y).mean((2, 3))  # (B, C/2)
    g = torch.sigmoid((query[:, :, None, None] * project(attention.spatial_value, y)).sum(1, keepdim=True))
    return g * y + y


@pytest.mark.parametrize("shape", [(2, 8, 5, 7), (3, 64, 16, 16), (1, 512, 4, 4)], ids=str)
def test_cheap_order_equals_the_naive_order(shape):
    torch.manual_seed(0)
    attention = PolarisedAttention(shape[1])
    torch.nn.init.normal_(attention.norm.weight)  # not the identity
    torch.nn.init.normal_(attention.norm.bias)
    x = torch.randn(shape)
    with torch.no_grad():
        assert (attention(x) - naive(attention, x)).abs().max() < 1e-5


def test_attention_weights_lie_between_one_and_two_times_the_channel_weight():
    torch.manual_seed(0)
    attention, x = PolarisedAttention(8), torch.rand(2, 8, 6, 6) + 0.1
    with torch.no_grad():
        ratio = attention(x) / x  # (1 + g) z with g, z in (0, 1)
    assert (ratio > 0).all()
    assert (ratio < 2).all()


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


def test_attention_may_be_larger_than_the_batch_of_pixels():
    attention = PolarisedAttention(8)
    assert attention(torch.rand(1, 8, 1, 1)).shape == (1, 8, 1, 1)
