"""Training samples held in memory at the network's input size, and the order in which an epoch visits them."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_uml.config import IGNORE
from napari_uml.data.dataset import means_nothing, read_pair
from napari_uml.data.resize import as_channels, find_focus, mask_to_input, squash
from napari_uml.data.tasks import renumbered
from napari_uml.errors import DatasetError, ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_uml.config import Focus, Task
    from napari_uml.data.dataset import Dataset, Record, Split


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One view of one image on the network's input grid.

    Attributes
    ----------
    pixels
        uint8 (1, S, S) grey or (3, S, S).
    mask
        uint8 (S, S) structure numbers; `IGNORE` where not annotated.
    label
        Class number; -1 when not annotated.
    source
        Number of the data set it comes from.
    mixed
        Whether it is only mixed in, against forgetting: an epoch visits no more of such samples than of the others.
    name
        The image's file, for messages.
    """

    pixels: Tensor
    mask: Tensor
    label: int
    source: int
    mixed: bool = False
    name: str = ""

    @property
    def image(self) -> Tensor:
        """uint8 (3, S, S), grey repeated."""
        return self.pixels.expand(3, -1, -1)


def load_samples(
    datasets: Sequence[Dataset],
    split: Split,
    size: int,
    task: Task,
    focus: Focus | None = None,
    mix_in: Sequence[Dataset] = (),
) -> list[Sample]:
    """Every annotated image of a split, squashed to (size, size), with the numbers that its names have in `task`.

    An image whose structures in `focus` are small comes twice: whole, and as a crop around them. Samples of the data
    sets in `mix_in` come last and say that they are mixed in.

    Raises
    ------
    DatasetError
        With every file that cannot be read, every mask that does not fit its image, and every data set whose masks
        use the number of "not annotated" as if it were a structure; where only some do, that is a warning.
    """
    samples: list[Sample] = []
    problems: list[str] = []
    for source, dataset in enumerate([*datasets, *mix_in]):
        own: list[Sample] = []
        for record in dataset.annotated(split):
            try:
                own += _views(dataset, record, source, size, task, focus)
            except ImageError as error:
                problems.append(str(error))
        doubtful = [sample.name for sample in own if _is_nothing(sample.mask)]
        if doubtful and not any(_has_structure(sample.mask) for sample in own):
            problems.append(means_nothing(f"{split} masks of {dataset.folder}"))
        elif doubtful:
            log.warning("%s", means_nothing(f"mask of {doubtful[0]}", others=len({*doubtful}) - 1))
        samples += [replace(sample, mixed=True) for sample in own] if source >= len(datasets) else own
    if problems:
        raise DatasetError(*problems)
    return samples


def check_apart(training: Sequence[Sample], validation: Sequence[Sample]) -> None:
    """Refuse pictures that are trained on and validated on, stored in whatever way.

    Raises
    ------
    DatasetError
        With every pair.
    """
    trained = {sample.pixels.numpy().tobytes(): sample.name for sample in training}
    both = [(trained.get(sample.pixels.numpy().tobytes()), sample.name) for sample in validation]
    problems = [
        f"Expected different pictures to train and to validate on, these are the same: {one} (train), {other} (val)."
        for one, other in dict.fromkeys(both)
        if one is not None
    ]
    if problems:
        raise DatasetError(*problems)


def epoch_order(samples: Sequence[Sample], balance: float, seed: int, epoch: int) -> list[int]:
    """Which samples an epoch visits, `epoch_length` of them.

    Without balance each of them once, shuffled. With it they are drawn with replacement, so that a class (within one
    data set) of n samples is visited in proportion to n ** (1 - balance). Of those that are mixed in an epoch visits as
    many as there are others, drawn in the same way.
    """
    generator = torch.Generator().manual_seed(derive_seed(seed, epoch))
    own = [number for number, sample in enumerate(samples) if not sample.mixed]
    order = [own[place] for place in _drawn([samples[number] for number in own], balance, generator)]
    if len(own) == len(samples):
        return order
    mixed = [number for number, sample in enumerate(samples) if sample.mixed]
    order += [mixed[place] for place in _drawn([samples[number] for number in mixed], balance, generator)[: len(own)]]
    return [order[place] for place in torch.randperm(len(order), generator=generator).tolist()]


def epoch_length(samples: Sequence[Sample]) -> int:
    """How many samples an epoch visits: all that are not mixed in, and as many that are, if there are."""
    mixed = sum(sample.mixed for sample in samples)
    return len(samples) - mixed + min(mixed, len(samples) - mixed)


def _drawn(samples: Sequence[Sample], balance: float, generator: torch.Generator) -> list[int]:
    """Numbers of samples, as many as there are, shuffled or drawn by class."""
    if balance == 0:
        return torch.randperm(len(samples), generator=generator).tolist()
    cells = [(sample.source, sample.label) for sample in samples]
    count = Counter(cells)
    weights = torch.tensor([count[cell] ** -balance for cell in cells], dtype=torch.float64)
    return torch.multinomial(weights, len(samples), replacement=True, generator=generator).tolist()


def derive_seed(*numbers: int) -> int:
    """One seed from several non-negative numbers; seeds of neighbours are unrelated."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _views(
    dataset: Dataset, record: Record, source: int, size: int, task: Task, focus: Focus | None
) -> Iterator[Sample]:
    pixels, mask = read_pair(dataset, record)
    pixels = as_channels(pixels, task.channels)
    label = task.cls_classes.index(record.label) if record.label else -1
    mask = renumbered(mask, dataset.info, task)
    name = str(dataset.folder / record.image)
    yield _sample(pixels, mask, label, source, size, name)
    box = find_focus(mask, task, focus) if mask is not None and focus is not None else None
    if mask is not None and box is not None:
        yield _sample(pixels[box.slices], mask[box.slices], label, source, size, name)


def _sample(
    pixels: NDArray[np.float32], mask: NDArray[np.uint8] | None, label: int, source: int, size: int, name: str
) -> Sample:
    image = (squash(pixels, size) * 255).round().to(torch.uint8)
    target = torch.full((size, size), IGNORE, dtype=torch.uint8) if mask is None else mask_to_input(mask, size)
    return Sample(image, target, label, source, name=name)


def _has_structure(mask: Tensor) -> bool:
    return bool(((mask > 0) & (mask < IGNORE)).any())


def _is_nothing(mask: Tensor) -> bool:
    """Whether a mask has 0 and `IGNORE` side by side and no structure: 255 may have been meant as one."""
    return bool((mask == 0).any() and (mask == IGNORE).any()) and not _has_structure(mask)
