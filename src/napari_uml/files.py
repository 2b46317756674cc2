"""Writing into a folder: whole files or none, and nothing overwritten unasked."""

from __future__ import annotations

import os
import re
import secrets
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from napari_uml.errors import UMLError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


ATTEMPTS: Final = 20
PAUSE: Final = 0.1
"""Seconds between attempts to replace a file that another program holds."""
LONGEST_NAME: Final = 100
"""Bytes of a name made from another one; with numbers and endings it stays below the 255 of file systems."""


def safe_name(name: str) -> str:
    """A name as part of a path: what is no letter, digit, point, plus or line becomes a line; a long one is cut."""
    safe = re.sub(r"[^\w.+-]+", "-", name).encode()[:LONGEST_NAME].decode(errors="ignore")
    return safe.strip("-.")


def remove(path: Path) -> None:
    """Remove a file, if it is there.

    Raises
    ------
    UMLError
        When it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as problem:
        raise UMLError(f"{path} cannot be removed: {problem.strerror or problem}.") from problem


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


def check_writable(folder: Path) -> None:
    """See to it, before work begins, that its results can be written into a folder, which need not be there yet.

    Raises
    ------
    UMLError
        When the folder, or the one that it is to be made in, is none or is read-only.
    """
    there = next((parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists()), None)
    if there is None:
        raise UMLError(f"Expected a folder to write into, the drive of {folder} is not there; connect it.")
    if not there.is_dir():
        raise UMLError(f"Expected a folder to write into, {there} is a file; choose another one.")
    if not os.access(there, os.W_OK):
        raise UMLError(f"Expected a folder to write into, {there} is read-only; choose another one.")


def make_folder(folder: Path) -> None:
    """Make a folder that is not there yet, before work begins whose results it is to hold.

    Raises
    ------
    UMLError
        When it cannot be made, or written into.
    """
    check_writable(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise UMLError(f"Expected a folder to write into, {folder} cannot be made: {problem.strerror}.") from problem


def make_way(file: Path, *, overwrite: bool) -> None:
    """See to it, before work begins, that a file can be written: its folder is made, and nothing is overwritten.

    Raises
    ------
    UMLError
        When it is a folder, is there already and `overwrite` is off, or its folder cannot be written into.
    """
    if file.is_dir():
        raise UMLError(f"Expected a file to write, {file} is a folder; name a file in it.")
    if not overwrite:
        refuse_existing([file])
    make_folder(file.parent)


@contextmanager
def replacing(path: Path, error: type[UMLError] = UMLError) -> Iterator[Path]:
    """A path to write to, with the same ending; it takes the place of `path` when the block ends well.

    Missing folders are made. A reader sees either the old or the new file, and nothing is left of a block that failed.

    Raises
    ------
    UMLError
        Of the kind `error`, when the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _beside(path) as part:
            yield part
    except OSError as problem:
        raise error(f"{path} cannot be written: {problem.strerror or problem}.") from problem


def write_text(path: Path, text: str, error: type[UMLError] = UMLError, *, encoding: str = "utf-8") -> None:
    """Write a text file, whole or not at all, with the same ends of lines on every system; see `replacing`."""
    with replacing(path, error) as part:
        part.write_text(text, encoding=encoding, newline="")


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    part = path.with_name(f".{secrets.token_hex(4)}.{path.name}")
    try:
        yield part
        _replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _replace(part: Path, path: Path) -> None:
    """Put a file in the place of another; on Windows a virus scanner or an indexer may hold that for a moment."""
    for _ in range(ATTEMPTS if os.name == "nt" else 0):
        try:
            part.replace(path)
        except PermissionError:
            time.sleep(PAUSE)
        else:
            return
    part.replace(path)
