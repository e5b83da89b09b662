"""Learned arrays that join a value: a class token, an added and a multiplied parameter."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.layers.axes import Shape, sum_to, with_rank

Array = NDArray[Any]


def class_token_forward(x: Array, token: Array) -> tuple[Array, tuple[Any, ...]]:
    """The token before the others (Dosovitskiy et al., 2021, equation 1).

    x: (N, T, D); token: (D,).  Returns y (N, T + 1, D) and the (empty) cache.
    Raises InputError for shapes that do not fit.
    """
    if x.ndim != 3 or token.shape != x.shape[2:]:
        raise InputError(f"class token {token.shape} got x {x.shape}; expected (N, T, D) and (D,)")
    first = np.broadcast_to(token, (len(x), 1, len(token)))
    return np.concatenate([first, x], axis=1), ()


def class_token_backward(dy: Array, cache: tuple[Any, ...]) -> tuple[Array, Array]:
    """Return dx (N, T, D) and dtoken (D,).  dy: (N, T + 1, D)."""
    return dy[:, 1:].copy(), dy[:, 0].sum(axis=0)


def add_parameter_forward(x: Array, parameter: Array) -> tuple[Array, tuple[Any, ...]]:
    """x + parameter, broadcast: a position embedding or a bias.

    x: (N, ...); parameter: a shape without the batch, aligned at the right.
    Returns y and the cache.  Raises InputError for shapes that cannot be broadcast.
    """
    wide = _aligned(x, parameter, "add_parameter")
    return wide + parameter, (x.shape, wide.shape, parameter.shape)


def add_parameter_backward(dy: Array, cache: tuple[Any, ...]) -> tuple[Array, Array]:
    """Return dx and dparameter: dy summed over the axes in which each was broadcast."""
    x_shape, wide, parameter = cache
    return sum_to(dy, wide).reshape(x_shape), sum_to(dy, parameter)


def multiply_parameter_forward(x: Array, parameter: Array) -> tuple[Array, tuple[Any, ...]]:
    """x * parameter, broadcast: a scale for each feature (LayerScale: Touvron et al., 2021).

    x, parameter, results and errors: as in ``add_parameter_forward``.
    """
    wide = _aligned(x, parameter, "multiply_parameter")
    return wide * parameter, (x.shape, wide, parameter)


def multiply_parameter_backward(dy: Array, cache: tuple[Any, ...]) -> tuple[Array, Array]:
    """Return dx = dy parameter and dparameter = dy x, summed where they were broadcast."""
    x_shape, wide, parameter = cache
    dx = sum_to(dy * parameter, wide.shape).reshape(x_shape)
    return dx, sum_to(dy * wide, parameter.shape)


def broadcast_shape(x: Shape, parameter: Shape) -> Shape:
    """The shape of both, without the batch.  Raises InputError if they cannot be broadcast."""
    try:
        return np.broadcast_shapes(x, parameter)
    except ValueError as error:
        raise InputError(
            f"reads {x} and stores {parameter}; expected shapes that can be broadcast"
        ) from error


def _aligned(x: Array, parameter: Array, name: str) -> Array:
    """x with as many axes as the parameter, or more."""
    try:
        broadcast_shape(x.shape[1:], parameter.shape)
    except InputError as error:
        raise InputError(f"{name} {error}") from error
    return with_rank(x, max(x.ndim - 1, parameter.ndim))
