"""Steps as loops of kernels alone, in evaluation: the ones that ``jit.capture`` can record.

Whatever a function hands to kernels belongs to the plan, to the run or to the run's cache, so that
the recorded loops stay valid as long as these.  The run needs a ``WeightCache``, and one pass must
have filled it before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.numba.plan import steps
from fcpts_ref.engines.numba.plan.moving_steps import Concat, Pad, Slice
from fcpts_ref.engines.numba.plan.pointwise_steps import Activation, Identity, Product, Smooth
from fcpts_ref.engines.numba.plan.step import Run, Step
from fcpts_ref.engines.numba.plan.weighted_steps import BatchNorm, Convolution, Linear
from fcpts_ref.engines.numba.pointwise.copy import copy_images
from fcpts_ref.engines.numba.pointwise.normalise import normalise

Array = NDArray[Any]
Loops = Callable[[Any, Run], None]


def loops_of(step: Step) -> Loops | None:
    """The function that runs a step by kernels alone, or None if it needs Python."""
    if isinstance(step, steps.Reshape) and not _one_is_flat(step):
        return None
    return LOOPS.get(type(step))


def _forward(step: Step, run: Run) -> None:
    step.forward(run)


def _input(step: Step, run: Run) -> None:
    copy(run.inputs[step.group.output], step.output.values)


def _normalise(step: Step, run: Run) -> None:
    images = run.inputs[step.group.inputs[0]]
    mean, std = run.buffers[f"{step.name}.mean"], run.buffers[f"{step.name}.std"]
    inverse = run.cached((step.name, "inverse"), lambda: 1 / std)
    normalise(images, mean, inverse, step.output.array, step.output.geometry.pitch)


def _convolution(step: Convolution, run: Run) -> None:
    step.forward_between(run)
    if step.between:
        copy(step.between.values, step.output.values)


def _linear(step: Linear, run: Run) -> None:
    plan, bias = step.plan, run.parameters[step.bias] if step.biased else None
    copy(step.inputs[0].array, plan.x)
    plan.run(step.listed(run), bias, packed=run.packed(step.weight))
    copy(plan.y, step.output.array)


def _identity(step: Identity, run: Run) -> None:
    if step.output is not step.inputs[0]:
        copy(step.inputs[0].values, step.output.values)


def _reshape(step: Step, run: Run) -> None:
    x, y = step.inputs[0].values, step.output.values
    if y.ndim == 2:
        y = y.reshape(x.shape)
    elif x.ndim == 2:
        x = x.reshape(y.shape)
    copy(x, y)


def _one_is_flat(step: Step) -> bool:
    """Whether one side is a row of features, which can be seen in the shape of the other."""
    return 2 in (step.inputs[0].values.ndim, step.output.values.ndim)


def _concat(step: Concat, run: Run) -> None:
    for slot, place in zip(step.inputs, step.places, strict=True):
        copy(slot.values, step.output.values[place])


def _slice(step: Slice, run: Run) -> None:
    copy(step.inputs[0].values[step.place], step.output.values)


def _pad(step: Pad, run: Run) -> None:
    value = step.group.attributes["value"]
    shape, dtype = step.output.values.shape, step.dtype
    copy(
        run.cached((step.name, "padding"), lambda: np.full(shape, value, dtype)),
        step.output.values,
    )
    copy(step.inputs[0].values, step.output.values[step.place])


def copy(source: Array, target: Array) -> None:
    """target = source, by a kernel; values (N, ...) of at most four axes."""
    copy_images(_as_images(source), _as_images(target))


def _as_images(values: Array) -> Array:
    """A view (N, C, H, W) of values (N, ...) with up to three axes beside the batch."""
    return values[(..., *[np.newaxis] * (4 - values.ndim))]


LOOPS: dict[type[Step], Any] = {
    steps.Input: _input,
    steps.Normalise: _normalise,
    Convolution: _convolution,
    Linear: _linear,
    BatchNorm: _forward,
    Activation: _forward,
    Smooth: _forward,
    Product: _forward,
    Identity: _identity,
    steps.Add: _forward,
    steps.Shortcut: _forward,
    steps.Pool: _forward,
    steps.GlobalPool: _forward,
    Concat: _concat,
    Slice: _slice,
    Pad: _pad,
    steps.Reshape: _reshape,
}
"""By the class of the step.  Steps of transformers are not here: BLAS computes their products."""
