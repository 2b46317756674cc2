"""A network of 64 x 64 pixels that has learnt nothing, as a predictor and as a weights file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from napari_uml.config import EncoderConfig, Measurement, Task, UMLConfig
from napari_uml.data.reading import LoadedImage
from napari_uml.inference.predictor import UMLPredictor
from napari_uml.nn.network import UMLNetwork
from napari_uml.results import Opinion, Prediction
from napari_uml.weights import WeightsInfo, save_weights

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ENCODER = EncoderConfig(name="test_resnet")
NETWORK = UMLConfig(
    num_classes=2, num_structures=3, class_encoder=ENCODER, seg_encoder=ENCODER, mixer_project=8,
    mixer_widths=(8, 8, 8, 8), decoder_widths=(8, 8, 8), bottom_width=8, mutual_head_width=8, head="conv",
    head_widths=(8,), evidential_mask=True,
)  # fmt: skip
TASK = Task(
    seg_classes=("background", "rim", "cup"),
    cls_classes=("normal", "glaucoma"),
    unions={"disc": ("rim", "cup")},
    measurements=(Measurement(name="vertical cup/disc ratio", of=("cup",), to=("disc",)),),
)
INFO = WeightsInfo(
    name="tiny", title="Tiny", version="3", config=NETWORK, task=TASK, image_size=64, training={}, validation={},
    intensity={"mean": (0.5,) * 3, "std": (0.2,) * 3}, licence="none", not_for="use", written_by="a test",
)  # fmt: skip


@pytest.fixture(scope="session")
def task() -> Task:
    return TASK


@pytest.fixture(scope="session")
def info() -> WeightsInfo:
    return INFO


@pytest.fixture(scope="session")
def make_network() -> Callable[..., UMLNetwork]:
    """Return a function that builds a network with the same random weights each time."""

    def make(config: UMLConfig = NETWORK) -> UMLNetwork:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            network = UMLNetwork(config, download=False).eval()
            for module in network.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.running_mean.normal_(0, 0.2)
                    module.running_var.uniform_(0.5, 1.5)
        return network

    return make


@pytest.fixture(scope="session")
def make_predictor(make_network: Callable[..., UMLNetwork]) -> Callable[..., UMLPredictor]:
    """Return a function that builds a predictor on the CPU; its arguments change the weights' info."""

    def make(precision: str = "float32", **changes: Any) -> UMLPredictor:
        changed = WeightsInfo.model_validate(INFO.model_dump() | changes)
        return UMLPredictor(changed, make_network(changed.config), "cpu", precision)

    return make


@pytest.fixture
def predictor(make_predictor: Callable[..., UMLPredictor]) -> UMLPredictor:
    return make_predictor()


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory, make_network: Callable[..., UMLNetwork]) -> Path:
    """Return the path of the network's weights file."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(path, make_network().state_dict(), INFO, half=False)
    return path


@pytest.fixture(scope="session")
def stack() -> np.ndarray:
    """Return four slices of 40 x 52 pixels, uint8."""
    return np.random.default_rng(0).integers(0, 256, (4, 40, 52), dtype=np.uint8)


@pytest.fixture(scope="session")
def make_prediction() -> Callable[..., Prediction]:
    """Return a function that makes a prediction with a given mask, u = 0.25 everywhere."""

    def make(mask: np.ndarray, **changes: Any) -> Prediction:
        slices = mask.shape[0] if mask.ndim == 3 else 1
        names = TASK.seg_classes
        belief = 0.75 * np.stack([mask == number for number in range(len(names))], axis=mask.ndim - 2)
        opinion = Opinion.from_evidence(TASK.cls_classes, np.array([1.0, 5.0]))
        values = {
            "mask": mask.astype(np.uint8), "pixel_belief": belief.astype(np.float32),
            "pixel_uncertainty": np.full(mask.shape, 0.25, dtype=np.float32), "opinions": (opinion,) * slices,
            "structure_names": names, "looked_at": (None,) * slices, "mask_map": "mask", "seconds": 0.5,
            "model": "tiny", "device": "cpu", "precision": "float32", **changes,
        }  # fmt: skip
        return Prediction(**values)

    return make


@pytest.fixture(scope="session")
def make_image() -> Callable[..., LoadedImage]:
    """Return a function that makes an image of random pixels that comes from no file."""

    def make(shape: tuple[int, ...], path: Path, is_stack: bool = False, **changes: Any) -> LoadedImage:
        pixels = np.random.default_rng(0).random(shape, dtype=np.float32)
        values = {"files": (), "scaling": "as stored", "units": ("pixel",) * (2 + is_stack), **changes}
        return LoadedImage(pixels=pixels, is_stack=is_stack, path=path, **values)

    return make
