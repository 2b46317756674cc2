"""NIfTI volumes: upright slices, an affine that follows, results back on the source's own grid."""

from __future__ import annotations

from itertools import permutations, product
from typing import TYPE_CHECKING

import nibabel
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

from napari_uml.data.nifti import write_like
from napari_uml.data.reading import read_image
from napari_uml.errors import ImageError

if TYPE_CHECKING:
    from pathlib import Path

OBLIQUE = nibabel.affines.from_matvec(
    nibabel.eulerangles.euler2mat(0.2, -0.15, 0.1) @ np.diag((0.5, 0.75, 3.0)), (-10.0, 20.0, 5.0)
)
CODES = ["".join(code) for axes in permutations(("RL", "PA", "SI")) for code in product(*axes)][::4]


def volume(path: Path, voxels: np.ndarray, affine: np.ndarray = OBLIQUE, **header: object) -> Path:
    image = nibabel.Nifti1Image(voxels, affine)
    for key, value in header.items():
        image.header[key] = value
    nibabel.save(image, path)
    return path


def random_voxels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)


def in_orientation(codes: str, shape: tuple[int, int, int]) -> np.ndarray:
    """An oblique affine whose voxel axes run along the given codes."""
    order = ornt_transform(io_orientation(OBLIQUE), axcodes2ornt(codes))
    return OBLIQUE @ inv_ornt_aff(order, shape)


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_slices_run_along_the_third_axis(tmp_path: Path, ending: str) -> None:
    voxels = random_voxels(6, 7, 8)
    image = read_image(volume(tmp_path / f"a.{ending}", voxels))
    assert image.is_stack
    assert image.pixels.shape == (8, 7, 6)
    assert image.spacing == pytest.approx((3.0, 0.75, 0.5))
    assert image.units == ("mm", "mm", "mm")
    np.testing.assert_allclose(np.sort(image.pixels.ravel()), np.sort(voxels.ravel()) / 255, rtol=1e-6)


@pytest.mark.parametrize("codes", CODES)
def test_every_pixel_stays_where_it_was_in_the_patient(tmp_path: Path, codes: str) -> None:
    shape = (5, 6, 7)
    affine = in_orientation(codes, shape)
    voxels = random_voxels(*shape)
    image = read_image(volume(tmp_path / "a.nii", voxels, affine))
    assert image.affine is not None
    for d, h, w in ((0, 0, 0), (1, 2, 3), (-1, -1, -1)):
        d, h, w = (int(np.arange(n)[i]) for n, i in zip(image.pixels.shape, (d, h, w), strict=True))
        place = image.affine @ (w, h, d, 1)
        voxel = np.rint(np.linalg.inv(affine) @ place)[:3].astype(int)
        assert image.pixels[d, h, w] == pytest.approx(voxels[tuple(voxel)] / 255)


@pytest.mark.parametrize("codes", CODES)
def test_slices_are_shown_upright_with_the_right_side_at_the_left(tmp_path: Path, codes: str) -> None:
    shape = (5, 6, 7)
    image = read_image(volume(tmp_path / "a.nii", random_voxels(*shape), in_orientation(codes, shape)))
    columns, rows, slices = nibabel.aff2axcodes(image.affine)
    assert slices in codes[2] + {"R": "L", "L": "R", "A": "P", "P": "A", "S": "I", "I": "S"}[codes[2]]
    assert (columns, rows) == {"S": ("L", "P"), "P": ("L", "I"), "L": ("P", "I")}[slices]


@pytest.mark.parametrize("codes", CODES)
@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_a_result_written_back_has_the_sources_voxels(tmp_path: Path, codes: str, ending: str) -> None:
    shape = (5, 6, 7)
    voxels = random_voxels(*shape) // 64
    source = volume(tmp_path / f"a.{ending}", voxels, in_orientation(codes, shape), cal_max=5, descrip=b"scanner")
    labels = np.rint(read_image(source).pixels * 255).astype(np.uint8)
    write_like(source, labels, tmp_path / f"labels.{ending}")
    before, after = nibabel.load(source), nibabel.load(tmp_path / f"labels.{ending}")
    np.testing.assert_array_equal(np.asarray(after.dataobj), voxels)
    np.testing.assert_array_equal(after.affine, before.affine)
    assert (after.header["qform_code"], after.header["sform_code"]) == (0, 2)
    assert (after.get_data_dtype(), after.header["cal_max"]) == (np.uint8, 0)
    assert after.header["descrip"] == b"scanner"


def test_a_float_result_keeps_its_fractions(tmp_path: Path) -> None:
    source = volume(tmp_path / "a.nii", random_voxels(5, 6, 7))
    u = np.random.default_rng(1).random((7, 6, 5), dtype=np.float32)
    write_like(source, u, tmp_path / "u.nii")
    assert np.sort(nibabel.load(tmp_path / "u.nii").get_fdata().ravel()) == pytest.approx(np.sort(u.ravel()))


def test_a_result_of_another_shape_is_refused(tmp_path: Path) -> None:
    source = volume(tmp_path / "a.nii", random_voxels(5, 6, 7))
    with pytest.raises(ValueError, match=r"Expected pixels of shape \(7, 6, 5\), the image's, got \(5, 6, 7\)"):
        write_like(source, np.zeros((5, 6, 7), np.uint8), tmp_path / "b.nii")


@pytest.mark.parametrize("shape", [(6, 7), (6, 7, 1), (1, 6, 7), (6, 1, 7), (6, 7, 1, 1)])
def test_a_single_slice_is_an_image(tmp_path: Path, shape: tuple[int, ...]) -> None:
    source = volume(tmp_path / "a.nii", random_voxels(*shape), np.diag((1.0, 2.0, 3.0, 1.0)))
    image = read_image(source)
    assert not image.is_stack
    assert sorted(image.pixels.shape) == [6, 7]
    assert image.spacing is not None
    assert len(image.spacing) == 2
    labels = np.rint(image.pixels * 255).astype(np.uint8)
    write_like(source, labels, tmp_path / "b.nii")
    np.testing.assert_array_equal(
        np.squeeze(np.asarray(nibabel.load(tmp_path / "b.nii").dataobj)), np.squeeze(random_voxels(*shape))
    )


def test_slope_and_intercept_are_applied(tmp_path: Path) -> None:
    voxels = random_voxels(6, 7, 8).astype(np.int16)
    image = nibabel.Nifti1Image(voxels, np.eye(4))
    image.header.set_slope_inter(0.001, 0.1)
    nibabel.save(image, tmp_path / "a.nii")
    stored = nibabel.load(tmp_path / "a.nii").get_fdata()
    assert stored.max() < 1
    loaded = read_image(tmp_path / "a.nii")
    assert np.sort(loaded.pixels.ravel()) == pytest.approx(np.sort(stored.ravel()), abs=1e-6)


def test_colours_are_read(tmp_path: Path) -> None:
    rgb = np.zeros((6, 7, 8), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    rgb["R"], rgb["B"] = random_voxels(6, 7, 8), 9
    image = read_image(volume(tmp_path / "a.nii", rgb))
    assert image.pixels.shape == (8, 7, 6, 3)
    np.testing.assert_allclose(image.pixels[..., 1:].reshape(-1, 2), np.tile((0, 9 / 255), (336, 1)), rtol=1e-6)


def test_micrometres_become_millimetres(tmp_path: Path) -> None:
    path = volume(tmp_path / "a.nii", random_voxels(6, 7, 8), np.diag((500.0, 500.0, 500.0, 1.0)), xyzt_units=3)
    image = read_image(path)
    assert image.spacing == pytest.approx((0.5, 0.5, 0.5))
    assert image.affine is not None
    assert image.affine[0, 0] == pytest.approx(-0.5)


def test_a_volume_with_a_time_axis_gets_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"^a\.nii: expected one volume of 3 axes, got the shape \(6, 7, 8, 3\)"):
        read_image(volume(tmp_path / "a.nii", random_voxels(6, 7, 8, 3)))


def test_a_singular_affine_gets_one_sentence(tmp_path: Path) -> None:
    path = volume(tmp_path / "a.nii", random_voxels(6, 7, 8))
    content = bytearray(path.read_bytes())
    content[312:328] = bytes(16)  # srow_z
    path.write_bytes(bytes(content))
    with pytest.raises(ImageError, match=r"^a\.nii: expected an affine that can be inverted"):
        read_image(path)
