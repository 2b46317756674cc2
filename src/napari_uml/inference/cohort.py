"""Many images: a folder of results for each, a table about all, and a worklist read from what was written; no Qt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_uml.errors import ImageError, MemoryLimitError, UMLError
from napari_uml.files import refuse_existing
from napari_uml.inference.run_record import RunRecord, read_run
from napari_uml.inference.saving import RESULTS, RUN, file_names, refuse_images, result_paths, save_prediction
from napari_uml.inference.tables import write_results

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_uml.inference.predictor import UMLPredictor
    from napari_uml.inference.run_record import RunSettings

    Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Answered:
    """An image that was analysed: the folder with its results, and their record."""

    folder: Path
    record: RunRecord

    @property
    def doubt(self) -> tuple[float, float]:
        """What images are ranked by: the u of the class, then of the pixels; without a class the former is 1."""
        return self.record.opinion.uncertainty, max(one.mean_uncertainty for one in self.record.slices)

    @property
    def is_for_an_expert(self) -> bool:
        """Whether an expert should look: the calibration says so, or the image is unlike the training images."""
        return any(one.unlike or one.opinion.refer for one in self.record.slices)


def images_of(path: Path) -> list[Path]:
    """The images that a path stands for, see `images_in`, without the files that an earlier run wrote beside them.

    Raises
    ------
    ImageError
        As `images_in` does, and when a folder holds results alone.
    """
    from napari_uml.data.reading import images_in

    if not path.is_dir():
        return [path]
    found = [file for file in images_in(path) if file == path or not _is_own(file)]
    if not found:
        raise ImageError(f"{path.name}: expected a folder of images, got one with results alone. Choose another one.")
    return found


def _is_own(file: Path) -> bool:
    """Whether a file is a result, with its record beside it."""
    return file.name in file_names(file) and file.with_name(RUN).is_file()


def result_folders(images: Sequence[Path], output: Path, *, always: bool = False) -> list[Path]:
    """A folder for the results of each image: `output` for a single one, else one named after each, all different.

    Images of the same name get -2, -3 and so on, in their order. With `always` a single one has a folder of its own.
    """
    if len(images) == 1 and not always:
        return [output]
    taken: set[str] = set()
    folders = []
    for image in images:
        file = image.resolve().name if image.name in ("", "..") else image.name
        stem = Path(file[:-3] if file.lower().endswith(".nii.gz") else file).stem.rstrip(" .") or "image"
        name, count = stem, 1
        while name.lower() in taken:
            count += 1
            name = f"{stem}-{count}"
        taken.add(name.lower())
        folders.append(output / name)
    return folders


def refuse_to_overwrite(images: Sequence[Path], folders: Sequence[Path], output: Path) -> None:
    """Refuse, before work begins, when results of these images are there already.

    Raises
    ------
    UMLError
        Then.
    """
    files = (folder / name for image, folder in zip(images, folders, strict=True) for name in file_names(image))
    refuse_existing([output / RESULTS, *files])


def analyse_file(
    predictor: UMLPredictor,
    path: Path,
    folder: Path,
    settings: RunSettings,
    *,
    outlines: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Answered:
    """Analyse an image file, and write its results into a folder.

    Parameters
    ----------
    predictor
        The model.
    path, folder
        The image, and where the results go.
    settings
        Noise, corruption, rectangle, slice.
    outlines
        Whether to write the calibrated inner and outer outlines, too.
    overwrite
        Whether results that are there may go.
    progress
        Called with the slices done and the slices there are.

    Raises
    ------
    UMLError, ValueError
        As `read_image`, `analyse` and `save_prediction` do.
    """
    from napari_uml.data.reading import read_image
    from napari_uml.inference.analysis import analyse
    from napari_uml.inference.zones import outline_zones, remove_zones, save_zones

    try:
        done = analyse(predictor, read_image(path), settings, progress)
    except MemoryError as error:
        raise MemoryLimitError(
            f"{path.name}: the memory is too small for it; close other programs, or look at a slice or a rectangle."
        ) from error
    refuse_images(result_paths(folder, done.image, done.prediction, done.record).values(), done.image)
    if overwrite:
        former = former_answer(folder)
        remove_zones(folder, done.image, predictor.info, former.record if former else None)
    if outlines:
        zones = outline_zones(done.prediction, predictor.info, settings.roi)
        save_zones(folder, done.image, zones, overwrite=overwrite)
    save_prediction(folder, done.image, done.prediction, done.record, predictor.info.task, overwrite=overwrite)
    return Answered(folder, done.record)


def former_answer(folder: Path) -> Answered | None:
    """What an earlier run left in a folder; None when there is nothing that can be read."""
    try:
        return Answered(folder, read_run(folder / RUN))
    except UMLError:
        return None


def write_table(path: Path, answers: Sequence[Answered], *, by_uncertainty: bool = False) -> None:
    """Write a table about images, such as results.csv, with the folder of each that is not the table's own.

    Parameters
    ----------
    path
        Where; a file that is there is replaced. Without answers none is written.
    answers
        The images.
    by_uncertainty
        The most uncertain image first, instead of the order that they have.

    Raises
    ------
    UMLError
        When it cannot be written.
    """
    if by_uncertainty:
        answers = sorted(answers, key=lambda answer: answer.doubt, reverse=True)
    own = path.parent
    names = [answer.folder.name for answer in answers] if any(answer.folder != own for answer in answers) else []
    if answers:
        write_results(path, [answer.record for answer in answers], names, overwrite=True)


def read_answers(folder: Path) -> tuple[list[Answered], list[str]]:
    """The answers that lie in a folder, or in the folders in it, by name; and what cannot be read, a sentence each.

    Raises
    ------
    UMLError
        When there are none.
    """
    try:
        inside = sorted(one for one in folder.iterdir() if one.is_dir())
    except OSError as error:
        raise UMLError(f"Expected a folder of results, {folder} cannot be read: {error.strerror}.") from error
    answers, problems = [], []
    for one in (folder, *inside):
        if not (one / RUN).is_file():
            continue
        try:
            answers.append(Answered(one, read_run(one / RUN)))
        except UMLError as error:
            problems.append(str(error))
    if not answers:
        found = problems[0] if problems else f"{folder} has none, nor have the folders in it; analyse some images first"
        raise UMLError(f"Expected results ({RUN}): {found.rstrip('.')}.")
    return answers, problems
