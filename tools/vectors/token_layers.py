"""The layers of transformers derived a second time: plain loops, and differentiation of values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from mpmath import exp, mp, mpf, sqrt

from tools.vectors.exact import Decisions, differentiate, exact, indices, zeros

Outputs = dict[str, Any]


def _gradients(
    function: Callable[..., np.ndarray], dy: Any, arrays: dict[str, np.ndarray]
) -> Outputs:
    """The gradient by each of the arrays, which ``function`` takes by name."""

    def gradient(name: str) -> np.ndarray:
        return differentiate(
            lambda value: function(**{**arrays, name: value}), arrays[name], exact(dy)
        )

    return {f"d{name}": gradient(name) for name in arrays}


def _at(shape: tuple[int, ...], index: tuple[int, ...]) -> tuple[int, ...]:
    """The index (without the batch) of an array that is broadcast, aligned at the right."""
    own = index[len(index) - len(shape) :]
    return tuple(0 if side == 1 else i for side, i in zip(shape, own, strict=True))


def _joint(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of both after broadcasting."""
    rank = max(len(a), len(b))
    a, b = (1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b
    return tuple(max(p, q) for p, q in zip(a, b, strict=True))


# The matrix product


def matmul_forward(decide: Decisions, a: Any, b: Any) -> Outputs:
    return {"y": _matmul(exact(a), exact(b))}


def matmul_backward(decide: Decisions, dy: Any, a: Any, b: Any) -> Outputs:
    return _gradients(_matmul, dy, {"a": exact(a), "b": exact(b)})


def _matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a_lead, b_lead = a.shape[1:-2], b.shape[1:-2]
    y = zeros((len(a), *_joint(a_lead, b_lead), a.shape[-2], b.shape[-1]))
    for n, *lead, i, k in indices(y.shape):
        row = a[(n, *_at(a_lead, tuple(lead)), i)]
        matrix = b[(n, *_at(b_lead, tuple(lead)))]
        y[(n, *lead, i, k)] = mp.fsum(row[j] * matrix[j, k] for j in range(len(row)))
    return y


# Moving values


def reshape_forward(decide: Decisions, x: Any, shape: list[int]) -> Outputs:
    return {"y": _refill(exact(x), (len(x), *_resolved(x.shape[1:], shape)))}


def reshape_backward(decide: Decisions, dy: Any, x: Any, shape: list[int]) -> Outputs:
    return {"dx": _refill(exact(dy), x.shape)}


def _refill(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The elements in row-major order, one by one."""
    y = zeros(shape)
    for to, source in zip(indices(shape), indices(x.shape), strict=True):
        y[to] = x[source]
    return y


def _resolved(shape: tuple[int, ...], asked: list[int]) -> tuple[int, ...]:
    size, known = 1, 1
    for side in shape:
        size *= side
    for side in asked:
        known *= side if side != -1 else 1
    return tuple(size // known if side == -1 else side for side in asked)


def transpose_forward(decide: Decisions, x: Any, permutation: list[int]) -> Outputs:
    x = exact(x)
    y = zeros((len(x), *(x.shape[1 + axis] for axis in permutation)))
    for n, *index in indices(x.shape):
        y[(n, *(index[axis] for axis in permutation))] = x[(n, *index)]
    return {"y": y}


def transpose_backward(decide: Decisions, dy: Any, x: Any, permutation: list[int]) -> Outputs:
    dy, dx = exact(dy), zeros(x.shape)
    for n, *index in indices(x.shape):
        dx[(n, *index)] = dy[(n, *(index[axis] for axis in permutation))]
    return {"dx": dx}


# Layer norm and attention


def layer_norm_forward(
    decide: Decisions, x: Any, gamma: Any, beta: Any, shape: list[int], epsilon: float
) -> Outputs:
    return {"y": _layer_norm(len(shape), epsilon)(**_given(x=x, gamma=gamma, beta=beta))}


def layer_norm_backward(
    decide: Decisions, dy: Any, x: Any, gamma: Any, beta: Any, shape: list[int], epsilon: float
) -> Outputs:
    given = _given(x=x, gamma=gamma, beta=beta)
    return _gradients(_layer_norm(len(shape), epsilon), dy, given)


def _given(**arrays: Any) -> dict[str, np.ndarray]:
    return {name: exact(array) for name, array in arrays.items() if array is not None}


def _layer_norm(axes: int, epsilon: float) -> Callable[..., np.ndarray]:
    def forward(x: np.ndarray, gamma: Any = None, beta: Any = None) -> np.ndarray:
        y, inner = zeros(x.shape), x.shape[x.ndim - axes :]
        for row in indices(x.shape[: x.ndim - axes]):
            values = [x[(*row, *index)] for index in indices(inner)]
            mean = mp.fsum(values) / len(values)
            variance = mp.fsum((value - mean) ** 2 for value in values) / len(values)
            for index in indices(inner):
                scaled = (x[(*row, *index)] - mean) / sqrt(variance + mpf(epsilon))
                y[(*row, *index)] = scaled if gamma is None else gamma[index] * scaled + beta[index]
        return y

    return forward


def attention_forward(decide: Decisions, q: Any, k: Any, v: Any, heads: int) -> Outputs:
    return {"y": _attention(heads)(exact(q), exact(k), exact(v))}


def attention_backward(decide: Decisions, dy: Any, q: Any, k: Any, v: Any, heads: int) -> Outputs:
    return _gradients(_attention(heads), dy, {"q": exact(q), "k": exact(k), "v": exact(v)})


def _attention(heads: int) -> Callable[..., np.ndarray]:
    def forward(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
        (N, T, D), (S, E) = q.shape, v.shape[1:]
        d, e = D // heads, E // heads
        y = zeros((N, T, E))
        for n, h, t in indices((N, heads, T)):
            features = range(h * d, (h + 1) * d)
            scores = [
                mp.fsum(q[n, t, i] * k[n, s, i] for i in features) / sqrt(mpf(d)) for s in range(S)
            ]
            weights = [exp(score) for score in scores]
            for i in range(h * e, (h + 1) * e):
                summed = mp.fsum(weights[s] * v[n, s, i] for s in range(S))
                y[n, t, i] = summed / mp.fsum(weights)
        return y

    return forward


# Stored arrays that join a value


def class_token_forward(decide: Decisions, x: Any, token: Any) -> Outputs:
    x, token = exact(x), exact(token)
    N, T, D = x.shape
    y = zeros((N, T + 1, D))
    for n, t, i in indices(y.shape):
        y[n, t, i] = token[i] if t == 0 else x[n, t - 1, i]
    return {"y": y}


def class_token_backward(decide: Decisions, dy: Any, x: Any, token: Any) -> Outputs:
    dy, dx, dtoken = exact(dy), zeros(x.shape), zeros(token.shape)
    for n, t, i in indices(dy.shape):
        if t == 0:
            dtoken[i] += dy[n, t, i]
        else:
            dx[n, t - 1, i] = dy[n, t, i]
    return {"dx": dx, "dtoken": dtoken}


def _joined(x: np.ndarray, parameter: np.ndarray) -> Any:
    """Indices of y, x and the parameter, and y full of zeros."""
    y = zeros((len(x), *_joint(x.shape[1:], parameter.shape)))
    places = [
        ((n, *index), (n, *_at(x.shape[1:], tuple(index))), _at(parameter.shape, tuple(index)))
        for n, *index in indices(y.shape)
    ]
    return places, y


def add_parameter_forward(decide: Decisions, x: Any, parameter: Any) -> Outputs:
    x, parameter = exact(x), exact(parameter)
    places, y = _joined(x, parameter)
    for at_y, at_x, at_parameter in places:
        y[at_y] = x[at_x] + parameter[at_parameter]
    return {"y": y}


def add_parameter_backward(decide: Decisions, dy: Any, x: Any, parameter: Any) -> Outputs:
    dy, dx, dparameter = exact(dy), zeros(x.shape), zeros(parameter.shape)
    for at_y, at_x, at_parameter in _joined(x, parameter)[0]:
        dx[at_x] += dy[at_y]
        dparameter[at_parameter] += dy[at_y]
    return {"dx": dx, "dparameter": dparameter}


def multiply_parameter_forward(decide: Decisions, x: Any, parameter: Any) -> Outputs:
    x, parameter = exact(x), exact(parameter)
    places, y = _joined(x, parameter)
    for at_y, at_x, at_parameter in places:
        y[at_y] = x[at_x] * parameter[at_parameter]
    return {"y": y}


def multiply_parameter_backward(decide: Decisions, dy: Any, x: Any, parameter: Any) -> Outputs:
    dy, x, parameter = exact(dy), exact(x), exact(parameter)
    dx, dparameter = zeros(x.shape), zeros(parameter.shape)
    for at_y, at_x, at_parameter in _joined(x, parameter)[0]:
        dx[at_x] += dy[at_y] * parameter[at_parameter]
        dparameter[at_parameter] += dy[at_y] * x[at_x]
    return {"dx": dx, "dparameter": dparameter}
