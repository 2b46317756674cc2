"""The two tables of a training list on the disk: read, written together, and never over what another program wrote."""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple
from typing import TYPE_CHECKING

from napari_uml.data.dataset import DatasetInfo, Record, dataset_texts, read_table, write_dataset
from napari_uml.errors import DatasetError
from napari_uml.files import write_text

if TYPE_CHECKING:
    from pathlib import Path

PENDING = ".pending.json"
"""A change of both files that is being written; what a program that was killed began is finished when it is opened."""


class ListTables:
    """`dataset.json` and `index.csv` of one folder, as this program knows them.

    Parameters
    ----------
    folder
        The dataset folder; it need not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._note = folder, folder / PENDING
        self._seen = self._digests()

    def read(self) -> tuple[DatasetInfo, tuple[Record, ...]]:
        """Finish what a killed program began, and read.

        Raises
        ------
        DatasetError
            When they cannot be read, or were changed since.
        """
        if self._note.is_file():
            self._finish()
            self._note.unlink(missing_ok=True)
        self._seen = self._digests()  # before reading: what changes in between is noticed
        return read_table(self._folder)

    def check_unchanged(self) -> None:
        """Refuse to go on from what is no longer there.

        Raises
        ------
        DatasetError
            When another program changed them since they were read or written last.
        """
        if self._digests() != self._seen:
            raise DatasetError(
                f"The training list in {self._folder} was changed by another program; open it again to go on."
            )

    def write(self, info: DatasetInfo, records: tuple[Record, ...], both: bool) -> None:
        """Write both; when `both` differ from what is there, a note makes sure that neither stays alone.

        Raises
        ------
        DatasetError
            When another program changed them, or they cannot be written.
        """
        self.check_unchanged()
        try:
            if both:
                content = {"info": info.model_dump(mode="json"), "records": [astuple(record) for record in records]}
                write_text(self._note, json.dumps({**content, "before": self._digests()}), DatasetError)
            write_dataset(self._folder, info, records)
        except DatasetError:
            if self._digests() == self._seen:
                self._note.unlink(missing_ok=True)  # nothing was begun
            raise
        finally:
            self._seen = self._digests()
        self._note.unlink(missing_ok=True)

    def _finish(self) -> None:
        """Write what the note says, over what was there when it was written and over nothing else."""
        go_on = f"delete {self._note} to go on with the tables as they are."
        try:
            content = json.loads(self._note.read_text(encoding="utf-8"))
            info, rows = DatasetInfo.model_validate(content["info"]), [Record(*row) for row in content["records"]]
            before = dict(content["before"])
        except OSError as error:
            raise DatasetError(f"Expected to read {self._note}, it failed: {error.strerror}.") from error
        except (ValueError, TypeError, KeyError) as error:
            raise DatasetError(f"Expected the note of a change that was interrupted, it is damaged; {go_on}") from error
        after = {name: _sha256(text.encode()) for name, text in dataset_texts(info, rows).items()}
        if any(now not in (before.get(name), after[name]) for name, now in self._digests().items()):
            raise DatasetError(
                f"Expected the tables in {self._folder} as a change that was interrupted left them, they were changed "
                f"since; {go_on}"
            )
        write_dataset(self._folder, info, rows)

    def _digests(self) -> dict[str, str]:
        """SHA-256 of both; one that is missing counts as empty."""
        digests = {}
        for path in (self._folder / "dataset.json", self._folder / "index.csv"):
            try:
                digests[path.name] = _sha256(path.read_bytes() if path.exists() else b"")
            except OSError as error:
                raise DatasetError(f"Expected to read {path}, it failed: {error.strerror}.") from error
        return digests


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
