"""The row of the mean over axes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.operations.attributes import Attribute, flag, integers
from fcpts_ref.graphs.operations.operation import Attributes, Channels, Operation, Shape, simple
from fcpts_ref.layers.mean import mean_axes, mean_backward, mean_forward


def _shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    (shape,) = inputs
    where = mean_axes(shape, attributes["axes"])
    if attributes["keepdims"]:
        return tuple(1 if i in where else side for i, side in enumerate(shape, start=1))
    if len(where) == len(shape):
        raise InputError(f"takes the mean over all axes of {shape}; expected keepdims, or fewer")
    return tuple(side for i, side in enumerate(shape, start=1) if i not in where)


def _channels(inputs: Sequence[Shape], attributes: Attributes) -> tuple[Channels | None, ...]:
    """Channels stay apart unless the mean is over them."""
    (shape,) = inputs
    return (None if 1 in mean_axes(shape, attributes["axes"]) else np.arange(shape[0]),)


ATTRIBUTES = {"axes": Attribute(integers), "keepdims": Attribute(flag, True)}
MEAN = Operation(*simple(mean_forward, mean_backward), ATTRIBUTES, _shape, channels=_channels)
