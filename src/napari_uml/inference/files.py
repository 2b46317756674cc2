"""Writing into a folder: whole files or none, and nothing overwritten unasked."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

from napari_uml.errors import UMLError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


def refuse_existing(paths: Iterable[Path]) -> None:
    """Refuse to overwrite.

    Raises
    ------
    UMLError
        When one of the files is there already.
    """
    there = [path for path in paths if path.exists()]
    if there:
        more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
        raise UMLError(f"{there[0]} is there already{more}; choose another folder or allow overwriting (--overwrite).")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to, with the same ending; it takes the place of `path` when the block ends well.

    Raises
    ------
    UMLError
        When the file cannot be written.
    """
    part = path.with_name(f".{secrets.token_hex(4)}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise UMLError(f"{path} cannot be written: {error.strerror or error}.") from error
