"""What the worker thread does with a loaded model: plain generators, without Qt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_uml.data.view import in_unit
from napari_uml.evaluation.sweep import sweep
from napari_uml.results import stack_predictions
from napari_uml.widgets.reading_modes import take
from napari_uml.widgets.session import Loaded, Message, Predictor, Progress, Request, Result, SweepResult

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_uml.evaluation.sweep import Plan
    from napari_uml.results import Box, Corruption, Prediction

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
        pixels = in_unit(take(data, request.reading, request.position, request.all_slices), stack=request.all_slices)
        total = len(pixels) if request.all_slices else 1
        yield Progress(0, total)
        began_on = predictor.device.description
        done: list[Prediction] = []
        slices = predictor.predict_slices(
            pixels, request.sigma, request.seed, request.box, request.all_slices, request.details, request.corruption
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
            result = Result(request, Loaded.of(predictor), prediction, total)
            if request.with_input:
                number = result.slice_at(request.position)
                seen = predictor.seen(pixels[number] if request.all_slices else pixels, done[number])
                result = replace(result, seen=seen)
            yield result

    return job


def sweep_job(request: Request, data: Any, plan: Plan, truth: Any = None) -> Job:
    """The job behind Sweep: a `Progress` and a `SweepResult` after every look at the slice in view.

    Parameters
    ----------
    request
        What to look at; its noise and corruption do not count.
    data
        The layer's array.
    plan
        What to try.
    truth
        A labels array with the axes of the layer, napari's colour axis excluded; None: there is none.
    """

    def job(predictor: Predictor, stopped: Callable[[], bool]) -> Iterator[object]:
        pixels = in_unit(take(data, request.reading, request.position, False))
        true_mask = None if truth is None else take_mask(truth, request)

        def predict(sigma: float, seed: int, corruption: Corruption | None) -> Prediction:
            looks = predictor.predict_slices(pixels, sigma, seed, request.box, corruption=corruption)
            return cropped(next(iter(looks)), request.box)

        yield Progress(0, plan.total)
        for known in sweep(predict, plan, true_mask):
            yield Progress(known.done, plan.total)
            yield SweepResult(request, Loaded.of(predictor), known)
            if stopped():
                break

    return job


def take_mask(truth: Any, request: Request) -> NDArray[np.integer]:
    """The true mask (H, W) of what a request looks at."""
    plane = request.reading.plane_axes(len(request.source.shape))
    index = tuple(slice(None) if axis in plane else request.position[axis] for axis in range(len(truth.shape)))
    mask = np.asarray(truth[index])
    return mask if request.box is None else mask[request.box.slices]


def cropped(prediction: Prediction, box: Box | None) -> Prediction:
    """The part of a prediction (H, W) that lies in a rectangle."""
    if box is None:
        return prediction
    return replace(
        prediction,
        mask=prediction.mask[box.slices],
        pixel_belief=prediction.pixel_belief[:, *box.slices],
        pixel_uncertainty=prediction.pixel_uncertainty[box.slices],
        looked_at=(None,),
        details=None,
    )
