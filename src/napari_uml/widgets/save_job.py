"""Saving a result into a new folder, as `napari-uml predict` would have, with a report; no Qt, no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_uml.evaluation.sweep_figure import sweep_figure
from napari_uml.files import safe_name
from napari_uml.inference.report import REPORT, write_report
from napari_uml.inference.reproduce import Recipe
from napari_uml.inference.run_record import RunSettings, make_record
from napari_uml.inference.saving import RESULTS, save_prediction
from napari_uml.inference.tables import write_results
from napari_uml.widgets.origin import Origin, analysed_pixels, find_origin, write_input

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from napari_uml.data.reading import LoadedImage
    from napari_uml.evaluation.sweep import Sweep
    from napari_uml.widgets.session import Request, Result


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What of a layer and a model goes into the folder beside the result.

    Attributes
    ----------
    result
        The answer.
    data
        The layer's array.
    files
        The files that the layer may come from.
    pixel
        Height and width of a pixel and their unit, as `geometry.pixel_size` gives them.
    weights
        The weights file.
    sweep
        How the answer bears noise, where that was tried; for the report.
    """

    result: Result
    data: Any
    files: tuple[Path, ...]
    pixel: tuple[tuple[float, float], str] | None = None
    weights: Path | None = None
    sweep: Sweep | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """A folder that was written, and how to repeat the result from a file.

    Attributes
    ----------
    folder, files
        The folder, and all files in it.
    recipe
        How to repeat the result.
    has_input
        Whether the analysed pixels are among the files.
    left_out
        See `Written`.
    """

    folder: Path
    files: tuple[Path, ...]
    recipe: Recipe
    has_input: bool
    left_out: str = ""


def save(material: Material, parent: Path) -> Callable[[Callable[[], bool]], Iterator[object]]:
    """Work for the background: writes a new folder inside `parent`, and yields `Saved`."""

    def work(stopped: Callable[[], bool]) -> Iterator[object]:
        yield save_result(material, parent)

    return work


def save_result(material: Material, parent: Path) -> Saved:
    """Write labels, uncertainty, overlay, table, run record and report into a new folder.

    Where no file gives the analysed pixels, they are saved too, named after the layer, and the record is about that
    file.

    Raises
    ------
    UMLError
        When something cannot be written.
    """
    result = material.result
    request, loaded, prediction = result.request, result.loaded, result.prediction
    folder = new_folder(parent, f"{request.source.name} {request.model}")
    pixels = analysed_pixels(result, material.data)
    origin = find_origin(material.files, pixels, request)
    has_input = origin is None
    if origin is None:
        origin = Origin(write_input(folder / _input_name(result), pixels, is_stack=request.all_slices))
    recipe = recipe_of(result, origin)
    image = _measured_in(origin, material.pixel)
    record = make_record(
        image, prediction, loaded.info, recipe.settings, weights_sha256=loaded.sha256, weights_path=material.weights,
        device_description=loaded.device.removesuffix(f", {prediction.precision}"),
    )  # fmt: skip
    written = save_prediction(folder, image, prediction, record, loaded.info.task)
    write_results(folder / RESULTS, [record])
    figures = () if material.sweep is None or not material.sweep.done else (sweep_figure(material.sweep),)
    write_report(folder / REPORT, image.pixels, prediction, record, loaded.info, recipe=recipe, figures=figures)
    more = (folder / RESULTS, folder / REPORT, *((origin.image.path,) if has_input else ()))
    return Saved(folder, (*written.files, *more), recipe, has_input, written.left_out)


def find_recipe(material: Material) -> Callable[[Callable[[], bool]], Iterator[object]]:
    """Work for the background: yields the `Recipe` of a result, or None when no file gives its pixels."""

    def work(stopped: Callable[[], bool]) -> Iterator[object]:
        pixels = analysed_pixels(material.result, material.data)
        origin = find_origin(material.files, pixels, material.result.request)
        yield None if origin is None else recipe_of(material.result, origin)

    return work


def recipe_of(result: Result, origin: Origin) -> Recipe:
    """How to repeat a result from the file that holds its pixels."""
    request, prediction = result.request, result.prediction
    settings = RunSettings(
        sigma=request.sigma, seed=request.seed, roi=request.box, slice_number=origin.slice_number,
        corruption=request.corruption,
    )  # fmt: skip
    return Recipe(origin.image.path, request.model, prediction.device, prediction.precision, settings)


def new_folder(parent: Path, name: str) -> Path:
    """A folder that is not there yet, named after a layer and a model; -2, -3 and so on when the name is taken."""
    stem = safe_name(name) or "result"
    folder, count = parent / stem, 1
    while folder.exists():
        count += 1
        folder = parent / f"{stem}-{count}"
    return folder


def _input_name(result: Result) -> str:
    """Of the file with the analysed pixels: "input S slice 5.tif", so that table and report say what was analysed."""
    number = result.only_slice
    of_slice = "" if number is None else f"-slice-{number}"
    return f"{safe_name(f'input {result.request.source.name}')}{of_slice}.tif"


def missing_file(request: Request, files: Sequence[Path]) -> str:
    """Why there is no command, in one sentence, and what to do."""
    name = request.source.name
    if not files:
        return f"{name!r} did not come from a file: press Save first, it keeps the input beside the result."
    return (
        f"{files[0].name}, read by itself, does not give the pixels that were analysed (another channel or scaling, or "
        "a part of the slices): press Save first, it keeps the input beside the result."
    )


def _measured_in(origin: Origin, pixel: tuple[tuple[float, float], str] | None) -> LoadedImage:
    """The image with the pixel size of its layer, which is what the dock measured in."""
    image = origin.image
    if pixel is None:
        return replace(image, spacing=None, units=("pixel",) * (2 + image.is_stack))
    (height, width), unit = pixel
    if not image.is_stack:
        return replace(image, spacing=(height, width), units=(unit, unit))
    known = image.spacing is not None and image.units[0] == unit
    depth = image.spacing[0] if image.spacing is not None and known else 1.0
    return replace(image, spacing=(depth, height, width), units=(unit if known else "pixel", unit, unit))
