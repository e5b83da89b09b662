"""The linear layer over the last axis: y = x W' + b."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from fcpts_ref.errors import InputError

Array = NDArray[Any]


def linear_forward(
    x: Array, weight: Array, bias: Array | None = None
) -> tuple[Array, tuple[Any, ...]]:
    """y = x W' + b over the last axis.

    x: (N, ..., C); weight: (K, C); bias: (K,) or None.  Returns y (N, ..., K) and the cache.
    Raises InputError for shapes that do not fit.
    """
    if x.ndim < 2 or weight.ndim != 2 or x.shape[-1] != weight.shape[1]:
        raise InputError(
            f"linear layer got x {x.shape} and weight {weight.shape}; expected (N, ..., C) and "
            "(K, C)"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise InputError(f"linear layer got bias {bias.shape}; expected {weight.shape[:1]}")
    rows = x.reshape(-1, x.shape[-1])  # (M, C): one product for all
    y = (rows @ weight.T).reshape(*x.shape[:-1], len(weight))
    return (y if bias is None else y + bias), (rows, weight, bias is not None)


def linear_backward(dy: Array, cache: tuple[Any, ...]) -> tuple[Array, Array, Array | None]:
    """Return dx (N, ..., C), dweight (K, C), dbias (K,) or None.  dy: (N, ..., K)."""
    rows, weight, has_bias = cache
    drows = dy.reshape(-1, len(weight))  # (M, K)
    dx = (drows @ weight).reshape(*dy.shape[:-1], weight.shape[1])
    return dx, drows.T @ rows, drows.sum(axis=0) if has_bias else None
