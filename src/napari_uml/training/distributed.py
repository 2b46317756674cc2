"""One batch over several processes with the numbers of one process: sums and batch statistics are shared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import distributed, nn
from torch.distributed.nn.functional import all_reduce

if TYPE_CHECKING:
    from torch import Tensor


def all_sum(x: Tensor) -> Tensor:
    """The sum of a tensor over all processes, differentiable; the tensor itself when there is one process."""
    if not distributed.is_initialized() or distributed.get_world_size() == 1:
        return x
    return all_reduce(x)  # type: ignore[no-any-return]


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
        self._update(mean.detach(), variance.detach(), float(sums[-1]))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (x * scale[:, None, None] + (self.bias - mean * scale)[:, None, None]).to(input.dtype)

    @torch.no_grad()
    def _update(self, mean: Tensor, variance: Tensor, count: float) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        momentum = self.momentum or 0.0
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance * count / max(count - 1, 1.0), momentum)


def share_batch_norm(module: nn.Module) -> None:
    """Replace the plain batch normalisation layers of a network by ones that share their statistics."""
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm2d) and not isinstance(child, SharedBatchNorm2d):
                child.__class__ = _shared_class(type(child))


def _shared_class(kind: type[nn.BatchNorm2d]) -> type[nn.BatchNorm2d]:
    if kind is not nn.BatchNorm2d:
        raise ValueError(f"Expected plain batch normalisation for several processes, got {kind.__name__}.")
    return SharedBatchNorm2d
