"""Mistakes in dM/dt: other surrogates of a step's derivative."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy.special import expit

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.constant import MARK, Constant, ratio
from fcpts_ref.oracle.mistakes.mistake import Found, Values

WIDTHS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.4, 3.0)
SLOPES = (2.0, 5.0, 10.0, 50.0, 100.0)

Shape = Callable[[Array], Array]
"""The derivative of M by u = |w| - t, which is minus that by t."""


def _long_tailed(u: Array) -> Array:
    size = np.abs(u)
    return np.where(size <= 0.4, 2 - 4 * size, np.where(size <= 1, 0.4, 0.0))


NAMED: dict[str, tuple[Shape, ...]] = {
    "surrogate-unclipped": (lambda u: np.full_like(u, 0.5),),
    "surrogate-half-width": (lambda u: np.where(np.abs(u) < 0.5, 0.5, 0.0),),
    "surrogate-double-width": (lambda u: np.where(np.abs(u) < 2, 0.5, 0.0),),
    "surrogate-zero": (np.zeros_like,),
    "surrogate-tanh": (lambda u: 0.5 * (1 - np.tanh(u) ** 2),),
    "surrogate-sigmoid": (lambda u: expit(u) * expit(-u),),
    "surrogate-gauss": (lambda u: np.exp(-0.5 * u * u) / np.sqrt(2 * np.pi),),
    "surrogate-triangle": (lambda u: 0.5 * np.maximum(1 - np.abs(u), 0),),
    "surrogate-approximate-sign": (lambda u: np.maximum(1 - np.abs(u), 0),),
    "surrogate-arctan": (
        lambda u: 1 / (1 + (np.pi * u) ** 2),
        lambda u: 1 / (np.pi * (1 + u * u)),
    ),
    "surrogate-parabola": (
        lambda u: 0.5 * np.maximum(1 - u * u, 0),
        lambda u: 0.75 * np.maximum(1 - u * u, 0),
    ),
    "surrogate-exponential": (lambda u: 0.5 * np.exp(-np.abs(u)),),
    "surrogate-long-tailed": (_long_tailed, lambda u: 0.5 * _long_tailed(u)),
}
"""Other surrogates by name, each in its forms."""

SHAPES: dict[str, Shape] = {
    "1 / (1 + |u|)^2": lambda u: 1 / (1 + np.abs(u)) ** 2,
    "0.5 / (1 + |u|)^2": lambda u: 0.5 / (1 + np.abs(u)) ** 2,
    "1 / (1 + u^2)": lambda u: 1 / (1 + u * u),
    "exp(-|u|)": lambda u: np.exp(-np.abs(u)),
    "exp(-u^2)": lambda u: np.exp(-u * u),
    "exp(-u^2 / 2)": lambda u: np.exp(-0.5 * u * u),
    "1 - tanh(u)^2": lambda u: 1 - np.tanh(u) ** 2,
    "2 sigmoid(u) (1 - sigmoid(u))": lambda u: 2 * expit(u) * expit(-u),
    "4 sigmoid(u) (1 - sigmoid(u))": lambda u: 4 * expit(u) * expit(-u),
    "0.5 where u > 0": lambda u: np.where(u > 0, 0.5, 0.0),
    "0.5 where u <= 0": lambda u: np.where(u > 0, 0.0, 0.5),
    "0.5 u where |u| < 1": lambda u: np.where(np.abs(u) < 1, 0.5 * u, 0.0),
    "0.5 |u| where |u| < 1": lambda u: np.where(np.abs(u) < 1, 0.5 * np.abs(u), 0.0),
    "max(0, 1 - u^2)": lambda u: np.maximum(1 - u * u, 0),
    "cos(pi u / 2) where |u| < 1": lambda u: np.where(np.abs(u) < 1, np.cos(np.pi * u / 2), 0.0),
}
"""Less usual ones."""


def _dmask_dthreshold(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    W, t = evidence.weights[evidence.item], evidence.given["thresholds"][evidence.layer]
    u, right = np.abs(W) - t, evidence.value
    yield "surrogate-sign", -right
    yield "surrogate-doubled", 2 * right
    for name, shapes in NAMED.items():
        for shape in shapes:
            yield name, -shape(u)
    for text, shape in SHAPES.items():
        yield f"surrogate-shape{MARK}{text}", -shape(u)
    yield "surrogate-signed", np.where(np.abs(W - t) < 1, -0.5, 0.0)
    yield "surrogate-of-magnitude", np.where(np.abs(W) < 1, -0.5, 0.0)
    if t > 0:
        yield "surrogate-relative-window", np.where(np.abs(np.abs(W) / t - 1) < 1, -0.5, 0.0)
    yield (
        "surrogate-height",
        Constant(
            lambda found: ratio(found, 2 * right), lambda c: 2 * c * right, (0.0, 0.5, -0.5, 1.0)
        ),
    )
    yield (
        "surrogate-window",
        Constant(lambda found: WIDTHS, lambda width: np.where(np.abs(u) < width, -0.5, 0.0)),
    )
    yield (
        "surrogate-slope",
        Constant(lambda found: SLOPES, lambda k: -k * expit(k * u) * expit(-k * u), (1.0,)),
    )
    yield "surrogate-where-kept", right * (evidence.given[f"mask/{evidence.item}"] != 0)


VALUES: dict[str, Values] = {"dmask_dthreshold": _dmask_dthreshold}
