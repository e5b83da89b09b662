"""The rows of the operations that give values another shape: flatten, reshape, transpose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fcpts_ref.errors import InputError, counted
from fcpts_ref.graphs.operations.attributes import Attribute
from fcpts_ref.graphs.operations.operation import (
    Attributes,
    Channels,
    Operation,
    Shape,
    simple,
)
from fcpts_ref.graphs.operations.shapes import axis, open_shape, permutation, regrouped
from fcpts_ref.layers.reshaping import (
    flat_shape,
    flatten_backward,
    flatten_forward,
    full_shape,
    reshape_backward,
    reshape_forward,
    transpose_backward,
    transpose_forward,
)

Maps = tuple[Channels | None, ...]


def _flatten_shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    return flat_shape(inputs[0], attributes["axis"])


def _flatten_channels(inputs: Sequence[Shape], attributes: Attributes) -> Maps:
    return (regrouped(inputs[0], _flatten_shape(inputs, attributes)),)


def _reshape_shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    return full_shape(inputs[0], attributes["shape"])


def _reshape_channels(inputs: Sequence[Shape], attributes: Attributes) -> Maps:
    return (regrouped(inputs[0], _reshape_shape(inputs, attributes)),)


def _transpose_shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    axes = attributes["permutation"]
    if len(axes) != len(inputs[0]):
        raise InputError(
            f"reads {inputs[0]}; expected {counted(len(axes), 'axis', 'axes')}, as in {axes}"
        )
    return tuple(inputs[0][axis] for axis in axes)


def _transpose_channels(inputs: Sequence[Shape], attributes: Attributes) -> Maps:
    return (np.arange(inputs[0][0]) if attributes["permutation"][0] == 0 else None,)


FLATTEN = Operation(
    *simple(flatten_forward, flatten_backward),
    {"axis": Attribute(axis, 0)},
    _flatten_shape,
    channels=_flatten_channels,
)
RESHAPE = Operation(
    *simple(reshape_forward, reshape_backward),
    {"shape": Attribute(open_shape)},
    _reshape_shape,
    channels=_reshape_channels,
)
TRANSPOSE = Operation(
    *simple(transpose_forward, transpose_backward),
    {"permutation": Attribute(permutation)},
    _transpose_shape,
    channels=_transpose_channels,
)
