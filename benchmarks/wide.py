"""Simulated whole fundus photographs around real discs, for models that find the disc wherever it lies.

    python benchmarks/wide.py DATA/refuge -o OUT
    python benchmarks/wide.py DATA/drishti -o OUT --draws 2 --seed 1

Crops show nothing of how small a disc is in a whole photograph, and the photographs of a data set may all have it in
the middle. Here each annotated disc, with what is close around it, is laid on a simulated retina of its colours, at a
size and a place that are drawn: 9 to 23 % of the picture's height, from the middle to far to one side, as in
photographs of the macula. A round field on black, uneven light and flares complete it. Labels and groups are kept, so
that a patient stays in one split. These two are the `refuge-wide` and `drishti-wide` of the shipped model.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image
from scipy import ndimage

from napari_uml.data.dataset import read_dataset, read_pair, write_dataset
from napari_uml.data.simulated.canvas import Array, blur, fade, mix, noise, to_uint8
from napari_uml.data.simulated.fundus import Eye, paint

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZE: Final = 768
"""Side of the pictures."""
RADII: Final = (0.045, 0.115)
"""Half the disc's height, in sides."""
UP_AND_DOWN: Final = (-0.12, 0.12)
NASAL: Final = (-0.05, 0.32)
"""How far its centre lies from the picture's, in sides: up or down, and to the side away from the macula."""
KEPT: Final = 1.15
"""Up to where all of the real image shows, in half heights of the disc from its centre."""
FADED: Final = 1.5
"""From where nothing of it does."""
DARK: Final = 0.1
"""What is darker lies outside the field of the real image."""
FLARES: Final = ((150, 120, 60), (255, 240, 200))
"""Range of their colours, sRGB."""


def main() -> None:
    """Read, simulate, write, say how many there are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to make")
    parser.add_argument("--split", default="train", help="whose images are taken")
    parser.add_argument("--draws", type=int, default=1, help="pictures of each disc")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    source = read_dataset(args.source)
    records = [record for record in source.of_split(args.split) if record.mask]
    if not records:
        parser.error(f"expected images with masks in the split {args.split} of {args.source}, it has none")
    if (args.output / "index.csv").exists():
        parser.error(f"expected a new folder, {args.output} holds a data set")
    for name in ("images", "masks"):
        (args.output / name).mkdir(parents=True, exist_ok=True)
    made = []
    for number, record in enumerate(records):
        image, truth = read_pair(source, record)
        for draw in range(args.draws):
            rng = np.random.default_rng((args.seed, number, draw))
            pixels, mask = whole_photograph(255 * image, truth, rng)
            name = f"{Path(record.image).stem}-{draw}"
            made.append(replace(record, image=f"images/{name}.jpg", mask=f"masks/{name}.png"))
            Image.fromarray(pixels).save(args.output / made[-1].image, quality=92)
            Image.fromarray(mask).save(args.output / made[-1].mask)
    info = source.info.model_copy(update={"name": f"{source.info.name}, simulated whole photographs"})
    write_dataset(args.output, info, made)
    print(f"{args.output}: {len(made)} images")


def whole_photograph(
    image: Array, truth: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A picture (SIZE, SIZE, 3) and its mask around the disc of an image (H, W, 3), of 0 to 255, with a mask (H, W)."""
    side = int(rng.choice((-1, 1)))
    shift = np.array((rng.uniform(*UP_AND_DOWN), -side * rng.uniform(*NASAL)))
    row, column = SIZE * (0.5 + shift)
    eye = Eye((SIZE, SIZE), (row, column), SIZE * rng.uniform(*RADII), side)
    retina, _ = paint(rng, eye, 0.5)
    disc = real_disc(image, truth, eye)
    distance = np.hypot(*eye.from_disc())
    pixels = mix(retina * _tone(retina, disc, distance), disc.pixels, _share(disc, distance, eye.radius))
    y, x = np.indices((SIZE, SIZE)) - SIZE / 2
    from_middle = np.hypot(y, x) / (SIZE * rng.uniform(0.46, 0.56))
    pixels = _lit(rng, pixels, y, x, from_middle)
    pixels = mix((2, 2, 3), pixels, fade(from_middle - 1, 0.0015))
    mask = np.where(from_middle > 1, 0, disc.mask).astype(np.uint8)
    return to_uint8(pixels + 2 * rng.standard_normal(pixels.shape)), mask


@dataclass(frozen=True)
class Disc:
    """A real image on the grid of the picture: colours (H, W, 3), mask (H, W), and where it has light (H, W)."""

    pixels: Array
    mask: NDArray[np.uint8]
    lit: NDArray[np.bool_]


def real_disc(image: Array, truth: NDArray[np.uint8], eye: Eye) -> Disc:
    """An image (H, W, 3) with its mask (H, W), scaled and moved so that its disc lies where that of the eye does."""
    rows, columns = np.nonzero(truth)
    centre = (rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2
    scale = (rows.max() - rows.min() + 1) / 2 / eye.radius
    grid = zip(np.indices(eye.shape), eye.centre, centre, strict=True)
    at = [(index - there) * scale + here for index, there, here in grid]
    smooth = blur(image, scale / 2.5) if scale > 1 else image

    def moved(values: NDArray[Any], order: int = 1) -> NDArray[Any]:
        return np.asarray(ndimage.map_coordinates(values, at, order=order, mode="constant"))

    pixels = np.stack([moved(smooth[..., channel]) for channel in range(3)], axis=-1)
    lit = moved((image.max(axis=-1) > 255 * DARK).astype(np.float64)) > 0.99
    return Disc(pixels, moved(truth, order=0).astype(np.uint8), lit)


def _share(disc: Disc, distance: Array, radius: float) -> Array:
    """How much of the real image shows, (H, W): all of the disc, less and less around it, nothing of its dark edge."""
    inside = ndimage.binary_erosion(disc.lit, iterations=max(2, round(0.12 * radius)))
    near = 1 - np.clip((distance - KEPT) / (FADED - KEPT), 0, 1)
    share = near * blur(inside.astype(np.float64), 0.08 * radius + 1)
    return np.asarray(share**2 * (3 - 2 * share))


def _tone(retina: Array, disc: Disc, distance: Array) -> Array:
    """Factors (3,) that give the simulated retina the colours around the real disc."""
    seen = disc.lit & (distance > KEPT) & (distance < FADED)
    if seen.sum() < 20:
        return np.ones(3)
    around = (distance > KEPT) & (distance < 2.5)
    return np.asarray(np.median(disc.pixels[seen], axis=0) / np.maximum(np.median(retina[around], axis=0), 1))


def _lit(rng: np.random.Generator, pixels: Array, y: Array, x: Array, from_middle: Array) -> Array:
    """Darker towards the edge, uneven, with up to two flares at the edge."""
    light = 1 - rng.uniform(0.1, 0.5) * from_middle**3
    light *= 1 + rng.uniform(0, 0.25) * noise(rng, from_middle.shape, (SIZE / 2, SIZE / 2))
    pixels = pixels * light[..., None]
    for _ in range(rng.integers(0, 3)):
        angle, width = rng.uniform(-np.pi, np.pi), SIZE * rng.uniform(0.04, 0.15)
        away = np.hypot(y - 0.45 * SIZE * np.sin(angle), x - 0.45 * SIZE * np.cos(angle))
        pixels = mix(pixels, rng.uniform(*FLARES), rng.uniform(0.2, 0.7) * np.exp(-((away / width) ** 2) / 2))
    return pixels


if __name__ == "__main__":
    main()
