"""What a look says on the image's grid, and how one at a part lies on the whole image."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from napari_uml.inference.look import Look, features_of, placed, read_look
from napari_uml.nn.output import UMLOutput
from napari_uml.results import Box, Opinion

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_uml.nn.network import UMLNetwork
    from napari_uml.results import Measure
    from napari_uml.weights import WeightsInfo

BOX = Box(2, 2, 6, 6)


class OnAppleGpu(torch.Tensor):
    """A tensor of a device without float64."""

    @classmethod
    def __torch_function__(
        cls, function: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        found = super().__torch_function__(function, types, args, kwargs or {})
        if function is torch.Tensor.cpu:
            return found.as_subclass(torch.Tensor)
        if isinstance(found, OnAppleGpu) and found.dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return found


def test_an_output_is_read_from_a_device_without_float64(
    info: WeightsInfo, make_network: Callable[..., UMLNetwork]
) -> None:
    with torch.no_grad():
        output = make_network()(torch.rand(1, 3, 64, 64), intermediates=True)
    assert output.class_evidence is not None
    assert output.mutual_evidence is not None
    there = replace(
        output, class_evidence=output.class_evidence.as_subclass(OnAppleGpu),
        mutual_evidence=output.mutual_evidence.as_subclass(OnAppleGpu),
        mask_logits=tuple(logits.as_subclass(OnAppleGpu) for logits in output.mask_logits),
        features=output.features.as_subclass(OnAppleGpu),
    )  # fmt: skip
    with pytest.raises(TypeError, match="float64"):
        there.features.double()
    here, found = (read_look(one, info.task, (40, 50), (1.0, 1.0), details=True) for one in (output, there))
    np.testing.assert_array_equal(found.mask, here.mask)
    np.testing.assert_array_equal(found.features, here.features)
    np.testing.assert_array_equal(found.opinion.evidence, here.opinion.evidence)


def test_a_class_without_evidence_is_read_from_a_device_without_float64(info: WeightsInfo) -> None:
    logits = torch.tensor([[0.0, 1.0]]).as_subclass(OnAppleGpu)
    output = UMLOutput(None, None, (), False, None, class_logits=logits)
    look = read_look(output, info.task, (8, 8), (1.0, 1.0), details=False)
    np.testing.assert_allclose(look.opinion.probability, [0.2689, 0.7311], atol=1e-4)
    assert features_of(output) is None


def make_look(measure: Measure) -> Look:
    maps = np.stack([np.full((4, 4), value, np.float32) for value in (0.2, 0.3, 0.5)])
    opinion = Opinion.from_evidence(("a", "b"), np.zeros(2))
    return Look(np.ones((4, 4), np.uint8), maps, opinion, None, "mask", ("mask",), measure, None)


@pytest.mark.parametrize(("measure", "outside"), [("vacuity", (1.0, 0.0, 0.0)), ("entropy", (1.0, 0.5, 0.5))])
def test_nothing_is_believed_where_nobody_looked(measure: Measure, outside: tuple[float, ...]) -> None:
    found = placed(make_look(measure), BOX, (8, 8), None)
    np.testing.assert_allclose(found.maps[:, 0, 0], outside)
    np.testing.assert_allclose(found.maps[:, 3, 3], (0.2, 0.3, 0.5))
    assert (found.mask[0, 0], found.mask[3, 3]) == (0, 1)


@pytest.mark.parametrize(("measure", "outside"), [("vacuity", (0.3, 0.7, 0.0)), ("entropy", (0.3, 0.05, 0.95))])
def test_around_a_second_look_the_first_one_counts(measure: Measure, outside: tuple[float, ...]) -> None:
    first = np.stack([np.full((8, 8), value, np.float32) for value in (0.3, 0.05, 0.95)])
    found = placed(make_look(measure), BOX, (8, 8), first)
    np.testing.assert_allclose(found.maps[:, 0, 0], outside, atol=1e-6)
    np.testing.assert_allclose(found.maps[:, 3, 3], (0.2, 0.3, 0.5))
    assert found.mask[0, 0] == 0
    assert first[2, 3, 3] == np.float32(0.95)  # it is left as it was
