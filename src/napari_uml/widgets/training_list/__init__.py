"""The training list in the window: a table, what adds to it, and annotating one image after another."""

from napari_uml.widgets.training_list.panel import TrainingListPanel

__all__ = ["TrainingListPanel"]
