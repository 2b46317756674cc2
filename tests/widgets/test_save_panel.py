"""A result in files is what was shown, and command and script repeat its numbers, on a tiny network."""

from __future__ import annotations

import csv
import shlex
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import torch
from napari.components import ViewerModel
from PIL import Image
from qtpy.QtGui import QGuiApplication
from tests.test_dicom import dicom
from typer.testing import CliRunner

from napari_uml.cli import app
from napari_uml.config import EncoderConfig, Task, preset
from napari_uml.evaluation.sweep import Plan, Sweep
from napari_uml.inference.predictor import UMLPredictor
from napari_uml.inference.replay import find_recorded_image
from napari_uml.inference.run_record import read_run
from napari_uml.nn.network import UMLNetwork
from napari_uml.results import Corruption
from napari_uml.weights import ModelEntry, WeightsInfo, save_weights
from napari_uml.widgets import bench
from napari_uml.widgets.analyse import AnalyseWidget
from napari_uml.widgets.run_panel import RunPanel
from napari_uml.widgets.save_panel import NOTHING, SavePanel
from napari_uml.widgets.session import SweepResult

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytestqt.qtbot import QtBot

    from napari_uml.results import Prediction

RNG = np.random.default_rng(0)
NAMES = ("labels.tif", "uncertainty.tif", "overlay.png", "results.csv", "run.json", "report.html")
ROUNDING = 1e-5
"""The same network on the same pixels rounds the last bits differently in a worker thread."""
SMALL = {
    "class_encoder": EncoderConfig(name="test_resnet"), "seg_encoder": EncoderConfig(name="test_resnet"),
    "mixer_project": 8, "mixer_widths": (8, 8, 8, 8), "decoder_widths": (8, 8, 8), "bottom_width": 8,
    "mutual_head_width": 8, "head_widths": (8,),
}  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a weights file of a narrow network with random weights."""
    config = preset("compact", 2, 3).model_copy(update=SMALL)
    info = WeightsInfo(
        name="tiny", title="Tiny <b>", version="1", config=config, image_size=64, training={}, validation={},
        task=Task(seg_classes=("background", "rim", "<cup>"), cls_classes=("normal", "glau&coma")),
        intensity={"mean": (0.5,) * 3, "std": (0.3,) * 3}, licence="none", not_for="use", written_by="a test",
    )  # fmt: skip
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        save_weights(path, UMLNetwork(config, download=False).state_dict(), info)
    return path


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def dock(qtbot: QtBot, viewer: ViewerModel, weights: Path, monkeypatch: pytest.MonkeyPatch) -> AnalyseWidget:
    entry = ModelEntry(str(weights), "Tiny", "user", weights, 1)
    monkeypatch.setattr(bench, "list_models", lambda: (entry,))
    dock = AnalyseWidget(viewer)
    dock.session.device, dock.session.precision = "cpu", "float32"
    qtbot.addWidget(dock)
    return dock


def run(qtbot: QtBot, dock: AnalyseWidget) -> Prediction:
    with qtbot.waitSignal(dock.bench.finished, timeout=30_000):
        dock.panels[RunPanel].run.click()
    assert dock.session.result is not None, dock.session.message
    return dock.session.result.prediction


def saved(qtbot: QtBot, dock: AnalyseWidget, folder: Path) -> Path:
    before = set(folder.iterdir())
    panel = dock.panels[SavePanel]
    panel.save_into(folder)
    qtbot.waitUntil(lambda: panel.save.text() == "Save…", timeout=30_000)
    (new,) = set(folder.iterdir()) - before
    return new


def copied(qtbot: QtBot, dock: AnalyseWidget, button: str) -> str:
    clipboard, panel = QGuiApplication.clipboard(), dock.panels[SavePanel]
    clipboard.setText("")
    dock.session.message = None
    getattr(panel, button).click()
    qtbot.waitUntil(lambda: dock.session.message is not None, timeout=10_000)
    return clipboard.text()


def assert_same(one: Prediction, other: Prediction) -> None:
    np.testing.assert_array_equal(one.mask, other.mask)
    np.testing.assert_allclose(one.pixel_uncertainty, other.pixel_uncertainty, atol=ROUNDING)
    for mine, theirs in zip(one.opinions, other.opinions, strict=True):
        np.testing.assert_allclose(mine.belief, theirs.belief, atol=ROUNDING)


def photograph(path: Path) -> Path:
    Image.fromarray(RNG.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(path)
    return path


def stack(path: Path) -> Path:
    tifffile.imwrite(path, RNG.integers(0, 4000, (4, 40, 50), dtype=np.uint16), photometric="minisblack")
    return path


def open_in(dock: AnalyseWidget, qtbot: QtBot, path: Path) -> None:
    from napari_uml.widgets.input_panel import InputPanel

    button = dock.panels[InputPanel].load
    button.load([path])
    qtbot.waitUntil(button.isEnabled)
    assert dock.session.message is None


def whole(dock: AnalyseWidget) -> None:
    pass


def noisy_rectangle(dock: AnalyseWidget) -> None:
    dock.session.sigma, dock.session.seed = 0.07, 3
    dock.session.area = "rectangle"
    dock.bench.draw_rectangle()
    dock.bench.shapes.add_rectangles(np.array([[4, 8], [4, 40], [30, 40], [30, 8]]))


def third_slice(dock: AnalyseWidget) -> None:
    dock.bench.viewer.dims.set_current_step(0, 2)


def every_slice(dock: AnalyseWidget) -> None:
    dock.session.slices, dock.session.sigma = "all", 0.05


def blurred(dock: AnalyseWidget) -> None:
    dock.session.corruption = Corruption("blur", 2.0)


CASES = pytest.mark.parametrize(
    ("make", "choose"),
    [(photograph, whole), (photograph, noisy_rectangle), (stack, third_slice), (stack, every_slice)],
)


SCRIPTED = pytest.mark.parametrize(("make", "choose"), [*CASES.args[1], (photograph, blurred)])


@SCRIPTED
def test_the_copied_script_gives_the_docks_numbers(
    qtbot: QtBot, dock: AnalyseWidget, tmp_path: Path, make: Callable[[Path], Path], choose: Callable[[Any], None]
) -> None:
    open_in(dock, qtbot, make(tmp_path / "the image.tif"))
    choose(dock)
    shown = run(qtbot, dock)
    names: dict[str, Any] = {}
    exec(copied(qtbot, dock, "python"), names)
    assert_same(names["prediction"], shown)


@CASES
def test_the_copied_command_gives_the_docks_numbers(
    qtbot: QtBot, dock: AnalyseWidget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Path], Path], choose: Callable[[Any], None],
) -> None:  # fmt: skip
    open_in(dock, qtbot, make(tmp_path / "the image.tif"))
    choose(dock)
    shown = run(qtbot, dock)
    words = shlex.split(copied(qtbot, dock, "command"))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, words[1:])
    assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "results" / "labels.tif"), shown.mask)
    uncertainty = tifffile.imread(tmp_path / "results" / "uncertainty.tif")
    np.testing.assert_allclose(uncertainty, shown.pixel_uncertainty, atol=ROUNDING)
    belief = read_run(tmp_path / "results" / "run.json").opinion.belief
    np.testing.assert_allclose(list(belief.values()), shown.opinion.belief, atol=ROUNDING)


def test_saved_files_read_back_as_they_were_shown(
    qtbot: QtBot, dock: AnalyseWidget, viewer: ViewerModel, tmp_path: Path
) -> None:
    open_in(dock, qtbot, photograph(tmp_path / "eye.png"))
    shown = run(qtbot, dock)
    out = tmp_path / "out"
    out.mkdir()
    folder = saved(qtbot, dock, out)
    assert sorted(path.name for path in folder.iterdir()) == sorted(NAMES)
    np.testing.assert_array_equal(tifffile.imread(folder / "labels.tif"), viewer.layers["eye structures"].data)
    np.testing.assert_array_equal(tifffile.imread(folder / "uncertainty.tif"), viewer.layers["eye uncertainty"].data)
    with (folder / "results.csv").open(encoding="utf-8-sig") as file:
        (row,) = csv.DictReader(file)
    assert float(row["u"]) == pytest.approx(shown.opinion.uncertainty)
    record = read_run(folder / "run.json")
    assert find_recorded_image(record.image, folder / "run.json") == tmp_path / "eye.png"


def test_nothing_is_overwritten(qtbot: QtBot, dock: AnalyseWidget, tmp_path: Path) -> None:
    open_in(dock, qtbot, photograph(tmp_path / "eye.png"))
    run(qtbot, dock)
    out = tmp_path / "out"
    out.mkdir()
    first, second = saved(qtbot, dock, out), saved(qtbot, dock, out)
    assert second.name == f"{first.name}-2"


def test_a_segmentation_that_could_not_be_written_is_told(qtbot: QtBot, dock: AnalyseWidget, tmp_path: Path) -> None:
    scan = dicom(tmp_path / "scan.dcm", RNG.integers(0, 256, (40, 60), dtype=np.uint8))  # it names no patient
    open_in(dock, qtbot, scan)
    run(qtbot, dock)
    out = tmp_path / "out"
    out.mkdir()
    folder = saved(qtbot, dock, out)
    assert not (folder / "labels.dcm").exists()
    assert f"in {folder}; no labels.dcm was written. scan.dcm and the model" in dock.session.message.text


@pytest.mark.parametrize("shape", [(40, 60), (40, 60, 3), (3, 40, 60)])
def test_a_layer_without_a_file_is_repeated_from_the_saved_input(
    qtbot: QtBot, dock: AnalyseWidget, viewer: ViewerModel, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    viewer.add_image(RNG.random(shape) * 300 - 20, name="made", rgb=shape[-1] == 3)
    dock.session.slices = "all"
    shown = run(qtbot, dock)
    assert copied(qtbot, dock, "python") == ""
    assert "did not come from a file: press Save" in dock.session.message.text
    folder = saved(qtbot, dock, tmp_path)
    assert (folder / "input-made.tif").exists()
    names: dict[str, Any] = {}
    exec(copied(qtbot, dock, "python"), names)
    assert_same(names["prediction"], shown)


def test_a_channel_of_a_file_says_why_there_is_no_command(qtbot: QtBot, dock: AnalyseWidget, tmp_path: Path) -> None:
    open_in(dock, qtbot, photograph(tmp_path / "eye.png"))
    dock.session.reading = type(dock.session.reading)("green", 2)
    run(qtbot, dock)
    assert copied(qtbot, dock, "command") == ""
    assert "eye.png, read by itself, does not give the pixels" in dock.session.message.text


def test_the_buttons_wait_for_a_result(dock: AnalyseWidget, viewer: ViewerModel) -> None:
    viewer.add_image(RNG.random((20, 30)))
    panel = dock.panels[SavePanel]
    for button in (panel.save, panel.command, panel.python):
        assert not button.isEnabled()
        assert button.toolTip() == NOTHING


def test_the_copied_command_names_the_corruption(qtbot: QtBot, dock: AnalyseWidget, tmp_path: Path) -> None:
    open_in(dock, qtbot, photograph(tmp_path / "eye.png"))
    blurred(dock)
    run(qtbot, dock)
    assert "--corruption blur=" in copied(qtbot, dock, "command")
    assert "--corruption blur=" in saved(qtbot, dock, tmp_path).joinpath("report.html").read_text(encoding="utf-8")


def test_the_report_has_the_curves_of_the_sweep(qtbot: QtBot, dock: AnalyseWidget, tmp_path: Path) -> None:
    open_in(dock, qtbot, photograph(tmp_path / "eye.png"))
    run(qtbot, dock)
    result = dock.session.result
    plan = Plan(seeds=(0,))
    names = (*result.prediction.opinion.class_names, "uncertainty", "mean pixel uncertainty", "agreement")
    values = {name: np.linspace(1, 0.1, len(plan.strengths))[:, None] for name in names}
    swept = Sweep(plan, result.prediction.opinion.class_names, values)
    dock.session.sweep = SweepResult(result.request, result.loaded, swept)
    report = Tags()
    report.feed((saved(qtbot, dock, tmp_path) / "report.html").read_text(encoding="utf-8"))
    assert report.tags.count("img") == 4
    assert "mean of 1 draws" in report.words


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [str(value) for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.words += data


def test_the_report_is_one_file_whose_texts_are_escaped(
    qtbot: QtBot, dock: AnalyseWidget, viewer: ViewerModel, tmp_path: Path
) -> None:
    viewer.add_image(RNG.random((40, 60)), name="<script>alert(1)</script>")
    run(qtbot, dock)
    report = Tags()
    report.feed((saved(qtbot, dock, tmp_path) / "report.html").read_text(encoding="utf-8"))
    assert not {"script", "cup", "b>"} & set(report.tags)
    assert report.tags.count("img") == 3
    assert all(link.startswith("data:image/png;base64,") for link in report.links)
    for words in (
        "Research use only",
        "Most belief",
        "<cup>",
        "glau&coma",
        "not calibrated",
        "mean uncertainty",
        "torch",
    ):
        assert words in report.words


def test_the_script_says_where_the_numbers_come_from(qtbot: QtBot, dock: AnalyseWidget, tmp_path: Path) -> None:
    open_in(dock, qtbot, photograph(tmp_path / "eye.png"))
    run(qtbot, dock)
    script = copied(qtbot, dock, "python")
    assert "device='cpu', precision='float32'" in script
    assert UMLPredictor.__name__ in script
