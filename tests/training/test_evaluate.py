"""A model's answers for a split, compared with the truth; the model is a threshold."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from napari_uml.data.dataset import Dataset, read_dataset
from napari_uml.errors import DatasetError, ImageError
from napari_uml.evaluation.evaluate import evaluate, score_images
from napari_uml.results import Opinion, Prediction

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_uml.config import Task
    from napari_uml.results import Corruption


@dataclass
class Threshold:
    """A predictor that calls what is bright `lesion`, and a large lesion `malignant`."""

    task: Task
    threshold: float = 0.5
    calls: list[tuple[float, int]] = field(default_factory=list)

    @property
    def info(self) -> SimpleNamespace:
        return SimpleNamespace(name="threshold", task=self.task)

    def predict(
        self, image: NDArray[np.float32], sigma: float = 0.0, seed: int = 0, corruption: Corruption | None = None
    ) -> Prediction:
        if image.ndim != 2:
            raise ValueError(f"Expected an image of shape (H, W), got {image.shape}.")
        self.calls.append((sigma, seed))
        bright = image > self.threshold
        names, classes = self.task.seg_classes, self.task.cls_classes
        mask = np.where(bright, names.index("lesion"), 0).astype(np.uint8)
        evidence = np.zeros(len(classes))
        evidence[classes.index("malignant" if bright.sum() > 400 else "benign")] = 8.0
        belief = 0.9 * np.stack([mask == number for number in range(len(names))]).astype(np.float32)
        return Prediction(
            mask=mask, pixel_belief=belief, pixel_uncertainty=np.full(mask.shape, 0.1, np.float32),
            opinions=(Opinion.from_evidence(classes, evidence),), structure_names=names, looked_at=(None,),
            mask_map="mask", seconds=0.0, model="threshold", device="cpu", precision="float32", sigma=sigma, seed=seed,
        )  # fmt: skip


@pytest.fixture
def dataset(blobs: Path) -> Dataset:
    return read_dataset(blobs)


def test_perfect_answers_have_perfect_figures(dataset: Dataset) -> None:
    record = evaluate(Threshold(dataset.info), dataset, "val")
    assert (record.model, record.dataset, record.split, record.n) == ("threshold", "Blobs", "val", 4)
    for name in ("dice/lesion", "dice_present/lesion", "acc", "auc", "sens_at_85_spec/malignant"):
        assert (record.metrics[name].value, record.metrics[name].n) == (1.0, 4)
    assert record.metrics["assd/lesion"].value == 0.0
    assert record.metrics["u_pixel"].value == pytest.approx(0.1)
    assert record.metrics["u_image"].value == pytest.approx(0.2)


def test_missed_lesions_count(dataset: Dataset) -> None:
    metrics = evaluate(Threshold(dataset.info, threshold=2.0), dataset, "val").metrics
    assert metrics["dice/lesion"].value == 0.0
    assert metrics["acc"].value == 0.5
    assert "assd/lesion" not in metrics


def test_model_may_number_and_know_more(dataset: Dataset) -> None:
    changes = {"seg_classes": ("background", "cyst", "lesion"), "cls_classes": ("normal", "malignant", "benign")}
    metrics = evaluate(Threshold(dataset.info.model_copy(update=changes)), dataset, "val").metrics
    assert metrics["dice/lesion"].value == metrics["acc"].value == 1.0
    of_structures = {name for name in metrics if name.endswith(("/lesion", "/cyst"))}
    assert of_structures == {f"{name}/lesion" for name in ("dice", "dice_present", "iou", "assd", "hd95", "nsd")}


def test_pixels_that_nobody_annotated_do_not_count(dataset: Dataset) -> None:
    for record in dataset.of_split("val"):
        mask = np.array(Image.open(dataset.folder / record.mask))
        mask[:, :28] = 255
        Image.fromarray(mask).save(dataset.folder / record.mask)
    changes = {"seg_classes": ("background", "cyst", "lesion")}
    metrics = evaluate(Threshold(dataset.info.model_copy(update=changes)), dataset, "val").metrics
    assert metrics["dice_present/lesion"].value == 1.0


def test_every_image_gets_its_own_noise(dataset: Dataset) -> None:
    predictor = Threshold(dataset.info)
    assert len(list(score_images(predictor, dataset, "val", sigma=0.05, seed=10))) == 4
    assert predictor.calls == [(0.05, 10), (0.05, 11), (0.05, 12), (0.05, 13)]


def test_every_problem_of_the_split_is_named(dataset: Dataset) -> None:
    Image.new("L", (56, 48), 7).save(dataset.folder / "images" / "val0.png")
    (dataset.folder / "images" / "val1.png").write_bytes(b"no image")
    Image.new("L", (5, 5)).save(dataset.folder / "masks" / "val2.png")
    (dataset.folder / "images" / "train1.png").write_bytes(b"not looked at")
    foreign = dataset.info.model_copy(update={"seg_classes": ("background", "nodule"), "cls_classes": ("normal",)})
    predictor = Threshold(foreign)
    with pytest.raises(DatasetError) as caught:
        evaluate(predictor, dataset, "val")
    problems = caught.value.problems
    expected = ("lesion", "benign, malignant", "val0.png: expected contrast", "val1.png", "val2.png")
    for problem, words in zip(problems, expected, strict=True):
        assert words in problem
    assert predictor.calls == []


def test_uncertainty_is_compared_with_the_disagreement_of_experts(dataset: Dataset) -> None:
    assert "auroc_experts" not in evaluate(Threshold(dataset.info), dataset, "val").metrics
    (dataset.folder / "soft_lesion").mkdir()
    for record in dataset.of_split("val")[:3]:
        share = np.zeros((48, 56), dtype=np.uint8)
        share[:20], share[20:24] = 255, 128
        Image.fromarray(share).save(dataset.folder / record.mask.replace("masks", "soft_lesion"))
    predictor = Threshold(dataset.info)
    figure = evaluate(predictor, dataset, "val").metrics["auroc_experts"]
    assert (figure.value, figure.n) == (0.5, 3)  # u is the same everywhere
    Image.new("L", (5, 5)).save(dataset.folder / "soft_lesion" / "val0.png")
    with pytest.raises(ImageError, match=r"size of masks/val0\.png"):
        evaluate(predictor, dataset, "val")


def test_empty_split_is_refused(dataset: Dataset) -> None:
    with pytest.raises(DatasetError, match="split test, Blobs has none"):
        evaluate(Threshold(dataset.info), dataset, "test")
