"""What the worker thread does with a loaded model: plain generators, without Qt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from napari_uml.results import stack_predictions
from napari_uml.widgets.reading_modes import take
from napari_uml.widgets.session import Loaded, Message, Predictor, Progress, Request, Result

if TYPE_CHECKING:
    from napari_uml.results import Prediction

Job = Callable[[Predictor, Callable[[], bool]], Iterator[object]]
"""Takes a predictor and a function that says whether to stop; yields what the GUI thread shall know, and often."""


def analyse(request: Request, data: Any) -> Job:
    """The job behind Run: a `Progress` after every slice, then the `Result`.

    When it is stopped, the result holds the slices that are done; there is none without a slice.

    Parameters
    ----------
    request
        What to analyse.
    data
        The layer's array; it is read in the thread that runs the job.
    """

    def job(predictor: Predictor, stopped: Callable[[], bool]) -> Iterator[object]:
        pixels = take(data, request.reading, request.position, request.all_slices)
        total = len(pixels) if request.all_slices else 1
        yield Progress(0, total)
        began_on = predictor.device.description
        done: list[Prediction] = []
        slices = predictor.predict_slices(
            pixels, request.sigma, request.seed, request.box, request.all_slices, request.details
        )
        for one in slices:
            done.append(one)
            yield Progress(len(done), total)
            if stopped():
                break
        if predictor.device.description != began_on:
            yield Message(f"{predictor.device.reason}; went on with {predictor.device.description}.")
        if done:
            prediction = stack_predictions(done) if request.all_slices else done[0]
            yield Result(request, Loaded.of(predictor), prediction, total)

    return job
