"""Mistakes in batch norm, its running statistics, and the normalised input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from fcpts_ref.graphs.graph import Node
from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.computed import Computed, Gradients, Variants, pointwise
from fcpts_ref.oracle.mistakes.constant import MARK, Constant, ratio
from fcpts_ref.oracle.mistakes.mistake import Found, Values
from fcpts_ref.oracle.mistakes.reads import FED, fed_functions
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


def input_variants(evidence: Evidence, node: Node) -> Variants:
    """Yield the normalised input with each mistake."""
    x, stored = value_of(evidence, node.inputs[0]), stored_of(evidence, node)
    mean, std = wide(stored["mean"]), wide(stored["std"])
    for name, value, slope in (
        ("input-not-normalised", x, 1.0),
        ("input-mean-not-subtracted", x / std, 1 / std),
        ("input-not-divided", x - mean, 1.0),
        ("input-multiplied", (x - mean) * std, std),
        ("input-by-variance", (x - mean) / (std * std), std**-2),
        ("input-twice", ((x - mean) / std - mean) / std, std**-2),
        ("input-mean-after", x / std - mean, 1 / std),
        ("input-mean-added", (x + mean) / std, 1 / std),
        ("input-channels-reversed", (x - mean[::-1]) / std[::-1], 1 / std[::-1]),
        ("input-from-minus-1", (2 * x - 1 - mean) / std, 2 / std),
        ("input-from-minus-1", 2 * x - 1, 2.0),
    ):
        yield name, partial(pointwise, value, slope)

    def read(found: Array) -> list[float]:
        """Solve (c x - mean) / std = found for c."""
        return ratio(found * std + mean, x) if found.shape == x.shape else []

    yield (
        "input-scaled",
        Constant(read, lambda c: pointwise((c * x - mean) / std, c / std), (0.0, 1.0)),
    )


def _new_buffer(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    node_name, _, short = evidence.item.rpartition(".")
    node = next(n for n in evidence.setting.network.graph.nodes if n.name == node_name)
    x, old = value_of(evidence, node.inputs[0]), evidence.state.buffers[evidence.item]
    m, M = node.attributes["momentum"], x.size // x.shape[1]
    unbiased = M / max(M - 1, 1)

    def statistics(x: Array) -> Array:
        axes = (0, 2, 3)
        return np.asarray(
            x.mean(axis=axes) if short == "running_mean" else x.var(axis=axes) * unbiased
        )

    def moved(batch: Array, rate: float = m, running: Array = old) -> Array:
        return np.asarray((1 - rate) * running + rate * batch)

    batch = statistics(x)
    yield "statistics-frozen", old
    yield "statistics-momentum-swapped", moved(batch, 1 - m)
    yield "statistics-of-batch", batch
    yield "statistics-moved-twice", moved(batch, running=moved(batch))
    yield (
        "statistics-momentum",
        Constant(
            lambda found: ratio(found - old, batch - old),
            lambda rate: moved(batch, rate),
            (0.0, m, 1 - m, 1.0),
        ),
    )
    yield (
        "statistics-from-dense",
        moved(batch, running=evidence.setting.network.buffers[evidence.item]),
    )
    yield "statistics-weighted-equally", moved(batch, 1 / (evidence.state.step + 1))
    for parts in (2, 4, 8):
        if len(x) % parts == 0 and len(x) >= 2 * parts:
            piece = np.split(x, parts)[0]
            n = piece.size // piece.shape[1]
            own = statistics(piece)
            if short == "running_var":
                own = own / unbiased * (n / (n - 1))
            yield f"bn-in-parts{MARK}{parts}", moved(own)
    scaled = x * wide(stored_of(evidence, node)["weight"])
    yield "bn-gamma-first", moved(statistics(scaled))
    for text, value, _ in fed_functions(x):
        yield f"{FED}{MARK}{text}", moved(statistics(value))
    if short == "running_var":
        yield "statistics-biased", moved(batch / unbiased)
        yield "statistics-unbiased-twice", moved(batch * unbiased)
        yield "statistics-second-moment", moved((x * x).mean(axis=(0, 2, 3)))
        yield "statistics-second-moment", moved((x * x).mean(axis=(0, 2, 3)) * unbiased)
        yield "statistics-deviation", moved(np.sqrt(batch))
        for text, count in (("images", len(x)), ("pixels", M // len(x)), ("channels", x.shape[1])):
            if count > 1:
                variance = batch / unbiased * count / (count - 1)
                yield f"statistics-unbiased-over{MARK}{text}", moved(variance)
        within = x.var(axis=(2, 3)).mean(axis=0)
        yield "statistics-within-images", moved(within)
    source = node.inputs[0]
    dense = evidence.given.get(f"dense_activation/{source}")
    if dense is not None:
        yield "statistics-of-dense", moved(statistics(dense))
        yield "statistics-moved-twice", moved(batch, running=moved(statistics(dense)))


VALUES: dict[str, Values] = {"new_buffer": _new_buffer}
