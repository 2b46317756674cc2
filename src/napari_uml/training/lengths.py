"""How long to fine-tune: quick, normal and long as settings, made for the number of images at hand; no torch.

Why `quick` is what it is, for 10 to 80 images on two processor cores within ten minutes:

- **Looks, not epochs.** What a run costs and learns goes with the images it looks at. 10 images need many epochs,
  80 few; every length therefore fixes the looks and divides.
- **Everything learns, the normalisation statistics stay.** On another kind of image the encoders have to follow: with
  20 fundus photographs of a clinic that the model did not know, the disc was outlined clearly better than with
  decoders and heads alone. The price is more forgetting where there is little to learn. The statistics of the large
  training set are better known than those of a batch of four.
- **A third of a training's learning rate, in one cycle.** From models whose encoders were taught on photographs, the
  whole rate brought nothing more on the new images and cost more on the old ones. It rises over 15 % of the steps so
  that new heads' first gradients do no harm, then falls to nothing.
- **Few images teach the mask; of the class they teach the last layer.** A mask has thousands of pixels, an image one
  class. With 15 of them the classes are learnt by heart, and the mask's losses move what they are told by, so that
  other images are told apart worse than before. So the class encoder stays, what the last layer reads is kept, and this
  layer is solved for at the end, near its start; see `training/class_layer.py`. Classes that the start does not know
  need more than a last layer; they have a fifth of the class loss, so that they are learnt by heart later.
- **A short average.** A run has 100 to 300 steps; averaged weights with a decay of 0.99 would still hold the start
  model to a third after a hundred. 0.95 averages the last twenty.
- **No KL warm-up.** The start model's evidence was held down by the KL term already; without the term it would grow
  first and be taken back later. One epoch is the shortest warm-up there is.
- **A weak pull towards the start weights** instead of strong weight decay, which pulls towards zero and so away from
  what the model knows.
- **As much of the start weights stays in a quick model as the validation images allow.** Where few images have little
  to teach, the trained weights are worse than both the start and a mixture; where they have much to teach, every part
  of the start costs. A quarter is mixed in while it trains; at the end 0, 1/4, 1/2 and 3/4 are tried on the validation
  images, and the largest that is as good as the best, but for chance, stays. The more of the start, the less of the
  old data is forgotten. The normalisation statistics stay those of the start, as there is no mixture of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_uml.config import Trainable

Length = Literal["quick", "normal", "long"]
LENGTHS: Final[tuple[Length, ...]] = get_args(Length)

LOOKS: Final[dict[Length, int]] = {"quick": 1000, "normal": 3000, "long": 9000}
"""Training images that a run looks at, repeats included."""
EPOCHS: Final[dict[Length, tuple[int, int]]] = {"quick": (6, 100), "normal": (12, 200), "long": (30, 400)}
"""Fewest and most epochs: every epoch is validated, and only they are compared."""
RATE: Final = 3e-4
SMALL_SET: Final = 48
"""Below so many images a batch has 4, so that an epoch has several steps, and only the last layer learns the class."""
CLASS_ANCHOR: Final = 40.0
"""With 20 skin images 10 learnt some draws by heart, and 100 little of any."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Images to train on, and to validate on."""

    train: int
    validate: int


def settings_for(length: Length, part: Trainable, images: int) -> Mapping[str, Any]:
    """Fields of `TrainConfig` for a length, a part of the network that learns, and a number of training views.

    Raises
    ------
    ValueError
        When there is nothing to train on.
    """
    if images < 1:
        raise ValueError(f"Expected one training image or more, got {images}.")
    fewest, most = EPOCHS[length]
    few = images < SMALL_SET
    return {
        "epochs": min(most, max(fewest, math.ceil(LOOKS[length] / images))),
        "batch_size": 4 if few else 8,
        "learning_rate": RATE,
        "class_weight": 0.1 if few else 0.5,
        "weight_decay": 0.01,
        "annealing_epochs": 1,
        "ema": 0.95 if length == "quick" else 0.98,
        "anchor": 1e-3,
        "class_anchor": CLASS_ANCHOR if few else 0.0,
        "start_share": 0.25 if length == "quick" else 0.0,
        "choose_share": length == "quick",
        "trainable": part,
    }
