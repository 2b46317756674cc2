"""The predictor: geometry, noise, memory, and that a second look happens where it should."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_uml.config import EncoderConfig, Focus
from napari_uml.data.view import network_view
from napari_uml.errors import DeviceError, ImageError, MemoryLimitError, WeightsError
from napari_uml.familiarity import STATISTICS, Familiarity, picture_statistics
from napari_uml.inference.building import build_network
from napari_uml.inference.devices import Device
from napari_uml.inference.folding import halve
from napari_uml.inference.predictor import UMLPredictor
from napari_uml.nn.network import UMLNetwork
from napari_uml.nn.output import UMLOutput
from napari_uml.results import Box, Corruption
from napari_uml.weights import load_tensors, save_weights

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_uml.weights import WeightsInfo

GPU = Device("cuda:0", "Some GPU")
CPU_MEMORY = (
    "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."
)


def random_image(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).random(shape, dtype=np.float32)


def bright_is_rim(batch: torch.Tensor) -> UMLOutput:
    """Answer as a network would that calls every pixel above 0.5 rim, and says something else with its mutual mask."""
    bright = batch[:, :1] > 0.5
    logits = torch.where(
        bright, torch.tensor([-9.0, 9.0, -9.0])[:, None, None], torch.tensor([9.0, -9.0, -9.0])[:, None, None]
    )
    mutual = torch.where(
        bright, torch.tensor([0.0, 0.0, 8.0])[:, None, None], torch.tensor([4.0, 0.0, 0.0])[:, None, None]
    )
    return UMLOutput(torch.tensor([[3.0, 1.0]]), mutual, (logits,) * 4, evidential_mask=True)


def disc(shape: tuple[int, int], centre: tuple[int, int], radius: int) -> np.ndarray:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    inside = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2
    return np.where(inside, 0.9, 0.1).astype(np.float32)


@pytest.mark.parametrize("shape", [(64, 64), (37, 91), (200, 30, 3), (3, 5), (600, 450)])
def test_answer_has_the_size_of_the_image_and_sums_to_one(predictor: UMLPredictor, shape: tuple[int, ...]) -> None:
    prediction = predictor.predict(random_image(*shape))
    assert prediction.mask.shape == shape[:2]
    assert prediction.mask.dtype == np.uint8
    total = prediction.pixel_belief.sum(0) + prediction.pixel_uncertainty
    np.testing.assert_allclose(total, 1, atol=1e-5)
    assert (prediction.pixel_uncertainty > 0).all()
    np.testing.assert_array_equal(prediction.mask, prediction.pixel_belief.argmax(0))


def test_bytes_and_fractions_of_one_image_give_the_same(predictor: UMLPredictor) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60), dtype=np.uint8)
    one, other = predictor.predict(pixels), predictor.predict(pixels / np.float32(255))
    np.testing.assert_array_equal(one.pixel_belief, other.pixel_belief)


def test_bf16_is_within_a_hundredth_of_float32(make_predictor: Callable[..., UMLPredictor]) -> None:
    image = random_image(80, 70, 3)
    exact, rounded = (make_predictor(precision).predict(image) for precision in ("float32", "bf16"))
    assert (exact.precision, rounded.precision) == ("float32", "bf16")
    np.testing.assert_allclose(rounded.opinion.probability, exact.opinion.probability, atol=0.01)
    np.testing.assert_allclose(rounded.pixel_probability, exact.pixel_probability, atol=0.01)
    assert not np.array_equal(rounded.pixel_probability, exact.pixel_probability)


def test_stack_is_its_slices_one_by_one(predictor: UMLPredictor, stack: np.ndarray) -> None:
    whole = predictor.predict(stack, sigma=0.1, seed=5, stack=True)
    assert whole.mask.shape == stack.shape
    for number, pixels in enumerate(stack):
        alone = predictor.predict(pixels, sigma=0.1, seed=5 + number)
        np.testing.assert_array_equal(whole.pixel_belief[number], alone.pixel_belief)
        np.testing.assert_array_equal(whole.opinions[number].belief, alone.opinion.belief)


def test_noise_changes_the_answer_and_its_seed_repeats_it(predictor: UMLPredictor) -> None:
    image = random_image(50, 50, 3)
    clean, once, again, other = (
        predictor.predict(image, sigma=sigma, seed=seed).pixel_belief
        for sigma, seed in ((0, 1), (0.1, 1), (0.1, 1), (0.1, 2))
    )
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once, clean)
    assert not np.array_equal(once, other)


def test_what_the_network_saw_is_compared_with_the_training_images(predictor: UMLPredictor) -> None:
    like = np.linspace(0.1, 0.9, 64 * 64, dtype=np.float32).reshape(64, 64)
    assert predictor.predict(like).unlike == (False,)  # the model says nothing of its training images
    centre = picture_statistics(network_view(like, predictor.info.image_size, 1))
    gate = Familiarity(
        dataset="Ramp", n=9, n_val=9, centre=tuple(centre.tolist()), spread=(0.1,) * STATISTICS,
        precision=tuple(tuple(row) for row in np.eye(STATISTICS).tolist()), threshold=0.5, false_alarms=0.05,
    )  # fmt: skip
    task = predictor.info.task.model_copy(update={"channels": 1})  # a grey picture is no surprise to it
    of_ramp = {"familiarity": gate, "intensity": {"mean": (0.5,), "std": (0.23,)}, "task": task}
    predictor.info = predictor.info.model_copy(update=of_ramp)
    assert predictor.predict(np.stack([like, 1 - like]), stack=True).unlike == (False, True)
    assert predictor.predict(like, sigma=0.1).unlike == (True,)
    assert predictor.predict(like, corruption=Corruption("contrast", 0.9)).unlike == (True,)
    assert predictor.predict(like, roi=Box(0, 0, 9, 64)).unlike == (True,)


def test_model_for_grey_images_sees_the_brightness_of_a_colour_image(
    make_predictor: Callable[..., UMLPredictor], task: object
) -> None:
    grey = make_predictor(task={**task.model_dump(), "channels": 1}, intensity={"mean": (0.5,), "std": (0.2,)})
    red = np.zeros((64, 64, 3), dtype=np.float32)
    red[..., 0] = 1
    seen = grey.network_input(red, sigma=0.1, seed=0)
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0], seen[2])
    torch.testing.assert_close(grey.network_input(red), torch.full((3, 64, 64), 0.299))


def test_rectangle_is_all_that_is_looked_at(predictor: UMLPredictor) -> None:
    image, box = random_image(60, 80, 3), Box(10, 20, 50, 70)
    prediction, crop = predictor.predict(image, roi=box), predictor.predict(image[10:50, 20:70])
    np.testing.assert_array_equal(prediction.mask[box.slices], crop.mask)
    np.testing.assert_array_equal(prediction.pixel_uncertainty[box.slices], crop.pixel_uncertainty)
    outside = np.ones((60, 80), dtype=bool)
    outside[box.slices] = False
    assert (prediction.mask[outside] == 0).all()
    assert (prediction.pixel_uncertainty[outside] == 1).all()
    assert prediction.looked_at == (box,)


def focused(make_predictor: Callable[..., UMLPredictor], monkeypatch: pytest.MonkeyPatch) -> tuple[UMLPredictor, list]:
    predictor = make_predictor(focus=Focus(structures=("disc",), crop_factor=2.0).model_dump())
    looks: list[torch.Tensor] = []
    monkeypatch.setattr(predictor, "_run", lambda batch, *_: (looks.append(batch), bright_is_rim(batch))[1])
    return predictor, looks


@pytest.mark.parametrize("roi", [None, Box(20, 200, 300, 600)])
def test_small_disc_is_looked_at_twice(
    make_predictor: Callable[..., UMLPredictor], monkeypatch: pytest.MonkeyPatch, roi: Box | None
) -> None:
    predictor, looks = focused(make_predictor, monkeypatch)
    image = disc((400, 600), (100, 420), 25)
    prediction = predictor.predict(image, roi=roi)
    (box,) = prediction.looked_at
    assert len(looks) == 2
    assert 90 <= box.shape[0] == box.shape[1] <= 130
    centre = ((box.top + box.bottom) / 2, (box.left + box.right) / 2)
    np.testing.assert_allclose(centre, (100, 420), atol=6)
    truth = image > 0.5
    assert (truth & (prediction.mask == 1)).sum() / (truth | (prediction.mask == 1)).sum() > 0.9
    # around the second look, the uncertainty is that of the first
    assert prediction.pixel_uncertainty[350, 590] == (1 if roi else pytest.approx(3 / (3 + 9), abs=0.01))


def test_large_disc_is_looked_at_once(
    make_predictor: Callable[..., UMLPredictor], monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor, looks = focused(make_predictor, monkeypatch)
    prediction = predictor.predict(disc((400, 600), (200, 300), 120))
    assert len(looks) == 1
    assert prediction.looked_at == (None,)


@pytest.mark.parametrize(("evidential", "of", "surest"), [(True, "mask", 1), (False, "mutual", 2)])
def test_mask_is_the_final_one_and_its_map_is_named(
    make_predictor: Callable[..., UMLPredictor],
    info: WeightsInfo,
    monkeypatch: pytest.MonkeyPatch,
    evidential: bool,
    of: str,
    surest: int,
) -> None:
    config = info.config.model_copy(update={"evidential_mask": evidential})
    predictor = make_predictor(config=config.model_dump())

    def run(batch: torch.Tensor, *_: object) -> UMLOutput:
        answer = bright_is_rim(batch)
        return UMLOutput(answer.class_evidence, answer.mutual_evidence, answer.mask_logits, evidential)

    monkeypatch.setattr(predictor, "_run", run)
    prediction = predictor.predict(disc((64, 64), (32, 32), 20))
    assert prediction.mask_map == of
    assert prediction.mask[32, 32] == 1
    assert prediction.pixel_belief[:, 32, 32].argmax() == surest


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        pytest.param(np.zeros(5), ValueError, "shape", id="one axis"),
        pytest.param(np.zeros((5, 64, 64)), ValueError, "Pick one slice", id="stack without saying so"),
        pytest.param(np.zeros((64, 64, 4)), ValueError, "shape", id="four channels"),
        pytest.param(np.zeros((0, 64)), ImageError, "at least one pixel", id="empty"),
        pytest.param(np.full((8, 8), np.nan), ImageError, "finite", id="NaN"),
        pytest.param(np.full((8, 8), 3.0), ImageError, "contrast", id="constant"),
        pytest.param(np.ones((8, 8), dtype=complex), ImageError, "real numbers", id="complex"),
    ],
)
def test_bad_image_is_refused_in_one_sentence(
    predictor: UMLPredictor, image: np.ndarray, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        predictor.predict(image)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"sigma": -0.1}, "sigma from 0 to 1"),
        ({"sigma": float("nan")}, "sigma from 0 to 1"),
        ({"roi": Box(0, 0, 65, 10)}, "rectangle inside the image"),
        ({"roi": (0, 0, 65, 10)}, r"a rectangle as Box\(top, left, bottom, right\), got \(0, 0, 65, 10\)"),
        ({"seed": -1}, "a seed from 0 to"),
        ({"seed": 2**70}, "a seed from 0 to"),
    ],
)
def test_bad_argument_is_refused(predictor: UMLPredictor, arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        predictor.predict(random_image(64, 64), **arguments)


@pytest.mark.parametrize("image", ["scan.png", [[0, 1], [1, 0]]])
def test_what_is_no_array_is_refused_in_one_sentence(predictor: UMLPredictor, image: object) -> None:
    with pytest.raises(ValueError, match=r"Expected a numpy array, got (str|list); read a file with read_image"):
        predictor.predict(image)


def test_rectangle_without_contrast_is_refused_unless_another_slice_has_some(predictor: UMLPredictor) -> None:
    empty, box = random_image(64, 64), Box(4, 4, 40, 40)
    empty[box.slices] = 0.25
    with pytest.raises(ImageError, match=r"The rectangle: expected contrast, every pixel is 0\.25"):
        predictor.predict(empty, roi=box)
    assert predictor.predict(np.stack([empty, random_image(64, 64)]), roi=box, stack=True).mask.shape == (2, 64, 64)


def test_gpu_out_of_memory_goes_on_with_the_cpu_and_says_so(
    predictor: UMLPredictor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    image, run = random_image(64, 64), predictor._run
    expected = predictor.predict(image)

    def run_or_fail(*batch: torch.Tensor) -> UMLOutput:
        if predictor.device == GPU:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return run(*batch)

    monkeypatch.setattr(predictor, "_run", run_or_fail)
    predictor.device = GPU
    prediction = predictor.predict(image)
    assert prediction.device == "cpu"
    assert predictor.device.reason == "Some GPU ran out of memory"
    assert "going on with the CPU" in caplog.text
    np.testing.assert_array_equal(prediction.mask, expected.mask)


@pytest.mark.parametrize("error", [RuntimeError(CPU_MEMORY), MemoryError()])
def test_cpu_out_of_memory_is_one_sentence_and_the_predictor_stays_usable(
    predictor: UMLPredictor, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> UMLOutput:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(predictor, "_run", fail)
        with pytest.raises(MemoryLimitError, match="out of memory") as caught:
            predictor.predict(random_image(64, 64))
    assert caught.value.__cause__ is error
    assert predictor.predict(random_image(64, 64)).device == "cpu"


def test_other_failure_of_a_gpu_is_a_device_error(predictor: UMLPredictor, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> UMLOutput:
        raise RuntimeError("CUDA error: no kernel image is available\nmore")

    monkeypatch.setattr(predictor, "_run", fail)
    predictor.device = GPU
    with pytest.raises(DeviceError, match=r"Some GPU failed .* no kernel image is available.; choose the CPU"):
        predictor.predict(random_image(64, 64))


def test_slices_come_one_by_one_so_that_ceasing_to_iterate_cancels(
    predictor: UMLPredictor, stack: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, run = [], predictor._run
    monkeypatch.setattr(predictor, "_run", lambda *batch: (looks.append(1), run(*batch))[1])
    slices = predictor.predict_slices(stack, stack=True)
    next(slices)
    slices.close()
    assert len(looks) == 1


def test_gradients_stay_on_for_the_caller_between_slices(predictor: UMLPredictor, stack: np.ndarray) -> None:
    slices = predictor.predict_slices(stack, stack=True)
    next(slices)
    assert torch.is_grad_enabled()
    slices.close()
    assert torch.is_grad_enabled()


def test_weights_file_gives_the_numbers_of_the_network_that_was_saved(weights: Path, predictor: UMLPredictor) -> None:
    loaded = UMLPredictor.load(weights, "cpu", "float32")
    assert loaded.path == weights
    assert len(loaded.sha256) == 64
    assert loaded.info == predictor.info
    image = random_image(64, 64, 3)
    np.testing.assert_array_equal(loaded.predict(image).pixel_belief, predictor.predict(image).pixel_belief)


def test_weights_without_a_tensor_are_refused(weights: Path, info: WeightsInfo, tmp_path: Path) -> None:
    tensors = load_tensors(weights)
    tensors.popitem()
    save_weights(tmp_path / "broken.safetensors", tensors, info)
    with pytest.raises(WeightsError, match="missing"):
        build_network(info, load_tensors(tmp_path / "broken.safetensors"))


def test_an_encoder_with_constants_of_its_own_is_loaded(info: WeightsInfo) -> None:
    blur = EncoderConfig(name="resnetblur18")
    config = info.config.model_copy(update={"class_encoder": blur, "seg_encoder": blur})
    network = UMLNetwork(config, download=False).eval()
    loaded = build_network(info.model_copy(update={"config": config}), network.state_dict())
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(loaded(image).mask_logits[0], network(image).mask_logits[0], rtol=0, atol=0)


def test_a_huge_network_is_refused_before_it_takes_memory(weights: Path, info: WeightsInfo) -> None:
    huge = info.config.model_copy(update={"bottom_width": 10**7})
    with pytest.raises(WeightsError, match="instead of"):
        build_network(info.model_copy(update={"config": huge}), load_tensors(weights))


@pytest.mark.parametrize(
    ("device", "precision", "error"), [("cuda:99", "auto", DeviceError), ("cpu", "int8", ValueError)]
)
def test_unknown_device_or_precision_is_refused(
    weights: Path, device: str, precision: str, error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"Expected a (device|precision) among"):
        UMLPredictor.load(weights, device, precision)


def test_weights_that_are_rounded_beforehand_answer_as_autocast_does(make_network: Callable[..., UMLNetwork]) -> None:
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    plain, rounded = make_network(), make_network()
    halve(rounded, torch.bfloat16)
    assert {p.dtype for p in rounded.parameters()} == {torch.bfloat16, torch.float32}  # normalisation stays
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        one, other = plain(image), rounded(image)
    assert torch.equal(one.class_evidence, other.class_evidence)
    assert torch.equal(one.mask_logits[0], other.mask_logits[0])
