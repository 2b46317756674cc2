"""How much of the start weights a fine-tuned model keeps: as much as its validation images allow; no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

SHARES: Final = (0.0, 0.25, 0.5, 0.75)
"""Of the start weights, among which one is chosen."""
TOLERANCE: Final = 1.0
"""Standard errors that count as chance, as when epochs are compared. Among a handful of images there is often one whose
Dice swings by a tenth; half an error followed it."""


def largest_share(answered: Mapping[float, NDArray[np.floating]]) -> float | None:
    """The largest share that answers the images as well as the best one does, but for chance.

    Where few images have little to teach, every step away from the start is by chance, and the start generalises
    better; where they have much to teach, their validation images tell. "By chance" is a mean difference, image by
    image, of at most `TOLERANCE` of its standard error.

    Parameters
    ----------
    answered
        By share: how well each of the same N images is answered, from 0 to 1; NaN where nobody knows.

    Returns
    -------
    None when there are fewer than two images to tell by.
    """
    known = {share: values[np.isfinite(values)] for share, values in answered.items()}
    best = max(known.values(), key=lambda values: float(values.sum()))
    if best.size < 2:
        return None
    apart = {share: best - values for share, values in known.items()}
    errors = {share: values.std(ddof=1) / best.size**0.5 for share, values in apart.items()}
    alike = [share for share, values in apart.items() if values.mean() <= TOLERANCE * errors[share]]
    return max(alike)
