"""REFUGE (Orlando et al. 2020): 1200 fundus photographs with optic disc and cup, and a diagnosis of glaucoma.

The three parts say the diagnosis in three ways: the training part by folder and first letter, validation and test by
spreadsheets with columns of different names. The zip files may be unpacked into any folders below the source.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_uml.config import Measurement
from napari_uml.data import photos
from napari_uml.data.dataset import DatasetInfo, Record, Split, image_size, write_dataset
from napari_uml.data.importers.folders import listing, new_folder
from napari_uml.data.importers.tables import read_table
from napari_uml.errors import DatasetError, ImageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

SPLIT_OF: dict[str, Split] = {"g": "train", "n": "train", "V": "val", "T": "test"}
"""Split by the first letter of a name; g and n are the training part's glaucoma and non-glaucoma."""
NAME = re.compile(r"([gnVT])(\d{4})")
PART_SIZE = 400
"""Images of a part; REFUGE2 goes on counting in the same letters."""

STRUCTURE_OF = {255: 0, 128: 1, 0: 2}
"""The publisher's grey value of background, rim and cup, and our structure number."""
CLASS_OF = {"0": "normal", "1": "glaucoma"}
COLUMNS = {"image": ("ImgName",), "label": ("Glaucoma Label", "Label(Glaucoma=1)")}
FOLDERS = {"Glaucoma": "g", "Non-Glaucoma": "n"}


def import_refuge(source: Path | str, destination: Path | str, *, overwrite: bool = False) -> Path:
    """Make a dataset folder of the official REFUGE folders, whichever of the three parts are there.

    Photographs are copied as they are, masks become structure numbers, the official split is kept.

    Parameters
    ----------
    source
        Folder that holds the unpacked zip files: `Training400`, `Annotation-Training400`, `REFUGE-Validation400`,
        `REFUGE-Validation400-GT`, `Test400`, `REFUGE-Test-GT`, or some of them.
    destination
        The dataset folder to be made.
    overwrite
        Whether an existing destination is replaced.

    Returns
    -------
    The dataset folder.

    Raises
    ------
    DatasetError
        With every problem found; then nothing is written.
    """
    source, destination = Path(source), Path(destination)
    images = _by_name(source, (".jpg", ".jpeg"))
    masks = _by_name(source, (".bmp",))
    labels = _labels(source, images)
    problems = _name_problems(source, images, masks, labels)
    if problems:
        raise DatasetError(*problems)
    with new_folder(destination, source, overwrite=overwrite) as folder:
        for name, (image, *_) in images.items():
            try:
                mask = _read_mask(masks[name][0], image)
            except ImageError as error:
                problems.append(str(error))
                continue
            shutil.copyfile(image, folder / "images" / f"{name}.jpg")
            Image.fromarray(mask).save(folder / "masks" / f"{name}.png")
        if problems:
            raise DatasetError(*problems)
        write_dataset(folder, _info(images), (_record(name, labels[name]) for name in images))
    return destination


def _by_name(source: Path, endings: tuple[str, ...]) -> dict[str, list[Path]]:
    """Files of REFUGE's own names; the publisher's pictures with drawn outlines share them and are left out."""
    found = defaultdict(list)
    for path in sorted(source.rglob("*")):
        match = NAME.fullmatch(path.stem)
        drawn = any("illustration" in part.lower() for part in path.relative_to(source).parts)
        if match and 1 <= int(match[2]) <= PART_SIZE and path.suffix.lower() in endings and not drawn:
            found[path.stem].append(path)
    return dict(found)


def _labels(source: Path, images: Iterable[str]) -> dict[str, str]:
    """Class by name: the first letter in the training part, otherwise what a spreadsheet says."""
    labels = {name: CLASS_OF[str(int(name[0] == "g"))] for name in images if name[0] in "gn"}
    for table in sorted(source.rglob("*.xlsx")):
        if table.name.startswith((".", "~")):
            continue
        for row in read_table(table, COLUMNS) or []:
            labels[Path(row["image"]).stem] = CLASS_OF.get(row["label"], row["label"])
    return labels


def _name_problems(
    source: Path, images: Mapping[str, list[Path]], masks: Mapping[str, list[Path]], labels: Mapping[str, str]
) -> list[str]:
    """Everything that names alone tell, one sentence a kind and part."""
    if not images:
        return [f"Expected REFUGE's photographs (g0001.jpg, n0001.jpg, V0001.jpg, T0001.jpg) below {source}, got none."]
    misplaced = [n for n, (p, *_) in images.items() if FOLDERS.get(p.parent.name, n[0]) != n[0]]
    checks = {
        "photographs in one place, found in several": [n for n, paths in images.items() if len(paths) > 1],
        "one mask (.bmp in Disc_Cup_Masks) a photograph, found several": [
            n for n in images if len(masks.get(n, [])) > 1
        ],
        "a mask (.bmp in Disc_Cup_Masks) for every photograph, found none": [n for n in images if n not in masks],
        "a photograph for every mask, found none": [n for n in masks if n not in images],
        "a diagnosis for every photograph, found none in a spreadsheet": [n for n in images if not labels.get(n)],
        "the diagnosis 0 or 1, found others": [n for n in images if labels.get(n, "") not in ("", *CLASS_OF.values())],
        "g in the folder Glaucoma and n in Non-Glaucoma, found others": misplaced,
    }
    problems = []
    for what, names in checks.items():
        for split in dict.fromkeys(SPLIT_OF.values()):
            part = [name for name in names if SPLIT_OF[name[0]] == split]
            if part:
                problems.append(f"REFUGE {split}: expected {what}: {listing(part)}.")
    return problems


def _read_mask(path: Path, image: Path) -> NDArray[np.uint8]:
    """(H, W) structure numbers."""
    grey = photos.decode(path).pixels
    if grey.ndim == 3 and (grey == grey[..., :1]).all():
        grey = grey[..., 0]
    values = np.unique(grey)
    if grey.ndim != 2 or not set(values.tolist()) <= set(STRUCTURE_OF):
        raise ImageError(
            f"{path.name}: expected the grey values 255 (background), 128 (rim) and 0 (cup), "
            f"got {listing([str(v) for v in values])}. Download it again."
        )
    if grey.shape != image_size(image):
        raise ImageError(f"{path.name}: expected the size {image_size(image)} of {image.name}, got {grey.shape}.")
    table = np.zeros(256, np.uint8)
    table[list(STRUCTURE_OF)] = list(STRUCTURE_OF.values())
    mask: NDArray[np.uint8] = table[grey]
    return mask


def _record(name: str, label: str) -> Record:
    return Record(f"images/{name}.jpg", f"masks/{name}.png", label, SPLIT_OF[name[0]], name)


def _info(names: Iterable[str]) -> DatasetInfo:
    sizes = Counter(SPLIT_OF[name[0]] for name in names)
    return DatasetInfo(
        name="REFUGE",
        modality="colour fundus photograph",
        channels=3,
        seg_classes=("background", "rim", "cup"),
        cls_classes=tuple(CLASS_OF.values()),
        unions={"disc": ("rim", "cup")},
        measurements=(Measurement(name="vertical cup/disc ratio", of=("cup",), to=("rim", "cup")),),
        licence="Orlando et al., Medical Image Analysis 2020; research use, cite the article",
        notes="official split: " + ", ".join(f"{n} {split}" for split, n in sizes.items()),
    )
