"""`napari-uml replay`: repeat a recorded run and say whether the numbers agree."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_uml.cli.common import NOT_AGREED, follow, progress_bar

if TYPE_CHECKING:
    from napari_uml.inference.predictor import UMLPredictor
    from napari_uml.inference.replay import Comparison
    from napari_uml.inference.run_record import RunRecord


def replay(
    run: Annotated[Path, typer.Argument(help="The run.json that predict wrote.")],
    model: Annotated[Path | None, typer.Option("--model", "-m", help="Where the weights file is now.")] = None,
    image: Annotated[Path | None, typer.Option(help="Where the image is now.")] = None,
    device: Annotated[str | None, typer.Option(help="Another device than the recorded one.")] = None,
    precision: Annotated[str | None, typer.Option(help="Another precision than the recorded one.")] = None,
    tolerance: Annotated[
        float | None, typer.Option(min=0, help="Largest difference that agrees, instead of the usual one.")
    ] = None,
) -> None:
    """Repeat a recorded run; exit code 1 when the numbers do not agree.

    With the recorded device, precision, libraries and system all numbers have to be the same to the last bit, else
    beliefs, uncertainties and shares of the image may differ by 0.01.
    """
    from napari_uml.data.reading import read_image
    from napari_uml.inference.analysis import analyse
    from napari_uml.inference.replay import check_image, compare, find_recorded_image
    from napari_uml.inference.run_record import read_run

    recorded = read_run(run)
    pixels = read_image(find_recorded_image(recorded.image, run) if image is None else image)
    check_image(pixels, recorded.image)
    predictor = _load(recorded, model, device, precision)
    with progress_bar() as bar:
        repeated = analyse(predictor, pixels, recorded.settings, follow(bar, recorded.image.name)).record
    comparison = compare(recorded, repeated, tolerance)
    typer.echo(in_words(recorded, repeated, comparison))
    if not comparison.agree:
        raise typer.Exit(NOT_AGREED)


def in_words(recorded: RunRecord, repeated: RunRecord, comparison: Comparison) -> str:
    """The verdict, the largest difference and the tolerance."""
    made = [f"{r.device_description or r.device}, {r.precision}" for r in (recorded, repeated)]
    where = f"on {made[0]}" if made[0] == made[1] else f"recorded on {made[0]}, repeated on {made[1]}"
    if comparison.identical:
        return f"The numbers agree to the last bit ({where})."
    name, value = comparison.largest
    verdict = "The numbers agree" if comparison.agree else "The numbers DO NOT agree"
    masks = "the masks are the same" if comparison.same_masks else "the masks differ in some pixels"
    return (
        f"{verdict}: the largest difference is {value:.2g} ({name}), the tolerance {comparison.tolerance:g}; {masks} "
        f"({where})."
    )


def _load(recorded: RunRecord, model: Path | None, device: str | None, precision: str | None) -> UMLPredictor:
    """The recorded model on the recorded device, or on the best there is where that one is missing."""
    from napari_uml.inference.devices import available_devices
    from napari_uml.inference.predictor import UMLPredictor
    from napari_uml.inference.replay import check_weights, find_recorded_weights

    path = find_recorded_weights(recorded.model) if model is None else model
    check_weights(path, recorded.model)
    calibrated = recorded.evidence_scales != (1.0, 1.0)
    if device is None and recorded.device not in [there.name for there in available_devices()]:
        typer.echo(f"The run was recorded on {recorded.device}, which is not here.", err=True)
        return UMLPredictor.load(path, "auto", precision or "auto", calibrated=calibrated)
    wanted = device or recorded.device, precision or recorded.precision
    return UMLPredictor.load(path, *wanted, calibrated=calibrated)
