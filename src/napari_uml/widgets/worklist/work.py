"""What the Worklist dock does off the GUI thread: analysing a folder, reading results; no Qt."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from napari_uml.config import Task
from napari_uml.data import tiff
from napari_uml.data.reading import files_sha256
from napari_uml.errors import ImageError, UMLError, WeightsError
from napari_uml.files import check_writable, write_text
from napari_uml.inference.analysis import pick_slice
from napari_uml.inference.cohort import (
    Answered,
    analyse_file,
    former_answer,
    images_of,
    read_answers,
    result_folders,
    write_table,
)
from napari_uml.inference.run_record import RunSettings
from napari_uml.inference.saving import LABELS, RESULTS, RUN, UNCERTAINTY, file_names
from napari_uml.weights import find_weights, read_info
from napari_uml.widgets.session import Message, Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from numpy.typing import NDArray

    from napari_uml.data.reading import LoadedImage
    from napari_uml.inference.predictor import UMLPredictor
    from napari_uml.inference.run_record import RunRecord
    from napari_uml.widgets.background import Work
    from napari_uml.widgets.jobs import Job
    from napari_uml.widgets.session import Predictor

SEEN: Final = "worklist.json"
"""In the folder of the results: names of the folders whose image was looked at."""


@dataclass(frozen=True, slots=True)
class Found:
    """The answers in a folder, what in it cannot be read, and the names of the folders that were looked at."""

    folder: Path
    answers: tuple[Answered, ...]
    problems: tuple[str, ...]
    seen: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What is shown of an answer.

    Attributes
    ----------
    answer
        The answer.
    image
        The image or slice; None: it is gone, or another one now.
    labels, uncertainty
        Maps on its grid; None of a model that finds no structures.
    task
        Names and colours of the structures.
    slice_number
        The slice of a stack to show first, the most uncertain one.
    note
        What the user should know; empty when all is well.
    """

    answer: Answered
    image: LoadedImage | None
    labels: NDArray[Any] | None
    uncertainty: NDArray[Any] | None
    task: Task
    slice_number: int
    note: str


def find(folder: Path) -> Work:
    """Work for the background: yields what is `Found` in a folder."""

    def work(stopped: Callable[[], bool]) -> Iterator[object]:
        answers, problems = read_answers(folder)
        yield Found(folder, tuple(answers), tuple(problems), read_seen(folder))

    return work


def look_at(answer: Answered) -> Work:
    """Work for the background: yields the `View` of an answer."""

    def work(stopped: Callable[[], bool]) -> Iterator[object]:
        yield view_of(answer)

    return work


def analyse_folder(images: Path, output: Path) -> Job:
    """A job: analyse every image of a folder, or its one DICOM series; results in a folder each, a table about all.

    What the same model has answered already is not analysed again, so that a job that was stopped goes on. It yields a
    `Progress` and an `Answered` an image, a `Message` about one that cannot be analysed, and ends with the table.

    Raises
    ------
    UMLError
        When the folder has no images, or the output folder cannot be written into, or holds what is not of this job.
    """

    def job(predictor: Predictor, stopped: Callable[[], bool]) -> Iterator[object]:
        paths = images_of(images)
        folders = [output / images.name] if paths == [images] else result_folders(paths, output, always=True)
        check_writable(output)
        former = [former_answer(folder) for folder in folders]
        if (output / RESULTS).exists() and not any(former):
            raise UMLError(f"{output / RESULTS} is there already, and not about these images; choose another folder.")
        for path, folder, answer in zip(paths, folders, former, strict=True):
            if not _is_free(folder, path, answer, predictor):
                raise UMLError(f"{folder} holds the answer of another model or image; choose another folder.")
        for number, (path, folder, answer) in enumerate(zip(paths, folders, former, strict=True)):
            yield Progress(number, len(paths))
            if stopped():
                break
            try:  # what is there without a record is the rest of a run that was killed
                yield answer or analyse_file(
                    cast("UMLPredictor", predictor), path, folder, RunSettings(), overwrite=True
                )
            except (UMLError, ValueError) as error:
                yield Message(str(error), "error")
        if any(map(former_answer, folders)):
            write_table(output / RESULTS, read_answers(output)[0], by_uncertainty=True)

    return job


def view_of(answer: Answered) -> View:
    """Read what is shown of an answer.

    Raises
    ------
    UMLError
        When its maps cannot be read, or have not the size of the image.
    """
    record = answer.record
    image, note = _image_of(record)
    labels = uncertainty = None
    if "mask" in record.answers:
        labels, uncertainty = (_map(answer.folder / name, record) for name in (LABELS, UNCERTAINTY))
    if image is not None and image.pixels.shape != record.image.shape:
        image, note = None, f"{record.image.path} has another size now: the results alone are shown."
    doubts = [one.mean_uncertainty for one in record.slices]
    return View(answer, image, labels, uncertainty, task_of(record), int(np.argmax(doubts)), note)


def task_of(record: RunRecord) -> Task:
    """Names and colours of the structures: those of the model where it is at hand, else the usual colours."""
    names = tuple(record.slices[0].shares)
    try:
        task = read_info(find_weights(record.model.name)).task
    except (ValueError, WeightsError):  # it was renamed or removed since
        task = None
    if task is not None and task.seg_classes == names:
        return task
    return Task(seg_classes=names, cls_classes=tuple(record.opinion.probability))


def read_seen(folder: Path) -> frozenset[str]:
    """Which answers of a folder were looked at.

    Raises
    ------
    UMLError
        When the file that says so is damaged.
    """
    path = folder / SEEN
    try:
        names = json.loads(path.read_text(encoding="utf-8"))["seen"]
        return frozenset(map(str, names))
    except FileNotFoundError:
        return frozenset()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UMLError(f"{path} is damaged; delete it, and all images count as not seen.") from error


def write_seen(folder: Path, names: Collection[str]) -> None:
    """Keep which answers of a folder were looked at.

    Raises
    ------
    UMLError
        When it cannot be written, or the folder is gone.
    """
    if not os.path.isdir(folder):
        raise UMLError(f"Expected the folder of the results, {folder} is not there; what was seen is not kept.")
    write_text(folder / SEEN, json.dumps({"seen": sorted(names)}, indent=2) + "\n")


def _is_free(folder: Path, path: Path, answer: Answered | None, predictor: Predictor) -> bool:
    """Whether a folder may hold the answer about an image: it does, or holds nothing but the rest of one."""
    if answer is None:
        ours = {RUN, *file_names(path)}
        return {one.name for one in folder.iterdir()} <= ours if folder.is_dir() else not folder.exists()
    record = answer.record
    same = record.model.sha256 == predictor.sha256 and record.settings == RunSettings()
    if not same or record.image.path != str(path.absolute()):
        return False
    try:
        return path.is_dir() or files_sha256((path,)) == record.image.sha256
    except ImageError:  # the answer stays, and opening it says why
        return True


def _image_of(record: RunRecord) -> tuple[LoadedImage | None, str]:
    """The image that a record is about, and what is to be said of it."""
    from napari_uml.data.reading import read_image

    if record.image.path is None:
        return None, "The image came from no file: the results alone are shown."
    try:
        whole = read_image(Path(record.image.path))
        image = pick_slice(whole, record.settings.slice_number)
    except (ImageError, ValueError) as error:
        return None, f"The results alone are shown: {error}"
    if whole.sha256() != record.image.sha256:
        return image, f"{record.image.path} has changed since it was analysed."
    return image, ""


def _map(path: Path, record: RunRecord) -> NDArray[Any]:
    """A map on the grid of its image: (H, W), or (D, H, W) also of a stack of one slice, which the file forgets."""
    values, grid = tiff.decode(path).pixels, record.image.shape[: 2 + record.image.is_stack]
    if values.size != np.prod(grid):
        raise UMLError(f"Expected {path} to have the size {grid} of its image, got {values.shape}; analyse it again.")
    return values.reshape(grid)
