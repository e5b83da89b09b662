"""Linear layers of the fast engine: a 1 x 1 convolution whose pixels are the images.

With x turned round to (C, N), y = weight x is a convolution of one "image" with C channels and
a row of N pixels.  So the kernels of the convolutions serve, dense and masked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fcpts_ref.engines.numba.convolution.plan import ConvolutionPlan, prefer_sparse
from fcpts_ref.engines.numba.convolution.sparse_index import density
from fcpts_ref.engines.numba.memory.layout import allocate, interior, make_geometry
from fcpts_ref.errors import InputError

Array = NDArray[Any]


class LinearPlan:
    """A linear layer bound to its batch size and dtype.

    x, dx are (N, C) and y, dy (N, K), plain arrays; weight and dweight (K, C); bias (K,).
    """

    def __init__(
        self,
        weight_shape: tuple[int, ...],
        images: int,
        dtype: DTypeLike,
        *,
        prefer: Callable[[float, int], bool] = prefer_sparse,
    ) -> None:
        K, C = weight_shape
        geometry = make_geometry(1, images, 0)
        self.plan = ConvolutionPlan(geometry, (K, C, 1, 1), 1, dtype, prefer=prefer)
        self.columns = allocate(1, C, geometry, dtype)  # x or dx as (C, N)
        self.rows = allocate(1, K, geometry, dtype)  # y or dy as (K, N)
        self.x = interior(self.columns, geometry)[0, :, 0].T  # (N, C), a view
        self.y = interior(self.rows, geometry)[0, :, 0].T  # (N, K), a view

    def forward(
        self, x: Array, weight: Array, bias: Array | None, y: Array, *, density: float = 1.0
    ) -> None:
        """y = x weight' + bias; density: as in ``ConvolutionPlan``."""
        self.x[...] = x
        self.plan.forward(self.columns, weight, bias, self.rows, density=density)
        y[...] = self.y

    def input_gradient(self, dy: Array, weight: Array, dx: Array, *, density: float = 1.0) -> None:
        """dx = dy weight"""
        self.y[...] = dy
        self.plan.input_gradient(self.rows, weight, self.columns, density=density)
        dx[...] = self.x

    def weight_gradient(self, dy: Array, x: Array, dweight: Array) -> None:
        """dweight = dy' x"""
        self.x[...], self.y[...] = x, dy
        self.plan.weight_gradient(self.rows, self.columns, dweight)

    def kept_weight_gradient(
        self, dy: Array, x: Array, weight: Array, dweight: Array, *, density: float
    ) -> None:
        """The same where weight is not zero; zero elsewhere."""
        self.x[...], self.y[...] = x, dy
        self.plan.kept_weight_gradient(self.rows, self.columns, weight, dweight, density=density)


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
    plan.forward(x, np.ascontiguousarray(weight), bias, y, density=kept)
    return y


def _backward(dy: Array, cache: tuple[Any, ...], sparse: bool) -> tuple[Array, Array, Array | None]:
    x, weight, has_bias = cache
    plan = _plan(x, weight, sparse)
    weight = np.ascontiguousarray(weight)
    dx, dweight = np.empty(x.shape, x.dtype), np.empty(weight.shape, x.dtype)
    kept = density(weight) if sparse else 1.0
    plan.input_gradient(dy, weight, dx, density=kept)
    if sparse:
        plan.kept_weight_gradient(dy, x, weight, dweight, density=kept)
    else:
        plan.weight_gradient(dy, x, dweight)
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
