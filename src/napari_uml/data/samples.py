"""Training samples held in memory at the network's input size, and the order in which an epoch visits them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_uml.config import Task
from napari_uml.data.dataset import IGNORE
from napari_uml.data.reading import read_image
from napari_uml.data.resize import find_focus, mask_to_input, to_input
from napari_uml.errors import DatasetError, ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_uml.config import Focus
    from napari_uml.data.dataset import Dataset, Record, Split


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One view of one image on the network's input grid.

    Attributes
    ----------
    image
        uint8 (3, S, S).
    mask
        uint8 (S, S) structure numbers; `IGNORE` where not annotated.
    label
        Class number; -1 when not annotated.
    source
        Number of the data set it comes from.
    """

    image: Tensor
    mask: Tensor
    label: int
    source: int


def load_samples(
    datasets: Sequence[Dataset], split: Split, size: int, task: Task, focus: Focus | None = None
) -> list[Sample]:
    """Every image of a split, squashed to (size, size), with the numbers that its names have in `task`.

    An image whose structures in `focus` are small comes twice: whole, and as a crop around them.

    Raises
    ------
    DatasetError
        With every file that cannot be read, and every mask that does not fit its image.
    """
    samples: list[Sample] = []
    problems: list[str] = []
    for source, dataset in enumerate(datasets):
        for record in dataset.of_split(split):
            try:
                samples += _views(dataset, record, source, size, task, focus)
            except ImageError as error:
                problems.append(str(error))
    if problems:
        raise DatasetError(*problems)
    return samples


def merge_tasks(tasks: Sequence[Task]) -> Task:
    """The task of several data sets trained together: structures and classes of the same name are the same.

    Raises
    ------
    DatasetError
        When a data set has another background.
    """
    first = tasks[0]
    if len({task.seg_classes[0] for task in tasks}) > 1:
        raise DatasetError("Expected the same name for structure 0, the background, in every data set.")
    seg = tuple(dict.fromkeys(name for task in tasks for name in task.seg_classes))
    cls = tuple(dict.fromkeys(name for task in tasks for name in task.cls_classes))
    same = seg == first.seg_classes
    return Task(
        modality=first.modality if len({task.modality for task in tasks}) == 1 or same else "several",
        channels=max(task.channels for task in tasks),
        seg_classes=seg,
        cls_classes=cls,
        seg_colors=first.seg_colors if same else (),
        unions={name: parts for task in tasks for name, parts in task.unions.items()},
        measurements=tuple({m.name: m for task in tasks for m in task.measurements}.values()),
    )


def _views(
    dataset: Dataset, record: Record, source: int, size: int, task: Task, focus: Focus | None
) -> Iterator[Sample]:
    pixels = read_image(dataset.folder / record.image).pixels
    mask = dataset.read_mask(record)
    label = task.cls_classes.index(record.label) if record.label else -1
    if mask is not None:
        if mask.shape != pixels.shape[:2]:
            raise ImageError(f"Expected a mask of shape {pixels.shape[:2]} for {record.image}, got {mask.shape}.")
        mask = _renumber(mask, dataset.info, task)
    yield _sample(pixels, mask, label, source, size)
    box = find_focus(mask, task, focus) if mask is not None and focus is not None else None
    if mask is not None and box is not None:
        yield _sample(pixels[box.slices], mask[box.slices], label, source, size)


def _renumber(mask: NDArray[np.uint8], old: Task, new: Task) -> NDArray[np.uint8]:
    table = np.arange(256, dtype=np.uint8)
    table[: len(old.seg_classes)] = [new.seg_classes.index(name) for name in old.seg_classes]
    return table[mask]


def _sample(
    pixels: NDArray[np.float32], mask: NDArray[np.uint8] | None, label: int, source: int, size: int
) -> Sample:
    image = (to_input(pixels, size) * 255).round().to(torch.uint8)
    target = torch.full((size, size), IGNORE, dtype=torch.uint8) if mask is None else mask_to_input(mask, size)
    return Sample(image, target, label, source)


def epoch_order(samples: Sequence[Sample], balance: float, seed: int, epoch: int) -> list[int]:
    """Which samples an epoch visits, as many as there are.

    Without balance each of them once, shuffled. With it they are drawn with replacement, so that a class (within one
    data set) of n samples is visited in proportion to n ** (1 - balance).
    """
    generator = torch.Generator().manual_seed(hash((seed, epoch)) & 0xFFFFFFFF)
    if balance == 0:
        return torch.randperm(len(samples), generator=generator).tolist()  # type: ignore[no-any-return]
    cells = [(sample.source, sample.label) for sample in samples]
    count = Counter(cells)
    weights = torch.tensor([count[cell] ** -balance for cell in cells], dtype=torch.float64)
    return torch.multinomial(weights, len(samples), replacement=True, generator=generator).tolist()  # type: ignore[no-any-return]
