"""DICOM and NIfTI files become image layers that keep their geometry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import nibabel
import numpy as np
import pytest
from napari.layers import Layer
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from napari_uml.errors import ImageError
from napari_uml.widgets.reader import get_reader

if TYPE_CHECKING:
    from pathlib import Path

    from napari_uml.widgets.reader import Paths


def open_layers(path: Paths) -> list[Layer]:
    """Open files as napari does."""
    return [Layer.create(*layer_data) for layer_data in get_reader(path)(path)]


def write_volume(path: Path, slices: int = 3) -> str:
    voxels = np.random.default_rng(0).integers(0, 1000, (16, 12, slices)).astype(np.int16)
    image = nibabel.Nifti1Image(voxels, np.diag([0.5, 0.25, 2.0, 1.0]))
    image.header.set_xyzt_units("mm")
    image.to_filename(path)
    return str(path)


def write_colour_dicom(path: Path) -> str:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.4"
    dataset.SOPInstanceUID = "1.2.3"
    dataset.PixelSpacing = [0.3, 0.2]
    pixels = np.random.default_rng(0).integers(0, 256, (8, 10, 3), dtype=np.uint8)
    dataset.set_pixel_data(pixels, "RGB", bits_stored=8)
    dataset.save_as(path, enforce_file_format=True)
    return str(path)


def test_volume_becomes_a_stack_in_millimetres(tmp_path: Path) -> None:
    (layer,) = open_layers(write_volume(tmp_path / "knee.nii.gz"))
    assert layer.name == "knee"
    assert layer.data.shape == (3, 12, 16)
    assert tuple(layer.scale) == (2.0, 0.25, 0.5)
    assert [str(unit) for unit in layer.units] == ["millimeter"] * 3


def test_grey_layer_shows_the_whole_range(tmp_path: Path) -> None:
    (layer,) = open_layers(write_volume(tmp_path / "knee.nii"))
    assert layer.contrast_limits == [0, 1]
    assert not layer.rgb


def test_metadata_keep_orientation_and_scaling(tmp_path: Path) -> None:
    (layer,) = open_layers(write_volume(tmp_path / "knee.nii"))
    assert np.allclose(np.linalg.norm(layer.metadata["affine"][:3, :3], axis=0), (0.5, 0.25, 2.0))
    assert layer.metadata["scaling"]


def test_several_files_become_as_many_layers(tmp_path: Path) -> None:
    paths = [write_volume(tmp_path / name, slices=1) for name in ("left.nii", "right.nii")]
    assert [layer.name for layer in open_layers(paths)] == ["left", "right"]


def test_damaged_file_is_an_image_error(tmp_path: Path) -> None:
    path = tmp_path / "broken.nii"
    path.write_bytes(b"not a volume")
    with pytest.raises(ImageError, match=r"broken\.nii"):
        open_layers(str(path))


def test_colour_dicom_becomes_an_rgb_layer(tmp_path: Path) -> None:
    (layer,) = open_layers(write_colour_dicom(tmp_path / "skin.dcm"))
    assert layer.rgb
    assert layer.data.shape == (8, 10, 3)
    assert tuple(layer.scale) == (0.3, 0.2)
