"""The first look: napari on a simulated sample with the Analyse dock and its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import napari
import napari.viewer
from qtpy.QtCore import QEventLoop
from qtpy.QtWidgets import QApplication

from napari_uml.data.reading import read_image
from napari_uml.errors import UMLError
from napari_uml.files import refuse_existing, replacing
from napari_uml.inference.run_record import RunSettings, make_record
from napari_uml.inference.saving import RESULTS, file_names, save_prediction, write_tiff
from napari_uml.inference.tables import write_results
from napari_uml.widgets.session import State, missing_input

if TYPE_CHECKING:
    from pathlib import Path

    from napari_uml.widgets.analyse import AnalyseWidget
    from napari_uml.widgets.session import Result

PLUGIN: Final = "napari-uml"
SAMPLE: Final = "ultrasound"
DOCK: Final = "Analyse (UML)"
MODEL: Final = "breast-ultrasound"
WINDOW: Final = "window.png"
IMAGE: Final = "image.tif"
SIZE: Final = (1280, 720)


def open_demo(model: str = MODEL) -> tuple[napari.viewer.Viewer, AnalyseWidget]:
    """A viewer with the sample and the dock, which has begun to analyse it."""
    viewer = napari.viewer.Viewer(title="napari-uml demo")
    viewer.window.resize(*SIZE)
    viewer.open_sample(PLUGIN, SAMPLE)
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, DOCK)
    QApplication.processEvents()  # the dock takes its place beside the canvas
    viewer.reset_view()
    dock.session.model = model
    dock.bench.run()
    return viewer, dock


def show_demo() -> None:
    """Open the demo and stay until the window is closed."""
    open_demo()
    napari.run()


def save_demo(folder: Path, *, overwrite: bool = False, model: str = MODEL) -> list[Path]:
    """Write what the demo shows into a folder: the window, and the files that `napari-uml predict` writes.

    Parameters
    ----------
    folder
        Where to write; it is made.
    overwrite
        Replace what is there.
    model
        Name of the model or path of its weights.

    Returns
    -------
    The files.

    Raises
    ------
    UMLError
        When a file is there already and `overwrite` is off, or the image could not be analysed.
    """
    table, window, source = (folder / name for name in (RESULTS, WINDOW, IMAGE))
    if not overwrite:
        refuse_existing([window, table, source, *(folder / name for name in file_names(source))])
    viewer, dock = open_demo(model)
    try:
        result = _wait_for_result(dock)
        viewer.status = ""
        with replacing(window) as part:
            viewer.screenshot(str(part), canvas_only=False, flash=False)
        return [window, table, source, *_save_result(folder, viewer, result)]
    finally:
        viewer.close()


def _wait_for_result(dock: AnalyseWidget) -> Result:
    session, loop = dock.session, QEventLoop()

    def leave_when_idle(state: State) -> None:
        if state is State.IDLE:
            loop.quit()

    session.events.state.connect(leave_when_idle)
    if session.state is not State.IDLE:
        loop.exec()
    session.events.state.disconnect(leave_when_idle)
    if session.result is None:
        raise UMLError(session.message.text if session.message else missing_input(session))
    return session.result


def _save_result(folder: Path, viewer: napari.viewer.Viewer, result: Result) -> tuple[Path, ...]:
    """Write the sample as a file and the result as if it had been made on that file, which it can be."""
    layer = next(layer for layer in viewer.layers if str(layer.unique_id) == result.request.source.key)
    source = folder / IMAGE
    spacing = tuple(float(step) for step in layer.scale)
    write_tiff(source, layer.data, spacing, ("mm",) * len(spacing))
    image, loaded, prediction = read_image(source), result.loaded, result.prediction
    record = make_record(
        image, prediction, loaded.info, RunSettings(), weights_sha256=loaded.sha256,
        device_description=loaded.device.removesuffix(f", {prediction.precision}"),
    )  # fmt: skip
    write_results(folder / RESULTS, [record], overwrite=True)
    return save_prediction(folder, image, prediction, record, loaded.info.task, overwrite=True).files
