"""Checks of the specification's arguments: arrays of real numbers and single numbers.

Anything that is not a number raises InputError, whatever its type.
"""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError

Array = NDArray[Any]

MAXIMUM_BINS = 1 << 24
"""The most bins of a histogram: their edges take 128 MiB."""


def floating_array(values: Any, name: str = "the array") -> Array:
    """Convert ``values`` to an array of its own floating dtype, or of float64 for other numbers.

    The array has the machine's byte order.
    Raises InputError for values that are not real numbers, ragged lists and masked elements.
    """
    if type(values) is np.ndarray and values.dtype.kind == "f" and values.dtype.isnative:
        return values  # the common case
    try:
        array = np.asarray(values)
    except Exception as error:  # a ragged list, or an object that fails to convert itself
        raise InputError(
            f"{name} of type {type(values).__name__} does not convert to an array "
            f"({type(error).__name__}); expected real numbers"
        ) from None
    if array.dtype.kind not in "fiub":
        raise InputError(
            f"{name} of type {type(values).__name__} has dtype {array.dtype}; expected real numbers"
        )
    if np.ma.is_masked(values):
        raise InputError(f"{name} has masked elements; fill them first: array.filled(number)")
    if array.dtype.kind != "f":
        return array.astype(np.float64)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def finite_array(values: Any, name: str) -> Array:
    """``floating_array`` that also raises InputError for NaN or infinity."""
    array = floating_array(values, name)
    if not np.isfinite(array).all():
        raise InputError(f"{name} holds NaN or infinity; expected finite numbers")
    return array


def real_number(value: Any, name: str, expected: str) -> float:
    """Return a finite real number (a Python or NumPy number, or a 0-d array) as a float.

    Raises InputError for anything else, booleans included.
    """
    if type(value) in (float, np.float64) and math.isfinite(value):
        return float(value)  # the common case
    number = value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value
    if isinstance(number, bool | np.bool_) or not isinstance(number, Real):
        raise InputError(f"{name} is of type {type(value).__name__}; expected {expected}")
    try:
        result = float(number)
    except OverflowError:  # an int beyond the range of float64
        result = math.inf
    if not math.isfinite(result):
        raise InputError(f"{name} is {result}; expected {expected}")
    return result


def positive_number(value: Any, name: str) -> float:
    """Return a finite number above 0 as a float.  Raises InputError for anything else."""
    number = real_number(value, name, "a positive number")
    if number <= 0:
        raise InputError(f"{name} is {number:g}; expected a positive number")
    return number


def positive_in(value: Any, name: str, expected: str, dtype: np.dtype[Any]) -> Any:
    """Return a number above 0 in a dtype.  Raises InputError for others, or beyond its range."""
    number = real_number(value, name, expected)
    if number <= 0:
        raise InputError(f"{name} is {value}; expected {expected}")
    with np.errstate(over="ignore"):
        result = dtype.type(number)
    if not 0 < result < np.inf:
        raise InputError(f"{name} is {value}, outside the range of {dtype}; use a wider dtype")
    return result


def whole_number(value: Any, name: str, least: int | None = None) -> int:
    """Return a whole number of at least ``least`` as an int.

    Raises InputError for anything else, booleans included.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        kind = "a whole number" if least is None else f"a whole number of at least {least}"
        raise InputError(f"{name} is of type {type(value).__name__}; expected {kind}")
    if least is not None and value < least:
        raise InputError(f"{name} is {value}; expected at least {least}")
    return int(value)


def check_choice(value: Any, name: str, choices: tuple[str, ...]) -> None:
    """Raise InputError unless ``value`` is one of the names."""
    if isinstance(value, str) and value in choices:
        return
    shown = repr(value) if isinstance(value, str) else f"of type {type(value).__name__}"
    raise InputError(f"{name} is {shown}; expected {' or '.join(map(repr, choices))}")


def check_alike(**arrays: Any) -> list[Array]:
    """Return the arrays as ``floating_array`` does, in the order of the arguments.

    Raises InputError, with their names, unless they hold real numbers in one shape.
    """
    checked = [floating_array(array, name) for name, array in arrays.items()]
    if len({array.shape for array in checked}) > 1:
        listed = ", ".join(f"{n} {a.shape}" for n, a in zip(arrays, checked, strict=True))
        raise InputError(f"the shapes differ: {listed}; expected the same")
    return checked


def check_same_shape(a: Array, b: Array, a_name: str, b_name: str) -> None:
    """Raise InputError if two arrays differ in shape."""
    if a.shape != b.shape:
        raise InputError(f"{a_name} has shape {a.shape} and {b_name} {b.shape}; expected the same")


def check_result(result: Any, name: str, reason: str) -> None:
    """Raise InputError if finite arguments led to NaN or infinity."""
    if not np.isfinite(result).all():
        raise InputError(f"{name} is not finite in {np.asarray(result).dtype}: {reason}")


def uniform_bins(low: Any, high: Any, bins: int, samples: int) -> tuple[Array, Any]:
    """Return the edges (bins + 1,) of bins of equal width from ``low`` to ``high``, and the width.

    low, high: NumPy scalars of one floating dtype, low < high; the results have it too.
    samples: the number of values that are counted.
    Raises InputError if two edges are equal in the dtype, or it cannot hold the width or a density
    of samples per unit.
    """
    if whole_number(bins, "bins", 1) > MAXIMUM_BINS:
        raise InputError(f"bins is above {MAXIMUM_BINS}; use fewer bins")
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        width = (high - low) / bins
        edges = np.linspace(low, high, bins + 1, dtype=low.dtype)
        fits = math.isfinite(1 / width) and math.isfinite(samples * width)
        fits = fits and bool((edges[:-1] < edges[1:]).all())
    if not fits:
        raise InputError(
            f"samples range from {low!r} to {high!r}, too narrow or too wide for {bins} bins in "
            f"{low.dtype}; use fewer bins or a wider dtype"
        )
    return edges, width
