"""The folder of the list that was used last, kept between sessions of napari."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QSettings

KEY = "training list"


def last_folder() -> Path | None:
    """The folder that `remember_folder` was given last, while it is there."""
    name = _settings().value(KEY, "")
    return Path(name) if name and Path(name, "dataset.json").is_file() else None


def remember_folder(folder: Path) -> None:
    """Keep a folder for the next session."""
    settings = _settings()
    settings.setValue(KEY, str(folder.absolute()))
    settings.sync()


def _settings() -> QSettings:
    return QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, "napari-uml", "docks")
