"""Supplement S2: what the classifier's features look at before and after the instructor, channel by channel.

    python benchmarks/attention.py                        simulated samples, into docs/results/attention.jpg
    python benchmarks/attention.py DATASET -m MODEL       real images, into runs/figures

f^c_4 are the class encoder's coarsest features, r^c those that the class is read from. Of each the mean over all
channels, then the channels that vary most over the image; every map from its smallest value (dark) to its largest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
from figures import Shown, arguments, spacing
from matplotlib.figure import Figure

from napari_uml.inference.predictor import UMLPredictor, build_network
from napari_uml.weights import find_weights, load_tensors

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

CHANNELS: Final = 5
CELL: Final = 1.3  # inches


def main() -> None:
    """Look at every image and draw two rows of maps a image."""
    gallery = arguments(__doc__)
    columns = 2 + CHANNELS
    count = 2 * len(gallery.images)
    figure = Figure(figsize=(CELL * columns + 0.6, CELL * count + 0.3))
    spacing(figure)
    grid = figure.subplots(count, columns, squeeze=False)
    for axes, title in zip(grid[0], ("input", "mean", *(f"channel {n + 1}" for n in range(CHANNELS))), strict=True):
        axes.set_title(title, fontsize=9)
    for number, shown in enumerate(gallery.images):
        pixels, features = look(shown)
        pairs = zip(grid[2 * number :], features.items(), strict=False)
        for line, (name, maps) in pairs:
            line[0].imshow(pixels, cmap="gray", vmin=0, vmax=1)
            line[0].set_ylabel(shown.heading(name), fontsize=7)
            for axes, one in zip(line[1:], chosen(maps), strict=True):
                draw_map(axes, one, pixels.shape[:2])
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    gallery.save(figure, "attention.jpg")


@torch.no_grad()
def look(shown: Shown) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
    """The network's input (S, S, 3), and f^c_4 and r^c, (C, h, w) each."""
    predictor = UMLPredictor.load(shown.model, "cpu", "float32")
    network = build_network(predictor.info, load_tensors(find_weights(shown.model)))
    batch = predictor.network_input(shown.pixels)
    inner = network(batch[None], intermediates=True).intermediates
    if inner is None:
        raise SystemExit(f"{shown.model} is no UML network: it has no such features.")
    features = {"f$^c_4$": inner.class_features[3], "r$^c$": inner.instructed}
    return batch.permute(1, 2, 0).numpy(), {name: tensor[0].numpy() for name, tensor in features.items()}


def chosen(maps: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """The mean over the channels, then the channels with the largest standard deviation over the image."""
    order = maps.std(axis=(1, 2)).argsort()[::-1][:CHANNELS]
    return [maps.mean(0), *maps[order]]


def draw_map(axes: Axes, values: NDArray[np.float32], size: tuple[int, int]) -> None:
    """A feature map on the input's grid."""
    axes.imshow(values, cmap="magma", interpolation="bilinear", extent=(0, size[1], size[0], 0))


if __name__ == "__main__":
    main()
