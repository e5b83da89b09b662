"""Concatenation of values, and its counterpart: a slice of one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError, counted
from fcpts_ref.layers.axes import array_axis

Array = NDArray[Any]


def concat_forward(*values: Array, axis: int) -> tuple[Array, tuple[Any, ...]]:
    """Put values one behind the other along an axis (0: the first after the batch).

    values: (N, ...), of equal shapes but for this axis.  Returns y and the cache.
    Raises InputError for shapes that do not fit.
    """
    at = array_axis(axis, values[0].ndim - 1)
    shapes = [value.shape for value in values]
    if len({(*shape[:at], *shape[at + 1 :]) for shape in shapes}) > 1:
        raise InputError(
            f"concat got shapes {', '.join(map(str, shapes))}; expected the same but for axis "
            f"{axis}"
        )
    return np.concatenate(values, axis=at), ([shape[at] for shape in shapes], at)


def concat_backward(dy: Array, cache: tuple[Any, ...]) -> tuple[Array, ...]:
    """Return the part of dy that belongs to each value."""
    sizes, at = cache
    return tuple(np.split(dy, np.cumsum(sizes)[:-1], axis=at))


def slice_forward(
    x: Array, *, axis: int, start: int, stop: int, step: int = 1
) -> tuple[Array, tuple[Any, ...]]:
    """Take x[start:stop:step] along an axis (0: the first after the batch).

    start, stop, step: as in Python; negative ones count from the end, those beyond it are clamped.
    Returns y and the cache.  Raises InputError if nothing is left, or for a step of 0.
    """
    at = array_axis(axis, x.ndim - 1)
    taken = sliced(x.shape[at], start, stop, step)
    where = (slice(None),) * at + (taken,)
    return x[where].copy(), (x.shape, where)


def slice_backward(dy: Array, cache: tuple[Any, ...]) -> Array:
    """Return dx: dy at the elements that were taken, 0 at the others."""
    x_shape, where = cache
    dx = np.zeros(x_shape, dtype=dy.dtype)
    dx[where] = dy
    return dx


def sliced(side: int, start: int, stop: int, step: int) -> slice:
    """The slice within 0..side.  Raises InputError if it is empty, or for a step of 0."""
    if step == 0:
        raise InputError("slice got step 0; expected another whole number")
    first, last, step = slice(start, stop, step).indices(side)
    if not range(first, last, step):
        raise InputError(
            f"slice takes {start}:{stop}:{step} of {counted(side, 'element')}, which are none; "
            "expected at least one"
        )
    return slice(first, last if last >= 0 else None, step)
