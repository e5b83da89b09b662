"""Every layer derived a second time: plain loops, and differentiation of the forward's values.

Layers that are linear scatter each output gradient to the inputs of that output; the others are
differentiated numerically in extended precision, so that no derivative is derived by hand twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from mpmath import exp, log, mp, mpf, sqrt

from tools.vectors.exact import Decisions, differentiate, exact, indices, total, zeros

Outputs = dict[str, Any]


# Convolution and linear


def _taps(
    x_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
    """Yield the indices of y, x and the weight for every product of a convolution."""
    (N, _, H, W), (K, C, R, S) = x_shape, weight_shape
    P, Q = output_shape(x_shape, weight_shape, stride, padding, dilation)
    for n, k, p, q, c, r, s in indices((N, K, P, Q, C, R, S)):
        y = p * stride[0] - padding[0] + r * dilation[0]
        x = q * stride[1] - padding[1] + s * dilation[1]
        if 0 <= y < H and 0 <= x < W:
            channel = (k // (K // groups)) * C + c
            yield (n, k, p, q), (n, channel, y, x), (k, c, r, s)


def output_shape(
    x_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    stride: list[int],
    padding: list[int],
    dilation: list[int],
) -> tuple[int, int]:
    """Count the windows that fit, one by one."""
    sizes = []
    for axis in (0, 1):
        reach = dilation[axis] * (weight_shape[2 + axis] - 1)
        last = x_shape[2 + axis] + 2 * padding[axis] - 1
        sizes.append(sum(1 for start in range(0, last + 1, stride[axis]) if start + reach <= last))
    return sizes[0], sizes[1]


def convolution_forward(
    decide: Decisions,
    x: Any,
    weight: Any,
    bias: Any,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
) -> Outputs:
    P, Q = output_shape(x.shape, weight.shape, stride, padding, dilation)
    y = zeros((x.shape[0], weight.shape[0], P, Q))
    x, weight = exact(x), exact(weight)
    for at_y, at_x, at_weight in _taps(x.shape, weight.shape, stride, padding, dilation, groups):
        y[at_y] += x[at_x] * weight[at_weight]
    if bias is not None:
        bias = exact(bias)
        for index in indices(y.shape):
            y[index] += bias[index[1]]
    return {"y": y}


def convolution_backward(
    decide: Decisions,
    dy: Any,
    x: Any,
    weight: Any,
    bias: Any,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
) -> Outputs:
    dy, x, weight = exact(dy), exact(x), exact(weight)
    dx, dweight = zeros(x.shape), zeros(weight.shape)
    for at_y, at_x, at_weight in _taps(x.shape, weight.shape, stride, padding, dilation, groups):
        dx[at_x] += dy[at_y] * weight[at_weight]
        dweight[at_weight] += dy[at_y] * x[at_x]
    outputs = {"dx": dx, "dweight": dweight}
    if bias is not None:
        outputs["dbias"] = np.array([total(dy[:, k]) for k in range(dy.shape[1])], dtype=object)
    return outputs


def linear_forward(decide: Decisions, x: Any, weight: Any, bias: Any) -> Outputs:
    x, weight = exact(x), exact(weight)
    y = zeros((*x.shape[:-1], weight.shape[0]))
    for *row, k in indices(y.shape):
        y[(*row, k)] = total(x[tuple(row)] * weight[k]) if x.shape[-1] else mpf(0)
        if bias is not None:
            y[(*row, k)] += exact(bias)[k]
    return {"y": y}


def linear_backward(decide: Decisions, dy: Any, x: Any, weight: Any, bias: Any) -> Outputs:
    dy, x, weight = exact(dy), exact(x), exact(weight)
    dx, dweight = zeros(x.shape), zeros(weight.shape)
    for *row, k, c in indices((*dy.shape, x.shape[-1])):
        dx[(*row, c)] += dy[(*row, k)] * weight[k, c]
        dweight[k, c] += dy[(*row, k)] * x[(*row, c)]
    outputs = {"dx": dx, "dweight": dweight}
    if bias is not None:
        outputs["dbias"] = np.array([total(dy[..., k]) for k in range(len(weight))], dtype=object)
    return outputs


# Batch norm


def batch_norm_forward(
    decide: Decisions,
    x: Any,
    gamma: Any,
    beta: Any,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: float,
    epsilon: float,
) -> Outputs:
    x, gamma, beta = exact(x), exact(gamma), exact(beta)
    new_mean, new_var = exact(running_mean), exact(running_var)
    y, m = zeros(x.shape), mpf(momentum)
    for c in range(x.shape[1]):
        values = x[:, c].ravel().tolist()
        mean, variance = new_mean[c], new_var[c]
        if training:
            mean = mp.fsum(values) / len(values)
            squares = mp.fsum((v - mean) ** 2 for v in values)
            variance = squares / len(values)
            new_mean[c] = (1 - m) * new_mean[c] + m * mean
            new_var[c] = (1 - m) * new_var[c] + m * squares / (len(values) - 1)
        for n, i, j in indices((x.shape[0], *x.shape[2:])):
            scaled = (x[n, c, i, j] - mean) / sqrt(variance + mpf(epsilon))
            y[n, c, i, j] = gamma[c] * scaled + beta[c]
    return {"y": y, "running_mean": new_mean, "running_var": new_var}


def batch_norm_backward(
    decide: Decisions, dy: Any, x: Any, gamma: Any, beta: Any, **settings: Any
) -> Outputs:
    dy, x, gamma, beta = exact(dy), exact(x), exact(gamma), exact(beta)

    def forward(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
        y: np.ndarray = batch_norm_forward(decide, x, gamma, beta, **settings)["y"]
        return y

    return {
        "dx": differentiate(lambda value: forward(value, gamma, beta), x, dy),
        "dgamma": differentiate(lambda value: forward(x, value, beta), gamma, dy),
        "dbeta": differentiate(lambda value: forward(x, gamma, value), beta, dy),
    }


# Elementwise


def relu_forward(decide: Decisions, x: Any) -> Outputs:
    return {"y": _clip(decide, exact(x), None)}


def relu6_forward(decide: Decisions, x: Any) -> Outputs:
    return {"y": _clip(decide, exact(x), 6)}


def _clip(decide: Decisions, x: np.ndarray, ceiling: int | None) -> np.ndarray:
    y = zeros(x.shape)
    for index in indices(x.shape):
        if decide.compare(x[index], 0) > 0:
            y[index] = x[index]
        if ceiling is not None and decide.compare(x[index], ceiling) > 0:
            y[index] = mpf(ceiling)
    return y


def relu_backward(decide: Decisions, dy: Any, x: Any) -> Outputs:
    return {"dx": _pass(decide, exact(dy), exact(x), None)}


def relu6_backward(decide: Decisions, dy: Any, x: Any) -> Outputs:
    return {"dx": _pass(decide, exact(dy), exact(x), 6)}


def _pass(decide: Decisions, dy: np.ndarray, x: np.ndarray, ceiling: int | None) -> np.ndarray:
    dx = zeros(x.shape)
    for index in indices(x.shape):
        inside = decide.compare(x[index], 0) > 0
        if ceiling is not None:
            inside = decide.compare(x[index], ceiling) < 0 and inside
        if inside:
            dx[index] = dy[index]
    return dx


def add_forward(decide: Decisions, a: Any, b: Any) -> Outputs:
    return {"y": exact(a) + exact(b)}


def add_backward(decide: Decisions, dy: Any, a: Any, b: Any) -> Outputs:
    return {"da": exact(dy), "db": exact(dy)}


def normalise_forward(decide: Decisions, x: Any, mean: Any, std: Any) -> Outputs:
    x, y = exact(x), zeros(x.shape)
    for n, c, i, j in indices(x.shape):
        y[n, c, i, j] = (x[n, c, i, j] - mpf(mean[c].item())) / mpf(std[c].item())
    return {"y": y}


def normalise_backward(decide: Decisions, dy: Any, x: Any, mean: Any, std: Any) -> Outputs:
    dy, dx = exact(dy), zeros(x.shape)
    for n, c, i, j in indices(x.shape):
        dx[n, c, i, j] = dy[n, c, i, j] / mpf(std[c].item())
    return {"dx": dx}


# Moving pixels


def subsample_forward(decide: Decisions, x: Any, stride: int) -> Outputs:
    x = exact(x)
    rows, columns = range(0, x.shape[2], stride), range(0, x.shape[3], stride)
    y = zeros((*x.shape[:2], len(rows), len(columns)))
    for n, c, p, q in indices(y.shape):
        y[n, c, p, q] = x[n, c, rows[p], columns[q]]
    return {"y": y}


def subsample_backward(decide: Decisions, dy: Any, x: Any, stride: int) -> Outputs:
    dy, dx = exact(dy), zeros(x.shape)
    for n, c, p, q in indices(dy.shape):
        dx[n, c, p * stride, q * stride] = dy[n, c, p, q]
    return {"dx": dx}


def zero_pad_forward(decide: Decisions, x: Any, before: int, after: int) -> Outputs:
    N, C, H, W = x.shape
    x, y = exact(x), zeros((N, before + C + after, H, W))
    for n, c, i, j in indices(x.shape):
        y[n, before + c, i, j] = x[n, c, i, j]
    return {"y": y}


def zero_pad_backward(decide: Decisions, dy: Any, x: Any, before: int, after: int) -> Outputs:
    dy, dx = exact(dy), zeros(x.shape)
    for n, c, i, j in indices(x.shape):
        dx[n, c, i, j] = dy[n, before + c, i, j]
    return {"dx": dx}


def flatten_forward(decide: Decisions, x: Any, axis: int = 0) -> Outputs:
    x = exact(x)
    kept, merged = x.shape[: axis + 1], x.shape[axis + 1 :]
    y = zeros((*kept, len(list(indices(merged)))))
    for row in indices(kept):
        for column, index in enumerate(indices(merged)):
            y[(*row, column)] = x[(*row, *index)]
    return {"y": y}


def flatten_backward(decide: Decisions, dy: Any, x: Any, axis: int = 0) -> Outputs:
    dx = zeros(x.shape)
    kept, merged = x.shape[: axis + 1], x.shape[axis + 1 :]
    for row in indices(kept):
        for column, index in enumerate(indices(merged)):
            dx[(*row, *index)] = mpf(dy[(*row, column)].item())
    return {"dx": dx}


# Pooling


def _window(
    x: np.ndarray, at: tuple[int, ...], kernel: list[int], stride: list[int], padding: list[int]
) -> list[tuple[int, ...]]:
    """Return the indices of x inside one window, row-major, without the padding."""
    n, c, p, q = at
    found: list[tuple[int, ...]] = []
    for r, s in indices((kernel[0], kernel[1])):
        i, j = p * stride[0] - padding[0] + r, q * stride[1] - padding[1] + s
        if 0 <= i < x.shape[2] and 0 <= j < x.shape[3]:
            found.append((n, c, i, j))
    return found


def _pooled_shape(
    x: np.ndarray, kernel: list[int], stride: list[int], padding: list[int]
) -> tuple[int, ...]:
    return (*x.shape[:2], *output_shape(x.shape, (0, 0, *kernel), stride, padding, [1, 1]))


def _winner(decide: Decisions, x: np.ndarray, window: list[tuple[int, ...]]) -> tuple[int, ...]:
    """Return the index of the greatest pixel, the first of equals."""
    best = window[0]
    for index in window[1:]:
        if decide.compare(x[index], x[best]) > 0:
            best = index
    return best


def max_pool_forward(
    decide: Decisions, x: Any, kernel: list[int], stride: list[int], padding: list[int]
) -> Outputs:
    x = exact(x)
    y = zeros(_pooled_shape(x, kernel, stride, padding))
    for at in indices(y.shape):
        y[at] = x[_winner(decide, x, _window(x, at, kernel, stride, padding))]
    return {"y": y}


def max_pool_backward(
    decide: Decisions, dy: Any, x: Any, kernel: list[int], stride: list[int], padding: list[int]
) -> Outputs:
    x, dy = exact(x), exact(dy)
    dx = zeros(x.shape)
    for at in indices(dy.shape):
        dx[_winner(decide, x, _window(x, at, kernel, stride, padding))] += dy[at]
    return {"dx": dx}


def average_pool_forward(
    decide: Decisions, x: Any, kernel: list[int], stride: list[int], padding: list[int]
) -> Outputs:
    x = exact(x)
    y = zeros(_pooled_shape(x, kernel, stride, padding))
    for at in indices(y.shape):
        pixels = [x[index] for index in _window(x, at, kernel, stride, padding)]
        y[at] = mp.fsum(pixels) / (kernel[0] * kernel[1])
    return {"y": y}


def average_pool_backward(
    decide: Decisions, dy: Any, x: Any, kernel: list[int], stride: list[int], padding: list[int]
) -> Outputs:
    dy, dx = exact(dy), zeros(x.shape)
    for at in indices(dy.shape):
        for index in _window(dx, at, kernel, stride, padding):
            dx[index] += dy[at] / (kernel[0] * kernel[1])
    return {"dx": dx}


def global_average_pool_forward(decide: Decisions, x: Any) -> Outputs:
    x = exact(x)
    y = zeros(x.shape[:2])
    for n, c in indices(y.shape):
        y[n, c] = total(x[n, c]) / x[n, c].size
    return {"y": y}


def global_average_pool_backward(decide: Decisions, dy: Any, x: Any) -> Outputs:
    dy, dx = exact(dy), zeros(x.shape)
    for n, c, i, j in indices(x.shape):
        dx[n, c, i, j] = dy[n, c] / (x.shape[2] * x.shape[3])
    return {"dx": dx}


# Softmax and losses


def _log_softmax(x: np.ndarray) -> np.ndarray:
    y = zeros(x.shape)
    for index in indices(x.shape[:-1]):
        normaliser = log(mp.fsum(exp(value) for value in x[index]))
        for k in range(x.shape[-1]):
            y[(*index, k)] = x[(*index, k)] - normaliser
    return y


def _softmax(x: np.ndarray) -> np.ndarray:
    y = _log_softmax(x)
    for index in indices(y.shape):
        y[index] = exp(y[index])
    return y


def softmax_forward(decide: Decisions, x: Any, axis: int = -1) -> Outputs:
    return {"y": _along(_softmax, exact(x), axis)}


def softmax_backward(decide: Decisions, dy: Any, x: Any, axis: int = -1) -> Outputs:
    return {"dx": differentiate(lambda v: _along(_softmax, v, axis), exact(x), exact(dy))}


def log_softmax_forward(decide: Decisions, x: Any, axis: int = -1) -> Outputs:
    return {"y": _along(_log_softmax, exact(x), axis)}


def log_softmax_backward(decide: Decisions, dy: Any, x: Any, axis: int = -1) -> Outputs:
    return {"dx": differentiate(lambda v: _along(_log_softmax, v, axis), exact(x), exact(dy))}


def _along(function: Callable[[Any], Any], x: np.ndarray, axis: int) -> np.ndarray:
    """Apply a function over the last axis to an axis counted without the batch."""
    at = axis + 1 if axis >= 0 else axis
    return np.moveaxis(function(np.moveaxis(x, at, -1).copy()), -1, at)


def _cross_entropy(logits: np.ndarray, labels: Any) -> np.ndarray:
    log_p = _log_softmax(logits)
    terms = [log_p[n, int(label)] for n, label in enumerate(labels)]
    return np.array(-mp.fsum(terms) / len(terms), dtype=object)


def cross_entropy_forward(decide: Decisions, logits: Any, labels: Any) -> Outputs:
    return {"loss": _cross_entropy(exact(logits), labels)}


def cross_entropy_backward(decide: Decisions, dloss: float, logits: Any, labels: Any) -> Outputs:
    upstream = np.array(mpf(dloss), dtype=object)
    return {"dlogits": differentiate(lambda x: _cross_entropy(x, labels), exact(logits), upstream)}
