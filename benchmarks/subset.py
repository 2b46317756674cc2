"""A smaller copy of a data set, to train on beside others: so many images of each class, drawn at random.

    python benchmarks/subset.py DATA/acrima -o OUT --classes normal=150 glaucoma=150
    python benchmarks/subset.py DATA/ham10000 -o OUT --classes nevus=1000 melanoma=1200 benign_keratosis=900 \
        --rename benign_keratosis=seborrheic_keratosis

Only training images are drawn, the same ones every time; classes that are not named are left out, and a class with
fewer images gives all of them. These two are the `acrima-300` and `ham-3` of the shipped models.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from finetune_gain import moved, renamed
from pydantic import ValidationError

from napari_uml.data.dataset import Dataset, DatasetInfo, read_dataset, write_dataset


def main() -> None:
    """Draw, copy, say how many there are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to make")
    parser.add_argument("--classes", type=pair, nargs="+", required=True, metavar="CLASS=IMAGES")
    parser.add_argument("--rename", type=pair, nargs="+", default=[], metavar="CLASS=NAME")
    args = parser.parse_args()

    source = read_dataset(args.source)
    wanted = {name: int(images) for name, images in args.classes}
    if unknown := set(wanted) - set(source.info.cls_classes):
        parser.error(f"expected classes of {args.source}, {', '.join(source.info.cls_classes)}, got {unknown}")
    if unknown := {name for name, _ in args.rename} - set(wanted):
        parser.error(f"expected to rename classes that are drawn, got {unknown}")
    if (args.output / "index.csv").exists():
        parser.error(f"expected a new folder, {args.output} holds a data set")
    drawn = renamed(subset(source, wanted), dict(args.rename))
    try:
        DatasetInfo.model_validate(drawn.info.model_dump())  # two classes or more, no name twice
    except ValidationError as error:
        parser.error(str(error.errors(include_url=False)[0]["msg"]))
    write_dataset(args.output, drawn.info, [moved(source, record, "train", args.output) for record in drawn.records])
    print(f"{args.output}: {len(drawn.records)} images")


def subset(source: Dataset, wanted: dict[str, int]) -> Dataset:
    """The training images of the wanted classes, at most so many of each, and those classes only."""
    order = list(source.of_split("train"))
    random.Random(0).shuffle(order)
    left, records = dict(wanted), []
    for record in order:
        if left.get(record.label, 0) > 0:
            left[record.label] -= 1
            records.append(record)
    classes = tuple(name for name in source.info.cls_classes if name in wanted)
    former = {name: names for name, names in source.info.former_classes.items() if name in wanted}
    info = source.info.model_copy(update={"cls_classes": classes, "former_classes": former})
    return Dataset(source.folder, info, tuple(records))


def pair(text: str) -> tuple[str, str]:
    """The two sides of an equals sign."""
    name, separator, value = text.partition("=")
    if not (name and separator and value):
        raise argparse.ArgumentTypeError(f"expected CLASS=VALUE, got {text!r}")
    return name, value


if __name__ == "__main__":
    main()
