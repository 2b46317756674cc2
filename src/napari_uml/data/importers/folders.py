"""A dataset folder that appears whole or not at all."""

from __future__ import annotations

import shutil
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

from napari_uml.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@contextmanager
def new_folder(destination: Path, source: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield an empty folder beside `destination`, and rename it to that when all in it is written.

    Parameters
    ----------
    destination
        The folder to be.
    source
        Where the data come from; never overwritten.
    overwrite
        Whether a dataset folder that is there already is replaced.

    Raises
    ------
    DatasetError
        When the destination is there and may not be replaced, is or holds the source, or cannot be written. Then
        nothing is left behind, and what was there is as it was.
    """
    destination, source = destination.resolve(), source.resolve()
    if destination == source or destination in source.parents:
        raise DatasetError(f"Expected a folder apart from the source, got {destination}. Choose another one.")
    if destination.exists() and not (overwrite and (destination / "dataset.json").is_file()):
        what = "which is no dataset folder" if overwrite else "which exists"
        raise DatasetError(f"Expected a new folder, got {destination}, {what}. Choose another name.")
    mark = uuid.uuid4().hex[:8]
    temporary, old = (destination.with_name(f".{destination.name}.{mark}.{kind}") for kind in ("new", "old"))
    try:
        for part in ("images", "masks"):
            (temporary / part).mkdir(parents=True)
        yield temporary
        if destination.exists():
            destination.rename(old)
        temporary.rename(destination)
    except OSError as error:
        raise DatasetError(f"Expected to write {destination}, it failed: {error}. Check the disk.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if old.exists() and destination.exists():
            shutil.rmtree(old, ignore_errors=True)
        elif old.exists():
            old.rename(destination)


def listing(names: Sequence[str], shown: int = 5) -> str:
    """The first few names, and how many more there are."""
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")
