"""The functions of ``fcpts_ref.layers.linear`` on the kernels of the fast engine."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.numba.convolution.choice import prefer_sparse
from fcpts_ref.engines.numba.convolution.kept_weights import density
from fcpts_ref.engines.numba.convolution.linear import LinearPlan
from fcpts_ref.errors import InputError

Array = NDArray[Any]


def linear_forward(
    x: Array, weight: Array, bias: Array | None = None
) -> tuple[Array, tuple[Any, ...]]:
    """x: (N, C); weight: (K, C); bias: (K,) or None; float32 or float64.

    Returns y (N, K) and the cache.  Raises InputError for shapes or dtypes that do not fit.
    """
    return _forward(x, weight, bias, False), (x, weight, bias is not None)


def linear_backward(dy: Array, cache: tuple[Any, ...]) -> tuple[Array, Array, Array | None]:
    """dy: (N, K).  Returns dx (N, C), dweight (K, C), dbias (K,) or None."""
    return _backward(dy, cache, False)


def masked_linear_forward(
    x: Array, weight: Array, bias: Array | None = None
) -> tuple[Array, tuple[Any, ...]]:
    """``linear_forward`` without the zero weights, which contribute nothing."""
    return _forward(x, weight, bias, True), (x, weight, bias is not None)


def masked_linear_backward(dy: Array, cache: tuple[Any, ...]) -> tuple[Array, Array, Array | None]:
    """``linear_backward`` without the zero weights, whose gradient is zero."""
    return _backward(dy, cache, True)


def _forward(x: Array, weight: Array, bias: Array | None, sparse: bool) -> Array:
    plan = _plan(x, weight, sparse)
    y = np.empty((len(x), len(weight)), weight.dtype)
    kept = density(weight) if sparse else 1.0
    plan.forward(plan.operands(x, np.ascontiguousarray(weight), density=kept), bias, y)
    return y


def _backward(dy: Array, cache: tuple[Any, ...], sparse: bool) -> tuple[Array, Array, Array | None]:
    x, weight, has_bias = cache
    plan = _plan(x, weight, sparse)
    weight = np.ascontiguousarray(weight)
    dx, dweight = np.empty(x.shape, x.dtype), np.empty(weight.shape, x.dtype)
    kept = density(weight) if sparse else 1.0
    operands = plan.operands(x, weight, density=kept)
    if sparse:
        plan.kept_weight_gradient(dy, operands, dweight)
    else:
        plan.weight_gradient(dy, operands, dweight)
    plan.input_gradient(dy, weight, dx, density=kept)
    return dx, dweight, dy.sum(axis=0) if has_bias else None


def _plan(x: Array, weight: Array, sparse: bool) -> LinearPlan:
    if weight.dtype not in (np.float32, np.float64) or x.dtype != weight.dtype:
        raise InputError(
            f"linear kernels got {x.dtype} and {weight.dtype}; expected one dtype, float32 or "
            "float64"
        )
    if x.ndim != 2 or weight.ndim != 2 or x.shape[1] != weight.shape[1]:
        raise InputError(
            f"linear layer got x {x.shape} and weight {weight.shape}; expected (N, C) and (K, C)"
        )
    prefer = _always if sparse else prefer_sparse
    return LinearPlan(weight.shape, len(x), weight.dtype, prefer=prefer)


def _always(share: float, planes: int) -> bool:
    return True
