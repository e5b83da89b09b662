"""Functions that a value may go through: of single elements, and of all together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import expit

from fcpts_ref.oracle.evidence import Array

Function = Callable[[Array], Array]


FUNCTIONS: dict[str, tuple[Function, Function]] = {
    "-x": (np.negative, lambda x: np.full_like(x, -1)),
    "|x|": (np.abs, np.sign),
    "x^2": (np.square, lambda x: 2 * x),
    "x^2 / 2": (lambda x: x * x / 2, lambda x: x),
    "x |x|": (lambda x: x * np.abs(x), lambda x: 2 * np.abs(x)),
    "sqrt(x)": (np.sqrt, lambda x: 0.5 / np.sqrt(x)),
    "sgn(x)": (np.sign, np.zeros_like),
    "max(x, 0)": (lambda x: np.maximum(x, 0), lambda x: (x > 0) * 1.0),
    "min(x, 0)": (lambda x: np.minimum(x, 0), lambda x: (x < 0) * 1.0),
    "1 - x": (lambda x: 1 - x, lambda x: np.full_like(x, -1)),
    "1 / x": (lambda x: 1 / x, lambda x: -1 / (x * x)),
    "exp(x)": (np.exp, np.exp),
    "exp(-x)": (lambda x: np.exp(-x), lambda x: -np.exp(-x)),
    "log(x)": (np.log, lambda x: 1 / x),
    "log(1 + x)": (np.log1p, lambda x: 1 / (1 + x)),
    "sigmoid(x)": (expit, lambda x: expit(x) * expit(-x)),
    "tanh(x)": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "round(x)": (np.round, np.zeros_like),
    "float16(x)": (lambda x: x.astype(np.float16), np.ones_like),
    "float32(x)": (lambda x: x.astype(np.float32), np.ones_like),
}
"""Of single elements: the function and its derivative."""


TOGETHER: dict[str, Function] = {
    "0": np.zeros_like,
    "x / sum(x)": lambda x: x / x.sum(),
    "x / mean(x)": lambda x: x / x.mean(),
    "x / max|x|": lambda x: x / np.abs(x).max(),
    "x / norm(x)": lambda x: x / np.sqrt((x * x).sum()),
    "x / std(x)": lambda x: x / x.std(),
    "x / sum|x|": lambda x: x / np.abs(x).sum(),
    "x - mean(x)": lambda x: x - x.mean(),
    "(x - mean(x)) / std(x)": lambda x: (x - x.mean()) / x.std(),
    "x - min(x)": lambda x: x - x.min(),
    "mean(x)": lambda x: np.full_like(x, x.mean()),
    "sum(x)": lambda x: np.full_like(x, x.sum()),
    "max(x)": lambda x: np.full_like(x, x.max()),
    "min(x)": lambda x: np.full_like(x, x.min()),
    "median(x)": lambda x: np.full_like(x, np.median(x)),
    "x of the first image": lambda x: np.broadcast_to(x[:1], x.shape),
    "softmax(x)": lambda x: np.exp(x - x.max()) / np.exp(x - x.max()).sum(),
}
"""Of all elements of an array together."""


EACH: dict[str, Callable[[Array, tuple[int, ...]], Array]] = {
    "x - mean(x)": lambda x, axes: x - x.mean(axis=axes, keepdims=True),
    "x / norm(x)": lambda x, axes: x / np.sqrt((x * x).sum(axis=axes, keepdims=True)),
    "x / sum(x)": lambda x, axes: x / x.sum(axis=axes, keepdims=True),
    "x / max|x|": lambda x, axes: x / np.abs(x).max(axis=axes, keepdims=True),
    "mean(x)": lambda x, axes: np.broadcast_to(x.mean(axis=axes, keepdims=True), x.shape),
    "max(x)": lambda x, axes: np.broadcast_to(x.max(axis=axes, keepdims=True), x.shape),
}
"""Of all elements of each filter, image or other part, given the axes within a part."""
