"""Mistakes before a step computes anything: the allocation, the first thresholds, the state."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.mistake import Mistake, Values
from fcpts_ref.spec.allocation import allocate, erk

RATES, STATE = ("initial_rates",), ("inputs",)

NAMES = {
    "erk-power-0.5": Mistake(
        "ERK with its ratio to the power 0.5",
        "density ~ (sum(shape) / prod(shape))^0.5",
        RATES,
        point=8,
    ),
    "erk-power-2": Mistake(
        "ERK with its ratio to the power 2",
        "density ~ (sum(shape) / prod(shape))^2",
        RATES,
        point=8,
    ),
    "erk-without-kernel": Mistake(
        "Erdos-Renyi without the kernel's sides",
        "density ~ (in + out) / (in out)",
        RATES,
        "the ratio is taken from the first two sides of the weight alone",
        8,
    ),
    "erk-not-shared-out": Mistake(
        "ERK: layers above density 1 are cut to it, and the others do not take their share",
        "r = max(0, 1 - scale ratio), with one scale for all layers",
        RATES,
        "the loop that holds layers dense and scales the rest again is missing",
        8,
    ),
    "rates-are-densities": Mistake(
        "densities in place of sparsity rates",
        "1 - r",
        RATES,
        "the share of kept weights is stored",
    ),
    "rates-whole-weights-floor": Mistake(
        "rates of whole weights, rounded down",
        "floor(r N) / N",
        RATES,
        "the authors' code allocates int(...) weights to each layer",
        8,
    ),
    "rates-whole-weights-up": Mistake(
        "rates of whole weights, rounded up", "ceil(r N) / N", RATES, "int() of the kept weights", 8
    ),
    "first-layer-left-out": Mistake(
        "the first layer is left out",
        "the allocation of the other layers",
        (*RATES, "control_loss"),
        point=14,
    ),
    "last-layer-left-out": Mistake(
        "the last layer is left out",
        "the allocation of the other layers",
        (*RATES, "control_loss"),
        point=14,
    ),
    "start-smallest-kept": Mistake(
        "thresholds are the smallest kept magnitudes",
        "sorted(|w|)[k] with k = round(r N), counted from 0",
        STATE,
        "an index that counts from 1 is used as one that counts from 0",
        8,
    ),
    "start-rounded-down": Mistake(
        "thresholds start at the rank floor(r N)",
        "sorted(|w|)[floor(r N) - 1]",
        STATE,
        "int(r * N)",
        8,
    ),
    "start-rounded-up": Mistake(
        "thresholds start at the rank ceil(r N)",
        "sorted(|w|)[ceil(r N) - 1]",
        STATE,
        "math.ceil(r * N)",
        8,
    ),
    "start-at-index-int": Mistake(
        "thresholds start at the index int(r N)",
        "sorted(|w|)[int(r N)]",
        STATE,
        "as in the authors' code, where a dense layer starts at its smallest magnitude",
        8,
    ),
    "start-midpoint": Mistake(
        "thresholds lie in the middle of two magnitudes",
        "(sorted(|w|)[k - 1] + sorted(|w|)[k]) / 2",
        STATE,
        point=8,
    ),
    "start-quantile": Mistake(
        "thresholds are interpolated quantiles",
        "quantile(|w|, r)",
        STATE,
        "np.quantile, torch.quantile",
        8,
    ),
    "start-median": Mistake(
        "thresholds start at the median magnitude", "median(|w|)", STATE, point=8
    ),
    "start-mean": Mistake("thresholds start at the mean magnitude", "mean(|w|)", STATE, point=8),
    "start-zero": Mistake("all thresholds begin at 0", "t = 0", STATE, point=8),
    "logit-stored": Mistake(
        "s with t = sigmoid(s) is stored, not t", "s = log(t / (1 - t))", STATE, point=7
    ),
    "logit-without-floor": Mistake(
        "s is not kept at -30 or above", "s = log(t / (1 - t)), -inf at t = 0", STATE, point=7
    ),
    "threshold-stored": Mistake("t is stored, not s", "t", STATE, "the logit is missing", 7),
    "velocities-reset": Mistake(
        "velocities are forgotten between steps",
        "v = 0 at the start of every step",
        STATE,
        "an optimiser that is made in every step, or zeroed state",
        16,
    ),
    "statistics-reset": Mistake(
        "running statistics are not kept from step to step",
        "the dense network's running statistics",
        STATE,
        "the network is copied from the dense one in every step",
        15,
    ),
    "parameters-reset": Mistake(
        "parameters are not kept from step to step",
        "the dense network's parameters",
        STATE,
        "the update is made on a copy",
    ),
    "state-of-earlier-step": Mistake(
        "the state is that before the last step",
        "the state that the step before began with",
        STATE,
        "the state is stored before the update, or the update is lost",
    ),
}


def _initial_rates(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    network, target, rates = evidence.setting.network, evidence.setting.target, evidence.value
    weights = {name: network.parameters[name] for name in network.sizes}
    for power in (0.5, 2.0):
        yield f"erk-power-{power:g}", np.array([*erk(weights, target, power=power).rates.values()])
    raw, sizes = _ratios(weights, kernel=False)
    yield "erk-without-kernel", 1 - (1 - target) * sizes.sum() * raw / (sizes @ raw)
    raw, sizes = _ratios(weights, kernel=True)
    uncapped = 1 - (1 - target) * sizes.sum() * raw / (sizes @ raw)
    yield "erk-not-shared-out", np.maximum(uncapped, 0)
    yield "rates-are-densities", 1 - rates
    yield "rates-whole-weights-floor", np.floor(rates * sizes) / sizes
    yield "rates-whole-weights-up", np.ceil(rates * sizes) / sizes
    for i, side in ((0, "first"), (-1, "last")):
        rest = {n: w for j, (n, w) in enumerate(weights.items()) if j != i % len(weights)}
        others = allocate(evidence.conventions.initial_allocation, rest, target).rates
        yield f"{side}-layer-left-out", np.array([*others.values()])
        yield f"{side}-layer-left-out", np.array([others.get(name, 0.0) for name in weights])


def _ratios(weights: dict[str, Array], *, kernel: bool) -> tuple[Array, Array]:
    shapes = [w.shape if kernel else w.shape[:2] for w in weights.values()]
    raw = np.array([sum(shape) / math.prod(shape) for shape in shapes])
    return raw, np.array([w.size for w in weights.values()])


def _inputs(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    kind, _, name = evidence.item.partition("/")
    if kind in ("velocities", "threshold_velocities"):
        yield "velocities-reset", np.zeros_like(evidence.value)
    if kind == "buffers":
        yield "statistics-reset", evidence.setting.network.buffers[name]
    if kind == "parameters":
        yield "parameters-reset", evidence.setting.network.parameters[name]
    if evidence.name in evidence.earlier:
        yield "state-of-earlier-step", evidence.earlier[evidence.name]
    if evidence.item == "threshold_parameters" and "initial_rates" in evidence.given:
        yield from _initial_thresholds(evidence)


def _initial_thresholds(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    network = evidence.setting.network
    magnitudes = [np.sort(np.abs(network.parameters[n]), axis=None) for n in network.graph.prunable]
    rates = evidence.given["initial_rates"]
    pairs = list(zip(rates, magnitudes, strict=True))

    def at_rank(rank: Array) -> Array:
        """Return the magnitude at a rank from 1, 0 at rank 0."""
        ranked = zip(magnitudes, rank, strict=True)
        return np.array([m[min(int(k), m.size) - 1] if k > 0 else 0.0 for m, k in ranked])

    exact = np.array([r * m.size for r, m in pairs])
    count = np.round(exact)
    starts = {
        "start-smallest-kept": at_rank(count + 1),
        "start-rounded-down": at_rank(np.floor(exact)),
        "start-rounded-up": at_rank(np.ceil(exact)),
        "start-at-index-int": at_rank(np.floor(exact) + 1),
        "start-midpoint": (at_rank(count + 1) + at_rank(count)) / 2,
        "start-quantile": np.array([np.quantile(m, r) for r, m in pairs]),
        "start-median": np.array([np.median(m) for m in magnitudes]),
        "start-mean": np.array([m.mean() for m in magnitudes]),
        "start-zero": np.zeros_like(rates),
    }
    sigmoid = evidence.conventions.threshold_parameter == "sigmoid"
    for name, t in starts.items():
        yield name, np.maximum(_logit(t), -30) if sigmoid else t
    right = at_rank(count)
    if sigmoid:
        yield "threshold-stored", right
        yield "logit-without-floor", _logit(right)
    else:
        yield "logit-stored", _logit(right)
        yield "logit-stored", np.maximum(_logit(right), -30)


def _logit(t: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(t) - np.log1p(-t))


VALUES: dict[str, Values] = {"initial_rates": _initial_rates, "inputs": _inputs}
