"""`napari-uml calibrate`: fit what a model's uncertainty means and write it into the weights file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from napari_uml.cli.common import DeviceOption, OverwriteOption, PrecisionOption, progress_bar

if TYPE_CHECKING:
    from napari_uml.calibration import Calibration


def calibrate(
    model: Annotated[str, typer.Argument(help="Path of a weights file or name of a model.")],
    datasets: Annotated[list[Path], typer.Argument(help="Dataset folders.")],
    split: Annotated[
        Literal["train", "val", "test"], typer.Option(help="The images to fit on; no others are opened.")
    ] = "val",
    target_risk: Annotated[
        float,
        typer.Option(min=0.001, max=0.5, help="Share of wrong classes to remain among the images not referred."),
    ] = 0.05,
    seed: Annotated[int, typer.Option(min=0, help="Of the pixels drawn, the folds and the bootstrap.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE.safetensors", help="Write there instead of into the file itself."),
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    overwrite: OverwriteOption = False,
) -> None:
    """Fit evidence scale, chance of an error and referral threshold on a split, and write them into the weights.

    The tensors stay as they are. A registered model needs -o: its file is known by its SHA-256 and stays.
    """
    from napari_uml.data.dataset import read_datasets
    from napari_uml.evaluation.answers import read_answers
    from napari_uml.evaluation.calibrate import calibrate as fit
    from napari_uml.evaluation.familiar import reach_of
    from napari_uml.files import make_way
    from napari_uml.inference.predictor import UMLPredictor
    from napari_uml.weights import find_weights, read_info, sha256, write_info
    from napari_uml.weights.registry import load_registry

    if output is None and model in load_registry().models:
        raise ValueError(f"Expected a file to write for the registered model {model!r}, got none; use -o.")
    if output is not None:
        make_way(output, overwrite=overwrite)
    path, folders = find_weights(model), read_datasets(datasets)
    predictor = UMLPredictor.load(path, device, precision, calibrated=False)
    total = sum(len(folder.of_split(split)) for folder in folders)
    with progress_bar() as bar:
        images = read_answers(predictor, folders, split, seed)
        answers = list(bar.track(images, total=total, description=f"{model}, {split}"))
    name = ", ".join(folder.info.name for folder in folders)
    fitted = fit(answers, predictor.info.task, dataset=name, split=split, target_risk=target_risk, seed=seed)
    info = read_info(path)
    fitted = fitted.model_copy(update={"reach": reach_of(folders, predictor, split)})
    former, target = sha256(path), output or path
    write_info(path, info.model_copy(update={"calibration": fitted}), output)
    typer.echo(in_words(fitted))
    typer.echo(f"Written into {target}.")
    if said := _renew_card(path, target, former):
        typer.echo(said)


def in_words(calibration: Calibration) -> str:
    """What was fitted, a line each."""
    from napari_uml.evaluation.card import calibration_lines

    return "\n".join(calibration_lines(calibration))


def _renew_card(source: Path, path: Path, former: str) -> str:
    """Write the calibration into the card beside a weights file, too, and say so; empty when there is no card.

    Only the card of these weights, as their SHA-256 was before, is changed; a new file gets a copy of it.
    """
    from napari_uml.evaluation.card import recalibrated_card
    from napari_uml.files import replacing
    from napari_uml.weights import read_info, sha256
    from napari_uml.weights.registry import CARD_SUFFIX

    card = path.with_suffix(CARD_SUFFIX)
    former_card = card if card.is_file() else source.with_suffix(CARD_SUFFIX)
    if not former_card.is_file():
        return ""
    text = former_card.read_text(encoding="utf-8", errors="surrogateescape")  # the user's words, byte for byte
    new = recalibrated_card(text, former, read_info(path), sha256(path), path.stat().st_size)
    if new is None and former_card != card:
        return ""
    if new is None:
        return (
            f"{card} stays as it is: it is not the card of these weights and says nothing of the calibration; delete "
            "it to be shown one that is made from the file."
        )
    with replacing(card) as part:
        part.write_text(new, encoding="utf-8", errors="surrogateescape", newline="")
    return f"Written into {card}, too."
