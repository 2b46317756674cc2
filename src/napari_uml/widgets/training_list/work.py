"""What the training list does beside the window: reading, adding, checking and looking; plain generators, no Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from napari_uml.config import IGNORE
from napari_uml.data.annotate_next import score_images
from napari_uml.data.dicom import is_dicom
from napari_uml.data.kept import what_is_kept
from napari_uml.data.list_checks import find_problems
from napari_uml.data.reading import ENDINGS, read_image
from napari_uml.errors import ImageError, UMLError
from napari_uml.widgets.gentle_import import prepare_labels
from napari_uml.widgets.session import Loaded, Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_uml.config import Task
    from napari_uml.data.dataset import Dataset, Problem, Record
    from napari_uml.data.training_list import TrainingList
    from napari_uml.results import Prediction
    from napari_uml.widgets.background import Work
    from napari_uml.widgets.jobs import Job
    from napari_uml.widgets.session import Predictor

    Stopped = Callable[[], bool]

THUMBNAIL = 40
"""Side of a thumbnail, pixels."""
MASK_ENDINGS = ("_mask", "_segmentation", "-mask")
"""What is added to the name of an image for that of its mask."""
DICOM_DIRECTORY = "DICOMDIR"
"""Name of the list of a folder's DICOM files, which is called DICOM itself."""


@dataclass(frozen=True, slots=True, eq=False)
class Thumbnail:
    """A small picture (h, w, 3) uint8 with its structures drawn in, None when it cannot be read; how much is marked."""

    image: str
    picture: NDArray[np.uint8] | None
    partly: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """The problems of a list."""

    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """An image to annotate, with a mask and a class to begin with."""

    image: str
    pixels: NDArray[np.float32]
    mask: NDArray[np.uint8]
    label: str


def make_thumbnails(dataset: Dataset, images: Sequence[str]) -> Work:
    """Work that yields a `Thumbnail` an image."""

    def work(stopped: Stopped) -> Iterator[object]:
        wanted = {*images}
        for record in dataset.records:
            if stopped():
                return
            if record.image in wanted:
                yield _thumbnail(dataset, record)

    return work


def add_files(into: TrainingList, paths: Sequence[Path], with_masks: bool) -> Work:
    """Work that adds files, yields the `Record` of each, and the `UMLError` of one that cannot be added."""

    def work(stopped: Stopped) -> Iterator[object]:
        for path in paths:
            if stopped():
                return
            try:
                yield into.add_file(path, mask_beside(path) if with_masks else None)
            except UMLError as error:
                yield error

    return work


def add_folder(into: TrainingList, folder: Path) -> Work:
    """Work that adds the images of a folder without masks, and yields as `add_files` does.

    Raises
    ------
    UMLError
        When the folder holds no image, or cannot be read.
    """

    def work(stopped: Stopped) -> Iterator[object]:
        found = images_in(folder)
        if not found:
            raise UMLError(f"Expected a folder with images, found none in {folder}; choose the folder they lie in.")
        yield from add_files(into, found, with_masks=False)(stopped)

    return work


def add_current(into: TrainingList, read: Callable[[], NDArray[Any]], **known: Any) -> Work:
    """Work that adds one array, see `TrainingList.add_array`; it is read in the thread that does the work."""

    def work(stopped: Stopped) -> Iterator[object]:
        yield into.add_array(read(), **known)

    return work


def add_dataset(into: TrainingList, folder: Path) -> Work:
    """Work that adds all of another dataset folder and yields the `Record` of every row."""

    def work(stopped: Stopped) -> Iterator[object]:
        for record in into.add_dataset(folder):
            yield record
            if stopped():
                return

    return work


def change(step: Callable[[], object]) -> Work:
    """Work that makes one change and yields what it gave."""

    def work(stopped: Stopped) -> Iterator[object]:
        yield step()

    return work


def check(dataset: Dataset) -> Work:
    """Work that yields what was `Found`."""

    def work(stopped: Stopped) -> Iterator[object]:
        yield Found(tuple(find_problems(dataset, stopped)))

    return work


def score(folder: Path, images: Sequence[str]) -> Job:
    """A job that yields a `Score` and a `Progress` an image."""

    def job(predictor: Predictor, stopped: Stopped) -> Iterator[object]:
        yield Progress(0, len(images))
        for number, found in enumerate(score_images(folder, images, _predict(predictor), stopped), start=1):
            yield found
            yield Progress(number, len(images))

    return job


def look(folder: Path, image: str, task: Task) -> Job:
    """A job that yields the network's proposal for an image of the list, with the numbers of the list's task."""

    def job(predictor: Predictor, stopped: Stopped) -> Iterator[object]:
        prepare_labels()
        pixels = _read(folder / image)
        yield Progress(0, 0)
        if stopped():
            return
        answer = _predict(predictor)(pixels)
        yield proposal(image, pixels, answer, Loaded.of(predictor).info.task, task)

    return job


def look_bare(folder: Path, image: str) -> Work:
    """Work that yields an image of the list without a proposal: nothing is annotated yet."""

    def work(stopped: Stopped) -> Iterator[object]:
        prepare_labels()
        pixels = _read(folder / image)
        yield Looked(image, pixels, np.full(pixels.shape[:2], IGNORE, dtype=np.uint8), "")

    return work


def proposal(image: str, pixels: NDArray[np.float32], answer: Prediction, known: Task, task: Task) -> Looked:
    """An answer in the numbers of another task; what that task does not have is background and no class."""
    kept = what_is_kept(known, task)
    table = np.zeros(256, dtype=np.uint8)
    for number, name in enumerate(task.seg_classes):
        if (was := kept.structures[name]) is not None:
            table[known.seg_classes.index(was)] = number
    named = {was: name for name, was in kept.classes.items() if was is not None}
    return Looked(image, pixels, table[answer.mask], named.get(answer.opinions[0].predicted, ""))


def images_in(folder: Path) -> list[Path]:
    """The image files of a folder in alphabetical order, DICOM whatever their names; masks beside them are left out.

    Raises
    ------
    UMLError
        When the folder cannot be read.
    """
    try:
        found = sorted(path for path in folder.iterdir() if _is_image(path))
    except OSError as error:
        raise UMLError(f"{folder} cannot be read: {error.strerror}; choose another folder.") from error
    masks = {mask for path in found if (mask := mask_beside(path)) is not None}
    return [path for path in found if path not in masks]


def mask_beside(path: Path) -> Path | None:
    """The mask of an image file: `NAME_mask`, `NAME_segmentation` beside it, or NAME in a folder `masks` next to it."""
    ending = next((e for e in sorted(ENDINGS, key=len, reverse=True) if path.name.lower().endswith(e)), "")
    stem = path.name[: len(path.name) - len(ending)]
    places = [path.with_name(f"{stem}{added}") for added in MASK_ENDINGS]
    places += [path.parent / "masks" / stem, path.parent.parent / "masks" / stem]
    kinds = (".png", ".tif", ".tiff", ".bmp")
    candidates = (place.with_name(place.name + kind) for place in places for kind in kinds)
    return next((found for found in candidates if found != path and found.is_file()), None)


def _is_image(path: Path) -> bool:
    """Whether a file is called as an image is, or holds DICOM; the list of a folder's DICOM files is none."""
    if path.name.startswith(".") or path.name.upper() == DICOM_DIRECTORY:
        return False
    try:
        return path.name.lower().endswith(ENDINGS) or (path.is_file() and is_dicom(path))
    except OSError:  # nobody may read it, whatever it is
        return False


def _predict(predictor: Predictor) -> Callable[[NDArray[Any]], Prediction]:
    return lambda pixels: next(iter(predictor.predict_slices(pixels)))


def _read(path: Path) -> NDArray[np.float32]:
    loaded = read_image(path)
    if loaded.is_stack:
        raise ImageError(f"{path.name}: expected one image, got a stack; remove the row and add its slices.")
    return loaded.pixels


def _thumbnail(dataset: Dataset, record: Record) -> Thumbnail:
    try:
        pixels, mask = _read(dataset.folder / record.image), dataset.read_mask(record)
    except ImageError:  # the check says why
        return Thumbnail(record.image, None)
    picture = _small((pixels * 255).astype(np.uint8))
    picture = picture if picture.ndim == 3 else np.stack([picture] * 3, axis=-1)
    if mask is None or mask.shape != pixels.shape[:2]:
        return Thumbnail(record.image, picture)
    small = np.asarray(Image.fromarray(mask).resize(picture.shape[1::-1], Image.Resampling.NEAREST))
    for number, color in enumerate(dataset.info.colors[1:], start=1):
        rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])
        picture = np.where((small == number)[..., None], (picture + rgb) // 2, picture).astype(np.uint8)
    return Thumbnail(record.image, picture, bool((mask == IGNORE).any()))


def _small(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = Image.fromarray(pixels)
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR)
    return np.asarray(image)
