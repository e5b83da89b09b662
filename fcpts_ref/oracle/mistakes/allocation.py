"""Mistakes in the allocation: the rates that a run begins with."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.constant import MARK
from fcpts_ref.oracle.mistakes.mistake import Values
from fcpts_ref.spec.allocation import allocate, erk


def _initial_rates(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    network, target, rates = evidence.setting.network, evidence.setting.target, evidence.value
    weights = {name: network.parameters[name] for name in network.sizes}
    for power in (0.5, 2.0):
        yield f"erk-power-{power:g}", np.array([*erk(weights, target, power=power).rates.values()])
    sizes = np.array([w.size for w in weights.values()])
    for name, raw in _ratios([w.shape for w in weights.values()]):
        uncapped = 1 - (1 - target) * sizes.sum() * raw / (sizes @ raw)
        if name == "erk":
            yield "erk-not-shared-out", np.maximum(uncapped, 0)
            continue
        yield name, _shared_out(raw, sizes, target)
        yield name, np.maximum(uncapped, 0)
        yield name, uncapped
    yield "erk-of-kept-target", np.array([*erk(weights, 1 - target).rates.values()])
    yield "rates-are-densities", 1 - rates
    yield "rates-whole-weights-floor", np.floor(rates * sizes) / sizes
    yield "rates-whole-weights-up", np.ceil(rates * sizes) / sizes
    for i, side in ((0, "first"), (-1, "last")):
        rest = {n: w for j, (n, w) in enumerate(weights.items()) if j != i % len(weights)}
        others = allocate(evidence.conventions.initial_allocation, rest, target).rates
        yield f"{side}-layer-left-out", np.array([*others.values()])
        yield f"{side}-layer-left-out", np.array([others.get(name, 0.0) for name in weights])


def _ratios(shapes: list[tuple[int, ...]]) -> Iterator[tuple[str, Array]]:
    """Yield what the densities of the layers are proportional to, ERK's own first."""

    def each(ratio: Callable[[tuple[int, ...]], float]) -> Array:
        return np.array([ratio(shape) for shape in shapes])

    yield "erk", each(lambda s: sum(s) / math.prod(s))
    yield "erk-without-kernel", each(lambda s: sum(s[:2]) / math.prod(s[:2]))
    yield "erk-of-fans", each(lambda s: (s[0] + math.prod(s[1:])) / math.prod(s))
    for text, ratio in RATIOS.items():
        yield f"erk-ratio{MARK}{text}", each(ratio)


RATIOS: dict[str, Callable[[tuple[int, ...]], float]] = {
    "1 / N": lambda s: 1 / math.prod(s),
    "1 / sqrt(N)": lambda s: 1 / math.sqrt(math.prod(s)),
    "1 / out": lambda s: 1 / s[0],
    "1 / in": lambda s: 1 / s[1],
    "1 / fan-in": lambda s: 1 / math.prod(s[1:]),
    "sum(shape)": sum,
    "prod(shape) / sum(shape)": lambda s: math.prod(s) / sum(s),
    "(in + out) / prod(shape)": lambda s: sum(s[:2]) / math.prod(s),
    "N": math.prod,
}
"""Other ratios that densities may be proportional to."""


def _shared_out(raw: Array, sizes: Array, target: float) -> Array:
    """Return the rates; layers that would exceed density 1 are dense, and the rest share."""
    dense = np.zeros(len(raw), bool)
    scale = 0.0
    while not dense.all():
        left = (1 - target) * sizes.sum() - sizes[dense].sum()
        scale = left / (raw * sizes)[~dense].sum()
        if scale * raw[~dense].max() <= 1:
            break
        dense |= raw == raw[~dense].max()
    return np.where(dense, 0.0, 1 - scale * raw)


VALUES: dict[str, Values] = {
    "initial_rates": _initial_rates,
}
