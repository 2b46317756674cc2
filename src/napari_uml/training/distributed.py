"""One batch over several processes with the numbers of one process: sums and batch statistics are shared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import distributed, nn
from torch.autograd import Function

if TYPE_CHECKING:
    from torch import Tensor


def all_sum(x: Tensor) -> Tensor:
    """The sum of a tensor over all processes, differentiable; the tensor itself when there is one process."""
    if not distributed.is_initialized() or distributed.get_world_size() == 1:
        return x
    summed: Tensor = _AllSum.apply(x)
    return summed


class _AllSum(Function):
    """Every process depends on every part, so the derivative is a sum over the processes, too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _summed(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _summed(gradients[0])


def _summed(x: Tensor) -> Tensor:
    total = x.clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total)
    return total


class SharedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation with the statistics of the whole batch, on any device (torch's own needs a GPU)."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (the base class calls it so)
        """(B, C, H, W) -> the same shape."""
        if not self.training:
            return super().forward(input)
        x = input.float()
        sums = torch.cat([x.sum((0, 2, 3)), x.square().sum((0, 2, 3)), x.new_tensor([float(x.numel() // x.shape[1])])])
        sums = all_sum(sums)
        mean, square = (sums[:-1] / sums[-1]).chunk(2)
        variance = (square - mean.square()).clamp(min=0)
        self._update(mean, variance, sums[-1])
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (x * scale[:, None, None] + (self.bias - mean * scale)[:, None, None]).to(input.dtype)

    @torch.no_grad()
    def _update(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        momentum = self.momentum or 0.0
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance * count / (count - 1).clamp(min=1), momentum)


def share_batch_norm(module: nn.Module) -> None:
    """Let the plain batch normalisation layers of a network share their statistics.

    Raises
    ------
    ValueError
        When the network has batch normalisation of another kind.
    """
    for layer in module.modules():
        if not isinstance(layer, nn.BatchNorm2d) or isinstance(layer, SharedBatchNorm2d):
            continue
        if type(layer) is not nn.BatchNorm2d:
            raise ValueError(
                f"Expected plain batch normalisation for several processes, got {type(layer).__name__}; set processes "
                "to 1 or choose another encoder."
            )
        layer.__class__ = SharedBatchNorm2d  # the same parameters and buffers under the same names
