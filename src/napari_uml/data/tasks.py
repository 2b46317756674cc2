"""The task of several data sets together; no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from napari_uml.config import Task
from napari_uml.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

Meaning = TypeVar("Meaning")


def merge_tasks(tasks: Sequence[Task]) -> Task:
    """The task of several data sets trained together: structures and classes of the same name are the same.

    Raises
    ------
    DatasetError
        When the data sets have different backgrounds, or mean different things by one name.
    """
    first = tasks[0]
    if len({task.seg_classes[0] for task in tasks}) > 1:
        raise DatasetError("Expected the same name for structure 0, the background, in every data set.")
    seg = tuple(dict.fromkeys(name for task in tasks for name in task.seg_classes))
    cls = tuple(dict.fromkeys(name for task in tasks for name in task.cls_classes))
    unions = _agreed("union", (task.unions for task in tasks))
    if both := sorted(unions.keys() & set(seg)):
        raise DatasetError(f"Expected a structure or a union in every data set, {', '.join(both)} is both; rename it.")
    same = seg == first.seg_classes
    return Task(
        modality=first.modality if len({task.modality for task in tasks}) == 1 or same else "several",
        channels=max(task.channels for task in tasks),
        seg_classes=seg,
        cls_classes=cls,
        seg_colors=first.seg_colors if same else (),
        unions=unions,
        measurements=tuple(_agreed("measurement", ({m.name: m for m in task.measurements} for task in tasks)).values()),
        former_structures=_agreed("earlier names of", (task.former_structures for task in tasks)),
        former_classes=_agreed("earlier names of", (task.former_classes for task in tasks)),
    )


def renumbered(mask: NDArray[np.uint8] | None, old: Task, new: Task) -> NDArray[np.uint8] | None:
    """A mask with the numbers that its structures have in another task, which has all of them; `IGNORE` stays."""
    if mask is None or old.seg_classes == new.seg_classes:
        return mask
    table = np.arange(256, dtype=np.uint8)
    table[: len(old.seg_classes)] = [new.seg_classes.index(name) for name in old.seg_classes]
    return table[mask]


def _agreed(kind: str, tables: Iterable[Mapping[str, Meaning]]) -> dict[str, Meaning]:
    merged: dict[str, Meaning] = {}
    for table in tables:
        for name, meaning in table.items():
            if merged.setdefault(name, meaning) != meaning:
                raise DatasetError(f"Expected one meaning of the {kind} {name!r}, the data sets differ; rename one.")
    return merged
