"""Networks that no longer learn: batch normalisation folded into the convolutions before it, weights rounded once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_uml.nn.encoders import Encoder
from napari_uml.nn.mixer import Mixer

if TYPE_CHECKING:
    from typing import TypeVar

    import torch

    AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)


def fold_batch_norm(network: AnyNetwork) -> AnyNetwork:
    """Fold every batch normalisation that directly follows a convolution; in place, same function up to rounding.

    Parameters
    ----------
    network
        In evaluation mode.
    """
    for module in list(network.modules()):
        if isinstance(module, Encoder):
            module.backbone = _fold_traced(module.backbone)
    for module in network.modules():
        if isinstance(module, nn.Sequential):
            _fold_sequential(module)
    return network


def halve(network: nn.Module, dtype: torch.dtype) -> None:
    """Round the weights of convolutions and linear layers in place, as autocast would at every look.

    Mixers multiply their matrices with one another before they are rounded.
    """
    mixing = {layer for mixer in network.modules() if isinstance(mixer, Mixer) for layer in mixer.modules()}
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module not in mixing:
            module.to(dtype)


def _fold_sequential(layers: nn.Sequential) -> None:
    for i in range(len(layers) - 1):
        conv, norm = layers[i], layers[i + 1]
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            layers[i], layers[i + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()


class _Tracer(fx.Tracer):
    """Keeps every convolution whole: those of timm that pad by the input's size cannot be traced."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.Conv2d) or super().is_leaf_module(m, module_qualified_name)


def _fold_traced(module: nn.Module) -> nn.Module:
    """Fold along the data flow that tracing finds, since a timm backbone is no `nn.Sequential`."""
    traced = fx.GraphModule(module, _Tracer().trace(module))
    layers = dict(traced.named_modules())
    for node in list(traced.graph.nodes):
        if node.op != "call_module" or type(layers[node.target]) is not nn.BatchNorm2d:
            continue
        before = node.args[0]
        if before.op == "call_module" and isinstance(layers[before.target], nn.Conv2d) and len(before.users) == 1:
            parent, _, name = before.target.rpartition(".")
            setattr(layers[parent], name, fuse_conv_bn_eval(layers[before.target], layers[node.target]))
            node.replace_all_uses_with(before)
            traced.graph.erase_node(node)
    traced.recompile()
    traced.delete_all_unused_submodules()
    return traced
