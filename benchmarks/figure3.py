"""Figure 3: input, belief, the three masks and the uncertainty, of a clean image and with noise of sigma 0.05.

    python benchmarks/figure3.py                          simulated samples, into docs/results/figure3.jpg
    python benchmarks/figure3.py DATASET -m MODEL         real images, into runs/figures

Belief: the mass of all structures but the background. M, M^r and S: mutual, reliable and final mask, the truth as a
white line. The bars are the opinion about the class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from figures import Shown, arguments, spacing
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure

from napari_uml.inference.predictor import UMLPredictor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from napari_uml.config import Task
    from napari_uml.results import Prediction

SIGMAS: Final = (0.0, 0.05)
COLUMNS: Final = ("input", "belief", "mutual mask M", "reliable mask M$^r$", "final mask S", "uncertainty u", "class")
CELL: Final = 1.75  # inches
UNCERTAINTY: Final = LinearSegmentedColormap.from_list("u", ["#0F0D14", "#73008C", "#BF0DA6", "#F259C7", "#FFE0F5"])


def main() -> None:
    """Look at every image twice and draw the grid."""
    gallery = arguments(__doc__)
    rows = [(shown, sigma) for shown in gallery.images for sigma in SIGMAS]
    figure = Figure(figsize=(CELL * (len(COLUMNS) + 0.6), CELL * len(rows) + 0.4))
    spacing(figure)
    grid = figure.subplots(len(rows), len(COLUMNS), squeeze=False)
    for axes, title in zip(grid[0], COLUMNS, strict=True):
        axes.set_title(title, fontsize=10)
    predictors = {name: UMLPredictor.load(name) for name in {shown.model for shown in gallery.images}}
    for line, (shown, sigma) in zip(grid, rows, strict=True):
        draw_row(line, shown, sigma, predictors[shown.model])
    gallery.save(figure, "figure3.jpg")


def draw_row(line: NDArray[Any], shown: Shown, sigma: float, predictor: UMLPredictor) -> None:
    """One image at one level of noise."""
    prediction = predictor.predict(shown.pixels, sigma, details=True)
    task, seen = predictor.info.task, predictor.seen(shown.pixels, prediction)
    extent = (0, shown.pixels.shape[1], shown.pixels.shape[0], 0)
    grey = {"cmap": "gray", "vmin": 0, "vmax": 1, "extent": extent}
    line[0].imshow(seen, **grey)
    line[0].set_ylabel(shown.heading(f"$\\sigma$ = {sigma:g}"), fontsize=8)
    line[1].imshow(prediction.pixel_belief[1:].sum(0), cmap="viridis", vmin=0, vmax=1)
    details = prediction.details
    masks = [None, None, prediction.mask]
    if details is not None:
        reliable = details.reliable_mask
        masks[:2] = [details.mutual_mask, None if reliable is None else reliable.argmax(0).astype(np.uint8)]
    for axes, mask in zip(line[2:5], masks, strict=True):
        _draw_mask(axes, shown, mask, task)
    line[5].imshow(prediction.pixel_uncertainty, cmap=UNCERTAINTY, vmin=0, vmax=1)
    for axes in line[:6]:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    _draw_opinion(line[6], prediction, shown.label)


def _draw_mask(axes: Axes, shown: Shown, mask: NDArray[np.uint8] | None, task: Task) -> None:
    """The mask's colours over the image, the truth as a line; an empty field when the network has no such mask."""
    if mask is None:
        axes.text(0.5, 0.5, "none", ha="center", transform=axes.transAxes)
        return
    plain = np.stack([shown.pixels] * 3, -1) if shown.pixels.ndim == 2 else shown.pixels
    colors = np.array([to_rgb(color) for color in task.colors])
    inside = (mask > 0)[..., None]
    axes.imshow(np.where(inside, 0.45 * plain + 0.55 * colors[mask], plain))
    if shown.mask is not None:
        for number in range(1, len(task.seg_classes)):
            axes.contour(shown.mask >= number, [0.5], colors="white", linewidths=0.7)


def _draw_opinion(axes: Axes, prediction: Prediction, truth: str) -> None:
    """Beliefs and u as bars; the true class has a star."""
    opinion = prediction.opinion
    names = [*(f"{name} *" if name == truth else name for name in opinion.class_names), "u"]
    values = [*opinion.belief, opinion.uncertainty]
    bars = axes.barh(range(len(names)), values, color=["#0072B2"] * len(opinion.class_names) + ["#A3238E"], height=0.6)
    axes.bar_label(bars, fmt="%.2f", fontsize=7, padding=2)
    for row, name in enumerate(names):
        axes.text(0, row - 0.36, name.replace("_", " "), fontsize=7, va="bottom")
    axes.set(xlim=(0, 1.25), ylim=(len(names) - 0.5, -0.85), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_box_aspect(0.85)


if __name__ == "__main__":
    main()
