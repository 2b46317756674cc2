"""Learning rate, KL weight and image size over a run."""

import pytest
import torch
from torch import nn

from napari_uml.config import TrainConfig
from napari_uml.training.schedule import average_decay, image_size, kl_weight, make_optimizer, make_scheduler

STEPS = 5


def rates(config: TrainConfig) -> list[float]:
    """Return the learning rate of every step of a run."""
    optimizer = make_optimizer([nn.Parameter(torch.zeros(1))], config)
    scheduler = make_scheduler(optimizer, config, STEPS)
    found = []
    for _ in range(config.epochs * STEPS):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_one_cycle_rises_to_the_highest_rate_and_ends_near_zero():
    config = TrainConfig(epochs=20, learning_rate=1e-3)
    found = rates(config)
    peak = found.index(max(found))
    assert max(found) == pytest.approx(1e-3, rel=0.01)
    assert found[0] == pytest.approx(4e-5)
    assert found[-1] < 1e-5
    assert 0.1 < peak / len(found) < 0.2
    assert sorted(found[: peak + 1]) == found[: peak + 1]
    assert sorted(found[peak:], reverse=True) == found[peak:]


def test_paper_recipe_is_constant_to_epoch_30_then_polynomial_with_a_floor():
    found = rates(TrainConfig.paper())[::STEPS]
    assert found[:31] == pytest.approx([1e-4] * 31)
    assert found[65] == pytest.approx(1e-4 * 0.5**0.9)
    assert found[99] == pytest.approx(1e-5)  # 1e-4 * (1 / 70) ** 0.9 is below the floor
    assert min(found) == pytest.approx(1e-5)


def test_paper_recipe_never_rises_above_its_learning_rate():
    found = rates(TrainConfig.paper().model_copy(update={"learning_rate": 1e-6, "epochs": 60}))
    assert max(found) == min(found) == pytest.approx(1e-6)


def test_optimizers_of_the_recipes():
    parameters = [nn.Parameter(torch.zeros(1))]
    modern, paper = (make_optimizer(parameters, config) for config in (TrainConfig(), TrainConfig.paper()))
    assert type(modern) is torch.optim.AdamW
    assert type(paper) is torch.optim.Adam
    assert paper.param_groups[0]["weight_decay"] == 1e-5
    assert paper.param_groups[0]["lr"] == 1e-4


@pytest.mark.parametrize(
    ("epochs", "steps", "ema", "decay"), [(60, 40, 0.99, 0.99), (6, 20, 0.99, 1 - 1 / 24), (1, 1, 0.9, 0), (9, 9, 0, 0)]
)
def test_a_short_run_has_a_short_average(epochs, steps, ema, decay):
    assert average_decay(TrainConfig(epochs=epochs, ema=ema), steps) == pytest.approx(decay)


def test_fused_steps_are_the_same():
    results = []
    for fused in (False, True):
        weights = nn.Parameter(torch.linspace(-1, 1, 7))
        optimizer = make_optimizer([weights], TrainConfig(), fused=fused)
        for _ in range(3):
            optimizer.zero_grad()
            weights.square().sum().backward()
            optimizer.step()
        results.append(weights.detach())
    assert torch.allclose(*results, atol=1e-7)


@pytest.mark.parametrize(("epoch", "weight"), [(0, 0.0), (5, 0.1), (10, 0.2), (40, 0.2)])
def test_kl_weight_is_annealed(epoch, weight):
    assert kl_weight(TrainConfig(kl_scale=0.2, annealing_epochs=10), epoch) == pytest.approx(weight)


def test_images_grow_in_steps_of_32_and_reach_their_size_at_70_percent():
    config = TrainConfig(epochs=20, start_size=128, image_size=256)
    sizes = [image_size(config, epoch) for epoch in range(20)]
    assert sizes[0] == 128
    assert sorted(set(sizes)) == [128, 160, 192, 224, 256]
    assert sizes == sorted(sizes)
    assert set(sizes[14:]) == {256}


@pytest.mark.parametrize(("start", "end"), [(None, 240), (240, 240), (128, 240), (48, 64)])
def test_the_last_epochs_always_have_the_full_size(start, end):
    for epochs in (2, 3, 7, 10):
        config = TrainConfig(epochs=epochs, start_size=start, image_size=end)
        assert image_size(config, 0) == (start or end)
        assert image_size(config, epochs - 1) == end
