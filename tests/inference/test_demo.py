"""The demo, from an empty process to its pictures, in a window on a real or virtual display."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HAS_DISPLAY = sys.platform != "linux" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))

DEMO = """
import sys
from pathlib import Path
from napari_uml.widgets.demo import save_demo
print(*(path.name for path in save_demo(Path("out"), model=sys.argv[1])))
"""


@pytest.mark.slow
@pytest.mark.skipif(not HAS_DISPLAY, reason="needs a display that can draw with OpenGL")
def test_demo_writes_its_window_and_results_that_replay(
    run_python: Callable[..., str], weights: Path, tmp_path: Path
) -> None:
    written = run_python("-c", DEMO, str(weights)).split()
    assert sorted(written) == sorted(path.name for path in (tmp_path / "out").iterdir())
    assert {"window.png", "overlay.png", "labels.tif", "uncertainty.tif", "results.csv", "run.json"} < set(written)
    window = np.asarray(Image.open(tmp_path / "out" / "window.png"))
    assert window.shape[1] >= 1000
    assert window[..., :3].std() > 20  # something is drawn
    said = run_python("-m", "napari_uml", "replay", "out/run.json", "--model", str(weights))
    assert said.startswith("The numbers agree")
