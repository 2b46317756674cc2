"""How long training takes on this machine, from a few timed steps with made-up images."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, cast

import torch

from napari_uml.baselines.registry import make_network
from napari_uml.training.class_layer import KeptFeatures, freeze_class
from napari_uml.training.learning import LossModule, choose_trainable, freeze_norm
from napari_uml.training.memory import memory_errors, peak_memory_mb
from napari_uml.training.pace import Pace
from napari_uml.training.processes import make_fabric
from napari_uml.training.schedule import make_optimizer

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_uml.config import TrainConfig, UMLConfig
    from napari_uml.nn.base import Network
    from napari_uml.nn.output import Answer, UMLOutput

STEPS: Final = 2
"""Timed steps, after one that is not: the first one chooses algorithms and asks for memory."""


def measure_pace(config: TrainConfig, network: UMLConfig, steps: int = STEPS) -> Pace:
    """Time steps of learning and of looking.

    Parameters
    ----------
    config, network
        What would be trained, and how; device, precision, batch, image size and part that learns count.
    steps
        How many of each.

    Raises
    ------
    DeviceError
        When there is no such device.
    MemoryLimitError
        When the memory is too small for a step.
    """
    with torch.random.fork_rng(devices=[]), memory_errors(config):
        torch.manual_seed(config.seed)
        fabric = make_fabric(config, None, some_unused=False)
        net = make_network(network, download=False)
        choose_trainable(net, config.trainable)
        net = net.to(memory_format=torch.channels_last).to(fabric.device)
        learn, look = _steps(fabric, net, config, network)
        images = steps * config.batch_size
        return Pace(
            train=_timed(learn, steps) / images, looking=_timed(look, steps) / images, memory_mb=peak_memory_mb()
        )


def _steps(
    fabric: Any, net: Network, config: TrainConfig, network: UMLConfig
) -> tuple[Callable[[], None], Callable[[], None]]:
    """A step of learning and a step of looking, each on a batch."""
    class_features = None
    if config.class_anchor and net.last_layers.class_head:  # as if the start knew classes and kind
        freeze_class(net)
        class_features = KeptFeatures(net)
    learning = (p for p in net.parameters() if p.requires_grad)
    optimizer = make_optimizer(learning, config, fused=fabric.device.type == "cpu")
    module, optimizer = fabric.setup(LossModule(net, config, class_features=class_features), optimizer)
    side, batch = config.image_size, config.batch_size
    images = torch.rand(batch, 3, side, side).to(fabric.device, memory_format=torch.channels_last)
    masks = torch.randint(0, network.num_structures, (batch, side, side), dtype=torch.uint8).to(fabric.device)
    labels = torch.arange(batch).remainder(network.num_classes).to(fabric.device)

    def learn() -> None:
        module.train()
        freeze_norm(net, everywhere=config.start_share > 0 or class_features is not None)
        losses, kept = module(images, masks, labels, config.kl_scale)
        optimizer.zero_grad(set_to_none=True)
        fabric.backward(losses.total + kept)
        optimizer.step()
        losses.total.item()  # waits for the device

    @torch.no_grad()
    def look() -> None:
        net.eval()
        with fabric.autocast():
            output: UMLOutput = net(images)
            answer = cast("Answer", output.mask_answer or output.class_answer)  # every system has one
            answer.uncertainty.sum().item()

    return learn, look


def _timed(step: Callable[[], None], steps: int) -> float:
    """Seconds of some steps, after one that is not counted."""
    step()
    began = time.perf_counter()
    for _ in range(steps):
        step()
    return time.perf_counter() - began
