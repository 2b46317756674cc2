"""`fit`: trains a network on dataset folders and reports every epoch (network.md §5)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import psutil
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from napari_uml.data.augment import Augmentation, as_input
from napari_uml.data.samples import Sample, epoch_order, load_samples, merge_tasks
from napari_uml.errors import DatasetError, DivergedError, MemoryLimitError, UMLError
from napari_uml.inference.devices import choose_device, choose_precision
from napari_uml.nn.losses import UMLLoss, uml_loss
from napari_uml.nn.network import UMLNetwork
from napari_uml.results import EpochReport
from napari_uml.training.checkpoint import BEST, LAST, Checkpoint, load_checkpoint, save_checkpoint
from napari_uml.training.distributed import all_sum, share_batch_norm
from napari_uml.training.schedule import image_size, kl_weight, make_optimizer, make_scheduler
from napari_uml.training.transfer import transfer
from napari_uml.training.validate import score, validate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_uml.config import Focus, Task, TrainConfig, UMLConfig
    from napari_uml.data.dataset import Dataset as DatasetFolder
    from napari_uml.nn.network import UMLOutput

log = logging.getLogger(__name__)

PRECISIONS = {"float32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
StepListener = Callable[[int, int, float], None]


@dataclass(frozen=True, slots=True)
class Start:
    """Weights to start from: tensors by name, and the task they were trained for."""

    tensors: Mapping[str, Tensor]
    task: Task


def fit(
    config: TrainConfig,
    network: UMLConfig,
    datasets: Sequence[DatasetFolder],
    run: Path,
    *,
    start: Start | None = None,
    focus: Focus | None = None,
    resume: bool = False,
    vertical_flip: bool = False,
    on_step: StepListener | None = None,
) -> Iterator[EpochReport]:
    """Train, one `EpochReport` an epoch; to stop, cease to iterate.

    Parameters
    ----------
    config, network
        How to train what.
    datasets
        Folders with the same structures and classes; images without mask or label train what they can.
    run
        Folder for `last.ckpt` and `best.ckpt`, both written before the report that names them.
    start
        Weights to start from; None: from scratch (or from timm's weights when the encoders are `pretrained`).
    focus
        Small structures to look at twice: such images are learnt whole and as a crop.
    resume
        Go on after the last epoch in `run`, to the same numbers as without the interruption.
    vertical_flip
        Also turn training images upside down.
    on_step
        Called after every batch with the step, the number of steps of the epoch, and the loss.

    Raises
    ------
    DatasetError
        When the folders cannot be mixed, or have no training images.
    DivergedError
        When the loss is no longer finite; the checkpoints of the last good epoch stay.
    MemoryLimitError
        When the device runs out of memory.
    UMLError
        When `run` has a checkpoint already and `resume` is off, or its settings differ.
    """
    trainer = Trainer(config, network, datasets, run, start, focus, resume, vertical_flip)
    while not trainer.finished:
        yield trainer.train_epoch(on_step)


@dataclass(eq=False)
class Trainer:
    """State of one run; `fit` drives it."""

    config: TrainConfig
    network: UMLConfig
    datasets: Sequence[DatasetFolder]
    run: Path
    start: Start | None
    focus: Focus | None
    resume: bool
    vertical_flip: bool
    epoch: int = 0
    best_score: float | None = None
    best_epoch: int = 0
    seconds: float = 0.0
    finished: bool = False
    samples: dict[str, list[Sample]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        config = self.config
        self.task = merge_tasks([dataset.info for dataset in self.datasets])
        if config.batch_size % config.processes:
            raise ValueError(f"Expected a batch_size divisible by {config.processes}, got {config.batch_size}.")
        previous = self._previous()
        device = choose_device(config.device)
        self.fabric = Fabric(
            accelerator=device.name.split(":")[0],
            devices=config.processes,
            strategy="ddp" if config.processes > 1 else "auto",
            precision=cast("Any", PRECISIONS[choose_precision(config.precision, device.name)]),
        )
        self.fabric.launch()
        self.samples = {
            "train": load_samples(self.datasets, "train", config.image_size, self.task, self.focus),
            "val": load_samples(self.datasets, "val", config.image_size, self.task, self.focus),
        }
        if not self.samples["train"]:
            raise DatasetError("Expected at least one training image, index.csv has no row with the split train.")
        self._build(previous)

    @property
    def steps(self) -> int:
        """Batches an epoch."""
        return max(1, len(self.samples["train"]) // self.config.batch_size)

    def _previous(self) -> Checkpoint | None:
        if self.resume:
            checkpoint = load_checkpoint(self.run / LAST)
            if checkpoint.network != self.network:
                raise UMLError(f"Expected the network of the run in {self.run}, got other settings; leave them out.")
            return checkpoint
        if (self.run / LAST).exists():
            raise UMLError(f"Expected a new folder, {self.run} holds a run; add --resume or choose another folder.")
        self.run.mkdir(parents=True, exist_ok=True)
        return None

    def _build(self, previous: Checkpoint | None) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            net = UMLNetwork(self.network)
        if self.start is not None and previous is None:
            new = transfer(net, self.start.tensors, self.start.task, self.task)
            if new:
                log.info("Untrained at the start: %s", ", ".join(new))
        if self.config.processes > 1:
            share_batch_norm(net)
        choose_trainable(net, self.config.trainable)
        self.anchor = [p.detach().clone() for p in net.parameters()] if self.config.anchor else []
        self.net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = make_optimizer((p for p in net.parameters() if p.requires_grad), self.config)
        self.step_module, self.fabric_optimizer = self.fabric.setup(LossModule(net, self.config), self.optimizer)
        decay = self.config.ema
        self.average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True) if decay else None
        self.scheduler = make_scheduler(self.optimizer, self.config, self.steps)
        if previous is not None:
            self._restore(previous)

    def _restore(self, checkpoint: Checkpoint) -> None:
        self.net.load_state_dict(checkpoint.weights)
        if self.average is not None:
            self.average.module.load_state_dict(checkpoint.averaged)
            self.average.n_averaged.fill_(1)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.scheduler.load_state_dict(checkpoint.scheduler)
        self.epoch, self.seconds = checkpoint.epoch, checkpoint.seconds
        self.best_score, self.best_epoch = checkpoint.best_score, checkpoint.best_epoch
        self.finished = self._stop_reason() != ""

    def train_epoch(self, on_step: StepListener | None) -> EpochReport:
        """Train on every batch of an epoch, validate, write the checkpoints, report."""
        began = time.perf_counter()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(hash((self.config.seed, self.epoch, self.fabric.global_rank)) & 0xFFFFFFFF)
            try:
                losses = self._train_batches(on_step)
                trained = time.perf_counter() - began
                metrics = self._validate()
            except torch.OutOfMemoryError as error:
                raise MemoryLimitError(
                    f"The device ran out of memory with batches of {self.config.batch_size}; try --batch-size "
                    f"{max(1, self.config.batch_size // 2)} --resume."
                ) from error
        self.epoch += 1
        now = score(metrics)
        is_best = now is None or self.best_score is None or now > self.best_score
        if is_best:
            self.best_score, self.best_epoch = now, self.epoch
        seconds = time.perf_counter() - began
        self.seconds += seconds
        self._save(metrics, is_best)
        reason = self._stop_reason()
        self.finished = reason != ""
        return EpochReport(
            epoch=self.epoch, epochs=self.config.epochs, losses=losses, metrics=metrics,
            learning_rate=float(self.optimizer.param_groups[0]["lr"]), score=now, is_best=is_best, seconds=seconds,
            images_per_second=self.steps * self.config.batch_size / trained,
            eta_seconds=0.0 if reason else (self.config.epochs - self.epoch) * seconds,
            memory_mb=psutil.Process().memory_info().rss / 1e6, last=self.run / LAST, best=self.run / BEST,
            stopped=reason,
        )  # fmt: skip

    def _train_batches(self, on_step: StepListener | None) -> dict[str, float]:
        self.step_module.train()
        freeze_norm(self.net)
        weight = kl_weight(self.config, self.epoch)
        sums = torch.zeros(4)
        for step, (images, masks, labels) in enumerate(self._batches(), start=1):
            losses = self.step_module(self._to_device(images), masks.to(self.fabric.device), labels.to(self.fabric.device), weight)
            if not bool(torch.isfinite(losses.total)):
                raise DivergedError(
                    f"The loss is {losses.total.item()} in epoch {self.epoch + 1}, step {step}; the checkpoint of epoch "
                    f"{self.epoch} is kept. Try a smaller learning rate."
                )
            self._update(losses.total)
            sums += torch.stack([x.detach().float().cpu() for x in losses])
            if on_step is not None:
                on_step(step, self.steps, losses.total.item())
        names = ("total", "mutual", "class", "mask")
        return dict(zip(names, (sums / self.steps).tolist(), strict=True))

    def _update(self, loss: Tensor) -> None:
        if self.anchor:
            pairs = zip(self.net.parameters(), self.anchor, strict=True)
            loss = loss + self.config.anchor * sum((p - p0).square().sum() for p, p0 in pairs if p.requires_grad)
        self.fabric_optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        if self.config.recipe == "modern":
            self.fabric.clip_gradients(self.step_module, self.fabric_optimizer, max_norm=self.config.clip)
        self.fabric_optimizer.step()
        self.scheduler.step()
        if self.average is not None:
            self.average.update_parameters(self.net)

    def _batches(self) -> DataLoader[tuple[Tensor, Tensor, Tensor]]:
        config, world = self.config, self.fabric.world_size
        order = epoch_order(self.samples["train"], config.balanced, config.seed, self.epoch)
        used = order[: self.steps * config.batch_size]
        augment = Augmentation(config.seed, self.vertical_flip) if config.recipe == "modern" else None
        view = EpochView(self.samples["train"], used, augment, image_size(config, self.epoch), self.epoch, world, self.fabric.global_rank)
        return DataLoader(view, batch_size=max(1, config.batch_size // world), num_workers=config.num_workers)

    def _to_device(self, images: Tensor) -> Tensor:
        return images.to(self.fabric.device, memory_format=torch.channels_last)

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        if not self.samples["val"]:
            return {}
        net = self.net if self.average is None else self.average.module
        net.eval()

        def forward(images: Tensor) -> UMLOutput:
            with self.fabric.autocast():
                return cast("UMLOutput", net(images.to(memory_format=torch.channels_last)))

        return validate(forward, self.samples["val"], self.task, self.config.image_size, self.config.batch_size, self.fabric.device)

    def _save(self, metrics: dict[str, float], is_best: bool) -> None:
        if not self.fabric.is_global_zero:
            return
        checkpoint = Checkpoint(
            network=self.network, train=self.config, epoch=self.epoch, weights=self.net.state_dict(),
            averaged={} if self.average is None else self.average.module.state_dict(),
            optimizer=self.optimizer.state_dict(), scheduler=self.scheduler.state_dict(),
            best_score=self.best_score, best_epoch=self.best_epoch, seconds=self.seconds, metrics=metrics,
        )  # fmt: skip
        if is_best:
            save_checkpoint(self.run / BEST, checkpoint)
        save_checkpoint(self.run / LAST, checkpoint)

    def _stop_reason(self) -> str:
        if self.epoch >= self.config.epochs:
            return "all epochs done"
        if self.config.patience is not None and self.epoch - self.best_epoch >= self.config.patience:
            return f"no better score for {self.config.patience} epochs"
        return ""


class LossModule(nn.Module):
    """Network and loss in one module, so that several processes synchronise its gradients."""

    def __init__(self, network: UMLNetwork, config: TrainConfig) -> None:
        super().__init__()
        self.network = network
        self.config = config

    def forward(self, images: Tensor, masks: Tensor, labels: Tensor, kl_weight: float) -> UMLLoss:
        """(B, 3, S, S), (B, S, S), (B,) -> the losses of the whole batch over all processes."""
        output = self.network(images)
        config = self.config
        return uml_loss(output, labels, masks, kl_weight, config.mask_cross_entropy, config.dice_source, all_sum)


class EpochView(Dataset[tuple[Tensor, Tensor, int]]):
    """The share of one process in the samples of one epoch, in their order, changed at random."""

    def __init__(
        self, samples: Sequence[Sample], order: Sequence[int], augment: Augmentation | None, size: int, epoch: int,
        world: int, rank: int,
    ) -> None:  # fmt: skip
        self.samples, self.augment, self.size, self.epoch = samples, augment, size, epoch
        self.places = list(enumerate(order))[rank::world]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor, int]:
        """Image (3, S, S) in [0, 1], mask (S, S) uint8 and label."""
        place, index = self.places[item]
        sample = self.samples[index]
        if self.augment is None:
            image, mask = as_input(sample, self.size)
        else:
            image, mask = self.augment(sample, self.size, self.epoch, place)
        return image, mask, sample.label


def choose_trainable(net: UMLNetwork, part: str) -> None:
    """Let everything learn, or only what comes after the encoders, or only the last layers."""
    heads: list[nn.Module] = [net.instructor.classify, net.mutual.head, net.navigator.heads]
    if part == "all":
        return
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    for module in heads if part == "heads" else [net.mixers, net.mutual, net.navigator, net.instructor]:
        for parameter in module.parameters():
            parameter.requires_grad_(True)


def freeze_norm(net: nn.Module) -> None:
    """Keep the statistics of batch normalisation layers that do not learn."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d) and module.weight is not None and not module.weight.requires_grad:
            module.eval()
