"""Kernels over rows of features: biases, sums by column, layer norm, softmax.

Rows are given to threads whole; sums over rows are taken in ROW_PARTS parts, whatever the number of
threads, and in float64.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.tuning import ROW_PARTS

Array = NDArray[Any]


@compiled
def add_bias(y: Any, bias: Any) -> None:
    """y += bias; y: (M, K), bias: (K,)."""
    for_each(len(y), _add_bias, y, bias)


@compiled_part
def _add_bias(m: int, y: Any, bias: Any) -> None:
    row = y[m]
    for k in range(row.size):
        row[k] += bias[k]


@compiled
def keep_where(weight: Any, dweight: Any) -> None:
    """dweight = 0 where the weight is 0; both (K, C)."""
    for_each(len(weight), _keep_where, weight, dweight)


@compiled_part
def _keep_where(k: int, weight: Any, dweight: Any) -> None:
    w, dw = weight[k], dweight[k]
    for c in range(w.size):
        dw[c] = dw[c] if w[c] != 0 else dw.dtype.type(0)


def column_sums(y: Array) -> Array:
    """The sum of every column of y (M, K), in its dtype."""
    parts = np.zeros((ROW_PARTS, y.shape[1]))
    _column_sums(y, parts)
    total: Array = parts.sum(axis=0).astype(y.dtype)
    return total


@compiled
def _column_sums(y: Any, parts: Any) -> None:
    for_each(len(parts), _sum_columns, y, parts)


@compiled_part
def _sum_columns(part: int, y: Any, parts: Any) -> None:
    total = parts[part]
    for m in range(part * len(y) // len(parts), (part + 1) * len(y) // len(parts)):
        row = y[m]
        for k in range(row.size):
            total[k] += row[k]


@compiled
def layer_norm(
    x: Any, gamma: Any, beta: Any, epsilon: float, y: Any, mean: Any, inverse: Any
) -> None:
    """y = gamma (x - mean) / sqrt(var + epsilon) + beta for each row; x, y: (M, D).

    mean and inverse, 1 / sqrt(var + epsilon), are stored too: (M,), float64.
    """
    for_each(len(x), _layer_norm, x, gamma, beta, epsilon, y, mean, inverse)


@compiled_part
def _layer_norm(
    m: int, x: Any, gamma: Any, beta: Any, epsilon: float, y: Any, mean: Any, inverse: Any
) -> None:
    row, target, D = x[m], y[m], x.shape[1]
    sums = np.zeros(LANES)
    for d in range(D // LANES * LANES):
        sums[d % LANES] += row[d]
    for d in range(D // LANES * LANES, D):
        sums[0] += row[d]
    centre = sums.sum() / D
    sums[:] = 0
    for d in range(D // LANES * LANES):
        sums[d % LANES] += (row[d] - centre) ** 2
    for d in range(D // LANES * LANES, D):
        sums[0] += (row[d] - centre) ** 2
    scale = 1 / math.sqrt(sums.sum() / D + epsilon)
    mean[m], inverse[m] = centre, scale
    for d in range(D):
        target[d] = (row[d] - centre) * scale * gamma[d] + beta[d]


LANES = 8  # sums side by side, so that one addition need not wait for the last


def layer_norm_backward(
    dy: Array, x: Array, gamma: Array, mean: Array, inverse: Array, dx: Array | None
) -> tuple[Array, Array]:
    """Write dx (M, D), which may be dy, and return dgamma and dbeta (D,), in their dtype."""
    parts = np.zeros((2, ROW_PARTS, x.shape[1]))
    _layer_norm_sums(dy, x, mean, inverse, parts)
    dgamma, dbeta = parts.sum(axis=1).astype(x.dtype)
    if dx is not None:
        _layer_norm_gradient(dy, x, gamma, mean, inverse, dx)
    return dgamma, dbeta


@compiled
def _layer_norm_sums(dy: Any, x: Any, mean: Any, inverse: Any, parts: Any) -> None:
    for_each(parts.shape[1], _sum_parameters, dy, x, mean, inverse, parts)


@compiled_part
def _sum_parameters(part: int, dy: Any, x: Any, mean: Any, inverse: Any, parts: Any) -> None:
    dgamma, dbeta, count = parts[0, part], parts[1, part], parts.shape[1]
    for m in range(part * len(x) // count, (part + 1) * len(x) // count):
        row, drow, centre, scale = x[m], dy[m], mean[m], inverse[m]
        for d in range(row.size):
            dgamma[d] += drow[d] * ((row[d] - centre) * scale)
            dbeta[d] += drow[d]


@compiled
def _layer_norm_gradient(dy: Any, x: Any, gamma: Any, mean: Any, inverse: Any, dx: Any) -> None:
    for_each(len(x), _gradient_of_row, dy, x, gamma, mean, inverse, dx)


@compiled_part
def _gradient_of_row(m: int, dy: Any, x: Any, gamma: Any, mean: Any, inverse: Any, dx: Any) -> None:
    row, drow, target, D = x[m], dy[m], dx[m], x.shape[1]
    centre, scale = mean[m], inverse[m]
    sums, products = np.zeros(LANES), np.zeros(LANES)
    for d in range(D):
        g = np.float64(drow[d]) * gamma[d]
        sums[d % LANES] += g
        products[d % LANES] += g * (row[d] - centre)
    average, slope = sums.sum() / D, products.sum() / D * scale * scale
    for d in range(D):
        g = np.float64(drow[d]) * gamma[d]
        target[d] = scale * (g - average - (row[d] - centre) * slope)


@compiled
def softmax_rows(x: Any, scale: float) -> None:
    """x = softmax(scale x) over the rows of x (M, K), in place, on one thread."""
    for m in range(len(x)):
        row = x[m]
        largest = row[0]
        for k in range(row.size):
            largest = max(largest, row[k])
        total = 0.0
        for k in range(row.size):
            e = math.exp((row[k] - largest) * scale)
            row[k] = e
            total += e
        factor = 1 / total
        for k in range(row.size):
            row[k] *= factor


@compiled
def softmax_rows_backward(dp: Any, p: Any, scale: float) -> None:
    """dp = scale p (dp - sum p dp) over the rows, in place, on one thread; dp, p: (M, K)."""
    for m in range(len(p)):
        row, drow = p[m], dp[m]
        total = 0.0
        for k in range(row.size):
            total += row[k] * drow[k]
        for k in range(row.size):
            drow[k] = scale * row[k] * (drow[k] - total)
