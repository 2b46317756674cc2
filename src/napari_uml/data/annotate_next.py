"""How far rows are annotated, and which image to annotate next: the one that the network is least sure about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_uml.data.reading import read_image
from napari_uml.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_uml.data.dataset import Record
    from napari_uml.results import Prediction


@dataclass(frozen=True, slots=True)
class Score:
    """How unsure the network is about an image of a list: u of the image, in (0, 1]."""

    image: str
    uncertainty: float


def state_of(record: Record) -> str:
    """How far a row is annotated, in a word or two."""
    if record.mask and record.label:
        return "annotated"
    if record.mask:
        return "no class"
    return "class only" if record.label else "to annotate"


def to_annotate(records: Sequence[Record]) -> list[str]:
    """The images without mask and class, in the order of the list."""
    return [record.image for record in records if not record.mask and not record.label]


def score_images(
    folder: Path,
    images: Sequence[str],
    predict: Callable[[NDArray[Any]], Prediction],
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Score]:
    """Look at images one by one; one that cannot be read has no score, `find_problems` tells of it.

    Parameters
    ----------
    folder, images
        The dataset folder, and paths relative to it.
    predict
        Takes (H, W) or (H, W, 3) in [0, 1].
    stopped
        Asked before every image whether to stop.
    """
    for image in images:
        if stopped():
            return
        try:
            loaded = read_image(folder / image)
        except ImageError:
            continue
        if not loaded.is_stack:
            yield Score(image, predict(loaded.pixels).opinions[0].uncertainty)


class Queue:
    """Images that wait to be annotated, the most uncertain first; those without a score yet come last, in list order.

    Scores stay when the list changes, and are forgotten when another model gives them.
    """

    def __init__(self) -> None:
        self._scores: dict[str, float] = {}
        self._waiting: list[str] = []
        self._model = ""

    def set(self, records: Sequence[Record], model: str) -> None:
        """Take over a list as it is now, and the model that scores."""
        if model != self._model:
            self._scores, self._model = {}, model
        self._waiting = to_annotate(records)

    def add(self, score: Score) -> None:
        """Take over the score of an image."""
        self._scores[score.image] = score.uncertainty

    def uncertainty(self, image: str) -> float | None:
        """The u of an image; None when it is not known."""
        return self._scores.get(image)

    @property
    def unscored(self) -> list[str]:
        """Waiting images that no score is known of."""
        return [image for image in self._waiting if image not in self._scores]

    @property
    def images(self) -> list[str]:
        """Waiting images in the order to annotate them."""
        return sorted(self._waiting, key=lambda image: -self._scores.get(image, 0.0))

    def next(self, skipped: Collection[str] = ()) -> str | None:
        """The image to annotate next; None when nothing is left."""
        return next((image for image in self.images if image not in skipped), None)
