"""Rename, add and remove the structures and classes of a data set; the earlier names are kept for `data.kept`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from napari_uml.config import OKABE_ITO
from napari_uml.data.dataset import DatasetInfo, sentences

if TYPE_CHECKING:
    from collections.abc import Callable

Kind = Literal["structure", "class"]

FIELDS: dict[Kind, tuple[str, str]] = {
    "structure": ("seg_classes", "former_structures"),
    "class": ("cls_classes", "former_classes"),
}
"""The fields of `Task` that hold the names and the earlier names."""


def names_of(info: DatasetInfo, kind: Kind) -> tuple[str, ...]:
    """The structures, background first, or the classes."""
    return info.seg_classes if kind == "structure" else info.cls_classes


def now_called(info: DatasetInfo, kind: Kind, name: str) -> str | None:
    """What a structure or class of that name is called now; None when it is gone."""
    if name in names_of(info, kind):
        return name
    former: dict[str, tuple[str, ...]] = getattr(info, FIELDS[kind][1])
    return next((now for now, before in former.items() if name in before), None)


def renamed(info: DatasetInfo, kind: Kind, old: str, new: str) -> DatasetInfo:
    """The same with another name of a structure or class, also where unions and measurements use it.

    Raises
    ------
    ValueError
        When there is no such name, or the new one is empty or taken.
    """
    _check_known(info, kind, old)
    names, former = FIELDS[kind]
    history = (*getattr(info, former).get(old, ()), old)
    history = history[: history.index(new)] if new in history else history
    kept = {name: before for name, before in getattr(info, former).items() if name != old}
    changes: dict[str, Any] = {
        names: tuple(new if name == old else name for name in names_of(info, kind)),
        former: {**kept, new: history} if history else kept,
    }
    if kind == "structure":
        changes |= _uses(info, lambda parts: tuple(new if part == old else part for part in parts))
    return _changed(info, kind, new, changes)


def with_name(info: DatasetInfo, kind: Kind, name: str) -> DatasetInfo:
    """The same with one more structure or class at the end.

    Raises
    ------
    ValueError
        When the name is empty or taken.
    """
    changes: dict[str, Any] = {FIELDS[kind][0]: (*names_of(info, kind), name)}
    if kind == "structure" and info.seg_colors:
        unused = [color for color in OKABE_ITO[1:] if color not in info.seg_colors]
        changes["seg_colors"] = (*info.seg_colors, next(iter(unused), OKABE_ITO[1 + len(info.seg_colors) % 7]))
    return _changed(info, kind, name, changes)


def without_name(info: DatasetInfo, kind: Kind, name: str) -> DatasetInfo:
    """The same without a structure or class; unions and measurements lose it, and vanish when nothing is left of them.

    Raises
    ------
    ValueError
        When there is no such name, it is the background, or only one would be left.
    """
    _check_known(info, kind, name)
    names, former = FIELDS[kind]
    if kind == "structure" and name == info.seg_classes[0]:
        raise ValueError(f"Expected a structure to remove, {name} is the background; rename it instead.")
    if len(names_of(info, kind)) == 2:
        few = "a structure beside the background" if kind == "structure" else "two classes"
        raise ValueError(f"Expected at least {few}, {name} is needed; rename it, or add another one first.")
    changes: dict[str, Any] = {
        names: tuple(other for other in names_of(info, kind) if other != name),
        former: {other: before for other, before in getattr(info, former).items() if other != name},
    }
    if kind == "structure":
        changes |= _uses(info, lambda parts: tuple(part for part in parts if part != name))
        changes["seg_colors"] = tuple(
            color for color, other in zip(info.seg_colors, info.seg_classes, strict=False) if other != name
        )
    return _changed(info, kind, "", changes)


def _check_known(info: DatasetInfo, kind: Kind, name: str) -> None:
    if name not in names_of(info, kind):
        raise ValueError(f"Expected a {kind} among {', '.join(names_of(info, kind))}, got {name}.")


def _uses(info: DatasetInfo, change: Callable[[tuple[str, ...]], tuple[str, ...]]) -> dict[str, Any]:
    """Unions and measurements with other parts; those without any are left out."""
    unions = {union: parts for union, old in info.unions.items() if (parts := change(old))}
    gone = info.unions.keys() - unions.keys()
    measured = [
        measurement.model_copy(update={"of": change(measurement.of), "to": change(measurement.to)})
        for measurement in info.measurements
    ]
    whole = [one.model_dump() for one in measured if one.of and one.to and not gone & {*one.of, *one.to}]
    return {"unions": unions, "measurements": whole}


def _changed(info: DatasetInfo, kind: Kind, name: str, changes: dict[str, Any]) -> DatasetInfo:
    known = {**dict.fromkeys(names_of(info, kind)), **({} if kind == "class" else dict.fromkeys(info.unions))}
    if name != name.strip() or (not name and len(changes[FIELDS[kind][0]]) >= len(names_of(info, kind))):
        raise ValueError(f"Expected a name for the {kind} without spaces around it, got {name!r}.")
    if name in known:
        raise ValueError(f"Expected a new name for the {kind}, there is one called {name} already.")
    try:
        return DatasetInfo.model_validate({**info.model_dump(), **changes})
    except ValidationError as error:
        raise ValueError(" ".join(sentences(error))) from error
