"""What keeps a training list from being trained on, all of it at once and each with its row."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from napari_uml.config import IGNORE
from napari_uml.data.dataset import (
    Dataset,
    Problem,
    Record,
    image_problems,
    row_problems,
    split_problems,
)
from napari_uml.data.splitting import FEWEST

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from napari_uml.data.dataset import Pair


def find_problems(dataset: Dataset, stopped: Callable[[], bool] = lambda: False) -> list[Problem]:
    """Every problem of a list: those of the table, of its files, and of what is missing to learn from.

    Parameters
    ----------
    dataset
        The list; its rows need not have been checked.
    stopped
        Asked before every file whether the answer is still wanted; the rest is left out then.
    """
    rows = [asdict(record) for record in dataset.records]
    problems = [
        Problem(row["image"], _sentence(text, row["image"]))
        for row in rows
        for text in row_problems(dataset.folder, dataset.info, row)
    ]
    broken = {problem.row for problem in problems}
    problems += split_problems(rows)
    masks = _Masks()
    readable = tuple(record for record in dataset.records if record.image not in broken)
    problems += image_problems(replace(dataset, records=readable), masks.add, stopped)
    return problems + masks.problems() + _amounts(dataset, masks)


class _Masks:
    """What the masks hold, collected while the files are checked."""

    def __init__(self) -> None:
        self.empty: set[str] = set()
        self._with_structure: set[str] = set()
        self._part_only: dict[str, list[str]] = defaultdict(list)

    def add(self, record: Record, pair: Pair) -> None:
        mask: NDArray[np.uint8] | None = pair[1]
        if mask is None:
            return
        if (mask == IGNORE).all():
            self.empty.add(record.image)
        elif ((mask > 0) & (mask < IGNORE)).any():
            self._with_structure.add(record.split)
        elif (mask == IGNORE).any():
            self._part_only[record.split].append(record.image)

    def problems(self) -> list[Problem]:
        """Splits in which `IGNORE` seems to be meant as a structure; training refuses them."""
        text = (
            f"Expected a structure in some mask of this split, there are only background and {IGNORE}, which means not "
            f"annotated; write 1 instead of {IGNORE} where it was meant as a structure, or annotate one."
        )
        return [
            Problem(images[0], text) for split, images in self._part_only.items() if split not in self._with_structure
        ]


def _amounts(dataset: Dataset, masks: _Masks) -> list[Problem]:
    """Too little to learn from or to validate on."""
    annotated = [one for one in dataset.records if one.label or (one.mask and one.image not in masks.empty)]
    if not annotated:
        return [Problem("", "Expected annotated images, no row has a class or a mask with annotated pixels.")]
    training = [one for one in annotated if one.split == "train"]
    problems = []
    if not training:
        problems.append(Problem("", "Expected annotated images to train on, no row of the split train has any."))
    if not any(one.split == "val" for one in annotated):
        problems.append(
            Problem("", "Expected annotated images to validate on, the split val has none; move a quarter of them.")
        )
    if any(one.label for one in annotated):
        problems += [_few(name, training) for name in dataset.info.cls_classes if _count(name, training) < FEWEST]
    return problems


def _count(name: str, records: list[Record]) -> int:
    return sum(record.label == name for record in records)


def _few(name: str, records: list[Record]) -> Problem:
    own = [record.image for record in records if record.label == name]
    text = f"Expected at least {FEWEST} examples of {name} to train on, got {len(own)}; add more, or remove the class."
    return Problem(own[0] if own else "", text)


def _sentence(text: str, image: str) -> str:
    return f"{image or 'A row'}: {text}"
