"""Activations derived a second time: scalar functions, with slopes from their values.

The slopes of pieces that meet in a kink are stated piece by piece.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from mpmath import erf, exp, mpf, pi, sqrt, tanh

from tools.vectors.exact import STEP, Decisions, exact, indices, zeros

Outputs = dict[str, Any]
Scalar = Callable[[mpf], mpf]


def _each(function: Scalar, x: Any) -> np.ndarray:
    x, y = exact(x), zeros(np.shape(x))
    for index in indices(x.shape):
        y[index] = function(x[index])
    return y


def _slopes(function: Scalar, dy: Any, x: Any) -> Outputs:
    """Return dy times the derivative, by central differences."""
    slope = _each(lambda at: (function(at + STEP) - function(at - STEP)) / (2 * STEP), x)
    return {"dx": exact(dy) * slope}


def _sigmoid(x: mpf) -> mpf:
    return 1 / (1 + exp(-x))


def _silu(x: mpf) -> mpf:
    return x / (1 + exp(-x))


def _gelu(approximate: str) -> Scalar:
    if approximate == "tanh":
        cubic = mpf("0.044715")
        return lambda x: x / 2 * (1 + tanh(sqrt(2 / pi) * (x + cubic * x**3)))
    return lambda x: x / 2 * (1 + erf(x / sqrt(mpf(2))))


def sigmoid_forward(decide: Decisions, x: Any) -> Outputs:
    return {"y": _each(_sigmoid, x)}


def sigmoid_backward(decide: Decisions, dy: Any, x: Any) -> Outputs:
    return _slopes(_sigmoid, dy, x)


def tanh_forward(decide: Decisions, x: Any) -> Outputs:
    return {"y": _each(tanh, x)}


def tanh_backward(decide: Decisions, dy: Any, x: Any) -> Outputs:
    return _slopes(tanh, dy, x)


def silu_forward(decide: Decisions, x: Any) -> Outputs:
    return {"y": _each(_silu, x)}


def silu_backward(decide: Decisions, dy: Any, x: Any) -> Outputs:
    return _slopes(_silu, dy, x)


def gelu_forward(decide: Decisions, x: Any, approximate: str) -> Outputs:
    return {"y": _each(_gelu(approximate), x)}


def gelu_backward(decide: Decisions, dy: Any, x: Any, approximate: str) -> Outputs:
    return _slopes(_gelu(approximate), dy, x)


def dropout_forward(decide: Decisions, x: Any, rate: float) -> Outputs:
    return {"y": exact(x)}


def dropout_backward(decide: Decisions, dy: Any, x: Any, rate: float) -> Outputs:
    return {"dx": exact(dy)}


# Pieces


def _inside(decide: Decisions, x: mpf, low: Any, high: Any) -> int:
    """Return -1 at low and below, 1 at high and above, 0 between."""
    above, below = decide.compare(x, high) >= 0, decide.compare(x, low) <= 0
    return -1 if below else 1 if above else 0


def clip_forward(decide: Decisions, x: Any, low: float, high: float) -> Outputs:
    def value(at: mpf) -> mpf:
        return {-1: mpf(low), 0: at, 1: mpf(high)}[_inside(decide, at, low, high)]

    return {"y": _each(value, x)}


def clip_backward(decide: Decisions, dy: Any, x: Any, low: float, high: float) -> Outputs:
    slope = _each(lambda at: mpf(_inside(decide, at, low, high) == 0), x)
    return {"dx": exact(dy) * slope}


def leaky_relu_forward(decide: Decisions, x: Any, slope: float) -> Outputs:
    return {"y": _each(lambda at: at if decide.compare(at, 0) > 0 else mpf(slope) * at, x)}


def leaky_relu_backward(decide: Decisions, dy: Any, x: Any, slope: float) -> Outputs:
    factor = _each(lambda at: mpf(1) if decide.compare(at, 0) > 0 else mpf(slope), x)
    return {"dx": exact(dy) * factor}


def _hard_sigmoid(decide: Decisions, at: mpf, alpha: Any, beta: Any) -> tuple[mpf, mpf]:
    """Return the value and the slope."""
    z = mpf(alpha) * at + mpf(beta)
    side = _inside(decide, z, 0, 1)
    return (z, mpf(alpha)) if side == 0 else (mpf(side == 1), mpf(0))


def hard_sigmoid_forward(decide: Decisions, x: Any, alpha: float, beta: float) -> Outputs:
    return {"y": _each(lambda at: _hard_sigmoid(decide, at, alpha, beta)[0], x)}


def hard_sigmoid_backward(decide: Decisions, dy: Any, x: Any, alpha: float, beta: float) -> Outputs:
    return {"dx": exact(dy) * _each(lambda at: _hard_sigmoid(decide, at, alpha, beta)[1], x)}


def hard_swish_forward(decide: Decisions, x: Any) -> Outputs:
    def value(at: mpf) -> mpf:
        return {-1: mpf(0), 0: at * (at + 3) / 6, 1: at}[_inside(decide, at, -3, 3)]

    return {"y": _each(value, x)}


def hard_swish_backward(decide: Decisions, dy: Any, x: Any) -> Outputs:
    def slope(at: mpf) -> mpf:
        return {-1: mpf(0), 0: (2 * at + 3) / 6, 1: mpf(1)}[_inside(decide, at, -3, 3)]

    return {"dx": exact(dy) * _each(slope, x)}
