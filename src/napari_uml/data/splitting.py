"""Groups and a suggested split: patients kept together as file names tell, classes spread, the same for one seed."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import chain, count
from typing import TYPE_CHECKING

import numpy as np

from napari_uml.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_uml.data.dataset import Dataset, Record, Split

SHARE = 0.25
"""Of the annotated images that validate."""
FEWEST = 2
"""Examples of a class that are needed to train on."""

_NAMED = re.compile(
    r"(?:(?<![A-Za-z])|(?<=[a-z])(?=[A-Z]))(?i:(patient|subject|participant|case|lesion|pat|sub|pid|id))[-_ ]?(\d+)"
)  # the word begins there: covid19 and thyroid2 are no ids
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


def joined_groups(into: Dataset, added: Dataset) -> dict[str, str]:
    """What the groups of an added data set are called where it is added, by the name that they have.

    A group keeps its name when no group is called so yet, or when that one has an image of it, byte for byte: then the
    same data set was added before. Else the name of the data set comes before it, numbered from 2 where it is taken.

    Raises
    ------
    ImageError
        When an image of a group that both have cannot be read.
    """
    own, theirs = _images_of(into), _images_of(added)
    title = added.info.name or added.folder.name
    joined = {}
    for group, images in theirs.items():
        prefixed = (f"{title}{'' if number == 1 else f'-{number}'} {group}".strip() for number in count(1))
        free = (name for name in prefixed if name not in theirs)
        joined[group] = next(
            name
            for name in chain([group], free)
            if name not in own or _share_one(into.folder, own[name], added.folder, images)
        )
    return joined


def suggest_split(records: Sequence[Record], share: float = SHARE, seed: int = 0) -> Suggestion:
    """Which rows train and which validate; rows that test or validate keep doing so, with their whole groups.

    Of every class about `share` of the groups validate: those that do already, and what is missing, drawn by the seed
    as long as two are left to train; with two annotated groups or more at least one validates. Rows without annotation
    train: once annotated they count.

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


def _images_of(dataset: Dataset) -> dict[str, set[str]]:
    """The images of every group."""
    images: dict[str, set[str]] = defaultdict(set)
    for record in dataset.records:
        if record.group:
            images[record.group].add(record.image)
    return dict(images)


def _share_one(folder: Path, images: set[str], other: Path, others: set[str]) -> bool:
    """Whether two sets of image files have one in common; a file that is not there is like none."""
    known = {_digest(folder / image) for image in images if (folder / image).is_file()}
    return any(_digest(other / image) in known for image in sorted(others))


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise ImageError(f"Expected an image, {path} cannot be read ({error.strerror}).") from error


def _drawn(members: dict[str, list[Record]], share: float, seed: int) -> set[str]:
    """The groups that validate."""
    strata: dict[str, list[str]] = defaultdict(list)
    for group in sorted(members):
        strata[_class_of(members[group])].append(group)
    generator = np.random.default_rng(seed)
    drawn = {group for group, rows in members.items() if any(row.split == "val" and _annotated([row]) for row in rows)}
    left = Counter(row.label for group, rows in members.items() if group not in drawn for row in rows)
    for label in sorted(strata):
        groups = [strata[label][int(i)] for i in generator.permutation(len(strata[label]))]
        wanted = max(round(share * len(groups)), 1) - len(drawn.intersection(groups))
        for group in groups:
            own = Counter(row.label for row in members[group])
            if group not in drawn and wanted > 0 and all(left[name] - n >= FEWEST for name, n in own.items()):
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
