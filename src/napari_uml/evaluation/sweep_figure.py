"""The curves of a sweep as a picture for the report."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from napari_uml.evaluation.sweep import NOISE, PIXEL_UNCERTAINTY, UNCERTAINTY, in_words
from napari_uml.inference.corruptions import KINDS
from napari_uml.inference.report import Figure

if TYPE_CHECKING:
    from napari_uml.evaluation.sweep import Sweep

DPI = 100
STYLES = ("-", "--", "-.", ":")


def sweep_figure(sweep: Sweep) -> Figure:
    """Means over the draws as lines, their range as bands: the opinion at the left, the pixels at the right.

    What the system does not answer is left out.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Plot

    plot = Plot(figsize=(9, 3), dpi=DPI, layout="constrained")
    FigureCanvasAgg(plot)
    over = "noise sigma" if sweep.plan.over == NOISE else KINDS[sweep.plan.over].title
    opinion = (*sweep.class_names, UNCERTAINTY)
    sides = [[name for name in sweep.values if (name in opinion) is wanted] for wanted in (True, False)]
    shown = [names for names in sides if names]
    axes = plot.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axis, names in zip(axes, shown, strict=True):
        for number, name in enumerate(names):
            mean, low, high = sweep.band(name)
            doubt = name in (UNCERTAINTY, PIXEL_UNCERTAINTY)
            style = {"color": "#A3238E"} if doubt else {"linestyle": STYLES[number % len(STYLES)]}
            (line,) = axis.plot(sweep.plan.strengths, mean, label=name.replace("$", r"\$"), **style)
            axis.fill_between(sweep.plan.strengths, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
        axis.set(xlabel=over, ylim=(0, 1))
        axis.legend(fontsize=8)
    file = io.BytesIO()
    plot.savefig(file, format="png")
    draws = len(sweep.plan.seeds)
    return Figure(file.getvalue(), f"{in_words(sweep)} Lines: mean of {draws} draws; bands: their range.")
