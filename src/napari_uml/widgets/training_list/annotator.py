"""Annotating one image after another: the network proposes, the user corrects, and what is saved goes into the list."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import QObject, Signal

from napari_uml.config import IGNORE
from napari_uml.data.annotate_next import Queue, Score
from napari_uml.data.names import now_called
from napari_uml.widgets.background import Background
from napari_uml.widgets.layers import mask_style
from napari_uml.widgets.preferences import read_preferences
from napari_uml.widgets.session import Progress
from napari_uml.widgets.training_list import work
from napari_uml.widgets.worker import Runner

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari.viewer
    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_uml.config import Task
    from napari_uml.data.dataset import DatasetInfo, Record
    from napari_uml.data.training_list import TrainingList
    from napari_uml.widgets.background import Closing
    from napari_uml.widgets.session import Predictor

UNLABELLED_COLOR = (0.5, 0.5, 0.5, 0.6)


class Annotator(QObject):
    """Scores what waits, proposes a mask for the most uncertain image, and saves the corrected one.

    Attributes
    ----------
    shown
        A `Looked` came into the viewer.
    saved
        A row was saved.
    told
        Something to say, in words.
    failed
        An error.
    ended
        Work is over, or nothing came of it.
    """

    shown = Signal(object)
    saved = Signal(str)
    told = Signal(str)
    failed = Signal(object)
    ended = Signal()

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        owner: Closing,
        load: Callable[[str, str, str], Predictor] | None,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self.queue = Queue()
        self.image = ""
        self._viewer = viewer
        self._rows: TrainingList | None = None
        self._model = ""
        self._layers: tuple[Layer, Labels] | None = None
        self._saved_layers: tuple[Layer, Labels] | None = None  # of the image that is being saved
        self._saved_labels: NDArray[Any] | None = None
        self._known: NDArray[Any] | None = None  # the labels as they need no saving
        self._scoring = False
        self._skipped: set[str] = set()
        self._runner = Runner(load, self)
        self._background = Background(owner, self)
        self._saving = Background(owner, self)
        for source in (self._runner, self._background):
            source.yielded.connect(self._on_yielded)
            source.failed.connect(self._on_failed)
            source.finished.connect(self._on_finished)
        self._saving.yielded.connect(self._on_saved)
        self._saving.failed.connect(self.failed)
        self._saving.finished.connect(self._on_saving_over)
        owner.closing.connect(self._runner.drop)

    @property
    def is_busy(self) -> bool:
        """Whether something is computed or saved."""
        return self._runner.is_running or self._background.is_busy or self._saving.is_busy

    @property
    def is_saving(self) -> bool:
        """Whether an image is being saved."""
        return self._saved_layers is not None

    @property
    def is_edited(self) -> bool:
        """Whether the labels that are shown were changed since, other than by removing their layer."""
        if self._layers is None or self._known is None or self._layers[1] not in self._viewer.layers:
            return False
        return not np.array_equal(self._layers[1].data, self._known)

    def set_rows(self, rows: TrainingList | None) -> None:
        """Work on another list, or on none; what is in the viewer stays there.

        When it is the same list that was opened again, the image that is shown can still be saved, unless its row or
        the structures are others now.
        """
        if rows is self._rows:
            return
        self._scoring = False
        self._runner.drop()
        self._background.stop()
        if not self._can_save_into(rows):
            self._layers, self.image, self._known = None, "", None
        self._rows, self._skipped = rows, set()

    def _can_save_into(self, rows: TrainingList | None) -> bool:
        if rows is None or self._rows is None or rows.folder.resolve() != self._rows.folder.resolve():
            return False
        before = {record for record in self._rows.records if record.image == self.image}
        return bool(before) and before <= {*rows.records} and rows.info.seg_classes == self._rows.info.seg_classes

    def next(self, model: str) -> None:
        """Show the most uncertain image; those that no score is known of are looked at first, unless already under way.

        It takes the place of the image that is shown, unless that one is painted on or saved meanwhile.

        Parameters
        ----------
        model
            Name of the model that proposes; empty: none, the images come in the order of the list.
        """
        if self._rows is None:
            return
        if self._layers is not None:
            self._known = np.array(self._layers[1].data)
        self.queue.set(self._rows.records, model)
        self._model, scoring = model, self._scoring
        self._scoring = False
        if model and self.queue.unscored and not scoring and not self._skipped:
            self._scoring = True
            self.told.emit(f"Looks for the most uncertain of {len(self.queue.images)} images…")
            self._submit(work.score(self._rows.folder, self.queue.unscored))
        else:
            self._look()

    def skip(self, model: str) -> None:
        """Leave the image that is shown for later, and go on with a model, see `next`."""
        if self.image:
            self._skipped.add(self.image)
            self._put_away()
        self.next(model)

    def follow_names(self, before: DatasetInfo) -> None:
        """Show the structures by their names now; when some were removed, the numbers painted are others now.

        The image is then let go of: its layers stay, and cannot be saved as if nothing had happened.
        """
        if self._rows is None or self._layers is None:
            return
        now = self._rows.info
        numbers = [now_called(now, "structure", name) for name in before.seg_classes]
        if numbers == [*now.seg_classes[: len(numbers)]]:
            style = _style(now)
            self._layers[1].colormap, self._layers[1].features = style["colormap"], style["features"]
            return
        name = PurePosixPath(self.image).stem
        self._layers, self.image, self._known = None, "", None
        self.told.emit(f"Structures were removed, so the labels of {name} mean others now: take the image anew.")
        self.ended.emit()

    def save(self, label: str) -> None:
        """Save the corrected labels and the class of the image that is shown; then it leaves the viewer."""
        if self._rows is None or self._layers is None:
            return
        rows, image, labels = self._rows, self.image, np.array(self._layers[1].data)
        given = None if (labels == IGNORE).all() else labels
        self._saving.start(work.change(lambda: rows.update(image, label=label, labels=given)))
        self._saved_layers, self._saved_labels = self._layers, labels

    def _submit(self, job: Any) -> None:
        wanted = read_preferences()
        self._runner.submit(job, self._model, wanted.device, wanted.precision)

    def _look(self) -> None:
        image = self.queue.next({*self._skipped, self.image})
        if image is None and self._skipped:
            self._skipped = set()
            image = self.queue.next({self.image})
        if image is None or self._rows is None:
            self.told.emit("Every image of the list is annotated." if not self.image else "This is the last image.")
            self.ended.emit()
            return
        u = self.queue.uncertainty(image)
        self.told.emit(f"Opens {PurePosixPath(image).name}" + (f", u = {u:.2f}…" if u is not None else "…"))
        if self._model:
            self._submit(work.look(self._rows.folder, image, self._rows.info))
        else:
            self._background.start(work.look_bare(self._rows.folder, image))

    def _on_yielded(self, value: object) -> None:
        if isinstance(value, Score):
            self.queue.add(value)
        elif isinstance(value, Progress) and value.total:
            self.told.emit(f"Looked at {value.done} of {value.total} images; Next image takes the best so far.")
        elif isinstance(value, work.Looked) and self._rows is not None:
            if self.is_edited and not self.is_saving:
                name = PurePosixPath(self.image).stem
                self.told.emit(f"{name} was painted on meanwhile: save it, or press Next image again.")
            elif not self.is_saving:
                self._show(value, self._rows.info)

    def _on_finished(self) -> None:
        """Scores are known now: look at the image that they choose."""
        if self._scoring:
            self._scoring = False
            self._look()
        else:
            self.ended.emit()

    def _on_failed(self, error: Exception) -> None:
        self._scoring = False
        self.failed.emit(error)

    def _on_saved(self, record: Record) -> None:
        saved, self._saved_layers = self._saved_layers, None
        if self._layers is saved:
            self._known = self._saved_labels
            if not self.is_edited:
                self._put_away()
        self.saved.emit(record.image)
        if self.image == record.image:
            name = PurePosixPath(record.image).stem
            self.told.emit(f"{name} was painted on while it was saved: save it again.")

    def _on_saving_over(self) -> None:
        self._saved_layers = None
        self.ended.emit()

    def _show(self, looked: work.Looked, task: Task) -> None:
        self._put_away()
        name = PurePosixPath(looked.image).stem
        rgb = looked.pixels.ndim == 3
        image = Image(looked.pixels, name=name, rgb=rgb, contrast_limits=(0, 1))
        labels = Labels(looked.mask.copy(), name=f"{name} labels", **_style(task))
        self._layers, self.image = (self._viewer.add_layer(image), self._viewer.add_layer(labels)), looked.image
        self._known = looked.mask
        self._viewer.layers.selection.active = labels
        labels.selected_label = 1
        self._viewer.reset_view()
        u = self.queue.uncertainty(looked.image)
        known = f" (u = {u:.2f})" if u is not None else ""
        self.told.emit(f"{name}{known}: correct the labels, choose the class, then Save and next.")
        self.shown.emit(looked)

    def _put_away(self) -> None:
        """Take the layers of the image out of the viewer; the user may have done so already."""
        for layer in self._layers or ():
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self._layers, self.image, self._known = None, "", None


def _style(task: Task) -> dict[str, Any]:
    """As results are shown, and what nobody annotated in grey."""
    style = mask_style(task)
    colors = {**style["colormap"].color_dict, IGNORE: UNLABELLED_COLOR}
    features = {
        "index": [*style["features"]["index"], IGNORE],
        "structure": [*style["features"]["structure"], "not annotated"],
    }
    return {**style, "colormap": DirectLabelColormap(color_dict=colors), "features": features}
