"""Operations that only move values: reshape, transpose and flatten."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError, counted
from fcpts_ref.layers.axes import Shape, axis_of_value

Array = NDArray[Any]


def flatten_forward(x: Array, *, axis: int = 0) -> tuple[Array, tuple[Any, ...]]:
    """Merge the axes from ``axis`` on into one, row-major; (N, ...) -> (N, F) for axis 0.

    axis: without the batch; negative from the end.  Returns y and the cache.
    Raises InputError for an axis that x does not have.
    """
    return x.reshape(len(x), *flat_shape(x.shape[1:], axis)), (x.shape,)


def flatten_backward(dy: Array, cache: tuple[Any, ...]) -> Array:
    """Return dy in the shape of x."""
    (x_shape,) = cache
    return dy.reshape(x_shape)


def reshape_forward(x: Array, *, shape: Sequence[int]) -> tuple[Array, tuple[Any, ...]]:
    """The same values, row-major, in another shape.  Returns y (N, *shape) and the cache.

    shape: without the batch; at most one -1, which stands for the rest.
    Raises InputError if the sizes do not agree.
    """
    return x.reshape(len(x), *full_shape(x.shape[1:], shape)), (x.shape,)


def reshape_backward(dy: Array, cache: tuple[Any, ...]) -> Array:
    """Return dy in the shape of x."""
    return flatten_backward(dy, cache)


def transpose_forward(x: Array, *, permutation: Sequence[int]) -> tuple[Array, tuple[Any, ...]]:
    """Reorder the axes: axis i of y is axis permutation[i] of x, both counted without the batch.

    x: (N, ...).  Returns y and the cache.  Raises InputError unless each axis is named once.
    """
    if sorted(permutation) != list(range(x.ndim - 1)):
        raise InputError(
            f"transpose got x {x.shape} and permutation {tuple(permutation)}; expected each of the "
            f"{counted(x.ndim - 1, 'axis', 'axes')} after the batch once"
        )
    axes = (0, *(axis + 1 for axis in permutation))
    return np.ascontiguousarray(x.transpose(axes)), (axes,)


def transpose_backward(dy: Array, cache: tuple[Any, ...]) -> Array:
    """Return dy with its axes in the order of x."""
    (axes,) = cache
    return np.ascontiguousarray(dy.transpose(np.argsort(axes)))


def flat_shape(shape: Shape, axis: int) -> Shape:
    """The shape of a value whose axes from ``axis`` on are merged."""
    axis = axis_of_value(axis, len(shape)) if shape else 0
    return (*shape[:axis], math.prod(shape[axis:]))


def full_shape(shape: Shape, asked: Sequence[int]) -> Shape:
    """``asked`` with its -1 replaced by what is left of ``shape``.

    Raises InputError if the sizes do not agree.
    """
    size, known = math.prod(shape), math.prod(side for side in asked if side != -1)
    unknown = sum(side == -1 for side in asked)
    fits = size == known if unknown == 0 else unknown == 1 and known > 0 and size % known == 0
    if not fits:
        raise InputError(f"reshapes {shape} to {tuple(asked)}; expected as many values")
    return tuple(size // known if side == -1 else side for side in asked)
