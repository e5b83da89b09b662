"""The rows of addition, subtraction, multiplication and division."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fcpts_ref.graphs.operations.operation import Attributes, Channels, Operation, Shape, simple
from fcpts_ref.layers.arithmetic import (
    add_backward,
    add_forward,
    broadcast_shape,
    divide_backward,
    divide_forward,
    multiply_backward,
    multiply_forward,
    subtract_backward,
    subtract_forward,
)


def _shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    return broadcast_shape(*inputs)


def _channels(inputs: Sequence[Shape], attributes: Attributes) -> tuple[Channels | None, ...]:
    """The same channel, or the only one; a value of fewer axes has no channels, unless it is one.

    Every output channel reads the whole of such a value.
    """
    output = broadcast_shape(*inputs)
    return tuple(_carried(shape, output) for shape in inputs)


def _carried(shape: Shape, output: Shape) -> Channels | None:
    if shape[0] == 1:
        return np.zeros(output[0], np.int64)
    return np.arange(output[0]) if len(shape) == len(output) else None


ADD = Operation(*simple(add_forward, add_backward), shape=_shape, channels=_channels, arity=2)
SUBTRACT = Operation(
    *simple(subtract_forward, subtract_backward), shape=_shape, channels=_channels, arity=2
)
MULTIPLY = Operation(
    *simple(multiply_forward, multiply_backward), shape=_shape, channels=_channels, arity=2
)
DIVIDE = Operation(
    *simple(divide_forward, divide_backward), shape=_shape, channels=_channels, arity=2
)
