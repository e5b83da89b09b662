"""Mistakes in the activation function: another one, with its derivative."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.special import erf, expit

from fcpts_ref.graphs.graph import Node
from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.computed import Computed, Variants, pointwise
from fcpts_ref.oracle.mistakes.constant import Constant, ratio
from fcpts_ref.oracle.mistakes.values import value_of

Function = Callable[[Array], tuple[Array, Array]]
"""A function of single elements: its value and its derivative."""


def _silu(x: Array) -> tuple[Array, Array]:
    s = expit(x)
    return x * s, s * (1 + x * (1 - s))


def _gelu(x: Array) -> tuple[Array, Array]:
    below = 0.5 * (1 + erf(x / np.sqrt(2)))
    return x * below, below + x * np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi)


def _gelu_tanh(x: Array) -> tuple[Array, Array]:
    root = np.sqrt(2 / np.pi)
    t = np.tanh(root * (x + 0.044715 * x**3))
    inner = root * (1 + 3 * 0.044715 * x * x)
    return 0.5 * x * (1 + t), 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * inner


def _elu(x: Array) -> tuple[Array, Array]:
    below = np.exp(np.minimum(x, 0))
    return np.where(x > 0, x, below - 1), np.where(x > 0, 1.0, below)


def _softplus(x: Array) -> tuple[Array, Array]:
    return np.logaddexp(0, x), expit(x)


def _tanh(x: Array) -> tuple[Array, Array]:
    t = np.tanh(x)
    return t, 1 - t * t


def _sigmoid(x: Array) -> tuple[Array, Array]:
    s = expit(x)
    return s, s * (1 - s)


def _hard_swish(x: Array) -> tuple[Array, Array]:
    gate = np.clip(x / 6 + 0.5, 0, 1)
    return x * gate, gate + np.where(np.abs(x) < 3, x / 6, 0.0)


FUNCTIONS: dict[str, tuple[Function, ...]] = {
    "silu": (_silu,),
    "gelu": (_gelu, _gelu_tanh),
    "elu": (_elu,),
    "softplus": (_softplus,),
    "tanh": (_tanh,),
    "sigmoid": (_sigmoid,),
    "hard-swish": (_hard_swish,),
}


def _replaced(function: Function, x: Array) -> Computed:
    return pointwise(*function(x))


def relu_variants(evidence: Evidence, node: Node) -> Variants:
    """Yield another function in the place of ReLU or ReLU6."""
    x = value_of(evidence, node.inputs[0])
    yield "relu-missing", lambda: pointwise(x, 1.0)
    yield "relu-magnitude", lambda: pointwise(np.abs(x), np.sign(x))
    for name, functions in FUNCTIONS.items():
        for function in functions:
            yield f"relu-{name}", partial(_replaced, function, x)
    below = np.minimum(x, 0)

    def leaky(slope: float) -> Computed:
        return pointwise(np.where(x > 0, x, slope * x), np.where(x > 0, 1.0, slope))

    yield "relu-leaks", Constant(lambda found: ratio(found, below), leaky, (0.0, 1.0))

    def clipped(top: float) -> Computed:
        return pointwise(np.clip(x, 0, top), (x > 0) & (x < top))

    if node.operation == "relu":
        yield "relu6-for-relu", lambda: clipped(6)
        yield "relu-clipped", Constant(lambda found: [float(found.max())], clipped, (6.0,))
    else:
        yield "relu-for-relu6", lambda: pointwise(np.maximum(x, 0), x > 0)
