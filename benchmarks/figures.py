"""What the picture scripts share: which images they show, with which model, and where the pictures may go."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from napari_uml.data.dataset import read_dataset, read_pair
from napari_uml.data.scaling import scale_to_unit
from napari_uml.data.simulated import simulate_dermoscopy, simulate_fundus, simulate_ultrasound

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from napari_uml.data.simulated.canvas import SimulatedImage

SEED: Final = 0
DPI: Final = 100


@dataclass(frozen=True, eq=False)
class Shown:
    """An image to show.

    Attributes
    ----------
    title, model
        What it is, and name or path of the model that looks at it.
    pixels
        (H, W) or (H, W, 3) in [0, 1].
    mask, label
        The truth; None and empty where nobody knows.
    """

    title: str
    model: str
    pixels: NDArray[np.float32]
    mask: NDArray[np.uint8] | None
    label: str

    def heading(self, last: str) -> str:
        """Title and one more line, broken so that it fits beside a picture."""
        words = self.title.removeprefix("Simulated ").replace(", ", "\n").replace("breast ", "breast\n")
        return f"{words}\n{last}"


@dataclass(frozen=True, eq=False)
class Gallery:
    """Images, and the folder that the picture goes into."""

    images: list[Shown]
    folder: Path

    def save(self, figure: Figure, name: str) -> None:
        """Write a figure as a JPEG, a fifth of a PNG's size for photographs, and say so."""
        path = self.folder / name
        self.folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="jpeg", dpi=DPI, pil_kwargs={"quality": 88})
        print(f"wrote {path}")


def spacing(figure: Figure) -> None:
    """Little room between the pictures of a grid."""
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)


def arguments(description: str) -> Gallery:
    """Read the command line that all pictures have; without a data set the images are simulated."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", nargs="?", type=Path, help="dataset folder; simulated samples without it")
    parser.add_argument("-m", "--model", help="name or path of a model; needed with a data set")
    parser.add_argument("-n", type=int, default=4, help="images of the data set's validation split")
    parser.add_argument("-o", "--output", type=Path, help="folder; docs/results, or runs/figures with a data set")
    args = parser.parse_args()
    if args.dataset is None:
        return Gallery(_simulated(args.model), args.output or Path("docs/results"))
    if args.model is None:
        parser.error("a data set needs --model")
    return Gallery(_of_dataset(args.dataset, args.model, args.n), args.output or Path("runs/figures"))


def _simulated(model: str | None) -> list[Shown]:
    """A sample of every shipped model, of two classes where that tells something."""
    samples = [
        ("breast-ultrasound", simulate_ultrasound(SEED, "benign")),
        ("breast-ultrasound", simulate_ultrasound(SEED, "malignant")),
        ("fundus-disc", simulate_fundus(SEED, "glaucoma")),
        ("dermoscopy", simulate_dermoscopy(SEED, "melanoma")),
    ]
    return [_shown(name, sample) for name, sample in samples if model in (None, name)]


def _shown(model: str, sample: SimulatedImage) -> Shown:
    pixels, _ = scale_to_unit(sample.pixels)
    return Shown(f"{sample.name}, {sample.label}", model, pixels, sample.mask, sample.label)


def _of_dataset(folder: Path, model: str, count: int) -> list[Shown]:
    """Images of the validation split, evenly spread."""
    dataset = read_dataset(folder)
    records = dataset.of_split("val")
    chosen = records[:: max(1, len(records) // count)][:count]
    pairs = [(record, *read_pair(dataset, record)) for record in chosen]
    return [Shown(f"{r.image}, {r.label or 'unlabelled'}", model, pixels, mask, r.label) for r, pixels, mask in pairs]
