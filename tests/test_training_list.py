"""The training list: saved at every change, without loss, and nothing that is there is overwritten."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.tiny import INFO, tiny_dataset

from napari_uml.config import IGNORE, Measurement
from napari_uml.data import list_tables
from napari_uml.data.annotate_next import Queue, Score, score_images, state_of, to_annotate
from napari_uml.data.dataset import DatasetInfo, Record, read_dataset, read_mask
from napari_uml.data.names import renamed, with_name, without_name
from napari_uml.data.reading import read_image
from napari_uml.data.training_list import TrainingList
from napari_uml.errors import DatasetError, ImageError
from napari_uml.results import Opinion, Prediction

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 30), dtype=np.uint8)
LABELS = (GREY > 200).astype(np.int32)
FUNDUS = DatasetInfo(
    name="Fundus", seg_classes=("background", "rim", "cup"), cls_classes=("normal", "glaucoma"),
    seg_colors=("#000000", "#111111", "#222222"), unions={"disc": ("rim", "cup"), "hole": ("cup",)},
    measurements=(Measurement(name="vcdr", of=("cup",), to=("disc",)),),
)  # fmt: skip


@pytest.fixture
def empty(tmp_path):
    return TrainingList.create(tmp_path / "list", INFO)


# ---- folder


def test_what_is_added_is_a_dataset_folder_at_once(empty):
    record = empty.add_array(GREY, LABELS, "benign", name="patient7_left", split="val")
    assert record == Record("images/patient7_left.png", "masks/patient7_left.png", "benign", "val", "patient7")
    dataset = read_dataset(empty.folder)
    assert dataset.records == (record,)
    assert np.array_equal(dataset.read_mask(record), LABELS)
    assert TrainingList.open(empty.folder).records == (record,)


def test_an_existing_data_set_is_not_begun_anew(tmp_path):
    folder = tiny_dataset(tmp_path / "blobs")
    before = (folder / "index.csv").read_bytes()
    with pytest.raises(DatasetError, match="holds a data set; open it"):
        TrainingList.create(folder, INFO)
    assert (folder / "index.csv").read_bytes() == before


def test_a_list_without_rows_is_opened_again(empty):
    assert TrainingList.open(empty.folder).info == INFO


def test_files_that_are_there_are_never_overwritten(empty):
    (empty.folder / "images").mkdir()
    (empty.folder / "images" / "a.png").write_bytes(b"mine")
    records = [empty.add_array(GREY, LABELS, name="a") for _ in range(2)]
    assert [record.image for record in records] == ["images/a-2.png", "images/a-3.png"]
    assert (empty.folder / "images" / "a.png").read_bytes() == b"mine"


def test_nothing_is_added_of_what_does_not_go_together(empty):
    with pytest.raises(ImageError, match="Expected labels of 20 x 30 pixels"):
        empty.add_array(GREY, LABELS[:5])
    with pytest.raises(ImageError, match="Expected the numbers 0 background, 1 lesion in the labels, got 2"):
        empty.add_array(GREY, LABELS * 2)
    with pytest.raises(ValueError, match="Expected a class among benign, malignant, got odd"):
        empty.add_array(GREY, LABELS, "odd")
    with pytest.raises(ImageError, match="every pixel is 0"):
        empty.add_array(GREY * 0)
    assert empty.records == ()
    assert not list(empty.folder.rglob("*.png"))


# ---- lossless


@pytest.mark.parametrize(
    ("pixels", "ending"),
    [
        (GREY, ".png"),
        (np.stack([GREY, GREY.T.reshape(20, 30), 255 - GREY], -1), ".png"),
        (GREY > 100, ".png"),
        ((GREY / np.float32(255)).astype(np.float32), ".png"),
        (RNG.random((20, 30), dtype=np.float32), ".tif"),
        (RNG.random((20, 30, 3)), ".tif"),
        (GREY.astype(np.uint16) * 200, ".tif"),
        (GREY.astype(np.int16) - 500, ".tif"),
        (np.dstack([GREY, GREY, GREY, np.full_like(GREY, 255)]), ".png"),
        (np.dstack([GREY, GREY, GREY, GREY]), ".tif"),
    ],
    ids=["uint8", "rgb", "bool", "8 bit fractions", "fractions", "rgb64", "uint16", "int16", "opaque", "transparent"],
)
def test_the_picture_that_is_read_is_the_one_that_was_added(empty, pixels, ending):
    from napari_uml.data.scaling import scale_to_unit

    record = empty.add_array(pixels, name="x")
    assert record.image.endswith(ending)
    if pixels.shape[-1] == 4:
        alpha = pixels[..., 3:] / 255
        pixels = pixels[..., :3] if alpha.min() == 1 else (pixels[..., :3] / 255 * alpha).astype(np.float32)
    np.testing.assert_allclose(read_image(empty.folder / record.image).pixels, scale_to_unit(pixels)[0], atol=1e-6)


def test_unlabelled_pixels_are_not_annotated(empty):
    labels = LABELS.copy()
    labels[:5] = 9
    record = empty.add_array(GREY, labels, unlabelled=9)
    mask = read_mask(empty.folder / record.mask)
    assert (mask[:5] == IGNORE).all()
    assert np.array_equal(mask[5:], LABELS[5:])


# ---- files, folders, data sets


def test_files_are_copied_as_they_are_with_their_masks(empty, tmp_path):
    image, mask = tmp_path / "case 3 a.png", tmp_path / "m.png"
    Image.fromarray(GREY).save(image)
    Image.fromarray((LABELS * 255).astype(np.uint8)).save(mask)
    record = empty.add_file(image, mask, "malignant")
    assert (empty.folder / record.image).read_bytes() == image.read_bytes()
    assert record.group == "case3"
    assert np.array_equal(read_mask(empty.folder / record.mask), LABELS)
    assert state_of(record) == "annotated"
    assert state_of(empty.add_file(image)) == "to annotate"


def test_another_data_set_is_added_with_its_new_names(empty, tmp_path):
    info = INFO.model_copy(update={"seg_classes": ("background", "cyst", "lesion"), "cls_classes": ("normal", "odd")})
    folder = tiny_dataset(tmp_path / "other", info)
    added = list(empty.add_dataset(folder))
    assert len(added) == 12
    assert empty.info.seg_classes == ("background", "lesion", "cyst")
    assert empty.info.cls_classes == ("benign", "malignant", "normal", "odd")
    dataset = read_dataset(empty.folder)
    assert [record.label for record in dataset.records] == [r.label for r in read_dataset(folder).records]
    for record, source in zip(added, read_dataset(folder).records, strict=True):
        assert np.array_equal(dataset.read_mask(record) == 2, read_mask(folder / source.mask) == 1)


def test_a_list_is_not_added_to_itself(empty):
    empty.add_array(GREY)
    with pytest.raises(DatasetError, match="the training list itself"):
        next(empty.add_dataset(empty.folder))


def clinic(folder, name, *groups, seed):
    """A list with an image of each group, half of them validating."""
    made = TrainingList.create(folder, INFO.model_copy(update={"name": name}))
    pictures = np.random.default_rng(seed).integers(0, 256, (len(groups), 20, 30), dtype=np.uint8)
    for number, group in enumerate(groups):
        split = ("train", "val")[number % 2]
        made.add_array(pictures[number], label="benign", name=f"{number}", split=split, group=group)
    return made.folder


def test_groups_of_another_clinic_are_other_patients(empty, tmp_path):
    list(empty.add_dataset(clinic(tmp_path / "a", "North", "patient1", "patient2", "", seed=1)))
    south = clinic(tmp_path / "b", "South", "patient3", "patient1", "", "", seed=2)
    added = list(empty.add_dataset(south))
    assert [record.group for record in added] == ["patient3", "South patient1", "", ""]
    assert [record.split for record in added] == ["train", "val", "train", "val"]
    assert TrainingList.open(empty.folder).records[3:] == tuple(added)
    other = clinic(tmp_path / "c", "South", "patient1", "South patient1", seed=3)
    assert [r.group for r in empty.add_dataset(other)] == ["South-2 patient1", "South South patient1"]


def test_the_same_data_set_added_again_keeps_its_groups(empty, tmp_path):
    south = clinic(tmp_path / "b", "South", "patient1", "patient2", seed=2)
    list(empty.add_dataset(clinic(tmp_path / "a", "North", "patient1", seed=1)))
    first = [record.group for record in empty.add_dataset(south)]
    TrainingList.open(south).add_array(GREY, label="benign", name="new", group="patient2")
    empty.move({record.image: "test" for record in empty.records})
    again = list(empty.add_dataset(south))
    assert first == ["South patient1", "patient2"]
    assert [record.group for record in again] == ["South patient1", "patient2", "patient2"]
    assert {record.split for record in again} == {"test"}


def test_a_row_joins_the_split_of_its_group(empty):
    empty.add_array(GREY, name="patient1_left", split="val")
    assert empty.add_array(GREY.T, name="patient1_right").split == "val"


# ---- changes


def test_a_row_is_changed_in_place(empty):
    image = empty.add_array(GREY, LABELS).image
    changed = empty.update(image, labels=1 - LABELS, label="benign", split="test", group="g")
    assert changed == Record(image, "masks/image.png", "benign", "test", "g")
    assert np.array_equal(read_mask(empty.folder / changed.mask), 1 - LABELS)
    assert empty.update(image, label="").label == ""
    assert TrainingList.open(empty.folder).records == empty.records


def test_a_mask_that_two_rows_share_is_not_overwritten(empty):
    image = empty.add_array(GREY, LABELS, name="a").image
    other = empty.add_array(GREY.T.copy().reshape(20, 30), name="b").image
    empty._save(empty.info, tuple(Record(r.image, "masks/a.png", "", "train", "") for r in empty.records))
    changed = empty.update(other, labels=1 - LABELS)
    assert np.array_equal(read_mask(empty.folder / empty.record(image).mask), LABELS)
    assert np.array_equal(read_mask(empty.folder / changed.mask), 1 - LABELS)


def test_a_removed_row_leaves_its_files(empty):
    record = empty.add_array(GREY, LABELS)
    empty.remove([record.image])
    assert empty.records == ()
    assert (empty.folder / record.image).exists()


@pytest.fixture
def full_after(monkeypatch):
    """Return a function that lets so many more files be written before the disk is full."""
    replace = Path.replace

    def begin(writes):
        left = iter(range(writes))

        def replaced(part, target):
            if next(left, None) is None:
                raise OSError(28, "No space left on device")
            return replace(part, target)

        monkeypatch.setattr(Path, "replace", replaced)

    return begin


def test_a_change_that_cannot_be_written_is_not_made(empty, full_after):
    record = empty.add_array(GREY)
    full_after(0)
    with pytest.raises(DatasetError, match="No space left"):
        empty.update(record.image, label="benign")
    assert empty.records == (record,)


# ---- two programs


def change_elsewhere(folder):
    """Correct a class in the table, as in a spreadsheet."""
    path = folder / "index.csv"
    path.write_text(path.read_text().replace("benign", "malignant"))


def test_what_another_program_wrote_is_not_erased(empty):
    image = empty.add_array(GREY, LABELS, "benign").image
    other = TrainingList.open(empty.folder)
    added = other.add_array(GREY.T, name="b")
    files = {path: path.read_bytes() for path in empty.folder.rglob("*") if path.is_file()}
    source = tiny_dataset(empty.folder.parent / "blobs")
    for change in (
        lambda: empty.update(image, labels=1 - LABELS),
        lambda: empty.add_array(GREY, LABELS, name="c"),
        lambda: empty.add_file(source / "images" / "train0.png"),
        lambda: list(empty.add_dataset(source)),
        lambda: empty.remove([image]),
        lambda: empty.rename("class", "benign", "nevus"),
        lambda: empty.move({image: "val"}),
    ):
        with pytest.raises(DatasetError, match="was changed by another program; open it again to go on"):
            change()
    assert {path: path.read_bytes() for path in empty.folder.rglob("*") if path.is_file()} == files
    again = TrainingList.open(empty.folder)
    assert again.records[1] == added
    assert again.update(image, label="malignant").label == "malignant"


def test_masks_are_not_renumbered_under_a_changed_table(tmp_path):
    one = TrainingList.create(tmp_path / "fundus", FUNDUS)
    one.add_array(GREY, LABELS, "normal")
    (one.folder / "dataset.json").write_text((one.folder / "dataset.json").read_text().replace("Fundus", "Other"))
    files = sorted(one.folder.rglob("*"))
    with pytest.raises(DatasetError, match="changed by another program"):
        one.remove_name("structure", "rim")
    assert sorted(one.folder.rglob("*")) == files


def test_an_edit_of_the_table_while_a_data_set_is_added_stays(empty, tmp_path):
    empty.add_array(GREY, LABELS, "benign")
    adding = empty.add_dataset(tiny_dataset(tmp_path / "blobs"))
    next(adding)
    change_elsewhere(empty.folder)
    with pytest.raises(DatasetError, match="changed by another program"):
        next(adding)
    again = TrainingList.open(empty.folder)
    assert [record.label for record in again.records] == ["malignant", "malignant"]
    assert len(list((empty.folder / "images").iterdir())) == 2


def test_a_list_goes_on_after_a_write_that_failed_half_way(empty, full_after, monkeypatch):
    record = empty.add_array(GREY, label="benign")
    full_after(2)  # the note of the change, and dataset.json
    with pytest.raises(DatasetError, match="No space left"):
        empty.rename("class", "benign", "nevus")
    monkeypatch.undo()
    empty.update(record.image, split="val")
    again = TrainingList.open(empty.folder)
    assert (again.info, again.records) == (INFO, empty.records)


def test_a_change_that_was_refused_is_not_made_later(empty, full_after, monkeypatch):
    empty.add_array(GREY, label="benign")
    full_after(1)  # the note of the change
    with pytest.raises(DatasetError, match="No space left"):
        empty.rename("class", "benign", "nevus")
    monkeypatch.undo()
    change_elsewhere(empty.folder)
    assert TrainingList.open(empty.folder).records[0].label == "malignant"


# ---- names


def test_renaming_touches_no_mask(empty):
    record = empty.add_array(GREY, LABELS, "benign")
    before = (empty.folder / record.mask).read_bytes()
    empty.rename("class", "benign", "nevus")
    empty.rename("structure", "lesion", "mole")
    again = TrainingList.open(empty.folder)
    assert again.records[0].label == "nevus"
    assert again.info.former_classes == {"nevus": ("benign",)}
    assert again.info.former_structures == {"mole": ("lesion",)}
    assert (empty.folder / record.mask).read_bytes() == before


def test_a_removed_structure_is_no_longer_annotated_or_becomes_another(tmp_path):
    labels = np.zeros((20, 30), np.uint8)
    labels[:5], labels[5:10] = 1, 2
    for into, expected in ((None, IGNORE), ("cup", 1), ("background", 0)):
        one = TrainingList.create(tmp_path / str(into), FUNDUS)
        one.add_array(GREY, labels)
        assert one.used_by("structure", "rim") == ("images/image.png",)
        one.remove_name("structure", "rim", into)
        mask = read_mask(one.folder / one.records[0].mask)
        assert (mask[:5] == expected).all()
        assert (mask[5:10] == 1).all()
        assert len(list((one.folder / "masks").iterdir())) == 1


def test_a_removed_class_leaves_rows_without_one(empty):
    empty.add_name("class", "odd")
    image = empty.add_array(GREY, LABELS, "odd").image
    assert empty.used_by("class", "odd") == (image,)
    empty.remove_name("class", "odd")
    assert read_dataset(empty.folder).records[0].label == ""


def test_a_change_of_both_tables_that_was_killed_is_finished(empty, monkeypatch):
    empty.add_array(GREY, LABELS, "benign")
    kept = shutil.copytree(empty.folder, empty.folder.with_name("kept"))

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(list_tables, "write_dataset", killed)
    with pytest.raises(KeyboardInterrupt):
        empty.rename("class", "benign", "nevus")
    assert (empty.folder / "index.csv").read_bytes() == (kept / "index.csv").read_bytes()
    monkeypatch.undo()
    again = TrainingList.open(empty.folder)
    assert again.info.cls_classes == ("nevus", "malignant")
    assert again.records[0].label == "nevus"
    assert not list(empty.folder.glob(".*"))


@pytest.fixture
def interrupted(empty, monkeypatch):
    """Return the folder of a list with a change of both tables that was killed before it was made."""
    empty.add_array(GREY, LABELS, "benign")

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(list_tables, "write_dataset", killed)
    with pytest.raises(KeyboardInterrupt):
        empty.rename("class", "benign", "nevus")
    monkeypatch.undo()
    return empty.folder


def test_a_killed_change_is_not_made_over_what_was_changed_since(interrupted):
    table = interrupted / "index.csv"
    table.write_text(edited := table.read_text().replace("train", "val"))
    with pytest.raises(DatasetError, match=r"changed since; delete .*\.pending\.json to go on"):
        TrainingList.open(interrupted)
    assert table.read_text() == edited
    (interrupted / list_tables.PENDING).unlink()
    assert TrainingList.open(interrupted).records[0].split == "val"


@pytest.mark.parametrize("note", ["{", "[]", "{}", '{"info": {}, "records": [], "before": {}}'])
def test_a_damaged_note_of_a_change_is_said_and_left(interrupted, note):
    path = interrupted / list_tables.PENDING
    path.write_text(note)
    with pytest.raises(DatasetError, match=r"it is damaged; delete .*\.pending\.json to go on"):
        TrainingList.open(interrupted)
    assert path.read_text() == note


@pytest.mark.parametrize("mask", ["../victim.png", "masks/../../victim.png", "/victim.png", "C:\\victim.png"])
def test_a_table_that_leads_out_of_its_folder_is_refused(empty, mask):
    empty.add_array(GREY, LABELS, "benign")
    table = empty.folder / "index.csv"
    table.write_text(table.read_text().replace("masks/image.png", mask))
    with pytest.raises(DatasetError, match=r"line 2: expected a path inside the folder, got .*victim\.png"):
        TrainingList.open(empty.folder)


def test_an_image_that_is_named_as_a_mask_is_not_overwritten(tmp_path):
    folder = tiny_dataset(tmp_path / "set")
    records = read_dataset(folder).records
    table = folder / "index.csv"
    table.write_text(table.read_text().replace(records[0].mask, records[0].image))
    before = (folder / records[0].image).read_bytes()
    opened = TrainingList.open(folder)
    size = read_image(folder / records[0].image).pixels.shape[:2]
    changed = opened.update(records[0].image, labels=np.ones(size, np.uint8))
    assert changed.mask != records[0].image
    assert (folder / records[0].image).read_bytes() == before


def test_names_change_where_unions_and_measurements_use_them():
    info = renamed(FUNDUS, "structure", "cup", "hollow")
    assert info.unions == {"disc": ("rim", "hollow"), "hole": ("hollow",)}
    assert info.measurements[0].of == ("hollow",)
    info = without_name(FUNDUS, "structure", "cup")
    assert (info.unions, info.measurements) == ({"disc": ("rim",)}, ())
    assert info.seg_colors == ("#000000", "#111111")
    assert len(with_name(FUNDUS, "structure", "vessel").seg_colors) == 4


def test_a_name_given_back_is_no_earlier_name():
    info = renamed(renamed(FUNDUS, "class", "normal", "healthy"), "class", "healthy", "normal")
    assert info == FUNDUS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: renamed(FUNDUS, "class", "odd", "x"), "Expected a class among normal, glaucoma, got odd"),
        (lambda: renamed(FUNDUS, "class", "normal", "glaucoma"), "there is one called glaucoma already"),
        (lambda: renamed(FUNDUS, "structure", "cup", "disc"), "there is one called disc already"),
        (lambda: renamed(FUNDUS, "structure", "cup", ""), "without spaces around it, got ''"),
        (lambda: with_name(FUNDUS, "class", " x"), "without spaces around it"),
        (lambda: without_name(FUNDUS, "class", "normal"), "at least two classes"),
        (lambda: without_name(FUNDUS, "structure", "background"), "is the background"),
    ],
)
def test_names_that_cannot_be_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        change()


# ---- annotate next


def answer(pixels):
    uncertainty = float(pixels.mean())
    mask = np.zeros(pixels.shape[:2], np.uint8)
    belief = np.array([1 - uncertainty, 0], np.float32)
    u = np.full(mask.shape, 0.5, np.float32)
    return Prediction(
        mask=mask, pixel_belief=np.stack([u / 2, u / 2]), pixel_uncertainty=u,
        opinions=(Opinion(("a", "b"), belief, uncertainty),), structure_names=("background", "lesion"),
        looked_at=(None,), mask_map="mask", seconds=0.1, model="m", device="cpu", precision="float32",
        sigma=0.0, seed=0,
    )  # fmt: skip


def test_the_most_uncertain_image_is_next(empty):
    for factor, name in ((0.2, "dark"), (0.9, "bright"), (0.5, "mid")):
        empty.add_array(GREY / np.float32(255) * np.float32(factor), name=name)
    empty.add_array(GREY, LABELS, name="done")
    queue = Queue()
    queue.set(empty.records, "m")
    assert queue.next() == "images/dark.tif"
    for score in score_images(empty.folder, queue.unscored, answer):
        queue.add(score)
    assert queue.images == ["images/bright.tif", "images/mid.tif", "images/dark.tif"]
    empty.update("images/bright.tif", label="benign")
    queue.set(empty.records, "m")
    assert queue.next() == "images/mid.tif"
    assert queue.next({"images/mid.tif", "images/dark.tif"}) is None
    assert queue.unscored == []
    queue.set(empty.records, "another model")
    assert len(queue.unscored) == 2


def test_scoring_stops_when_asked_and_passes_over_what_cannot_be_read(empty):
    for name in "abc":
        empty.add_array(GREY, name=name)
    (empty.folder / "images" / "a.png").write_bytes(b"broken")
    images = to_annotate(empty.records)
    scored = []
    for score in score_images(empty.folder, images, answer, lambda: bool(scored)):
        scored.append(score.image)
    assert scored == ["images/b.png"]
    assert isinstance(next(score_images(empty.folder, images, answer)), Score)
