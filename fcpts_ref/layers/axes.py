"""Axes in the settings of layers: counted without the batch, as graphs count them."""

from __future__ import annotations

from operator import index

from fcpts_ref.errors import InputError


def array_axis(axis: int, rank: int) -> int:
    """Return the axis of an array (N, ...) that a setting names.

    axis: 0 is the first axis after the batch; negative axes count from the last.
    rank: axes of the value without the batch.
    Raises InputError for an axis that the value does not have.
    """
    try:
        number = index(axis)
    except TypeError:
        number = rank
    if not -rank <= number < rank:
        raise InputError(
            f"got axis {axis!r} of a value with {rank} axes; expected {-rank} to {rank - 1}, "
            "without the batch"
        )
    return number % rank + 1
