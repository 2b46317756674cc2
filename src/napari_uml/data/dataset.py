"""The dataset folder: `dataset.json`, `index.csv`, images and masks; read, checked and written."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections import defaultdict
from dataclasses import astuple, dataclass
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Literal, cast, get_args

import numpy as np
from PIL import UnidentifiedImageError
from pydantic import ValidationError

from napari_uml.config import IGNORE, Task
from napari_uml.data import photos, tiff
from napari_uml.data.decoded import decoding
from napari_uml.data.reading import read_image
from napari_uml.errors import DatasetError, ImageError, validation_problems
from napari_uml.files import write_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    Pair = tuple[NDArray[np.float32], NDArray[np.uint8] | None]

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
COLUMNS = ("image", "mask", "label", "split", "group")
MASK_FORMATS = (*photos.PICTURES, "GIF", "PPM", "TGA", "TIFF", "WEBP")
"""Names that Pillow has for them, whatever the file is called; none of them runs another program, as EPS does."""
ORIENTATION = 0x112
"""EXIF tag; above 4 the picture is stored on its side."""


class DatasetInfo(Task):
    """`dataset.json`: the task, and where the images come from."""

    name: str
    licence: str = ""
    notes: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One row of `index.csv`; paths relative to the folder, an empty mask or label is "not annotated"."""

    image: str
    mask: str
    label: str
    split: Split
    group: str


@dataclass(frozen=True, slots=True)
class Problem:
    """What keeps a data set from being trained on.

    Attributes
    ----------
    row
        Image of the row that it belongs to; empty when it belongs to all.
    text
        One sentence.
    """

    row: str
    text: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset folder whose table has been checked."""

    folder: Path
    info: DatasetInfo
    records: tuple[Record, ...]

    def of_split(self, split: Split) -> tuple[Record, ...]:
        """The records of one split."""
        return tuple(record for record in self.records if record.split == split)

    def annotated(self, split: Split) -> tuple[Record, ...]:
        """The records of one split that teach something: they have a mask or a class."""
        return tuple(record for record in self.of_split(split) if record.mask or record.label)

    def read_mask(self, record: Record) -> NDArray[np.uint8] | None:
        """The record's mask, uint8 (H, W) of structure numbers and `IGNORE`; None when there is none.

        Raises
        ------
        ImageError
            When the file is no integer image of one channel, or holds a number that is no structure.
        """
        if not record.mask:
            return None
        mask = read_mask(self.folder / record.mask)
        unknown = np.setdiff1d(np.unique(mask), [*range(len(self.info.seg_classes)), IGNORE])
        if unknown.size:
            raise ImageError(
                f"Expected structure numbers 0 to {len(self.info.seg_classes) - 1} (or {IGNORE}, not annotated) in "
                f"{record.mask}, got {', '.join(map(str, unknown[:5]))}."
            )
        return mask


def read_dataset(folder: Path | str) -> Dataset:
    """Read and check `dataset.json` and `index.csv`; the images are not opened (`check_images` does).

    Raises
    ------
    DatasetError
        With every problem found.
    """
    folder = Path(folder)
    _check_is_dataset(folder)
    info = _read_info(folder / "dataset.json")
    rows, problems = _read_rows(folder / "index.csv")
    if not rows and not problems:
        problems.append(f"Expected at least one row in {folder / 'index.csv'}, got none.")
    for line, row in rows:
        problems += [f"index.csv line {line}: {problem}" for problem in row_problems(folder, info, row)]
    problems += [problem.text for problem in split_problems([row for _, row in rows])]
    if problems:
        raise DatasetError(*problems)
    records = (Record(**{**row, "split": cast("Split", row["split"])}) for _, row in rows)  # type: ignore[arg-type]
    return Dataset(folder, info, tuple(records))


def read_table(folder: Path) -> tuple[DatasetInfo, tuple[Record, ...]]:
    """Read `dataset.json` and `index.csv`; whether rows make sense and files exist is for others to check.

    Raises
    ------
    DatasetError
        When one of them is missing or cannot be read, or a row leads out of the folder.
    """
    _check_is_dataset(folder)
    info = _read_info(folder / "dataset.json")
    rows, problems = _read_rows(folder / "index.csv")
    for line, row in rows:
        problems += [f"index.csv line {line}: {_outside(row[c])}" for c in ("image", "mask") if leads_out(row[c])]
    if problems:
        raise DatasetError(*problems)
    return info, tuple(Record(**row) for _, row in rows)  # type: ignore[arg-type]


def read_datasets(folders: Sequence[Path]) -> list[Dataset]:
    """Read several dataset folders.

    Raises
    ------
    DatasetError
        As `read_dataset`, and when a folder comes twice.
    """
    resolved = [folder.resolve() for folder in folders]
    twice = [folder for number, folder in enumerate(resolved) if folder in resolved[:number]]
    if twice:
        raise DatasetError(*(f"Expected each data set once, got {folder} again; leave it out." for folder in twice))
    return [read_dataset(folder) for folder in folders]


def check_images(dataset: Dataset) -> list[str]:
    """Every problem of the files themselves, see `image_problems`; one that belongs to several rows is named once."""
    return list(dict.fromkeys(problem.text for problem in image_problems(dataset)))


def image_problems(
    dataset: Dataset,
    seen: Callable[[Record, Pair], None] = lambda record, pair: None,
    stopped: Callable[[], bool] = lambda: False,
) -> list[Problem]:
    """Every problem of the files, with its rows; each file is read as training would read it.

    Unreadable files, stacks, masks of another size, unknown structure numbers, masks of nothing but 0 and `IGNORE`, and
    one picture in several splits, stored in whatever way.

    Parameters
    ----------
    dataset
        What to read.
    seen
        Called with every row that can be read, and what `read_pair` gave.
    stopped
        Asked before every row whether to leave the rest out.
    """
    problems: list[Problem] = []
    masks: set[frozenset[int]] = set()
    same: dict[bytes, list[Record]] = defaultdict(list)
    for record in dataset.records:
        if stopped():
            return problems
        try:
            pair = read_pair(dataset, record)
        except ImageError as error:
            problems.append(Problem(record.image, str(error)))
        else:
            same[hashlib.sha256(repr(pair[0].shape).encode() + pair[0].tobytes()).digest()].append(record)
            if pair[1] is not None:
                masks.add(frozenset(np.unique(pair[1]).tolist()))
            seen(record, pair)
    if {0, IGNORE} in masks and set().union(*masks) == {0, IGNORE}:
        problems.append(Problem("", means_nothing(f"masks of {dataset.folder}")))
    for records in same.values():
        if len({record.split for record in records}) > 1:
            names = ", ".join(f"{record.image} ({record.split})" for record in records)
            text = f"Expected different pictures in every split, these are the same: {names}."
            problems += [Problem(record.image, text) for record in records]
    return problems


def means_nothing(masks: str, others: int = 0) -> str:
    """The sentence about masks that use `IGNORE` as if it were a structure, or may do so, and so many others."""
    more = f" (and {others} more)" if others else ""
    return (
        f"Expected structure numbers in the {masks}{more}, got only 0 and {IGNORE}, which means not annotated; write 1 "
        f"instead of {IGNORE} where a structure is meant."
    )


def read_pair(dataset: Dataset, record: Record) -> Pair:
    """The record's image, float32 (H, W) or (H, W, 3) in [0, 1], and its mask (H, W) where there is one.

    Raises
    ------
    ImageError
        When a file cannot be read, the image is a stack, or the mask has another size.
    """
    loaded = read_image(dataset.folder / record.image)
    if loaded.is_stack:
        raise ImageError(
            f"Expected one image in {record.image}, got a stack of {len(loaded.pixels)}; save its slices one by one."
        )
    size, mask = loaded.pixels.shape[:2], dataset.read_mask(record)
    if mask is not None and mask.shape != size:
        raise ImageError(
            f"Expected a mask of {size[0]} x {size[1]} pixels for {record.image}, got {mask.shape[0]} x "
            f"{mask.shape[1]} in {record.mask}."
        )
    return loaded.pixels, mask


def write_dataset(folder: Path, info: DatasetInfo, records: Iterable[Record]) -> None:
    """Write `dataset.json` and `index.csv` atomically; images and masks are the caller's.

    An existing table is replaced: ask the user before calling this for a folder that the user did not make here.

    Raises
    ------
    DatasetError
        When they cannot be written.
    """
    for name, text in dataset_texts(info, records).items():
        write_text(folder / name, text, DatasetError)


def dataset_texts(info: DatasetInfo, records: Iterable[Record]) -> dict[str, str]:
    """What `write_dataset` writes, by file, in this order."""
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(astuple(record) for record in records)
    about = info.model_dump_json(indent=2, exclude_defaults=True) + "\n"
    return {"dataset.json": about, "index.csv": table.getvalue()}


def read_mask(path: Path) -> NDArray[np.uint8]:
    """A mask file as uint8 (H, W) of structure numbers.

    Raises
    ------
    ImageError
        When it cannot be read, is no integer image of one channel with numbers up to 255, or a compressed TIFF that
        calls 0 white.
    """
    if path.suffix.lower() in (".tif", ".tiff"):
        array = tiff.stored_numbers(path)
    else:
        with decoding(path, "mask", photos.ERRORS), photos.open_picture(path, MASK_FORMATS) as image:
            array = np.asarray(image)
    if array.ndim != 2 or array.dtype.kind not in "uib":
        raise ImageError(f"Expected a mask of shape (H, W) with integers, {path.name} has {array.shape} {array.dtype}.")
    if array.size and (array.min() < 0 or array.max() > IGNORE):
        raise ImageError(
            f"Expected structure numbers from 0 to {IGNORE}, {path.name} has {array.min()}..{array.max()}."
        )
    return array.astype(np.uint8)


def image_size(path: Path) -> tuple[int, int]:
    """Height and width of an image as it is shown, from its header where Pillow knows the format.

    Raises
    ------
    ImageError
        When the file cannot be read.
    """
    try:
        with photos.open_picture(path, (*photos.PICTURES, "TIFF")) as image:
            turned = image.getexif().get(ORIENTATION, 1) > 4
            return (image.width, image.height) if turned else (image.height, image.width)
    except UnidentifiedImageError:
        return cast("tuple[int, int]", read_image(path).pixels.shape[:2])
    except OSError as error:
        raise ImageError(f"Expected an image, {path} cannot be read ({error}).") from error


def _check_is_dataset(folder: Path) -> None:
    missing = [name for name in ("dataset.json", "index.csv") if not (folder / name).is_file()]
    if missing:
        raise DatasetError(f"Expected a dataset folder with dataset.json and index.csv, {folder} has no {missing[0]}.")


def _read_info(path: Path) -> DatasetInfo:
    try:
        return DatasetInfo.model_validate(json.loads(path.read_text(encoding="utf-8-sig")))
    except json.JSONDecodeError as error:
        raise DatasetError(f"Expected JSON in {path}, line {error.lineno}: {error.msg}.") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"Expected UTF-8 text in {path}, got other bytes; save it as UTF-8.") from error
    except ValidationError as error:
        raise DatasetError(*(f"{path.name}: {problem}" for problem in sentences(error))) from error


def sentences(error: ValidationError) -> list[str]:
    """One sentence for every problem that pydantic found."""
    return [f"{problem}." for problem in validation_problems(error)]


def _read_rows(path: Path) -> tuple[list[tuple[int, dict[str, str]]], list[str]]:
    """The rows with their line numbers, or the problems that keep them from being read."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                needed = f"Expected the columns {', '.join(COLUMNS)}, separated by commas, in {path.name}"
                return [], [f"{needed}; {', '.join(missing)} not found."]
            rows = [(reader.line_num, {c: (row[c] or "").strip() for c in COLUMNS}) for row in reader]
            for _, row in rows:
                row.update({c: _as_here(path.parent, row[c]) for c in ("image", "mask")})
            return rows, []
    except UnicodeDecodeError:
        return [], [f"Expected UTF-8 text in {path.name}, got other bytes; save it as CSV UTF-8."]
    except csv.Error as error:
        return [], [f"Expected a table separated by commas in {path.name}, it cannot be read ({error})."]


def _as_here(folder: Path, name: str) -> str:
    """A path with slashes where a table from Windows has backslashes."""
    here = name.replace("\\", "/")
    exists = os.path.isfile  # unlike Path.is_file it takes names that are too long
    return here if exists(folder / here) and not exists(folder / name) else name


def row_problems(folder: Path, info: DatasetInfo, row: Mapping[str, str]) -> list[str]:
    """What is wrong with the cells of a row of `index.csv`, by column."""
    problems = []
    for column in ("image", "mask"):
        name = row[column]
        if not name:
            if column == "image":
                problems.append("no image.")
        elif leads_out(name):
            problems.append(_outside(name))
        elif not os.path.isfile(folder / name):
            problems.append(f"{name} does not exist.")
    if row["label"] and row["label"] not in info.cls_classes:
        problems.append(f"expected a label among {', '.join(info.cls_classes)}, got {row['label']}.")
    if row["split"] not in SPLITS:
        problems.append(f"expected a split among {', '.join(SPLITS)}, got {row['split'] or 'nothing'}.")
    return problems


def leads_out(name: str) -> bool:
    """Whether a path of a table is not one inside the folder."""
    path = PureWindowsPath(name)  # knows both kinds of slashes and drive letters
    return bool(path.anchor) or ".." in path.parts


def _outside(name: str) -> str:
    return f"expected a path inside the folder, got {name}."


def split_problems(rows: Sequence[Mapping[str, str]]) -> list[Problem]:
    """Groups that are in several splits, and images that are listed twice."""
    splits: dict[str, set[str]] = defaultdict(set)
    images: dict[str, int] = defaultdict(int)
    for row in rows:
        images[row["image"]] += 1
        if row["group"]:
            splits[row["group"]].add(row["split"])
    problems = [
        Problem(
            next(row["image"] for row in rows if row["group"] == group),
            f"Expected every group in one split, {group} is in {', '.join(sorted(found))}.",
        )
        for group, found in splits.items()
        if len(found) > 1
    ]
    return problems + [
        Problem(image, f"{image} is listed {n} times.") for image, n in images.items() if image and n > 1
    ]
