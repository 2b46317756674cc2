"""One prediction as a shell command and as a Python script, which give the same numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_uml.shell import shell_line

if TYPE_CHECKING:
    from pathlib import Path

    from napari_uml.inference.run_record import RunSettings


@dataclass(frozen=True, slots=True)
class Recipe:
    """What decides a prediction.

    Attributes
    ----------
    image
        File, or folder of a DICOM series.
    model
        Name, or path of a weights file.
    device, precision
        Those that computed, not `auto`.
    settings
        Noise, corruption, rectangle, slice.
    """

    image: Path
    model: str
    device: str
    precision: str
    settings: RunSettings


def as_command(recipe: Recipe, output: str) -> str:
    """The line for a terminal that repeats a prediction, quoted for the system's shell; it writes into `output`."""
    settings = recipe.settings
    words = ["napari-uml", "predict", str(recipe.image), "-m", recipe.model, "-o", output]
    if settings.sigma:
        words += ["--sigma", repr(settings.sigma), "--seed", str(settings.seed)]
    if settings.corruption is not None:
        words += ["--corruption", str(settings.corruption)]
    if settings.roi is not None:
        box = settings.roi
        words += ["--roi", f"{box.top},{box.left},{box.bottom},{box.right}"]
    if settings.slice_number is not None:
        words += ["--slice", str(settings.slice_number)]
    words += ["--device", recipe.device, "--precision", recipe.precision]
    return shell_line(words)


def as_python(recipe: Recipe) -> str:
    """A script that repeats a prediction and leaves it in `prediction`."""
    settings = recipe.settings
    imports, options = ["from napari_uml import UMLPredictor, read_image"], []
    pixels, stack = "image.pixels", "image.is_stack"
    if settings.slice_number is not None:
        pixels, stack = f"image.pixels[{settings.slice_number}]", "False"
    if settings.sigma:
        options += [f"sigma={settings.sigma!r}", f"seed={settings.seed}"]
    if settings.roi is not None:
        imports.append("from napari_uml.results import Box")
        box = settings.roi
        options.append(f"roi=Box({box.top}, {box.left}, {box.bottom}, {box.right})")
    if settings.corruption is not None:
        imports.append("from napari_uml.results import Corruption")
        options.append(f"corruption=Corruption({settings.corruption.kind!r}, {settings.corruption.strength!r})")
    arguments = ", ".join([pixels, *options, f"stack={stack}"])
    load = f"{recipe.model!r}, device={recipe.device!r}, precision={recipe.precision!r}"
    return "\n".join(
        [
            *imports,
            "",
            f"image = read_image({str(recipe.image)!r})",
            f"predictor = UMLPredictor.load({load})",
            f"prediction = predictor.predict({arguments})",
            "print(prediction.opinion)",
            "",
        ]
    )
