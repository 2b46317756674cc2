"""Batch statistics shared between processes; what two processes do together is in test_processes."""

import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import nn
from torchvision.ops.misc import FrozenBatchNorm2d

from napari_uml.training.distributed import SharedBatchNorm2d, all_sum, share_batch_norm


def pair() -> tuple[nn.BatchNorm2d, nn.BatchNorm2d]:
    torch.manual_seed(0)
    plain, shared = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
    nn.init.uniform_(plain.weight)
    nn.init.uniform_(plain.bias)
    shared.load_state_dict(plain.state_dict())
    share_batch_norm(shared)
    return plain, shared


def test_alone_the_sum_over_processes_is_the_tensor_itself():
    x = torch.rand(3)
    assert all_sum(x) is x


def test_shared_norm_of_one_process_is_plain_batch_norm():
    plain, shared = pair()
    assert type(shared) is SharedBatchNorm2d
    inputs = [torch.randn(3, 4, 5, 6) * 2 + 1 for _ in range(2)]
    inputs += [x.clone() for x in inputs]
    for x, y in zip(inputs[:2], inputs[2:], strict=True):
        x.requires_grad_()
        y.requires_grad_()
        expected, found = plain(x), shared(y)
        assert torch.allclose(found, expected, atol=1e-6)
        (expected.square() * expected).sum().backward()
        (found.square() * found).sum().backward()
        assert torch.allclose(y.grad, x.grad, atol=1e-5)
    assert torch.allclose(shared.weight.grad, plain.weight.grad, atol=1e-4)
    for name, value in plain.state_dict().items():
        assert torch.allclose(shared.state_dict()[name], value, atol=1e-6), name
    plain.eval(), shared.eval()
    assert torch.allclose(shared(inputs[0]), plain(inputs[0]), atol=1e-6)


def test_shared_norm_keeps_the_type_of_its_input():
    _, shared = pair()
    assert shared(torch.randn(2, 4, 3, 3, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_names_of_the_weights_do_not_change():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Sequential(nn.BatchNorm2d(2)))
    names = list(network.state_dict())
    share_batch_norm(network)
    share_batch_norm(network)
    assert list(network.state_dict()) == names
    assert [type(m) for m in network.modules()].count(SharedBatchNorm2d) == 2


def test_frozen_norm_is_left_alone_and_other_kinds_are_refused():
    frozen = nn.Sequential(FrozenBatchNorm2d(2))
    share_batch_norm(frozen)
    assert type(frozen[0]) is FrozenBatchNorm2d
    with pytest.raises(ValueError, match="got BatchNormAct2d; set processes to 1 or choose another encoder"):
        share_batch_norm(nn.Sequential(BatchNormAct2d(2)))
