"""Axes and shapes of values that are given without the batch, the first axis of every array."""

from __future__ import annotations

from operator import index
from typing import Any

from numpy.typing import NDArray

from fcpts_ref.errors import InputError, counted

Array = NDArray[Any]
Shape = tuple[int, ...]


def axis_of_value(axis: int, rank: int) -> int:
    """The axis, 0 to rank - 1, of a value with this number of axes; negative ones from the end.

    Raises InputError for anything that is not an axis of the value.
    """
    try:
        number = index(axis)
    except TypeError:
        number = rank
    if not -rank <= number < rank:
        expected = f"{-rank} to {rank - 1}, without the batch" if rank else "at least one axis"
        raise InputError(
            f"got axis {axis!r} of a value with {counted(rank, 'axis', 'axes')}; expected "
            f"{expected}"
        )
    return number % rank


def array_axis(axis: int, rank: int) -> int:
    """The axis of an array (N, ...) for an axis of its value, which has ``rank`` axes.

    Raises InputError as above.
    """
    return axis_of_value(axis, rank) + 1


def with_rank(x: Array, rank: int) -> Array:
    """(N, ...) with axes of length 1 after the batch, so that its value has ``rank`` axes."""
    ones = (1,) * (rank - (x.ndim - 1))
    return x.reshape(x.shape[0], *ones, *x.shape[1:])


def sum_to(dy: Array, shape: Shape) -> Array:
    """Undo broadcasting: sum dy over the axes in which ``shape`` has 1 or no axis.

    The gradient of an array of that shape which was broadcast to the shape of dy.
    """
    lead = dy.ndim - len(shape)
    axes = tuple(i for i in range(dy.ndim) if i < lead or shape[i - lead] == 1 != dy.shape[i])
    return dy.sum(axis=axes, keepdims=True).reshape(shape) if axes else dy
