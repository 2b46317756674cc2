"""The masks in between: on the image's grid, on request only, and without any effect on the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_uml.inference.predictor import UMLPredictor
from napari_uml.results import Box

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_uml.config import UMLConfig
    from napari_uml.nn.network import UMLNetwork
    from napari_uml.weights import WeightsInfo

IMAGE = np.random.default_rng(3).random((40, 56), dtype=np.float32)


def test_details_come_on_request_alone_and_change_nothing(predictor: UMLPredictor) -> None:
    plain, detailed = predictor.predict(IMAGE), predictor.predict(IMAGE, details=True)
    assert plain.details is None
    assert detailed.details is not None
    np.testing.assert_array_equal(plain.mask, detailed.mask)
    np.testing.assert_array_equal(plain.pixel_uncertainty, detailed.pixel_uncertainty)
    assert detailed.details.mutual_mask.shape == (40, 56)
    assert detailed.details.mutual_mask.dtype == np.uint8
    assert detailed.details.reliable_mask.shape == (3, 40, 56)


def test_details_are_those_of_the_network(info: WeightsInfo, make_network: Callable[..., UMLNetwork]) -> None:
    image = np.random.default_rng(4).random((64, 64), dtype=np.float32)
    predictor = UMLPredictor(info, make_network(), "cpu", "float32")
    with torch.no_grad():
        output = make_network()(predictor.network_input(image)[None], intermediates=True)
    details = predictor.predict(image, details=True).details
    top = torch.nn.functional.interpolate(output.intermediates.reliable_top, size=(64, 64), mode="bilinear")[0]
    np.testing.assert_allclose(details.reliable_mask, top.numpy(), atol=1e-3)
    assert (details.mutual_mask == output.mutual_evidence[0].argmax(0).numpy()).mean() > 0.99


def test_details_of_a_rectangle_lie_in_it_and_those_of_a_stack_are_a_stack(predictor: UMLPredictor) -> None:
    box = Box(4, 8, 30, 50)
    outside = np.ones(IMAGE.shape, dtype=bool)
    outside[box.slices] = False
    details = predictor.predict(np.stack([IMAGE, IMAGE]), roi=box, stack=True, details=True).details
    part = predictor.predict(IMAGE[box.slices], details=True).details
    assert details.mutual_mask.shape == (2, 40, 56)
    assert not details.mutual_mask[:, outside].any()
    assert not details.reliable_mask[..., outside].any()
    np.testing.assert_array_equal(details.reliable_mask[1][:, *box.slices], part.reliable_mask)


def test_a_network_without_the_navigator_has_no_reliable_mask(make_predictor: Callable[..., UMLPredictor]) -> None:
    config: UMLConfig = make_predictor().info.config.model_copy(update={"navigator": False})
    details = make_predictor(config=config.model_dump()).predict(IMAGE, details=True).details
    assert details.reliable_mask is None
    assert details.mutual_mask.shape == IMAGE.shape
