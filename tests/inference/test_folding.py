"""Folding batch normalisation leaves the function as it was."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from napari_uml.config import preset
from napari_uml.inference.folding import fold_batch_norm

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_uml.nn.network import UMLNetwork
    from napari_uml.weights import WeightsInfo


def check_same_function(network: UMLNetwork) -> UMLNetwork:
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before, after = network(image), fold_batch_norm(deepcopy(network))(image)
    for one, other in (
        (before.class_evidence, after.class_evidence),
        (before.mutual_evidence, after.mutual_evidence),
        (before.mask_logits[0], after.mask_logits[0]),
    ):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-5 * float(one.abs().max()))
    return fold_batch_norm(deepcopy(network))


def test_folded_network_is_the_same_function_without_batch_norm(make_network: Callable[..., UMLNetwork]) -> None:
    folded = check_same_function(make_network())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())


def test_frozen_batch_norm_of_a_pretrained_encoder_keeps_its_function(
    make_network: Callable[..., UMLNetwork], info: WeightsInfo
) -> None:
    frozen = info.config.class_encoder.model_copy(update={"pretrained": True})
    check_same_function(make_network(info.config.model_copy(update={"class_encoder": frozen})))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["compact", "paper"])
def test_presets_are_the_same_function(make_network: Callable[..., UMLNetwork], name: str) -> None:
    check_same_function(make_network(preset(name, 2, 3)))


def test_convolutions_that_pad_by_the_size_of_their_input_keep_their_function(
    make_network: Callable[..., UMLNetwork],
) -> None:
    check_same_function(make_network(preset("light", 2, 3)))
