"""`TrainingList`: what is trained on, as a dataset folder that is saved at every change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_uml.config import IGNORE
from napari_uml.data.dataset import (
    Dataset,
    DatasetInfo,
    Record,
    Split,
    read_dataset,
    read_mask,
)
from napari_uml.data.list_files import MASKS, as_mask, copy_in, store_image, store_mask, without_white, write_mask
from napari_uml.data.list_tables import ListTables
from napari_uml.data.names import Kind, names_of, renamed, with_name, without_name
from napari_uml.data.reading import read_image
from napari_uml.data.splitting import group_of, joined_groups
from napari_uml.data.tasks import renumbered
from napari_uml.errors import DatasetError, ImageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from numpy.typing import NDArray


class TrainingList:
    """Rows of image, mask, class, split and group in a dataset folder.

    Every change is on the disk when the method returns. Files that are there are never overwritten, other than the mask
    of a row by a new mask of that row. Several threads may use one list. When another program changed its tables, every
    change is a `DatasetError` before a file is touched; open the list again.

    Attributes
    ----------
    folder
        The dataset folder.
    info
        Its structures, its classes and where the images come from.
    records
        The rows.
    """

    def __init__(self, folder: Path, info: DatasetInfo, records: tuple[Record, ...], tables: ListTables) -> None:
        self.folder, self.info, self.records = folder, info, records
        self._tables, self._lock = tables, RLock()

    @classmethod
    def create(cls, folder: Path, info: DatasetInfo) -> TrainingList:
        """Begin an empty list.

        Raises
        ------
        DatasetError
            When the folder holds a data set already.
        UMLError
            When it cannot be written.
        """
        if any((folder / name).exists() for name in ("dataset.json", "index.csv")):
            raise DatasetError(f"Expected a new folder, {folder} holds a data set; open it, or choose another name.")
        created = cls(folder, info, (), ListTables(folder))
        created._save(info, ())
        return created

    @classmethod
    def open(cls, folder: Path) -> TrainingList:
        """Go on with a list, or with any dataset folder; rows with problems are left for `find_problems`.

        Raises
        ------
        DatasetError
            When it is no dataset folder, or its tables cannot be read.
        """
        tables = ListTables(folder)
        return cls(folder, *tables.read(), tables)

    @property
    def dataset(self) -> Dataset:
        """The list as it is now, for reading."""
        with self._lock:
            return Dataset(self.folder, self.info, self.records)

    def record(self, image: str) -> Record:
        """The row of an image.

        Raises
        ------
        ValueError
            When there is none.
        """
        for record in self.records:
            if record.image == image:
                return record
        raise ValueError(f"Expected an image of the list in {self.folder}, got {image}.")

    def add_array(
        self,
        pixels: NDArray[Any],
        labels: NDArray[Any] | None = None,
        label: str = "",
        *,
        name: str = "image",
        split: Split = "train",
        group: str | None = None,
        unlabelled: int | None = None,
    ) -> Record:
        """Add an image with what is known of it.

        Parameters
        ----------
        pixels
            As `store_image` takes them.
        labels
            (H, W) structure numbers, see `as_mask`; None: not annotated.
        label
            Its class; empty: not annotated.
        name
            What the files are to be called.
        split, group
            For the row; without a group the name tells it where it can. With a group that the list has already, the row
            gets the split of that group instead, as what is returned says.
        unlabelled
            Number of the pixels that nobody annotated.

        Raises
        ------
        ValueError, ImageError
            When image and labels do not go together, or cannot be used; nothing is added then.
        UMLError
            When a file cannot be written.
        """
        self._check_unchanged()
        mask = self._checked_mask(labels, np.shape(pixels)[:2], unlabelled)
        self._check_label(label)
        image = store_image(self.folder, name, pixels)
        return self._append(image, mask, label, split, group_of(name) if group is None else group)

    def add_file(
        self, path: Path, mask: Path | None = None, label: str = "", *, split: Split = "train", group: str | None = None
    ) -> Record:
        """Add a copy of an image file, and of its mask; a mask of 0 and 255 alone is taken as one of 0 and 1.

        Raises
        ------
        ValueError, ImageError
            When they cannot be used or do not go together; nothing is added then.
        UMLError
            When a file cannot be written.
        """
        self._check_unchanged()
        loaded = read_image(path)
        if loaded.is_stack:
            raise ImageError(f"{path.name}: expected one image, got a stack of {len(loaded.pixels)}; add its slices.")
        labels = None if mask is None else without_white(read_mask(mask))
        stored = self._checked_mask(labels, loaded.pixels.shape[:2], None)
        self._check_label(label)
        whole = path.is_file()  # no DICOM folder
        image = copy_in(self.folder, path) if whole else store_image(self.folder, path.name, loaded.pixels)
        return self._append(image, stored, label, split, group_of(path.name) if group is None else group)

    def add_dataset(self, folder: Path) -> Iterator[Record]:
        """Add every row of another dataset folder, one an iteration; its new structures and classes come to the end.

        A group that is called as one of the list, without an image that both have, gets the name of the data set before
        its own: another clinic's patient1 is somebody else.

        Raises
        ------
        DatasetError
            When it cannot be read, is this list itself, or has another background.
        ImageError
            When an image or a mask cannot be read; the rows before it stay.
        """
        other = read_dataset(folder)
        if other.folder.resolve() == self.folder.resolve():
            raise DatasetError("Expected another data set, got the training list itself.")
        if other.info.seg_classes[0] != self.info.seg_classes[0]:
            raise DatasetError(
                f"Expected {self.info.seg_classes[0]} as the name of structure 0, {other.info.name} calls it "
                f"{other.info.seg_classes[0]}; rename one."
            )
        with self._lock:
            info = self.info
            for kind in ("structure", "class"):
                for name in names_of(other.info, kind):
                    info = info if name in names_of(info, kind) else with_name(info, kind, name)
            self._save(info, self.records)
        groups = joined_groups(self.dataset, other)
        for record in other.records:
            self._check_unchanged()
            mask = renumbered(other.read_mask(record), other.info, info)
            image = copy_in(self.folder, folder / record.image)
            yield self._append(image, mask, record.label, record.split, groups.get(record.group, ""))

    def update(
        self,
        image: str,
        *,
        labels: NDArray[Any] | None = None,
        unlabelled: int | None = None,
        label: str | None = None,
        split: Split | None = None,
        group: str | None = None,
    ) -> Record:
        """Change what is given of a row; a new mask takes the place of the old one.

        Raises
        ------
        ValueError, ImageError
            When there is no such row, or the labels do not fit; nothing is changed then.
        UMLError
            When a file cannot be written.
        """
        with self._lock:
            self._check_unchanged()
            record = self.record(image)
            if label is not None:
                self._check_label(label)
            changed = replace(
                record,
                label=record.label if label is None else label,
                split=split or record.split,
                group=record.group if group is None else group,
            )
            if labels is not None:
                size = read_image(self.folder / image).pixels.shape[:2]
                mask = self._checked_mask(labels, size, unlabelled)
                changed = replace(changed, mask=self._write_mask(record, mask))
            self._save(self.info, tuple(changed if one is record else one for one in self.records))
            return changed

    def remove(self, images: Collection[str]) -> None:
        """Take rows out of the list; their files stay in the folder."""
        with self._lock:
            self._save(self.info, tuple(record for record in self.records if record.image not in images))

    def move(self, splits: Mapping[str, Split], groups: Mapping[str, str] | None = None) -> None:
        """Give rows other splits and groups, by image."""
        groups = groups or {}
        with self._lock:
            moved = (
                replace(one, split=splits.get(one.image, one.split), group=groups.get(one.image, one.group))
                for one in self.records
            )
            self._save(self.info, tuple(moved))

    def rename(self, kind: Kind, old: str, new: str) -> None:
        """Rename a structure or class; masks and images stay as they are, weights under the old name are still found.

        Raises
        ------
        ValueError
            When there is no such name, or the new one is empty or taken.
        """
        with self._lock:
            info, records = renamed(self.info, kind, old, new), self.records
            if kind == "class":
                records = tuple(replace(one, label=new) if one.label == old else one for one in records)
            self._save(info, records)

    def add_name(self, kind: Kind, name: str) -> None:
        """Add a structure or class.

        Raises
        ------
        ValueError
            When the name is empty or taken.
        """
        with self._lock:
            self._save(with_name(self.info, kind, name), self.records)

    def used_by(self, kind: Kind, name: str) -> tuple[str, ...]:
        """Images that `remove_name` would change: those of the class, or whose mask has the structure.

        Raises
        ------
        ImageError
            When a mask cannot be read.
        """
        if kind == "class":
            return tuple(record.image for record in self.records if record.label == name)
        number = self.info.seg_classes.index(name)
        with_mask = (record for record in self.records if record.mask)
        return tuple(one.image for one in with_mask if (read_mask(self.folder / one.mask) == number).any())

    def remove_name(self, kind: Kind, name: str, into: str | None = None) -> None:
        """Remove a structure or class; masks are written anew, so ask the user first (`used_by` says what changes).

        Parameters
        ----------
        kind, name
            What to remove.
        into
            Structure or class that takes its place in the rows; None: they are no longer annotated there.

        Raises
        ------
        ValueError
            When there is no such name, or it is needed.
        ImageError
            When a mask cannot be read; nothing is changed then.
        """
        with self._lock:
            info = without_name(self.info, kind, name)
            if into is not None and into not in names_of(info, kind):
                raise ValueError(f"Expected a {kind} among {', '.join(names_of(info, kind))}, got {into}.")
            if kind == "class":
                relabelled = (replace(one, label=into or "") if one.label == name else one for one in self.records)
                self._save(info, tuple(relabelled))
            else:
                self._renumber(info, name, into)

    def _renumber(self, info: DatasetInfo, name: str, into: str | None) -> None:
        """Write every mask under a new name, then the tables, then delete the old masks; a kill loses nothing."""
        self._check_unchanged()
        table = np.arange(256, dtype=np.uint8)
        kept = {other: info.seg_classes.index(other) for other in info.seg_classes}
        kept[name] = IGNORE if into is None else kept[into]
        table[: len(self.info.seg_classes)] = [kept[other] for other in self.info.seg_classes]
        before = self.records
        for one in before:  # a mask that cannot be read is found before anything is written
            if one.mask:
                read_mask(self.folder / one.mask)
        records = [replace(one, mask=self._stored_anew(one, table)) if one.mask else one for one in before]
        self._save(info, tuple(records))
        images = {one.image for one in before}
        for one in before:
            if one.mask.startswith(f"{MASKS}/") and one.mask not in images:
                (self.folder / one.mask).unlink(missing_ok=True)

    def _stored_anew(self, record: Record, table: NDArray[np.uint8]) -> str:
        """The mask of a row with other numbers, under a new name."""
        return store_mask(self.folder, Path(record.mask).stem, table[read_mask(self.folder / record.mask)])

    def _append(self, image: str, mask: NDArray[np.uint8] | None, label: str, split: Split, group: str) -> Record:
        with self._lock:
            stored = "" if mask is None else store_mask(self.folder, Path(image).stem, mask)
            split = next((one.split for one in self.records if group and one.group == group), split)
            record = Record(image, stored, label, split, group)
            self._save(self.info, (*self.records, record))
            return record

    def _write_mask(self, record: Record, mask: NDArray[np.uint8] | None) -> str:
        """Store the new mask of a row; only a PNG file that is no image and that no other row uses is replaced."""
        if mask is None:
            return record.mask
        shared = [name for one in self.records for name in (one.image, one.mask)].count(record.mask) > 1
        if shared or not record.mask.lower().endswith(".png"):
            return store_mask(self.folder, Path(record.image).stem, mask)
        write_mask(self.folder / record.mask, mask)
        return record.mask

    def _checked_mask(
        self, labels: NDArray[Any] | None, size: tuple[int, ...], unlabelled: int | None
    ) -> NDArray[np.uint8] | None:
        if labels is None:
            return None
        mask = as_mask(labels, self.info.seg_classes, unlabelled)
        if mask.shape != size:
            raise ImageError(
                f"Expected labels of {size[0]} x {size[1]} pixels as the image has, got {mask.shape[0]} x "
                f"{mask.shape[1]}."
            )
        return mask

    def _check_label(self, label: str) -> None:
        if label and label not in self.info.cls_classes:
            raise ValueError(f"Expected a class among {', '.join(self.info.cls_classes)}, got {label}.")

    def _save(self, info: DatasetInfo, records: tuple[Record, ...]) -> None:
        """Write the tables, then take them over."""
        self._tables.write(info, records, both=info != self.info and bool(records))
        self.info, self.records = info, records

    def _check_unchanged(self) -> None:
        with self._lock:
            self._tables.check_unchanged()
