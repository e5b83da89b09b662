"""The right value through a function: a magnitude, a square, a sign, a share of the sum, a bound.

A loss that goes through a function has gradients that follow it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.constant import MARK, Constant, limits, ratio
from fcpts_ref.oracle.mistakes.functions import EACH, FUNCTIONS, TOGETHER
from fcpts_ref.oracle.mistakes.mistake import CATALOGUE, Found, Values
from fcpts_ref.oracle.mistakes.moved import axes_of
from fcpts_ref.spec import equations

THROUGH = "through"
SHIFTED = "shifted"
CLIPPED = "clipped"
DROPPED = "dropped"


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
