"""`Trainer`: the state of one training run, and what an epoch does with it; `fit` drives it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from napari_uml.baselines.registry import make_network
from napari_uml.data.samples import check_apart, derive_seed, epoch_length, load_samples
from napari_uml.data.tasks import merge_tasks
from napari_uml.errors import DatasetError, DivergedError, UMLError
from napari_uml.results import EpochReport
from napari_uml.training.batches import epoch_batches, steps_per_epoch
from napari_uml.training.checkpoint import BEST, LAST, Checkpoint, load_checkpoint, save_checkpoint
from napari_uml.training.checks import check_same_run
from napari_uml.training.class_layer import KeptFeatures, freeze_class, knows_kind, solve_class_layer, taught
from napari_uml.training.distributed import share_batch_norm
from napari_uml.training.learning import Anchor, LossModule, choose_trainable, freeze_norm, mixed
from napari_uml.training.memory import memory_errors, peak_memory_mb
from napari_uml.training.plan import PREVIEW
from napari_uml.training.preview import chosen, draw_preview
from napari_uml.training.processes import make_fabric
from napari_uml.training.schedule import average_decay, kl_weight, make_optimizer, make_scheduler
from napari_uml.training.shares import SHARES, largest_share
from napari_uml.training.transfer import transfer, untrained
from napari_uml.training.validate import Score, Validation, validate

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from napari_uml.config import Focus, Task, TrainConfig, UMLConfig
    from napari_uml.data.dataset import Dataset, Split
    from napari_uml.data.samples import Sample
    from napari_uml.nn.base import Network
    from napari_uml.nn.losses import UMLLoss
    from napari_uml.nn.output import UMLOutput
    from napari_uml.training.processes import Member

log = logging.getLogger(__name__)

LOSSES = ("total", "mutual", "class", "mask")
OF_A_START = ("start_share", "class_anchor")
"""Settings that have no meaning without the weights of a model."""

StepListener = Callable[[int, int, float], None]


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """Weights to start from, by name.

    Attributes
    ----------
    tensors
        Of a whole network; none: everything but the class encoder starts as the settings say.
    task
        What they were trained for.
    class_encoder
        Of the class encoder, in place of those in `tensors`.
    """

    tensors: Mapping[str, Tensor]
    task: Task
    class_encoder: Mapping[str, Tensor] = field(default_factory=dict)


class Trainer:
    """One run; parameters and errors as `fit`, which checks the settings.

    Parameters
    ----------
    member
        Which of several processes this is; None: the only one.

    Attributes
    ----------
    epoch
        Epochs done.
    finished
        Whether there is nothing left to do.
    """

    def __init__(
        self,
        config: TrainConfig,
        network: UMLConfig,
        datasets: Sequence[Dataset],
        run: Path,
        start: Start | None = None,
        focus: Focus | None = None,
        resume: bool = False,
        vertical_flip: bool = False,
        mix_in: Sequence[Dataset] = (),
        member: Member | None = None,
    ) -> None:
        self.config, self.network, self.run, self.vertical_flip = config, network, run, vertical_flip
        self.epoch, self.best_epoch, self.seconds, self.finished = 0, 0, 0.0, False
        self.best_score: float | None = None
        self.best_error = 0.0
        self.last_of_class = ""  # name of the weight that is solved for at the end, when one is
        self.task = merge_tasks([dataset.info for dataset in (*datasets, *mix_in)])
        previous = self._previous(resume)
        unreached = network.navigator and not network.instructor and config.anchor == 0
        self.fabric = make_fabric(config, member, some_unused=unreached)
        self.fabric.launch()
        with memory_errors(config):
            self._load(datasets, focus, mix_in)
            if previous is None:
                check_apart(self.training, self.validation)
        self._build(start, previous)

    def train_epoch(self, on_step: StepListener | None = None) -> EpochReport:
        """Train on every batch of an epoch, validate, write the checkpoints, report."""
        began = time.perf_counter()
        device = self.fabric.device
        on_gpu = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=on_gpu), memory_errors(self.config):
            torch.manual_seed(derive_seed(self.config.seed, self.epoch, self.fabric.global_rank))
            losses = self._train_batches(on_step)
            trained = time.perf_counter() - began
            metrics, score, _ = self._validate()
        self.epoch += 1
        is_best = self._compare(score)
        seconds = time.perf_counter() - began
        self.seconds += seconds
        self._save(metrics, is_best)
        reason = self._stop_reason()
        self.finished = reason != ""
        return EpochReport(
            epoch=self.epoch, epochs=self.config.epochs, losses=losses, metrics=metrics,
            learning_rate=float(self.optimizer.param_groups[0]["lr"]),
            score=None if score is None else score.value, is_best=is_best, seconds=seconds,
            images_per_second=min(epoch_length(self.training), self.steps * self.config.batch_size) / trained,
            eta_seconds=0.0 if reason else (self.config.epochs - self.epoch) * seconds,
            memory_mb=peak_memory_mb(), last=self.run / LAST, best=self.run / BEST, stopped=reason,
        )  # fmt: skip

    def _previous(self, resume: bool) -> Checkpoint | None:
        last = self.run / LAST
        if not resume:
            if last.exists():
                raise UMLError(f"Expected a new folder, {self.run} holds a run; add --resume or choose another folder.")
            self.run.mkdir(parents=True, exist_ok=True)
            return None
        checkpoint = load_checkpoint(last)
        check_same_run(checkpoint, self.config, self.network, self.run)
        return checkpoint

    def _load(self, datasets: Sequence[Dataset], focus: Focus | None, mix_in: Sequence[Dataset]) -> None:
        size = self.config.image_size
        splits: tuple[Split, ...] = ("train", "val") if self.fabric.is_global_zero else ("train",)
        loaded: dict[str, list[Sample]] = {"val": []}
        problems: list[str] = []
        for split in splits:  # all problems at once
            try:
                mixed_in = mix_in if split == "train" else ()
                loaded[split] = load_samples(datasets, split, size, self.task, focus, mixed_in)
            except DatasetError as error:
                problems += error.problems
        if problems:
            raise DatasetError(*problems)
        self.training, self.validation = loaded["train"], loaded["val"]
        own = sum(not sample.mixed for sample in self.training)
        if own < self.config.processes:
            raise DatasetError(
                f"Expected at least {self.config.processes} annotated training image(s), there are {own}: "
                "rows of index.csv with the split train and a mask or a label."
            )
        self.steps = steps_per_epoch(self.training, self.config)

    def _build(self, start: Start | None, previous: Checkpoint | None) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            whole = previous is not None or (start is not None and bool(start.tensors))
            net = make_network(self.network, download=not whole)
        new_weights: frozenset[str] = frozenset()
        if previous is not None:
            new_weights = frozenset(net.state_dict()) - frozenset(previous.anchor)
        elif not whole and (needed := [name for name in OF_A_START if getattr(self.config, name)]):
            raise ValueError(
                f"Expected a model to start from, as {needed[0]} keeps to it, got none; name one (--from)."
            )
        elif start is not None:
            tensors = {**(start.tensors if whole else net.state_dict()), **start.class_encoder}
            kept = transfer(net, tensors, start.task if whole else self.task, self.task)
            if kept.new:
                log.info("Untrained at the start: %s", ", ".join(kept.new))
            new_weights = frozenset(untrained(kept, net.last_layers))
        if self.config.processes > 1:
            share_batch_norm(net)
        choose_trainable(net, self.config.trainable)
        self.net = net.to(memory_format=torch.channels_last).to(self.fabric.device)
        if self._keeps_class(net, new_weights) if previous is None else previous.keeps_class:
            freeze_class(net)
            (self.last_of_class,) = net.last_layers.classes
        keeps = any(getattr(self.config, name) for name in ("anchor", *OF_A_START))
        pull = self.config.class_weight * self.config.class_anchor / max(1, len(taught(self.training)))
        self.anchor = Anchor(net, self.config.anchor, new_weights, {self.last_of_class: pull}) if keeps else None
        self.mixture = deepcopy(net) if self.config.start_share else None
        average = get_ema_multi_avg_fn(average_decay(self.config, self.steps))
        self.average = AveragedModel(net, multi_avg_fn=average, use_buffers=True) if self.config.ema else None
        self.class_features = KeptFeatures(net) if self.last_of_class else None
        learning = [p for p in net.parameters() if p.requires_grad]
        self.optimizer = make_optimizer(learning, self.config, fused=self.fabric.device.type == "cpu")
        module = LossModule(net, self.config, self.anchor, self.class_features)
        self.step_module, self.fabric_optimizer = self.fabric.setup(module, self.optimizer)
        self.scheduler = make_scheduler(self.optimizer, self.config, self.steps)
        if previous is not None:
            self._restore(previous)

    @torch.no_grad()
    def _keeps_class(self, net: Network, new_weights: Collection[str]) -> bool:
        """Whether what the class is told by stays: the start knows classes and kind of the images."""
        last = net.last_layers
        known = last.class_head and not set(last.classes) & set(new_weights)
        if not self.config.class_anchor or not known or not taught(self.training):
            return False
        own = [sample for sample in self.training if not sample.mixed]
        with memory_errors(self.config):
            found = self._validate_network(net, own)
        knows = knows_kind(found.metrics)
        if not knows:
            log.info("The training images are of a kind that the start does not know: all of it learns the class.")
        return bool(self.fabric.broadcast(knows))

    def _restore(self, checkpoint: Checkpoint) -> None:
        changed = checkpoint.examples not in (None, len(self.training))
        if changed or checkpoint.scheduler["last_epoch"] != checkpoint.epoch * self.steps:
            raise UMLError(
                f"Expected the training images that the run in {self.run} began with, there are {len(self.training)} "
                "now; start a new run from its weights."
            )
        self.net.load_state_dict(checkpoint.weights)
        if self.average is not None:
            self.average.module.load_state_dict(checkpoint.averaged)
            self.average.n_averaged.fill_(1)  # the first update would copy
        if self.anchor is not None:
            self.anchor.load(checkpoint.anchor)
        if self.class_features is not None:
            self.class_features.load({**checkpoint.weights, **checkpoint.anchor})
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.scheduler.load_state_dict(checkpoint.scheduler)
        self.fabric.strategy.precision.load_state_dict(checkpoint.scaler)
        self.epoch, self.seconds = checkpoint.epoch, checkpoint.seconds
        self.best_score, self.best_error = checkpoint.best_score, checkpoint.best_error
        self.best_epoch = checkpoint.best_epoch
        self.finished = self._stop_reason() != ""

    def _train_batches(self, on_step: StepListener | None) -> dict[str, float]:
        """Means of the losses over the batches."""
        self.step_module.train()
        # there is no mixture of statistics, and what the class reads would move with them
        freeze_norm(self.net, everywhere=self.config.start_share > 0 or bool(self.last_of_class))
        sums = [0.0] * len(LOSSES)
        batches = epoch_batches(
            self.training, self.config, self.epoch, vertical_flip=self.vertical_flip,
            rank=self.fabric.global_rank, world=self.fabric.world_size,
        )  # fmt: skip
        for step, (images, masks, labels) in enumerate(batches, start=1):
            values = self._step(images, masks, labels)
            sums = [total + value for total, value in zip(sums, values, strict=True)]
            if on_step is not None:
                on_step(step, self.steps, values[0])
        if not all(bool(p.isfinite().all()) for p in self.net.parameters()):
            raise self._diverged("The weights are no longer finite")
        return {name: total / self.steps for name, total in zip(LOSSES, sums, strict=True)}

    def _step(self, images: Tensor, masks: Tensor, labels: Tensor) -> list[float]:
        """Learn from one batch; its losses."""
        device, weight = self.fabric.device, kl_weight(self.config, self.epoch)
        images = images.to(device, memory_format=torch.channels_last)
        losses: UMLLoss
        losses, kept = self.step_module(images, masks.to(device), labels.to(device), weight)
        self.fabric_optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(losses.total + kept)
        values: list[float] = torch.stack(losses).tolist()  # waits for the device, once a step
        if not math.isfinite(values[0]):
            raise self._diverged(f"The loss is {values[0]}")
        if self.config.recipe == "modern":
            self.fabric.clip_gradients(
                self.step_module, self.fabric_optimizer, max_norm=self.config.clip, error_if_nonfinite=False
            )
        self.fabric_optimizer.step()
        self.scheduler.step()
        if self.average is not None:
            self.average.update_parameters(self.net)
        return values

    def _compare(self, score: Score | None) -> bool:
        """Whether the epoch just done is the model now: its score is at most a standard error below the highest.

        Of epochs that the validation images cannot tell apart the last is taken (after the one-standard-error rule,
        Breiman et al. 1984, 3.4.3): it has seen more, and the learning rate has come down.
        """
        if score is None:
            self.best_epoch = self.epoch
            return True
        if self.best_score is None or score.value > self.best_score:
            self.best_score, self.best_error, self.best_epoch = score.value, score.error, self.epoch
        return score.value >= self.best_score - self.best_error

    @torch.no_grad()
    def _validate(self) -> Validation:
        """Figures of the weights that a checkpoint shows; the first process finds them for all."""
        net = self.net if self.average is None else self.average.module
        if self.mixture is not None and self.anchor is not None:
            self.mixture.load_state_dict(mixed(net.state_dict(), self.anchor.places, self.config.start_share))
            net = self.mixture
        found = Validation({}, None)
        if self.validation:
            found = self._validate_network(net)
            shown, size = chosen(self.validation), self.config.image_size
            draw_preview(self.run / PREVIEW, self._forward(net), shown, self.task, size, self.fabric.device)
        return self.fabric.broadcast(found)

    def _validate_network(self, net: torch.nn.Module, samples: Sequence[Sample] | None = None) -> Validation:
        net.eval()
        samples, size, batch = samples or self.validation, self.config.image_size, self.config.batch_size
        return validate(self._forward(net), samples, self.task, size, batch, self.fabric.device)

    @torch.no_grad()
    def finish(self) -> None:
        """At the end, where asked to: mix the start into the best epoch, and solve for the last layer of the class."""
        solves = bool(self.last_of_class) and self.config.class_weight > 0
        mixes = self.mixture is not None and self.config.choose_share and bool(self.validation)
        if solves and {name for name, p in self.net.named_parameters() if p.requires_grad} == {self.last_of_class}:
            mixes = False  # nothing else learnt
        if not mixes and not solves:
            return
        best = load_checkpoint(self.run / BEST)
        if best.share is not None or best.solved:  # a run that goes on after its end
            return
        with memory_errors(self.config):
            network = self.mixture or make_network(self.network, download=False).to(self.fabric.device)
            if mixes:
                best = self._with_share(network, best)
            if solves:
                best = self._with_class_solved(network, best)
        save_checkpoint(self.run / BEST, best)

    def _with_share(self, network: Network, best: Checkpoint) -> Checkpoint:
        """Holding as much of the start as the validation images allow."""
        found = {}
        for share in SHARES:
            network.load_state_dict(replace(best, share=share).shown)
            found[share] = self._validate_network(network)
        largest = largest_share({share: one.answered for share, one in found.items()})
        return best if largest is None else replace(best, share=largest, metrics=found[largest].metrics)

    def _with_class_solved(self, network: Network, best: Checkpoint) -> Checkpoint:
        """With the last layer of the class that fits the training images, near that of the start."""
        network.load_state_dict(best.shown)
        network.eval()
        start, device = best.anchor[self.last_of_class], self.fabric.device
        weight = solve_class_layer(network, self._forward(network), self.training, start, self.config, device)
        best = replace(best, solved={self.last_of_class: weight})
        network.load_state_dict(best.shown)
        return replace(best, metrics=self._validate_network(network).metrics) if self.validation else best

    def _forward(self, net: torch.nn.Module) -> Callable[[Tensor], UMLOutput]:
        def forward(images: Tensor) -> UMLOutput:
            with self.fabric.autocast():
                return cast("UMLOutput", net(images.to(memory_format=torch.channels_last)))

        return forward

    def _save(self, metrics: dict[str, float], is_best: bool) -> None:
        if not self.fabric.is_global_zero:
            return
        checkpoint = Checkpoint(
            network=self.network, train=self.config, epoch=self.epoch, weights=self.net.state_dict(),
            averaged={} if self.average is None else self.average.module.state_dict(),
            optimizer=self.optimizer.state_dict(), scheduler=self.scheduler.state_dict(),
            best_score=self.best_score, best_error=self.best_error, best_epoch=self.best_epoch,
            seconds=self.seconds, metrics=metrics,
            anchor={} if self.anchor is None else self.anchor.places,
            scaler=self.fabric.strategy.precision.state_dict(), examples=len(self.training),
            keeps_class=bool(self.last_of_class),
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

    def _diverged(self, what: str) -> DivergedError:
        kept = f"the checkpoints up to epoch {self.epoch} are kept" if self.epoch else "there is no checkpoint yet"
        return DivergedError(f"{what} in epoch {self.epoch + 1}; {kept}. Try a smaller learning rate.")
