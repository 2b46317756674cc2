"""A suggested split: patients kept together as file names tell, classes spread evenly, the same for the same seed."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_uml.data.dataset import Record, Split

SHARE = 0.25
"""Of the annotated images that validate."""
FEWEST = 2
"""Examples of a class that are needed to train on."""

_NAMED = re.compile(r"(patient|subject|participant|case|lesion|pat|sub|pid|id)[-_ ]?(\d+)", re.IGNORECASE)
_SIDED = re.compile(r"^(.*\d.*?)[-_ ](?:left|right|od|os|l|r|cc|mlo)(?=$|[-_ .])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A split, by image.

    Attributes
    ----------
    splits
        Of every row.
    groups
        Of the rows whose group the file name tells and that had none.
    """

    splits: dict[str, Split]
    groups: dict[str, str]


def group_of(name: str) -> str:
    """Whom a picture shows, as its file name tells: `patient12_left.png` gives `patient12`, `0031_OD.jpg` gives `0031`.

    Returns
    -------
    Empty where the name does not tell.
    """
    stem = name.replace("\\", "/").rpartition("/")[2]
    named = _NAMED.search(stem)
    if named:
        return f"{named[1].lower()}{int(named[2])}"
    sided = _SIDED.match(stem)
    return sided[1] if sided else ""


def suggest_split(records: Sequence[Record], share: float = SHARE, seed: int = 0) -> Suggestion:
    """Which rows train and which validate; rows that test keep testing, with their whole groups.

    Of every class about `share` of the groups validate, drawn by the seed, as long as two are left to train; with two
    annotated groups or more at least one validates. Rows without annotation train: once annotated they count.

    Raises
    ------
    ValueError
        When the share is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise ValueError(f"Expected a share between 0 and 1, got {share}.")
    told = {record.image: record.group or group_of(record.image) for record in records}
    members: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        members[told[record.image] or f"\0{record.image}"].append(record)
    testing = {group for group, rows in members.items() if any(row.split == "test" for row in rows)}
    validating = _drawn({g: rows for g, rows in members.items() if g not in testing and _annotated(rows)}, share, seed)
    splits: dict[str, Split] = {}
    for group, rows in members.items():
        split: Split = "test" if group in testing else "val" if group in validating else "train"
        splits |= dict.fromkeys((row.image for row in rows), split)
    return Suggestion(splits, {row.image: told[row.image] for row in records if not row.group and told[row.image]})


def _drawn(members: dict[str, list[Record]], share: float, seed: int) -> set[str]:
    """The groups that validate."""
    strata: dict[str, list[str]] = defaultdict(list)
    for group in sorted(members):
        strata[_class_of(members[group])].append(group)
    generator = np.random.default_rng(seed)
    left = Counter(row.label for rows in members.values() for row in rows)
    drawn: set[str] = set()
    for label in sorted(strata):
        groups = [strata[label][int(i)] for i in generator.permutation(len(strata[label]))]
        wanted = max(round(share * len(groups)), 1)
        for group in groups:
            own = Counter(row.label for row in members[group])
            if wanted and all(left[name] - count >= FEWEST for name, count in own.items()):
                drawn.add(group)
                left -= own
                wanted -= 1
    if not drawn and len(members) > 1:
        largest = max(strata.values(), key=len)
        drawn.add(largest[int(generator.integers(len(largest)))])
    return drawn


def _class_of(rows: list[Record]) -> str:
    """The class that most pictures of a group have; the first in the alphabet of several."""
    counts = Counter(row.label for row in rows)
    return min(counts, key=lambda label: (-counts[label], label))


def _annotated(rows: list[Record]) -> bool:
    return any(row.mask or row.label for row in rows)
