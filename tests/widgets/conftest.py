"""A predictor that answers at once, without torch, and whose pace and errors a test decides."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_uml.config import Task, preset
from napari_uml.results import Box, Corruption, Opinion, Prediction, PredictionDetails
from napari_uml.weights import ModelEntry, WeightsInfo
from napari_uml.widgets import bench
from napari_uml.widgets.preferences import Preferences

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TASK = Task(seg_classes=("background", "lesion"), cls_classes=("normal", "benign", "malignant"))
INFO = WeightsInfo(
    name="fake", title="Fake model", version="1", config=preset("compact", 3, 2), task=TASK, image_size=64,
    training={}, validation={}, intensity={"mean": (0.3,) * 3, "std": (0.1,) * 3}, licence="none", not_for="use",
    written_by="a test",
)  # fmt: skip


@dataclass(frozen=True)
class FakeDevice:
    description: str = "CPU, 1 thread"
    reason: str = "No GPU found."


@dataclass
class FakePredictor:
    """Bright pixels are the lesion; slice number i has evidence i for the first class."""

    before_slice: Callable[[int], None] = lambda number: None
    info: WeightsInfo = INFO
    precision: str = "float32"
    sha256: str = "00"
    device: FakeDevice = field(default_factory=FakeDevice)
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    def predict_slices(
        self, image: np.ndarray, sigma: float = 0.0, seed: int = 0, roi: Box | None = None, stack: bool = False,
        details: bool = False, corruption: Corruption | None = None,
    ) -> Iterator[Prediction]:  # fmt: skip
        self.asked.append((image, sigma, seed, roi, stack))
        for number, pixels in enumerate(image if stack else image[None]):
            self.before_slice(number)
            grey = pixels if pixels.ndim == 2 else pixels.mean(-1)
            mask = (grey > grey.mean()).astype(np.uint8)
            uncertainty = np.full(mask.shape, 0.25, dtype=np.float32)
            opinion = Opinion.from_evidence(TASK.cls_classes, np.array([number, 7, 2.0]))
            yield Prediction(
                mask=mask, pixel_belief=0.75 * np.stack([mask == 0, mask == 1]).astype(np.float32),
                pixel_uncertainty=uncertainty, opinions=(opinion,),
                structure_names=TASK.seg_classes, looked_at=(roi,), mask_map="mask", seconds=0.1, model="fake",
                device="cpu", precision=self.precision, sigma=sigma, seed=seed,
                details=PredictionDetails(1 - mask, np.stack([1.0 - mask, 2.0 * mask])) if details else None,
                corruption=corruption,
            )  # fmt: skip

    def seen(self, image: np.ndarray, prediction: Prediction) -> np.ndarray:
        """Grey is half bright, colour is red."""
        return np.full((64, 64), 0.5) if image.ndim == 2 else np.tile([1.0, 0.0, 0.0], (64, 64, 1))


@pytest.fixture
def predictor() -> FakePredictor:
    return FakePredictor()


@pytest.fixture
def load(predictor: FakePredictor) -> Callable[[str, str, str], FakePredictor]:
    return lambda *names: predictor


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[ModelEntry, ...]:
    """The models that the dock finds; the first has no file that says more of it."""
    entries = (
        ModelEntry("fake", "Fake model", "bundled", tmp_path / "fake.safetensors", 1),
        ModelEntry("far", "Far model", "not downloaded", None, 1),
    )
    monkeypatch.setattr(bench, "list_models", lambda: entries)
    return entries


@pytest.fixture(autouse=True)
def no_preferences(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start every dock from the defaults, whatever this computer's user prefers."""
    monkeypatch.setattr(bench, "read_preferences", Preferences)
    monkeypatch.setattr(bench, "watch_preferences", lambda changed: None)
