"""Which structures and classes of a task a model knows already, by name or by an earlier name; no torch."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_uml.config import Task

    Former = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Kept:
    """What becomes of a start model's heads.

    Attributes
    ----------
    structures, classes
        For every name of the new task the name that the start model has its weights under; None: they start untrained.
    dropped
        Names of the start model that the new task has no use for.
    """

    structures: dict[str, str | None]
    classes: dict[str, str | None]
    dropped: tuple[str, ...]

    @property
    def new(self) -> tuple[str, ...]:
        """The classes, then the structures, that start untrained."""
        return tuple(name for table in (self.classes, self.structures) for name, old in table.items() if old is None)

    @property
    def words(self) -> str:
        """The same for people, in a sentence or two, without the background."""
        kept = _listed({**dict(islice(self.structures.items(), 1, None)), **self.classes})
        parts = [f"Keeps what was learnt about {kept}." if kept else "Keeps no structure and no class."]
        if self.new:
            parts.append(f"New and untrained: {', '.join(self.new)}.")
        if self.dropped:
            parts.append(f"No longer found: {', '.join(self.dropped)}.")
        return " ".join(parts)


def what_is_kept(old: Task, new: Task) -> Kept:
    """What a network for the task `new` takes over from a model of the task `old`."""
    structures = match_names(old.seg_classes, old.former_structures, new.seg_classes, new.former_structures)
    classes = match_names(old.cls_classes, old.former_classes, new.cls_classes, new.former_classes)
    dropped = [name for name in old.seg_classes if name not in structures.values()]
    dropped += [name for name in old.cls_classes if name not in classes.values()]
    return Kept(structures, classes, tuple(dropped))


def match_names(
    old: Sequence[str], old_former: Former, new: Sequence[str], new_former: Former
) -> dict[str, str | None]:
    """Find every new name among the old ones.

    A renamed one of the same history is the same; else it is what it was called last; any other is taken by its name
    unless another one was called so before. So names that were swapped are told apart.

    Parameters
    ----------
    old, new
        Names of structures, or of classes.
    old_former, new_former
        Their earlier names, oldest first.

    Returns
    -------
    For each new name the old one, each old one once; None where there is none.
    """
    found: dict[str, str] = {}
    for name in new:
        if name in old and new_former.get(name) and tuple(new_former[name]) == tuple(old_former.get(name, ())):
            found[name] = name
    for name in new:
        before = [former for former in reversed(new_former.get(name, ())) if former in old]
        if name not in found and before and before[0] not in found.values():
            found[name] = before[0]
    for name in new:
        if name not in found and name in old and name not in found.values():
            found[name] = name
    return {name: found.get(name) for name in new}


def match_numbers(named: Mapping[int, str], task: Task) -> dict[int, int]:
    """Find the structures of a task that the numbers of labels stand for, by name or by an earlier name.

    A number without a name, as a user paints it, is the task's own as long as no name stands for that structure; 0 is
    the background, whatever it is called.

    Parameters
    ----------
    named
        Names by number, such as those of a result; empty: the numbers are the task's own.
    task
        Has the structures.

    Returns
    -------
    The task's number of each number; numbers whose names the task does not have are missing.
    """
    names = tuple(named.values())
    former = {name: old for name, old in task.former_structures.items() if name not in names}
    found = match_names(names, {}, task.seg_classes, former)
    ours = {old: number for number, old in enumerate(found.values()) if old is not None}
    own = {n: n for n in range(len(task.seg_classes)) if n not in named and n not in ours.values()}
    return {0: 0, **own, **{number: ours[name] for number, name in named.items() if name in ours}}


def _listed(table: Mapping[str, str | None]) -> str:
    return ", ".join(name if was == name else f"{name} (was {was})" for name, was in table.items() if was is not None)
