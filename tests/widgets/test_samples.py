from __future__ import annotations

import numpy as np
import pytest
import skimage.data
from napari.layers import Layer

import napari_uml.widgets.samples as samples
from napari_uml.errors import UMLError

SIMULATED = ["ultrasound", "ultrasound_sweep", "fundus", "fundus_photograph", "dermoscopy"]


@pytest.mark.parametrize("name", SIMULATED)
def test_simulated_sample_is_an_image_with_its_hidden_truth_in_the_same_place(name):
    image, truth = (Layer.create(*data) for data in getattr(samples, name)())
    assert image.name.startswith("Simulated")
    assert truth.name == f"{image.name} known truth"
    assert name != "ultrasound_sweep" or len(image.data) == 20
    assert image.visible
    assert not truth.visible
    assert image.data.shape[: truth.ndim] == truth.data.shape
    assert image.rgb == (image.data.ndim > truth.ndim)
    np.testing.assert_array_equal(image.scale, truth.scale)
    assert {str(unit) for layer in (image, truth) for unit in layer.units} == {"millimeter"}


def test_truth_names_its_structures_and_shows_the_background_as_nothing():
    _, truth = (Layer.create(*data) for data in samples.fundus())
    assert list(truth.features["structure"]) == ["background", "rim", "cup"]
    assert truth.get_color(0) is None
    assert truth.get_color(1)[3] == truth.get_color(2)[3] == 1
    assert not np.allclose(truth.get_color(1), truth.get_color(2))
    assert truth.metadata["class"] == "glaucoma"


def test_retina_is_scikit_images_photograph(monkeypatch):
    photograph = np.zeros((8, 8, 3), np.uint8)
    monkeypatch.setattr(skimage.data, "retina", lambda: photograph)
    ((pixels, options, kind),) = samples.retina()
    assert pixels is photograph
    assert options["rgb"]
    assert kind == "image"


@pytest.mark.parametrize("cause", [ConnectionError("no route"), ValueError("SHA256 hash does not match")])
def test_retina_without_a_network_says_so_in_one_sentence(monkeypatch, cause):
    def fail():
        raise cause

    monkeypatch.setattr(skimage.data, "retina", fail)
    with pytest.raises(UMLError, match="could not be downloaded: connect to the internet") as caught:
        samples.retina()
    assert caught.value.__cause__ is cause
