"""The batches of one epoch, shared out between processes; each of them sees every batch's own part of the samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from napari_uml.data.augment import Augmentation, as_input
from napari_uml.data.samples import epoch_length, epoch_order
from napari_uml.training.schedule import image_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_uml.config import TrainConfig
    from napari_uml.data.samples import Sample


def steps_per_epoch(samples: Sequence[Sample], config: TrainConfig) -> int:
    """Full batches an epoch; a last, smaller one is left out, unless it is the only one."""
    return max(1, epoch_length(samples) // config.batch_size)


def epoch_batches(
    samples: Sequence[Sample], config: TrainConfig, epoch: int, *, vertical_flip: bool, rank: int = 0, world: int = 1
) -> DataLoader[tuple[Tensor, Tensor, int]]:
    """Images (b, 3, S, S), masks (b, S, S) and labels (b,), b the part of the batch that is this process's.

    Parameters
    ----------
    samples
        All of them; they come in the order that `epoch_order` gives.
    config, epoch
        Settings of the run, and the epoch from 0.
    vertical_flip
        See `Augmentation`.
    rank, world
        Number of this process, and how many there are.
    """
    order = epoch_order(samples, config.balanced, config.seed, epoch)
    used = order[: steps_per_epoch(samples, config) * config.batch_size]
    size = image_size(config, epoch)
    augment = Augmentation(config.seed, size, vertical_flip) if config.recipe == "modern" else None
    view = EpochView(samples, list(enumerate(used))[rank::world], augment, size, epoch)
    return DataLoader(view, batch_size=config.batch_size // world, num_workers=config.num_workers)


class EpochView(Dataset[tuple[Tensor, Tensor, int]]):
    """Samples of one epoch in their order, changed at random.

    Parameters
    ----------
    samples
        All samples.
    places
        (place in the epoch, number of the sample) of those to give; the place decides how it is changed.
    augment
        How they are changed; None: not at all.
    size, epoch
        Side of the images, and the epoch from 0.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        places: Sequence[tuple[int, int]],
        augment: Augmentation | None,
        size: int,
        epoch: int,
    ) -> None:
        self.samples, self.places, self.augment, self.size, self.epoch = samples, places, augment, size, epoch

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor, int]:
        """Image (3, S, S) in [0, 1], mask (S, S) uint8 and label."""
        place, number = self.places[item]
        sample = self.samples[number]
        image, mask = as_input(sample, self.size) if self.augment is None else self.augment(sample, self.epoch, place)
        return image, mask, sample.label
