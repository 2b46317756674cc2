"""The dataset folder: read, written, and refused with every problem named at once."""

import json

import numpy as np
import pytest
import tifffile
from PIL import Image
from tests.tiny import INFO, tiny_dataset

from napari_uml.config import IGNORE, Measurement
from napari_uml.data.dataset import (
    DatasetInfo,
    Record,
    check_images,
    image_size,
    read_dataset,
    read_mask,
    write_dataset,
)
from napari_uml.errors import DatasetError, ImageError
from napari_uml.files import write_text

HEADER = "image,mask,label,split,group\n"


@pytest.fixture
def folder(tmp_path):
    return tiny_dataset(tmp_path / "blobs")


def rewrite(folder, rows):
    (folder / "index.csv").write_text(HEADER + "".join(f"{row}\n" for row in rows), encoding="utf-8")


def problems_of(folder) -> tuple[str, ...]:
    with pytest.raises(DatasetError) as caught:
        read_dataset(folder)
    return caught.value.problems


def save(path, array):
    Image.fromarray(np.asarray(array)).save(path)


# ---- reading and writing


def test_round_trip(tmp_path, folder):
    info = DatasetInfo(
        name="Fundus, crops", modality="fundus", channels=3, seg_classes=("background", "rim", "cup"),
        cls_classes=("normal", 'say "glaucoma"'), seg_colors=("#000000", "#111111", "#222222"),
        unions={"disc": ("rim", "cup")}, licence="CC0", notes="ä, b",
        measurements=(Measurement(name="vcdr", of=("cup",), to=("disc",)),),
    )  # fmt: skip
    records = [
        Record("images/train0.png", "masks/train0.png", "normal", "train", "patient, 1"),
        Record("images/train1.png", "", 'say "glaucoma"', "val", ""),
        Record("images/train2.png", "masks/train2.png", "", "test", "é"),
    ]
    write_dataset(folder, info, records)
    dataset = read_dataset(str(folder))
    assert dataset.info == info
    assert dataset.records == tuple(records)
    assert dataset.folder == folder
    assert dataset.read_mask(records[1]) is None
    assert dataset.of_split("val") == (records[1],)
    assert not list(folder.glob(".*"))


def test_a_table_from_a_spreadsheet_with_bom_and_spare_cells_is_read(folder):
    text = "\ufeffgroup,image, note ,mask,label,split\r\n1, images/train0.png ,x,,benign,train\r\n2,images/val0.png\r\n"
    (folder / "index.csv").write_bytes(text.encode("utf-8"))
    assert problems_of(folder) == ("index.csv line 3: expected a split among train, val, test, got nothing.",)
    (folder / "index.csv").write_bytes(text.replace("\r\n2,images/val0.png", "").encode("utf-8"))
    assert read_dataset(folder).records == (Record("images/train0.png", "", "benign", "train", "1"),)


def test_description_with_bom_is_read(folder):
    path = folder / "dataset.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_dataset(folder).info == INFO


def test_writing_breaks_off_without_leaving_a_part(tmp_path, monkeypatch):
    path = tmp_path / "index.csv"
    write_text(path, "old")

    def fail(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(path), "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_lines_end_the_same_on_every_system(folder):
    dataset = read_dataset(folder)
    write_dataset(folder, dataset.info, dataset.records)
    assert b"\r" not in (folder / "index.csv").read_bytes()


# ---- problems of the folder, its description and its table


def test_a_folder_that_is_none_is_named(tmp_path):
    assert "has no dataset.json" in problems_of(tmp_path)[0]
    assert "has no dataset.json" in problems_of(tmp_path / "missing")[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "Expected JSON in "),
        ("[]", "dataset.json: expected names with values, got []."),
        (b"\xff\xfe{", "Expected UTF-8 text in "),
        ('{"name": "x"}', "dataset.json: seg_classes is missing."),
        (INFO.model_dump_json().replace('"lesion"', '"background"'), "dataset.json: Expected different names in seg"),
        (INFO.model_dump_json().replace('"notes"', '"remarks"'), "dataset.json: remarks is not known here."),
    ],
    ids=["cut", "list", "bytes", "missing fields", "same names", "unknown field"],
)
def test_a_bad_description_is_explained(folder, text, expected):
    (folder / "dataset.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    (first, *_) = problems_of(folder)
    assert first.startswith(expected)
    assert "\n" not in first


def test_every_problem_of_the_description_is_listed(folder):
    (folder / "dataset.json").write_text(json.dumps({"name": "x", "channels": 2, "seg_classes": ["a"]}))
    assert len(problems_of(folder)) == 3  # channels, seg_classes, cls_classes


def test_every_problem_of_the_table_is_listed_with_its_line(folder):
    rewrite(folder, [
        "images/train0.png,masks/train0.png,benign,train,1",
        "images/none.png,masks/none.png,odd,nowhere,",
        ",,,val,",
        "images/train1.png,,benign,val,1",
        "images/train0.png,,,train,",
    ])  # fmt: skip
    assert problems_of(folder) == (
        "index.csv line 3: images/none.png does not exist.",
        "index.csv line 3: masks/none.png does not exist.",
        "index.csv line 3: expected a label among benign, malignant, got odd.",
        "index.csv line 3: expected a split among train, val, test, got nowhere.",
        "index.csv line 4: no image.",
        "Expected every group in one split, 1 is in train, val.",
        "images/train0.png is listed 2 times.",
    )


def test_a_table_with_the_slashes_of_windows_is_read(tmp_path):
    folder = tiny_dataset(tmp_path / "blobs")
    table, expected = folder / "index.csv", read_dataset(folder).records
    table.write_text(table.read_text().replace("images/", "images\\").replace("masks/", "masks\\"))
    assert read_dataset(folder).records == expected


@pytest.mark.parametrize(
    "name",
    [
        "../secret.png",
        "images/../../x.png",
        "/etc/passwd",
        "C:\\x.png",
        "C:x.png",
        "..\\x.png",
        "\\\\server\\x.png",
        "\\x",
    ],
)
@pytest.mark.parametrize("column", ["image", "mask"])
def test_paths_that_leave_the_folder_are_refused(folder, name, column):
    (folder.parent / "secret.png").write_bytes((folder / "images" / "train0.png").read_bytes())
    row = f"{name},,benign,train," if column == "image" else f"images/train0.png,{name},benign,train,"
    rewrite(folder, [row])
    assert problems_of(folder) == (f"index.csv line 2: expected a path inside the folder, got {name}.",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "image, mask, label, split, group not found"),
        ("image;mask;label;split;group\n", "separated by commas"),
        ("image,mask,label,split\n", "group not found"),
        (HEADER, "Expected at least one row"),
        (HEADER.encode() + "images/ä.png,,,train,\n".encode("latin-1"), "Expected UTF-8 text in index.csv"),
        (HEADER + "a" * 200_000 + ",,,,\n", "it cannot be read"),
    ],
    ids=["empty", "semicolons", "column", "no rows", "latin", "huge cell"],
)
def test_a_bad_table_is_explained(folder, text, expected):
    (folder / "index.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    (problem,) = problems_of(folder)
    assert expected in problem


# ---- problems of the files


def test_good_files_have_no_problems(folder):
    assert check_images(read_dataset(folder)) == []


def test_every_problem_of_the_files_is_listed(folder):
    images, masks = folder / "images", folder / "masks"
    (images / "train0.png").write_bytes((images / "train0.png").read_bytes()[:300])
    save(masks / "train1.png", np.zeros((48, 55), np.uint8))
    save(masks / "train2.png", np.full((48, 56), 7, np.uint8))
    save(masks / "train3.png", np.zeros((48, 56, 3), np.uint8))
    tifffile.imwrite(images / "train4.png", np.random.default_rng(0).integers(0, 255, (5, 48, 56), dtype=np.uint8))
    (images / "val0.png").write_bytes((images / "train5.png").read_bytes())
    save(masks / "val0.png", np.zeros((48, 56), np.uint8))
    problems = check_images(read_dataset(folder))
    assert len(problems) == 6
    expected = [
        "train0.png", "Expected a mask of 48 x 56 pixels for images/train1.png, got 48 x 55 in masks/train1.png",
        "Expected structure numbers 0 to 1 (or 255, not annotated) in masks/train2.png, got 7",
        "Expected a mask of shape (H, W) with integers, train3.png has (48, 56, 3)",
        "Expected one image in images/train4.png, got a stack of 5",
        "these are the same: images/train5.png (train), images/val0.png (val)",
    ]  # fmt: skip
    for problem, words in zip(problems, expected, strict=True):
        assert words in problem


def test_pixels_that_nobody_annotated_are_allowed(folder):
    mask = np.zeros((48, 56), np.uint8)
    mask[:5] = IGNORE
    mask[9:20] = 1
    save(folder / "masks" / "train0.png", mask)
    dataset = read_dataset(folder)
    assert check_images(dataset) == []
    assert np.array_equal(dataset.read_mask(dataset.records[0]), mask)


@pytest.mark.parametrize("kind", ["png", "palette", "bilevel", "16 bit", "tiff", "zlib tiff", "bool tiff", "white"])
def test_masks_in_every_usual_format_are_the_same(tmp_path, kind):
    mask = np.zeros((6, 8), np.uint8)
    mask[2:4] = 1
    path = tmp_path / ("mask.tif" if "tiff" in kind or kind == "white" else "mask.png")
    if kind == "palette":
        image = Image.fromarray(mask).convert("P")
        image.putpalette([0, 0, 0, 255, 0, 0])
        image.save(path)
    elif kind == "bilevel":
        Image.fromarray(mask.astype(bool)).save(path)
    elif kind == "16 bit":
        Image.fromarray(mask.astype(np.uint16)).save(path)
    elif kind == "png":
        Image.fromarray(mask).save(path)
    else:
        array = mask.astype(bool) if kind == "bool tiff" else mask
        shown = "miniswhite" if kind == "white" else None
        tifffile.imwrite(path, array, photometric=shown, compression="zlib" if "zlib" in kind else None)
    found = read_mask(path)
    assert found.dtype == np.uint8
    assert np.array_equal(found, mask)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 5), np.float32), "with integers, mask.tif has"),
        (np.full((4, 5), 300, np.uint16), "from 0 to 255, mask.tif has 300..300"),
        (np.full((4, 5), -1, np.int16), "from 0 to 255, mask.tif has -1..-1"),
        (np.zeros((3, 4, 5), np.uint8), "of shape"),
    ],
)
def test_masks_of_the_wrong_kind_are_refused(tmp_path, array, words):
    tifffile.imwrite(tmp_path / "mask.tif", array, photometric="minisblack")
    with pytest.raises(ImageError, match=words.replace("..", r"\.\.")):
        read_mask(tmp_path / "mask.tif")


def test_a_compressed_mask_whose_zero_is_white_is_refused(tmp_path):
    Image.fromarray(np.eye(8, dtype=bool)).save(tmp_path / "mask.tif", compression="group4", tiffinfo={262: 0})
    with pytest.raises(ImageError, match=r"mask\.tif: expected a mask whose number 0 is black, .* Save it as PNG"):
        read_mask(tmp_path / "mask.tif")


@pytest.mark.parametrize("cell", ["images/" + "x" * 300 + ".png", '"images/a.png,,,train,\nimages/b.png'])
def test_a_cell_that_no_file_can_be_called_after_is_a_problem_of_its_line(folder, cell):
    table = folder / "index.csv"
    first, second, *rest = table.read_text().splitlines()
    table.write_text("\n".join([first, second.replace(second.split(",")[0], cell), *rest]) + "\n")
    with pytest.raises(DatasetError, match="does not exist"):
        read_dataset(folder)


@pytest.mark.parametrize("name", ["mask.png", "mask.tif"])
@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_masks_that_cannot_be_read_are_one_sentence(tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=name) as caught:
        read_mask(tmp_path / name)
    assert "\n" not in str(caught.value)


# ---- sizes


def test_size_comes_from_the_header_and_is_that_of_the_picture_as_shown(tmp_path):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8))
    image.save(tmp_path / "a.png")
    turned = Image.Exif()
    turned[0x112] = 6
    image.save(tmp_path / "b.jpg", exif=turned)
    volume = np.random.default_rng(0).random((12, 14, 3)).astype(np.float32)
    tifffile.imwrite(tmp_path / "c.tif", volume, photometric="rgb")  # Pillow does not know it
    assert image_size(tmp_path / "a.png") == (20, 30)
    assert image_size(tmp_path / "b.jpg") == (30, 20)
    assert image_size(tmp_path / "c.tif") == (12, 14)
    with pytest.raises(ImageError, match=r"Expected an image, .*none.png cannot be read"):
        image_size(tmp_path / "none.png")


def test_an_image_stored_on_its_side_fits_a_mask_of_the_shown_size(folder):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (56, 48), dtype=np.uint8))
    turned = Image.Exif()
    turned[0x112] = 6
    image.save(folder / "images" / "train0.png", exif=turned)
    assert check_images(read_dataset(folder)) == []
