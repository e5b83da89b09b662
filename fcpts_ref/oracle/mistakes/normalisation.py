"""Mistakes in batch norm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from fcpts_ref.graphs.graph import Node
from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.computed import Computed, Gradients, Variants, pointwise
from fcpts_ref.oracle.mistakes.constant import MARK, Constant
from fcpts_ref.oracle.mistakes.values import stored_of, value_of, wide

CHANNELS = (0, 2, 3)
Divisor = Callable[[Array], tuple[Array, Array]]
"""Of the variance: what is divided by, and its derivative."""


@dataclass(frozen=True, eq=False)
class _Norm:
    """Batch norm in other forms: gain (x - mean) / divisor(variance) + shift.

    mean: True for the batch's, False for none, or given ones (C,).  central: whether deviations
    are from the batch's mean.  factor: on the variance.  variance: given ones (C,), or None for
    the batch's.  gain, shift: the arrays (C,), and their derivatives by gamma and beta.
    """

    x: Array
    divisor: Divisor
    gain: tuple[Array, float]
    shift: tuple[Array, float]
    axes: tuple[int, ...] = CHANNELS
    mean: Any = True
    central: bool = True
    factor: float = 1.0
    variance: Array | None = None

    def computed(self) -> Computed:
        x, axes, gain = self.x, self.axes, wide(self.gain[0])
        batch = x.mean(axis=axes, keepdims=True)
        deviations = x - batch if self.central else x
        mean = batch if self.mean is True else 0.0 if self.mean is False else wide(self.mean)
        spread = self.factor * (deviations**2).mean(axis=axes, keepdims=True)
        variance = spread if self.variance is None else wide(self.variance)
        divisor, slope = self.divisor(variance)
        z = (x - mean) / divisor

        def backward(dy: Array) -> Gradients:
            dz = gain * dy
            dx = dz / divisor
            if self.mean is True:
                dx = dx - dx.mean(axis=axes, keepdims=True)
            if self.variance is None:
                M = x.size / spread.size
                dvariance = -(dz * z / divisor).sum(axis=axes, keepdims=True) * slope
                dx = dx + dvariance * self.factor * 2 * deviations / M
            dgain, dshift = (dy * z).sum(axis=CHANNELS), dy.sum(axis=CHANNELS)
            return [dx], {"weight": self.gain[1] * dgain, "bias": self.shift[1] * dshift}

        return Computed(gain * z + wide(self.shift[0]), backward)


def _root(epsilon: float) -> Divisor:
    def divisor(variance: Array) -> tuple[Array, Array]:
        deviation = np.sqrt(variance + epsilon)
        return deviation, 0.5 / deviation

    return divisor


def _outside(epsilon: float) -> Divisor:
    def divisor(variance: Array) -> tuple[Array, Array]:
        deviation = np.sqrt(variance)
        return deviation + epsilon, 0.5 / deviation

    return divisor


def _undivided(epsilon: float) -> Divisor:
    return lambda variance: (variance + epsilon, np.ones_like(variance))


def batch_norm_variants(evidence: Evidence, node: Node) -> Variants:
    """Yield batch norm with each mistake."""
    x, stored = value_of(evidence, node.inputs[0]), stored_of(evidence, node)
    gamma, beta, epsilon = stored["weight"], stored["bias"], node.attributes["epsilon"]
    c = evidence.conventions
    training = (c.teacher_batch_norm if evidence.dense else c.student_batch_norm) == "training"
    running = {"mean": stored["running_mean"], "variance": stored["running_var"]}
    used, other = ({}, running) if training else (running, {})

    def norm(**changed: Any) -> Callable[[], Computed]:
        settings: dict[str, Any] = {"x": x, "divisor": _root(epsilon)}
        settings |= {"gain": (gamma, 1.0), "shift": (beta, 1.0)} | used | changed
        return lambda: _Norm(**settings).computed()

    M = x.size // x.shape[1]
    if training:
        yield "bn-unbiased", norm(factor=M / max(M - 1, 1))
        yield "bn-second-moment", norm(central=False)
        yield "bn-per-image", norm(axes=(2, 3))
        yield "bn-per-pixel", norm(axes=(0,))
        for parts in (2, 4, 8):
            if x.shape[0] % parts == 0 and x.shape[0] >= 2 * parts:
                pieces = partial(_in_pieces, np.split(x, parts), norm)
                yield f"bn-in-parts{MARK}{parts}", pieces
        yield "bn-layer-norm", norm(axes=(1, 2, 3))
        yield "bn-without-variance", norm(divisor=_nothing)
    yield "bn-epsilon-outside", norm(divisor=_outside(epsilon))
    yield "bn-variance-for-deviation", norm(divisor=_undivided(epsilon))
    yield "bn-without-mean", norm(mean=False)
    yield "bn-without-gamma", norm(gain=(np.ones_like(gamma), 0.0))
    yield "bn-without-beta", norm(shift=(np.zeros_like(beta), 0.0))
    yield "bn-beta-subtracted", norm(shift=(-beta, -1.0))
    yield "bn-one-plus-gamma", norm(gain=(1 + gamma, 1.0))
    given = running if other else {"mean": x.mean(axis=CHANNELS), "variance": x.var(axis=CHANNELS)}
    yield "bn-other-statistics", norm(**given)
    if not training:  # the batch's, which gradients go through
        yield "bn-other-statistics", norm(mean=True, variance=None)
    m = node.attributes["momentum"]
    spread = x.var(axis=CHANNELS) * M / max(M - 1, 1)
    moved = [
        (1 - m) * running[n] + m * batch
        for n, batch in (("mean", x.mean(axis=CHANNELS)), ("variance", spread))
    ]
    yield "bn-updated-statistics", norm(mean=moved[0], variance=moved[1])
    yield "bn-gamma-first", lambda: _scaled_first(norm, x, gamma)
    yield "bn-missing", lambda: pointwise(x, 1.0)
    mean = used.get("mean", x.mean(axis=CHANNELS))
    variance = used.get("variance", x.var(axis=CHANNELS))

    def read(found: Array) -> Iterator[float]:
        """Solve (found - beta) / (gamma (x - mean)) = 1 / sqrt(variance + epsilon)."""
        gain = wide(gamma) * (x - wide(mean))
        place = np.unravel_index(np.argmax(np.abs(gain)), x.shape)
        k = place[1]
        if found.shape == x.shape and found[place] != beta[k]:
            yield _rounded((gain[place] / (found[place] - beta[k])) ** 2 - variance[k], variance[k])

    yield (
        "bn-epsilon",
        Constant(read, lambda e: norm(divisor=_root(e))(), (epsilon,)),
    )


def _in_pieces(pieces: list[Array], norm: Callable[..., Callable[[], Computed]]) -> Computed:
    """Batch norm of each piece of the batch by itself, as on several devices."""
    computed = [norm(x=piece)() for piece in pieces]

    def backward(dy: Array) -> Gradients:
        shares = np.split(dy, len(computed))
        sent = [one.backward(share) for one, share in zip(computed, shares, strict=True)]
        stored = {n: np.sum([d[n] for _, d in sent], axis=0) for n in sent[0][1]}
        return [np.concatenate([dx[0] for dx, _ in sent])], stored

    return Computed(np.concatenate([one.value for one in computed]), backward)


def _nothing(variance: Array) -> tuple[Array, Array]:
    return np.ones_like(variance), np.zeros_like(variance)


def _rounded(epsilon: float, variance: float) -> float:
    """Take off the digits that a difference of numbers near the variance does not have."""
    if abs(epsilon) <= 1e-12 * variance:
        return 0.0
    two_digits = float(f"{epsilon:.2g}")
    return two_digits if abs(epsilon - two_digits) <= 1e-10 * variance else epsilon


def _scaled_first(norm: Callable[..., Callable[[], Computed]], x: Array, gamma: Array) -> Computed:
    """Batch norm of gamma x, not scaled afterwards."""
    scale = wide(gamma)
    inner = norm(x=scale * x, gain=(np.ones_like(gamma), 0.0))()

    def backward(dy: Array) -> Gradients:
        (dscaled,), dstored = inner.backward(dy)
        return [scale * dscaled], {**dstored, "weight": (dscaled * x).sum(axis=CHANNELS)}

    return Computed(inner.value, backward)
