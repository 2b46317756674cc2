"""One contract for every backbone, and what happens when there is none or no network connection."""

import huggingface_hub.errors
import pytest
import timm
import torch
from torch import nn
from torchvision.ops.misc import FrozenBatchNorm2d

from napari_uml.config import EncoderConfig, preset
from napari_uml.errors import WeightsError
from napari_uml.nn import encoders
from napari_uml.nn.encoders import Encoder

BACKBONES = [
    "resnet18d", "resnet10t", "test_resnet", "vgg11_bn", "regnetx_002", "mobilenetv3_small_050", "test_efficientnet",
    "test_convnext", "densenet121",
]  # fmt: skip
TABLE = {
    ("res2net50d", 1): ((64, 256, 512, 1024), (1, 2, 4, 8)),
    ("vgg16_bn", None): ((64, 128, 256, 512), (1, 2, 4, 8)),
    ("resnet18d", None): ((64, 64, 128, 256), (2, 4, 8, 16)),
}


@pytest.mark.parametrize("name", BACKBONES)
def test_four_feature_maps_finest_first_as_declared(name):
    encoder = Encoder(EncoderConfig(name=name)).eval()
    with torch.no_grad():
        features = encoder(torch.rand(2, 3, 64, 96))
    assert len(encoder.channels) == len(encoder.strides) == len(features) == 4
    for feature, channels, stride in zip(features, encoder.channels, encoder.strides, strict=True):
        assert feature.shape == (2, channels, 64 // stride, 96 // stride)


@pytest.mark.parametrize(("backbone", "declared"), TABLE.items(), ids=lambda x: str(x[0]))
def test_channels_and_strides_of_the_presets(backbone, declared):
    name, stem_stride = backbone
    encoder = Encoder(EncoderConfig(name=name, stem_stride=stem_stride)).eval()
    assert (encoder.channels, encoder.strides) == declared
    with torch.no_grad():
        shapes = [tuple(x.shape[1:]) for x in encoder(torch.rand(1, 3, 32, 32))]
    assert shapes == [(c, 32 // s, 32 // s) for c, s in zip(*declared, strict=True)]


def test_the_last_stage_is_never_built():
    assert "layer4" not in dict(Encoder(EncoderConfig(name="resnet18d")).backbone.named_children())
    convolutions = [m for m in Encoder(EncoderConfig(name="vgg16_bn")).modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 10  # of 13: block 5 is missing


def test_vgg_is_tapped_after_the_last_relu_of_a_block_and_before_pooling():
    encoder = Encoder(EncoderConfig(name="vgg16_bn")).eval()
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        features, expected, before = encoder(x), [], None
        for module in encoder.backbone.children():
            if isinstance(module, nn.MaxPool2d):
                assert isinstance(before, nn.ReLU)
                expected.append(x)
            x, before = module(x), module
    for found, tap in zip(features, [*expected, x], strict=True):
        assert torch.equal(found, tap)


def test_stem_stride_halves_or_keeps_every_stride():
    assert Encoder(EncoderConfig(name="resnet10t", stem_stride=1)).strides == (1, 2, 4, 8)
    assert Encoder(EncoderConfig(name="resnet10t", stem_stride=2)).strides == (2, 4, 8, 16)


# ---- pretrained weights


@pytest.fixture
def created(monkeypatch):
    """Record the arguments that timm gets, and never load weights."""
    calls, create = [], timm.create_model

    def record(name, pretrained, **options):
        calls.append((name, pretrained))
        return create(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", record)
    return calls


def test_pretrained_asks_timm_for_its_weights(created):
    Encoder(EncoderConfig(name="test_resnet", pretrained=True))
    Encoder(EncoderConfig(name="test_resnet"))
    Encoder(EncoderConfig(name="test_resnet", pretrained=True), download=False)
    assert created == [("test_resnet", True), ("test_resnet", False), ("test_resnet", False)]


@pytest.mark.parametrize("download", [True, False])
def test_batch_norm_of_pretrained_encoders_is_frozen_with_eps(created, download):
    encoder = Encoder(EncoderConfig(name="test_resnet", pretrained=True), download)
    kinds = {type(m) for m in encoder.modules()}
    assert nn.BatchNorm2d not in kinds
    (norm, *_) = [m for m in encoder.modules() if isinstance(m, FrozenBatchNorm2d)]
    assert not list(norm.parameters())
    norm.running_var.zero_()
    x = torch.rand(2, norm.weight.shape[0], 4, 4)
    assert torch.isfinite(norm.train()(x)).all()  # without eps: a division by zero


@pytest.mark.parametrize("pretrained", [True, False])
def test_batch_norm_learns_from_scratch_and_where_it_is_not_frozen(created, pretrained):
    encoder = Encoder(EncoderConfig(name="test_resnet", pretrained=pretrained, frozen_norm=not pretrained))
    assert any(isinstance(m, nn.BatchNorm2d) and m.weight.requires_grad for m in encoder.modules())
    assert not any(isinstance(m, FrozenBatchNorm2d) for m in encoder.modules())


@pytest.mark.parametrize(("name", "learns"), [("compact", True), ("light", True), ("paper", False)])
def test_batch_norm_of_pretrained_encoders_learns_in_the_presets_for_a_laptop(name, learns):
    network = preset(name, 2, 2, pretrained=True)
    assert network.class_encoder.learns_norm == network.seg_encoder.learns_norm == learns


def refused_connection() -> Exception:
    (base, *_) = huggingface_hub.errors.HfHubHTTPError.__bases__
    return base("connection lost")


@pytest.mark.parametrize(
    "error",
    [
        huggingface_hub.errors.LocalEntryNotFoundError("Please check your connection and try again.\nSecond line"),
        ConnectionError("no route to host"),
        RuntimeError("Data processing error: CAS service error"),
        refused_connection(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_without_a_network_connection_one_sentence_says_what_to_do(monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(WeightsError, match=r"timm's weights for test_resnet.*Connect to the internet") as caught:
        Encoder(EncoderConfig(name="test_resnet", pretrained=True))
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is error


def test_hugging_face_is_really_asked_and_its_offline_error_is_understood(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="Connect to the internet"):
        Encoder(EncoderConfig(name="test_resnet", pretrained=True))


@pytest.mark.network
def test_pretrained_weights_are_not_the_random_ones():
    encoder, scratch = (Encoder(EncoderConfig(name="test_resnet", pretrained=p)) for p in (True, False))
    first, other = (next(e.parameters()) for e in (encoder, scratch))
    assert not torch.allclose(first, other)


# ---- refused


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (EncoderConfig(name="resnet1999"), "Expected a timm backbone such as resnet18d, got 'resnet1999'"),
        (EncoderConfig(name="hf-hub:timm/resnet18d.ra2_in1k"), "Expected a timm backbone"),
        (EncoderConfig(name="resnet18d.nonsense"), "got 'resnet18d.nonsense'"),
        (EncoderConfig(name="vit_tiny_patch16_224"), "images of any size, vit_tiny_patch16_224 takes one size only"),
        (EncoderConfig(name="vgg16_bn", stem_stride=1), "stem convolution for stem_stride, got vgg16_bn"),
    ],
    ids=lambda x: getattr(x, "name", ""),
)
def test_backbones_that_cannot_be_used_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        Encoder(config)


def test_a_backbone_without_pretrained_weights_is_refused():
    name = next(n for n in timm.list_models("*resne*") if not timm.is_model_pretrained(n))
    with pytest.raises(ValueError, match=f"timm has none for {name}"):
        Encoder(EncoderConfig(name=name, pretrained=True))


def test_an_error_that_is_not_about_the_download_is_not_called_one(monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("a bug")

    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        Encoder(EncoderConfig(name="test_resnet"))


def test_taps_that_do_not_halve_are_refused(monkeypatch):
    monkeypatch.setattr(encoders, "TAPS", (0, 1, 2, 4))
    with pytest.raises(ValueError, match=r"Expected taps that halve the resolution, got strides \(2, 4, 8, 32\)"):
        Encoder(EncoderConfig(name="resnet10t"))
