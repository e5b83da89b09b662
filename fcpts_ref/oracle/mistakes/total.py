"""Mistakes in Equation 5: the weights of the two losses, in the total and in its gradients.

The total is a L_rec + b L_c.  Differentiated automatically, its gradients by the sparse logits, by
the rates and by the thresholds have the same weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.constant import Constant, ratio
from fcpts_ref.oracle.mistakes.mistake import Found, Values

WEIGHTS: dict[str, tuple[float, float]] = {
    "total-without-control": (1, 0),
    "total-control-alone": (0, 1),
    "total-difference": (1, -1),
    "total-mean": (0.5, 0.5),
    "total-sign": (-1, -1),
    "total-control-twice": (1, 2),
    "total-reconstruction-twice": (2, 1),
}
"""By mistake: the weights a and b."""

NAMED = (0.0, 1.0, -1.0, 2.0)


def _reconstruction(a: float) -> tuple[float, float]:
    return a, 1.0


def _control(b: float) -> tuple[float, float]:
    return 1.0, b


def _blend(b: float) -> tuple[float, float]:
    return 1 - b, b


Weights = Callable[[float], tuple[float, float]]
"""The weights a and b of a constant."""

KINDS: dict[str, Weights] = {
    "total-weight": _control,
    "total-reconstruction-weight": _reconstruction,
    "total-blend": _blend,
}


def _total_loss(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    loss, control = (float(evidence.given[n]) for n in ("reconstruction_loss", "control_loss"))
    for name, (a, b) in WEIGHTS.items():
        yield name, np.asarray(a * loss + b * control)
    yield "total-squared", np.asarray(loss + control**2)
    yield "total-larger", np.asarray(max(loss, control))
    yield "total-smaller", np.asarray(min(loss, control))
    yield "total-root", np.asarray(np.hypot(loss, control))
    yield "total-product", np.asarray(loss * control)
    reads = {
        "total-weight": (loss, control),
        "total-reconstruction-weight": (control, loss),
        "total-blend": (loss, control - loss),
    }
    for name, (rest, part) in reads.items():
        formula = partial(_weighted, KINDS[name], np.asarray(loss), np.asarray(control))
        usual = NAMED if name != "total-blend" else (0.0, 0.5, 1.0)
        yield name, Constant(partial(_read, rest, part), formula, usual)


def _read(rest: float, part: float, found: Array) -> list[float]:
    """Return the weight of one part of the total, from the total found."""
    return ratio(found - rest, np.asarray(part))


def _weighted(kind: Weights, loss: Array, control: Array, constant: float) -> Array:
    a, b = kind(constant)
    return np.asarray(a * loss + b * control)


def _gradient(evidence: Evidence, loss: Array, control: Array) -> Iterator[tuple[str, Found]]:
    """Yield a gradient with the weights of each mistake in the total."""
    for name, (a, b) in WEIGHTS.items():
        yield name, np.asarray(a * loss + b * control)
    for name in KINDS:
        yield (
            name,
            Constant(lambda found: (), partial(_weighted, KINDS[name], loss, control), NAMED),
        )


def reconstruction_weight(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    """Yield dL_rec/dY_sparse as the gradient of a total with other weights."""
    yield from _gradient(evidence, evidence.value, np.zeros_like(evidence.value))


def control_weight(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    """Yield dL_c/dr as the gradient of a total with other weights."""
    yield from _gradient(evidence, np.zeros_like(evidence.value), evidence.value)


def _dthreshold(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    control, loss = (
        evidence.given.get(f"d{name}_dthreshold") for name in ("control", "reconstruction")
    )
    if control is not None and loss is not None:
        yield from _gradient(evidence, loss, control)


VALUES: dict[str, Values] = {
    "total_loss": _total_loss,
    "dsparse_logits": reconstruction_weight,
    "dthreshold": _dthreshold,
}
