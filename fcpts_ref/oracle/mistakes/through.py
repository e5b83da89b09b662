"""The right value through a function: a magnitude, a square, a sign, a share of the sum, a bound.

A loss that goes through a function has gradients that follow it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from scipy.special import expit

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.constant import MARK, Constant, limits, ratio
from fcpts_ref.oracle.mistakes.mistake import CATALOGUE, Found, Values
from fcpts_ref.oracle.mistakes.moved import axes_of
from fcpts_ref.spec import equations

THROUGH = "through"
SHIFTED = "shifted"
CLIPPED = "clipped"
DROPPED = "dropped"

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


def _each(part: Callable[[Array, tuple[int, ...]], Array], x: Array, axis: int) -> Array:
    return part(x, tuple(a for a in range(x.ndim) if a != axis))


def _through(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    right = evidence.value
    for text, (function, _) in FUNCTIONS.items():
        yield _named(text), partial(function, right)
    if right.size > 1:
        for text, together in TOGETHER.items():
            yield _named(text), partial(together, right)
        for axis, name in enumerate(axes_of(evidence) if right.ndim > 1 else ()):
            if 1 < right.shape[axis] < right.size:
                for text, part in EACH.items():
                    yield _named(f"{text} of each of the {name}"), partial(_each, part, right, axis)
        yield (
            DROPPED,
            Constant(partial(_share_dropped, right), partial(_dropped, right, evidence.found)),
        )
        yield SHIFTED, Constant(partial(_difference, right), partial(np.add, right), (0.0,))
        yield (
            CLIPPED,
            Constant(
                lambda found: limits(found, lambda x: float(np.abs(x).max())),
                lambda top: np.clip(right, -top, top),
                (0.0,),
            ),
        )
    yield from _parts(evidence)
    loss = _right_loss(evidence)
    for text, (_, slope) in FUNCTIONS.items() if loss is not None else ():
        yield _named(text), slope(np.asarray(loss)) * right


def _parts(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    """The right value where weights are kept or pruned alone, 0 elsewhere."""
    if evidence.item not in evidence.layers:
        return
    W, t = evidence.weights[evidence.item], evidence.given["thresholds"][evidence.layer]
    places = {"|w| < t": np.abs(W) < t, "|w| >= t": np.abs(W) >= t, "w > 0": W > 0}
    if evidence.quantity != "mask":  # it is the mask found
        mask = evidence.given[f"mask/{evidence.item}"]
        places |= {"kept weights": mask != 0, "pruned weights": mask == 0}
    for text, where in places.items():
        yield _named(f"x of {text} alone"), np.where(where, evidence.value, 0.0)


def _right_loss(evidence: Evidence) -> Array | None:
    """Return the right value of the loss that this is the gradient of, if it is that of one."""
    given = evidence.given
    if evidence.quantity == "dcontrol_drate":
        N = evidence.sizes
        reached = float((given["rates"] * N).sum() / N.sum())
        return np.asarray(abs(reached - evidence.setting.target))
    if evidence.quantity == "dsparse_logits":
        logits, T = (
            (given["dense_logits"], given["sparse_logits"]),
            evidence.conventions.temperature,
        )
        return np.asarray(equations.reconstruction_loss(*logits, temperature=T))
    return None


def _named(text: str) -> str:
    return f"{THROUGH}{MARK}{text}"


def _share_dropped(right: Array, found: Array) -> list[float]:
    """Return the p of a dropout that divides by 1 - p, from what it keeps; none if it is none."""
    zeros = np.mean((found == 0) & (right != 0)) if found.shape == right.shape else 0.0
    kept = ratio(found, right * (found != 0)) if 0 < zeros < 1 else []
    return [1 - 1 / factor for factor in kept if factor > 1]


def _dropped(right: Array, found: Array, p: float) -> Array:
    return np.where(found == 0, 0.0, right / (1 - p))


def _difference(right: Array, found: Array) -> list[float]:
    return [float(found.flat[0] - right.flat[0])] if found.shape == right.shape else []


VALUES: dict[str, Values] = dict.fromkeys(CATALOGUE[THROUGH].of, _through)
