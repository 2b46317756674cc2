"""Where several experts do not agree, for data sets that keep the share of experts beside the masks.

A data set may have a folder `soft_STRUCTURE` for a structure or union, with a grey image for every mask, of the mask's
name with the ending .png: 0 where no expert sees the structure, 255 where all do, in between the share that does.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from napari_uml.data.dataset import read_mask
from napari_uml.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_uml.data.dataset import Dataset, Record


def read_disputed(dataset: Dataset, record: Record) -> NDArray[np.bool_] | None:
    """Pixels (H, W) on which experts disagree about any structure; None where a single annotation is kept.

    Raises
    ------
    ImageError
        When a file cannot be read, or the files of an image differ in size.
    """
    if not record.mask:
        return None
    file = f"{PurePosixPath(record.mask).stem}.png"
    paths = [dataset.folder / f"soft_{name}" / file for name in dataset.info.structures]
    shares = [read_mask(path) for path in paths if path.is_file()]
    if not shares:
        return None
    sizes = {share.shape for share in (*shares, read_mask(dataset.folder / record.mask))}
    if len(sizes) > 1:
        raise ImageError(f"Expected experts' shares of the size of {record.mask}, got {sorted(sizes)}.")
    return np.asarray(np.any([(share > 0) & (share < 255) for share in shares], axis=0))
