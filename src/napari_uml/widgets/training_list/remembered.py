"""The folder of the list that was used last, kept between sessions of napari."""

from __future__ import annotations

import os
from pathlib import Path

from qtpy.QtCore import QSettings

KEY = "training list"


def last_folder() -> Path | None:
    """The folder that `remember_folder` was given last, while it is there."""
    name = _settings().value(KEY, "")
    there = name and os.path.isfile(Path(name, "dataset.json"))  # unlike Path.is_file, no error on a lost drive
    return Path(name) if there else None


def remember_folder(folder: Path) -> None:
    """Keep a folder for the next session."""
    settings = _settings()
    settings.setValue(KEY, str(folder.absolute()))
    settings.sync()


def _settings() -> QSettings:
    return QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, "napari-uml", "docks")
