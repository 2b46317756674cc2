"""Looking several times: Monte-Carlo dropout, test-time augmentation, deep ensemble."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tests.tiny import INFO, tiny_network
from torch import nn

from napari_uml.baselines.augmentation import GAMMAS, TestTimeAugmentation
from napari_uml.baselines.combining import combine
from napari_uml.baselines.dropout import MonteCarloDropout
from napari_uml.baselines.ensemble import Ensemble
from napari_uml.baselines.registry import make_network
from napari_uml.calibration import Calibration, Estimate, Knot
from napari_uml.cli import main
from napari_uml.config import Focus, Task, UMLConfig
from napari_uml.evaluation.card import model_card
from napari_uml.inference.predictor import UMLPredictor
from napari_uml.inference.ways import load_way
from napari_uml.nn.output import UMLOutput
from napari_uml.training.origin import find_origin
from napari_uml.weights import WeightsInfo, read_info, save_weights, write_info

if TYPE_CHECKING:
    from pathlib import Path

    from napari_uml.nn.base import Network

IMAGE = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
ARCHES = ("uml", "ec", "tbrats", "bcs")


def build(arch: str, seed: int = 0, dropout: float = 0.3) -> Network:
    torch.manual_seed(seed)
    values = {**tiny_network().model_dump(), "arch": arch, "dropout": dropout}
    return make_network(UMLConfig.model_validate(values)).eval()


def weights_of(arch: str, path: Path, seed: int = 0, image_size: int = 64) -> Path:
    network = build(arch, seed)
    info = WeightsInfo(
        name="way", title="Way", version="1", config=network.config, image_size=image_size,
        task=Task.model_validate(INFO.model_dump(include=set(Task.model_fields))), training={}, validation={},
        intensity={"mean": (0.5,), "std": (0.2,)}, licence="CC0", not_for="use", written_by="a test",
    )  # fmt: skip
    knots = (Knot(uncertainty=0.5, chance=0.2, low=0.1, high=0.3),)
    fitted = Calibration(
        dataset="Way", split="val", n=4, knots=knots, referral_threshold=0.1, class_scale=Estimate(value=2.0),
        pixel_scale=Estimate(value=3.0),
    )  # fmt: skip
    save_weights(path, network.state_dict(), info.model_copy(update={"calibration": fitted}), half=False)
    return path


def output(*p: float) -> UMLOutput:
    return UMLOutput(None, None, (), False, class_logits=torch.tensor([p]).log())


def test_the_answer_is_the_mean_of_the_probabilities_and_their_entropy():
    answer = combine([output(0.9, 0.1), output(0.1, 0.9), output(0.5, 0.5)]).class_answer
    assert answer.probability[0].tolist() == pytest.approx([0.5, 0.5])
    assert answer.uncertainty.item() == pytest.approx(1.0)
    sure = combine([output(1.0, 0.0), output(1.0, 0.0)]).class_answer
    assert sure.uncertainty.item() == pytest.approx(0.0, abs=1e-6)


def test_evidence_counts_as_its_expected_probability():
    evidential = UMLOutput(torch.tensor([[3.0, 1.0]]), None, (), False)  # alpha 4, 2
    assert combine([evidential]).class_answer.probability[0].tolist() == pytest.approx([4 / 6, 2 / 6])


def test_outputs_about_different_parts_are_refused():
    with pytest.raises(ValueError, match="answer the same"):
        combine([output(0.5, 0.5), UMLOutput(None, None, (torch.zeros(1, 2, 2, 2),), False)])
    with pytest.raises(ValueError, match="answer the same"):
        combine([])


@pytest.mark.parametrize("arch", ARCHES)
@torch.no_grad()
def test_dropout_draws_holes_that_a_seed_repeats(arch):
    network = build(arch)
    state = torch.random.get_rng_state()
    first, again = (MonteCarloDropout(network, draws=3, seed=4)(IMAGE) for _ in range(2))
    other = MonteCarloDropout(network, draws=3, seed=5)(IMAGE)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not any(module.training for module in network.modules() if isinstance(module, nn.Dropout | nn.Dropout2d))
    for part in ("class_answer", "mask_answer"):
        answers = [getattr(out, part) for out in (first, again, other)]
        if answers[0] is not None:
            assert torch.equal(answers[0].belief, answers[1].belief)
            assert not torch.equal(answers[0].belief, answers[2].belief)


def test_a_network_without_dropout_is_refused():
    with pytest.raises(ValueError, match="Expected a network with dropout"):
        MonteCarloDropout(build("bcs", dropout=0.0))


class Brightest(nn.Module):
    """The structure is what is bright, the class how bright the left half is."""

    def forward(self, image: torch.Tensor) -> UMLOutput:
        grey = image.mean(1, keepdim=True)
        left = grey[..., : grey.shape[3] // 2].mean((1, 2, 3))
        logits = torch.cat([torch.zeros_like(grey), 8 * grey - 4], dim=1)
        return UMLOutput(None, None, (logits,), False, class_logits=torch.stack([left, -left], dim=1))


def test_mirrored_masks_are_brought_back():
    image = torch.zeros(1, 3, 8, 8)
    image[..., :3] = 1
    out = TestTimeAugmentation(Brightest())(image)
    assert torch.equal(out.mask_logits[0].argmax(1)[0].bool(), image[0, 0].bool())
    left = torch.tensor([3 / 4, 0.0])  # of the image and of its mirror image; gamma changes neither 0 nor 1
    expected = torch.stack([left, -left], dim=1).softmax(1).mean(0)
    assert torch.allclose(out.class_answer.probability[0], expected)
    assert GAMMAS[0] == 1


@torch.no_grad()
def test_an_ensemble_of_equal_networks_says_what_one_says():
    network = build("uml")
    one, three = network(IMAGE), Ensemble([network] * 3)(IMAGE)
    assert torch.allclose(three.class_answer.probability, one.class_answer.probability, atol=1e-6)
    assert torch.allclose(three.mask_answer.probability, one.mask_answer.probability, atol=1e-5)


def test_one_network_is_no_ensemble():
    with pytest.raises(ValueError, match="Expected two networks or more"):
        Ensemble([build("ec")])


@pytest.mark.parametrize("way", ["dropout", "augmentation", "ensemble"])
@pytest.mark.parametrize("arch", ["uml", "ec", "tbrats"])
def test_a_way_predicts_from_weights_files(way, arch, tmp_path):
    paths = [weights_of(arch, tmp_path / f"{n}.safetensors", seed=n) for n in range(2 if way == "ensemble" else 1)]
    predictor = load_way(way, paths, "cpu", "float32")
    image = np.random.default_rng(0).random((40, 52), dtype=np.float32)
    prediction, again = predictor.predict(image), predictor.predict(image)
    np.testing.assert_array_equal(prediction.pixel_uncertainty, again.pixel_uncertainty)
    assert (predictor.info.calibration, prediction.evidence_scales) == (None, (1, 1))  # of one look's evidence
    if "mask" in prediction.answers:
        assert prediction.measure == "entropy"
        np.testing.assert_allclose(prediction.pixel_probability.sum(0), 1, atol=1e-3)
    if "class" in prediction.answers:
        assert prediction.opinion.measure == "entropy"


def test_models_that_do_not_belong_together_are_refused(tmp_path):
    one = weights_of("ec", tmp_path / "one.safetensors")
    other = weights_of("ec", tmp_path / "other.safetensors", image_size=128)
    looks = read_info(one).model_copy(update={"name": "twice", "focus": Focus(structures=("lesion",))})
    twice = tmp_path / "twice.safetensors"
    write_info(one, looks, twice)
    for way, models, words in (
        ("ensemble", [one, twice], "same task, network and input"),
        ("ensemble", [one, other], "same task, network and input"),
        ("ensemble", [one], "Expected two different models or more"),
        ("ensemble", [one, one], "or one of them twice"),
        ("dropout", [one, one], "Expected one model for dropout"),
        ("voting", [one], "Expected a way among dropout, augmentation, ensemble"),
    ):
        with pytest.raises(ValueError, match=words):
            load_way(way, models)


@pytest.mark.parametrize("way", ["dropout", "augmentation", "ensemble"])
def test_what_looks_several_times_is_a_model_like_others(way, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NAPARI_UML_CACHE", str(tmp_path / "cache"))
    paths = [weights_of("uml", tmp_path / f"{n}.safetensors", seed=n) for n in range(2 if way == "ensemble" else 1)]

    def combine(*models):
        with pytest.raises(SystemExit) as exit_:
            main(["models", "combine", way, *map(str, models)])
        out, err = capsys.readouterr()
        return exit_.value.code or 0, out, err

    code, out, err = combine(*paths)
    assert (code, err) == (0, "")
    assert out.startswith(f"added way-{way}: Way, ")
    loaded, made = UMLPredictor.load(f"way-{way}", "cpu", "float32"), load_way(way, paths, "cpu", "float32")
    image = np.random.default_rng(0).random((40, 52), dtype=np.float32)
    one, other = loaded.predict(image), made.predict(image)
    np.testing.assert_allclose(one.opinion.probability, other.opinion.probability, atol=2e-3)  # stored in half
    assert one.measure == other.measure == "entropy"
    card = model_card(loaded.info, [], "", 1)
    assert f"napari-uml models combine {way} " in card
    assert "Made of trained weights, without more training: way, version 1, SHA-256 " in card
    code, _, err = combine(*[f"way-{way}"] * len(paths))
    assert (code, "way-" in err) == (2, True)
    with pytest.raises(ValueError, match="Expected a network to train, way-"):
        find_origin(f"way-{way}")


def test_an_ensemble_has_members():
    with pytest.raises(ValidationError, match="two networks or more"):
        UMLConfig.model_validate({**tiny_network().model_dump(), "way": "ensemble"})
    with pytest.raises(ValidationError, match="two networks or more"):
        UMLConfig.model_validate({**tiny_network().model_dump(), "members": 2})
