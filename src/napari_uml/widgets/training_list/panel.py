"""The training list: what is trained on, shown as a table that is saved at every change."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, cast

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QShortcut, QWidget

from napari_uml.data.annotate_next import to_annotate
from napari_uml.data.names import now_called
from napari_uml.data.splitting import suggest_split
from napari_uml.data.training_list import TrainingList
from napari_uml.errors import UMLError, WeightsError
from napari_uml.weights import list_models
from napari_uml.widgets.background import Background
from napari_uml.widgets.panel import Stopping, scroll_to
from napari_uml.widgets.training_list import work
from napari_uml.widgets.training_list.annotator import Annotator
from napari_uml.widgets.training_list.current import renumbered, take_current
from napari_uml.widgets.training_list.layout import Layout
from napari_uml.widgets.training_list.questions import Questions
from napari_uml.widgets.training_list.remembered import last_folder, remember_folder
from napari_uml.widgets.training_list.table import RowsTable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import napari.viewer

    from napari_uml.data.dataset import DatasetInfo, Problem, Record, Split
    from napari_uml.widgets.background import Work
    from napari_uml.widgets.session import Predictor
    from napari_uml.widgets.training_list.dialogs import AddDialog
    from napari_uml.widgets.training_list.table import Edit


class TrainingListPanel(Stopping):
    """Table, buttons and messages of a training list; the list that was used last is opened.

    Parameters
    ----------
    viewer
        Where images come from and are annotated.
    load
        Makes a predictor of the names of model, device and precision; for tests.

    Attributes
    ----------
    changed
        Emitted when the list is another one, or its rows or names changed.
    checked
        Emitted when a check is over; `problems` has what it found.
    closing
        Emitted by `stop`: work in the background stops.
    """

    changed = Signal()
    checked = Signal()
    closing = Signal()

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        parent: QWidget | None = None,
        load: Callable[[str, str, str], Predictor] | None = None,
    ) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.rows: TrainingList | None = None
        self._problems: tuple[Problem, ...] = ()
        self._is_checked = False
        self._added = 0
        self._asked: Split | None = None  # the split that is asked for, of which a group makes another
        self._elsewhere: Counter[str] = Counter()
        self._refused: list[str] = []
        self.view = Layout(self)
        self._questions = Questions(self)
        self.annotator = Annotator(viewer, self, load, self)
        self._adding, self._checking, self._drawing = (Background(self, self) for _ in range(3))
        self._draw, self._scroll = (QTimer(self, singleShot=True, interval=wait) for wait in (50, 0))
        self._connect()
        self.refresh_models()
        folder = last_folder()
        if folder is not None:
            self.open(folder)
        self.show_rows()

    @property
    def folder(self) -> Path | None:
        """The dataset folder; None without a list."""
        return self.rows.folder if self.rows else None

    @property
    def info(self) -> DatasetInfo | None:
        """Structures and classes of the list; None without a list."""
        return self.rows.info if self.rows else None

    @property
    def unsaved(self) -> str:
        """The image whose labels were changed and are not saved; empty when there is none."""
        return self.annotator.image if self.annotator.is_edited else ""

    def problems(self) -> tuple[Problem, ...]:
        """What the last check found; empty after every change, until `check` is over."""
        return self._problems

    def select_row(self, image: str) -> None:
        """Select the row of an image and scroll to it."""
        row = self.view.rows.row_of(image)
        if row >= 0:
            self.view.table.selectRow(row)
            self.view.table.scrollTo(self.view.rows.index(row, 0), RowsTable.ScrollHint.PositionAtCenter)

    def set_trained_on(self, is_on: bool) -> None:
        """Keep names, splits and rows as they are while a run is on with them, and its model is judged by them."""
        self.view.rows.is_trained_on = is_on
        self._show_state()

    def open(self, folder: Path) -> None:
        """Go on with a list or a dataset folder; one that cannot be opened is explained and the list stays."""
        try:
            self._use(TrainingList.open(folder))
        except UMLError as error:
            self._tell(error)

    def create(self, folder: Path, info: DatasetInfo) -> None:
        """Begin a new list."""
        try:
            self._use(TrainingList.create(folder, info))
        except UMLError as error:
            self._tell(error)

    def add_current(self, dialog: AddDialog) -> None:
        """Add what a dialog says."""
        if self.rows is not None:
            current = take_current(self.viewer, dialog.image, dialog.labels)
            known = {
                "labels": None if current.labels is None else renumbered(current.labels, dialog.numbers),
                "label": dialog.label.currentData(), "name": current.name,
                "split": dialog.split.currentData(), "group": current.group or None,
            }  # fmt: skip
            self._add(work.add_current(self.rows, current.read, **known), known["split"])

    def add_files(self, paths: Sequence[Path]) -> None:
        """Add copies of image files, with the masks that lie beside them."""
        if self.rows is not None:
            self._add(work.add_files(self.rows, paths, with_masks=True), "train")

    def add_folder(self, folder: Path) -> None:
        """Add copies of all images of a folder, without masks."""
        if self.rows is not None:
            self._add(work.add_folder(self.rows, folder), "train")

    def add_dataset(self, folder: Path) -> None:
        """Add all rows of another dataset folder."""
        if self.rows is not None:
            self._add(work.add_dataset(self.rows, folder))

    def check(self) -> None:
        """Look for every problem of the list; `checked` tells when it is over."""
        if self.rows is not None:
            self.view.say("Reads every image and mask…")
            self._checking.start(work.check(self.rows.dataset))
            self._show_state()

    def remove(self, images: Sequence[str]) -> None:
        """Take rows out of the list; their files stay."""
        if self.rows is not None:
            self._change(partial(self.rows.remove, images))

    def suggest(self) -> None:
        """Have a quarter validate, with those that do already; groups are kept together."""
        if self.rows is not None:
            found = suggest_split(self.rows.records)
            if not self._change(partial(self.rows.move, found.splits, found.groups)):
                return
            count = sum(split == "val" for split in found.splits.values())
            kept = len({*found.groups.values()})
            told = f" File names tell of {kept} patients or lesions, which are kept together." if kept else ""
            self.view.say(f"{count} of {len(found.splits)} images validate.{told}")

    def refresh_models(self, renamed: Mapping[str, str] | None = None) -> None:
        """Look again which models there are; one that was `renamed`, by its name before, stays chosen."""
        try:
            usable = [entry for entry in list_models() if entry.path is not None and not entry.problem]
        except UMLError as error:
            self._tell(error)
        else:
            self.view.show_models(usable, renamed or {})

    def stop(self) -> None:
        """Stop everything in the background; for the dock that the panel is in, when it is closed."""
        self._draw.stop()
        self.closing.emit()

    def _connect(self) -> None:
        view, asked = self.view, self._questions
        slots = {
            view.new: asked.ask_new_list, view.open: asked.ask_list, view.add: asked.ask_layers,
            view.files: asked.ask_files, view.bare: asked.ask_folder_to_annotate, view.dataset: asked.ask_dataset,
            view.names: asked.ask_names, view.remove: asked.ask_removal, view.split: self.suggest,
            view.check: self.check, view.next: asked.ask_next, view.save: self._on_save, view.skip: asked.ask_skip,
        }  # fmt: skip
        for button, slot in slots.items():
            (button.clicked if isinstance(button, QWidget) else button.triggered).connect(lambda _=False, s=slot: s())
        delete = QShortcut(QKeySequence.StandardKey.Delete, view.table, context=Qt.ShortcutContext.WidgetShortcut)
        delete.activated.connect(asked.ask_removal)
        view.rows.edited.connect(self._on_edited)
        view.rows.wanted.connect(self._draw.start)
        for signal in (view.problems.itemActivated, view.problems.itemClicked):
            signal.connect(lambda item: self.select_row(item.data(Qt.ItemDataRole.UserRole)))
        self._draw.timeout.connect(self._on_draw)
        self._scroll.timeout.connect(self._on_scroll)
        self._drawing.yielded.connect(view.rows.add_thumbnail)
        self._adding.yielded.connect(self._on_added)
        self._adding.failed.connect(self._on_refused)
        self._adding.finished.connect(self._on_added_all)
        self._checking.yielded.connect(self._on_found)
        self._checking.finished.connect(self._on_checked)
        self.annotator.told.connect(view.say)
        self.annotator.shown.connect(self._on_shown)
        self.annotator.saved.connect(self._on_saved)
        self.annotator.ended.connect(self._show_state)
        for source in (self._checking, self._drawing, self.annotator):
            source.failed.connect(self._tell)

    def _use(self, rows: TrainingList) -> None:
        self.stop_work()
        self.view.rows.forget_all()
        self.rows = rows
        remember_folder(rows.folder)
        self.annotator.set_rows(rows)
        self.view.say("")
        self.show_rows()
        try:
            self.view.choose_model(rows.info)
        except WeightsError as error:
            self._tell(error)

    def stop_work(self) -> None:
        """Let go of what goes on with the list at hand."""
        for background in (self._adding, self._checking, self._drawing):
            background.stop()

    def show_rows(self) -> None:
        """Show the rows as they are; what a check found may be true no longer."""
        self._problems = ()
        if self._checking.is_busy:
            self._checking.stop()
            self.view.say("The list changed while it was checked; press Check again.")
        rows = self.rows
        self.view.rows.mark(frozenset())
        self.view.rows.show(rows.info if rows else None, rows.records if rows else ())
        self.view.show_problems(())
        self.view.show_list(rows)
        self._show_state()
        self.changed.emit()

    def _show_state(self) -> None:
        left = len(to_annotate(self.rows.records)) if self.rows else 0
        busy = self._adding.is_busy or self.annotator.is_saving
        self.view.enable(self.rows is not None, bool(self.rows and self.rows.records), busy, self._checking.is_busy)
        self.view.enable_annotating(left, bool(self.annotator.image), busy, self.annotator.is_saving)

    def _change(self, step: Callable[[], object]) -> bool:
        """Make a small change at once; whether it was made."""
        refused: Exception | None = None
        try:
            step()
        except (UMLError, ValueError) as error:
            refused = error
        self.show_rows()
        if refused is not None:
            self._tell(refused)
        return refused is None

    def _add(self, job: Work, asked: Split | None = None) -> None:
        self._added, self._asked, self._elsewhere, self._refused = 0, asked, Counter(), []
        self._adding.start(job)
        self.view.say("Adds…")
        self._show_state()

    def _tell(self, error: Exception) -> None:
        self.view.say(_words(error), wrong=True)
        self._show_state()

    def _on_edited(self, edit: Edit) -> None:
        if self.rows is None:
            return
        if edit.field == "label":
            self._change(partial(self.rows.update, edit.image, label=edit.value))
            return
        group = self.rows.record(edit.image).group
        together = [one.image for one in self.rows.records if group and one.group == group] or [edit.image]
        moved = self._change(partial(self.rows.move, dict.fromkeys(together, cast("Split", edit.value))))
        if moved and len(together) > 1:
            self.view.say(f"{len(together)} images of the group {group} moved together.")

    def _on_draw(self) -> None:
        if self.rows is not None and self.view.rows.missing:
            if self._drawing.is_busy:
                self._draw.start()
                return
            images, self.view.rows.missing = self.view.rows.missing, []
            self._drawing.start(work.make_thumbnails(self.rows.dataset, images))

    def _on_added(self, value: object) -> None:
        if isinstance(value, UMLError):
            self._on_refused(value)
        elif self.rows is not None:
            self._added += 1
            split = cast("Record", value).split
            if self._asked not in (None, split):
                self._elsewhere[split] += 1
            self.view.say(f"{len(self.rows.records)} images")

    def _on_refused(self, error: Exception) -> None:
        self._refused.append(_words(error))

    def _on_added_all(self) -> None:
        self.show_rows()
        told = list(dict.fromkeys(self._refused))
        if self._added or not told:
            told.insert(0, f"{self._added} image{'' if self._added == 1 else 's'} added.")
        for split, number in self._elsewhere.items():
            who = "It" if self._added == 1 else f"{number} of them"
            told.append(f"{who} went to {split}, with the rest of {'its group' if number == 1 else 'their groups'}.")
        self.view.say("\n".join(told), wrong=bool(self._refused))

    def _on_found(self, found: work.Found) -> None:
        self._problems = found.problems
        self.view.rows.mark(frozenset(problem.row for problem in found.problems))
        self.view.show_problems(found.problems)
        self.view.say("" if found.problems else "No problems: ready to train.")
        self._is_checked = True

    def _on_checked(self) -> None:
        self._show_state()
        if self._is_checked:
            self._is_checked = False
            self.checked.emit()

    def next_image(self) -> None:
        """Show the next image to annotate; what is painted on the one that is shown goes unsaved."""
        self.annotator.next(self._proposing)
        self._show_state()

    def skip_image(self) -> None:
        """Leave the image that is shown for later, and show the next one."""
        self.annotator.skip(self._proposing)
        self._show_state()

    def follow_names(self, before: DatasetInfo) -> None:
        """Have the image that is annotated follow names of the list that were others before."""
        if self.rows is None or self.rows.info == before:
            return
        chosen = self.view.label.currentData()
        self.annotator.follow_names(before)
        if self.annotator.image:
            self.view.show_label(self.rows.info.cls_classes, now_called(self.rows.info, "class", chosen or "") or "")
        self._show_state()

    @property
    def _proposing(self) -> str:
        """Name of the model that proposes; empty: none."""
        entry = self.view.chosen_model()
        return entry.name if entry else ""

    def _on_shown(self, looked: work.Looked) -> None:
        self.view.show_label(self.rows.info.cls_classes if self.rows else (), looked.label)
        self._show_state()
        self._scroll.start()  # when the layout has made room for the class

    def _on_scroll(self) -> None:
        """Go to the image that is annotated, and to the button that saves it."""
        self.select_row(self.annotator.image)
        scroll_to(self.view.save)

    def _on_save(self) -> None:
        self.annotator.save(self.view.label.currentData() or "")
        self._show_state()

    def _on_saved(self, image: str) -> None:
        self.view.rows.forget(image)
        self.show_rows()
        if self.annotator.image != image:  # else it was painted on meanwhile
            self.next_image()


def _words(error: Exception) -> str:
    known = isinstance(error, (UMLError, ValueError))
    return str(error) if known else f"An error inside napari-uml: {error!r}"
