"""Rows of a spreadsheet (.xlsx) or a text table (.csv), found by the names of their columns."""

from __future__ import annotations

import csv
import importlib
import warnings
import zipfile
from typing import TYPE_CHECKING, Any

from napari_uml.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

HEADER_ROWS = 10
"""The names of the columns are looked for in so many rows; spreadsheets open with titles."""


def read_table(path: Path, columns: Mapping[str, Sequence[str]]) -> list[dict[str, str]] | None:
    """Rows of the first sheet that has the columns.

    Parameters
    ----------
    path
        A file that ends in .xlsx or .csv.
    columns
        For every key of a row the names that its column may have; case and spaces do not matter.

    Returns
    -------
    One dictionary a row, whole numbers without a decimal point, empty cells as ""; None when no sheet has the columns.

    Raises
    ------
    DatasetError
        When the file cannot be read.
    """
    try:
        for sheet in _sheets(path):
            rows = [[_text(cell) for cell in row] for row in sheet]
            for number, names in enumerate(rows[:HEADER_ROWS]):
                places = _places(names, columns)
                if places is not None:
                    return [_row(row, places) for row in rows[number + 1 :] if any(row)]
    except (OSError, ValueError, KeyError, TypeError, SyntaxError, csv.Error, zipfile.BadZipFile) as error:
        raise DatasetError(
            f"Expected a table, {path} cannot be read ({error}). Save it again as .xlsx or .csv."
        ) from error
    return None


def _sheets(path: Path) -> Iterator[Iterable[Sequence[Any]]]:
    if path.suffix.lower() != ".xlsx":
        with path.open(newline="", encoding="utf-8-sig") as file:
            start = file.readline()
            file.seek(0)
            yield csv.reader(file, delimiter=max(",;\t", key=start.count))
        return
    try:
        openpyxl = importlib.import_module("openpyxl")
    except ModuleNotFoundError as error:
        raise DatasetError(
            f"{path.name}: expected openpyxl to read a spreadsheet, it is not installed. "
            'Run pip install "napari-uml[medical]", or save the table as .csv.'
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl tells of styles that it does not know
        book = openpyxl.load_workbook(path, data_only=True)
    for sheet in book.worksheets:
        yield sheet.iter_rows(values_only=True)


def _text(cell: object) -> str:
    return "" if cell is None else str(cell).strip().removesuffix(".0")


def _places(names: Sequence[str], columns: Mapping[str, Sequence[str]]) -> dict[str, int] | None:
    known = {_plain(name): place for place, name in reversed(list(enumerate(names)))}
    found = {key: [known[_plain(n)] for n in wanted if _plain(n) in known] for key, wanted in columns.items()}
    return {key: places[0] for key, places in found.items()} if all(found.values()) else None


def _plain(name: str) -> str:
    return "".join(name.lower().split())


def _row(cells: Sequence[str], places: Mapping[str, int]) -> dict[str, str]:
    return {key: cells[place] if place < len(cells) else "" for key, place in places.items()}
