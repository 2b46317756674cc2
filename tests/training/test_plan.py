"""What was typed becomes the plan of a run, new or taken up again."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from napari_uml.config import EncoderConfig, Focus, TrainConfig, preset
from napari_uml.errors import DatasetError, UMLError, WeightsError
from napari_uml.training.export import export_run
from napari_uml.training.origin import find_origin
from napari_uml.training.plan import RunPlan, command_line, read_plan, write_plan
from napari_uml.training.planning import new_plan, resumed_plan
from napari_uml.weights import import_weights

if TYPE_CHECKING:
    from collections.abc import Callable

    MakeRun = Callable[..., Path]
    MakePlan = Callable[..., RunPlan]


@pytest.fixture
def new(tmp_path: Path, blobs: Path) -> Callable[..., RunPlan]:
    """Return a function that plans a run on `blobs`; its arguments are options, `settings` those of the training."""

    def plan(run: str = "My Run!", settings: dict[str, Any] | None = None, **options: Any) -> RunPlan:
        options = {name.rstrip("_"): value for name, value in options.items()}
        return new_plan(tmp_path / run, [blobs], options, settings or {})

    return plan


def test_plan_reads_back_equal(make_plan: MakePlan, tmp_path: Path) -> None:
    plan = make_plan(focus=Focus(structures=("lesion",)), settings=TrainConfig.paper(), vertical_flip=True)
    write_plan(tmp_path / "deep" / "run", plan)
    assert read_plan(tmp_path / "deep" / "run") == plan


def test_folder_that_cannot_be_made_is_refused(make_plan: MakePlan, blobs: Path) -> None:
    with pytest.raises(UMLError, match=r"index\.csv"):
        write_plan(blobs / "index.csv", make_plan())


@pytest.mark.parametrize("text", ["", "{}", '{"command": 1}'])
def test_damaged_plan_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text(text)
    with pytest.raises(UMLError, match="damaged"):
        read_plan(tmp_path)


def test_new_plan_has_the_defaults(new: Callable[..., RunPlan], blobs: Path) -> None:
    plan = new()
    assert plan.settings == TrainConfig()
    assert plan.network == preset("compact", 2, 2)
    assert plan.datasets == (blobs,)
    assert (plan.name, plan.title) == ("my-run", "My run")
    assert (plan.licence, plan.started_from) == ("Blobs: CC0", "random weights")
    assert plan.focus is None


def test_images_are_counted_when_the_run_begins(
    make_dataset: Callable[..., Path], tmp_path: Path, new: Callable[..., RunPlan]
) -> None:
    assert new().images == {"Blobs": {"train": 8, "val": 4}}
    plan = new(mix_in=[make_dataset(tmp_path / "old", name="Old")])
    assert plan.images == {"Blobs": {"train": 8, "val": 4}, "Old, mixed in": {"train": 8, "val": 0}}


def test_typed_settings_change_the_recipe_chosen(new: Callable[..., RunPlan]) -> None:
    settings = new(settings={"recipe": "paper", "epochs": 7}).settings
    assert settings == TrainConfig.paper().model_copy(update={"epochs": 7})


def test_command_repeats_what_was_typed(new: Callable[..., RunPlan], blobs: Path, tmp_path: Path) -> None:
    plan = new("a b", {"epochs": 3, "mask_cross_entropy": False}, preset="paper", focus=["lesion"], vertical_flip=True)
    assert shlex.split(plan.command) == [
        "napari-uml", "train", str(blobs), "--preset", "paper", "--focus", "lesion", "--vertical-flip", "--epochs", "3",
        "--no-mask-cross-entropy", "--output", str(tmp_path / "a b"),
    ]  # fmt: skip


def test_command_line_repeats_lists() -> None:
    assert command_line([Path("a"), Path("b")], {"focus": ["x", "y z"]}) == (
        "napari-uml train a b --focus x --focus 'y z'"
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"preset": "huge"}, "compact, light, paper"),
        ({"focus": ["disc"]}, "a focus among lesion, got disc"),
        ({"name": "No Name"}, "a name of up to 64 small letters, digits, - and _, got 'No Name'"),
        ({"from_": "nobody"}, "nobody"),
        ({"from_": "breast-ultrasound", "pretrained": True}, "either --pretrained or --from"),
        ({"from_": "breast-ultrasound", "pretrained": True, "preset": "light"}, "either --pretrained or --from"),
    ],
)
def test_option_without_meaning_is_refused(options: dict[str, Any], words: str, new: Callable[..., RunPlan]) -> None:
    with pytest.raises(ValueError, match=words):
        new(**options)


def test_no_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one dataset folder or more"):
        new_plan(tmp_path / "run", [], {}, {})
    with pytest.raises(DatasetError, match="nowhere"):
        new_plan(tmp_path / "run", [tmp_path / "nowhere"], {}, {})


def test_data_to_mix_in_that_has_nothing_to_train_on_is_refused(
    make_dataset: Callable[..., Path], tmp_path: Path, new: Callable[..., RunPlan]
) -> None:
    index = make_dataset(tmp_path / "other") / "index.csv"
    index.write_text(index.read_text().replace(",train,", ",val,"))
    with pytest.raises(UMLError, match="annotated training images to mix in"):
        new(mix_in=[index.parent])


def test_folder_that_holds_a_run_is_refused(make_run: MakeRun, new: Callable[..., RunPlan]) -> None:
    with pytest.raises(UMLError, match="--resume"):
        new(make_run().name)


@pytest.mark.parametrize("name", ["model.safetensors", "best.ckpt", "curves.csv", "curves.png", "dataset.json"])
def test_folder_that_holds_something_of_a_run_or_a_data_set_is_refused(
    name: str, tmp_path: Path, new: Callable[..., RunPlan]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text("precious")
    with pytest.raises(UMLError, match=f"Expected a new folder, .*mine holds {name}"):
        new("mine")


def test_several_data_sets_share_one_task(make_dataset: Callable[..., Path], tmp_path: Path, blobs: Path) -> None:
    other = make_dataset(tmp_path / "other", name="Other", cls_classes=("benign", "cyst"), licence="")
    plan = new_plan(tmp_path / "run", [blobs, other], {}, {})
    assert plan.task.cls_classes == ("benign", "malignant", "cyst")
    assert plan.network.num_classes == 3
    assert plan.licence == "Blobs: CC0\nOther: not stated"


@pytest.mark.parametrize("kind", ["run", "checkpoint", "file", "name"])
def test_run_starts_from_anything_trained(kind: str, make_run: MakeRun, new: Callable[..., RunPlan]) -> None:
    told = {"focus": Focus(structures=("lesion",)), "licence": "Blobs: CC0\nSkin: BY; NC", "earlier": ("first",)}
    run = make_run("old", **told)
    export_run(run)
    if kind == "name":
        import_weights(run / "model.safetensors", "mine")
    start = {"run": run, "checkpoint": run / "last.ckpt", "file": run / "model.safetensors", "name": "mine"}[kind]
    plan = new(from_=str(start))
    assert (plan.network, plan.settings.image_size, plan.focus) == (read_plan(run).network, 64, told["focus"])
    assert plan.licence == told["licence"]
    assert plan.earlier == ("first", "napari-uml train blobs -o run")
    assert (
        plan.started_from
        == {
            "run": "epoch 1 of `napari-uml train blobs -o run`",
            "checkpoint": "epoch 3 of `napari-uml train blobs -o run`",
            "file": "the model blobs, version 1",
            "name": "the model blobs, version 1",
        }[kind]
    )


@pytest.mark.parametrize("with_start", [True, False])
def test_class_encoder_comes_from_another_run(with_start: bool, make_run: MakeRun, new: Callable[..., RunPlan]) -> None:
    network = preset("compact", 2, 2)
    encoder = make_run(
        "ec", network=network, licence="Skin: BY\nBlobs: older terms", command="napari-uml train skin -o ec"
    )
    options = {"class_encoder": str(encoder)}
    if with_start:
        options["from_"] = str(make_run("old", network=network, earlier=("first",)))
    plan = new(**options)
    assert (plan.class_encoder, bool(plan.start)) == (str(encoder), with_start)
    words = "epoch 1 of `napari-uml train blobs -o run`" if with_start else "random weights"
    assert plan.started_from == f"{words}; the class encoder from epoch 1 of `napari-uml train skin -o ec`"
    rest = ("first", "napari-uml train blobs -o run") if with_start else ()
    assert plan.earlier == ("napari-uml train skin -o ec", *rest)
    assert plan.licence == "Blobs: CC0\nSkin: BY"


def test_class_encoder_of_another_backbone_is_refused_before_training(
    make_run: MakeRun, new: Callable[..., RunPlan]
) -> None:
    with pytest.raises(ValueError, match="Expected class encoders alike, got test_resnet for resnet18d"):
        new(class_encoder=str(make_run("other")), preset="compact")


def test_new_classes_get_a_wider_network_and_are_named(
    make_run: MakeRun, make_dataset: Callable[..., Path], tmp_path: Path
) -> None:
    other = make_dataset(tmp_path / "other", cls_classes=("benign", "cyst"))
    plan = new_plan(tmp_path / "new", [other], {"from": str(make_run("old"))}, {"image_size": 96})
    assert (plan.network.num_classes, plan.settings.image_size) == (2, 96)
    assert plan.started_from.endswith("; new and untrained: cyst")


def test_name_of_a_model_goes_before_a_folder(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("mine")
    export_run(run)
    import_weights(run / "model.safetensors", "mine")
    monkeypatch.chdir(tmp_path)
    assert find_origin("mine").words.startswith("the model")
    assert find_origin("./mine").words.startswith("epoch 1")


def test_checkpoint_alone_is_no_start(make_run: MakeRun) -> None:
    run = make_run()
    (run / "train.json").unlink()
    with pytest.raises(UMLError, match=r"has no train\.json"):
        find_origin(str(run / "best.ckpt"))
    with pytest.raises(WeightsError, match=r"no\.ckpt"):
        find_origin(str(run / "no.ckpt"))


def test_pretrained_and_from_exclude_each_other(make_run: MakeRun, new: Callable[..., RunPlan]) -> None:
    with pytest.raises(ValueError, match="either --pretrained or --from"):
        new(from_=str(make_run("old")), pretrained=True)


@pytest.mark.parametrize("asked", [{}, {"learn_norm": True}])
def test_frozen_batch_normalisation_of_the_start_learns_when_it_is_asked_to(
    asked: dict[str, bool], make_run: MakeRun, new: Callable[..., RunPlan]
) -> None:
    network = preset("compact", 2, 2)
    frozen = EncoderConfig(name="resnet18d", pretrained=True)
    old = make_run("old", network=network.model_copy(update={"class_encoder": frozen, "seg_encoder": frozen}))
    for options in ({"from_": str(old)}, {"preset": "paper", "pretrained": True}):
        plan = new(**options, **asked)
        assert plan.network.class_encoder.learns_norm == plan.network.seg_encoder.learns_norm == bool(asked)
        assert plan.learn_norm == bool(asked)


def test_run_goes_on_with_its_own_plan(make_run: MakeRun, blobs: Path) -> None:
    run = make_run()
    assert resumed_plan(run, [], {}, {}) == read_plan(run)
    assert resumed_plan(run, [blobs], {"preset": "compact", "name": "blobs"}, {"epochs": 2}) == read_plan(run)


def test_run_goes_on_elsewhere(make_run: MakeRun) -> None:
    run = make_run()
    elsewhere = {"device": "cuda", "precision": "bf16", "processes": 2, "num_workers": 1}
    assert resumed_plan(run, [], {}, elsewhere).settings == read_plan(run).settings.model_copy(update=elsewhere)


def test_every_contradiction_is_named(make_run: MakeRun, tmp_path: Path) -> None:
    options = {"preset": "paper", "from": "x", "pretrained": True, "focus": ["lesion"], "vertical_flip": True,
               "name": "y", "title": "z"}  # fmt: skip
    with pytest.raises(UMLError) as caught:
        resumed_plan(make_run(), [tmp_path], options, {"batch_size": 8, "epochs": 2})
    assert (
        "other data sets, --preset, --from, --pretrained, --focus, --vertical-flip, --name, --title, --batch-size;"
        in str(caught.value)
    )


def test_data_sets_with_other_names_now_are_refused(
    make_run: MakeRun, make_dataset: Callable[..., Path], tmp_path: Path
) -> None:
    other = make_dataset(tmp_path / "changed", cls_classes=("good", "bad"))
    with pytest.raises(UMLError, match="other names now"):
        resumed_plan(make_run(datasets=(other,)), [], {}, {})


def test_folder_without_a_run_cannot_go_on(tmp_path: Path) -> None:
    with pytest.raises(UMLError, match=r"has no train\.json"):
        resumed_plan(tmp_path, [], {}, {})
