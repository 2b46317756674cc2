"""Words as a line that can be pasted into the system's shell."""

from __future__ import annotations

import os
import re
import shlex
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

PLAIN: Final = re.compile(r"[\w.:\\/=+-]+")
"""What neither PowerShell nor cmd takes for anything else."""


def shell_line(words: Iterable[str]) -> str:
    """The words as one line, quoted for a POSIX shell, or on Windows for both PowerShell and cmd."""
    if os.name != "nt":
        return shlex.join(words)
    return " ".join(word if PLAIN.fullmatch(word) else f'"{word}"' for word in words)
