"""Mistakes in the state that a step begins with, and in the first thresholds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.special import expit, ndtri

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.constant import Constant
from fcpts_ref.oracle.mistakes.mistake import Found, Values


def _inputs(evidence: Evidence) -> Iterator[tuple[str, Found]]:
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


def _initial_thresholds(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    network = evidence.setting.network
    magnitudes = [np.sort(np.abs(network.parameters[n]), axis=None) for n in network.graph.prunable]
    rates = evidence.given["initial_rates"]
    if not ((rates >= 0) & (rates <= 1)).all():  # no ranks
        return
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
    spreads = np.array([network.parameters[n].std(ddof=1) for n in network.graph.prunable])
    starts |= {
        "start-share-of-largest": rates * np.array([m[-1] for m in magnitudes]),
        "start-deviation": spreads,
        "start-normal-quantile": spreads * ndtri((1 + rates) / 2),
        "start-is-rate": rates,
        "start-relative": at_rank(count) / np.array([m[-1] for m in magnitudes]),
        "start-half": at_rank(count) / 2,
    }
    together = np.sort(np.concatenate(magnitudes))
    last = round(evidence.setting.target * together.size) - 1
    starts["start-global"] = np.full(len(rates), together[max(last, 0)])
    signed = [np.sort(network.parameters[n], axis=None) for n in network.graph.prunable]
    ranked = [w[min(max(int(k), 1), w.size) - 1] for w, k in zip(signed, count, strict=True)]
    starts["start-signed"] = np.where(count > 0, np.abs(ranked), 0.0)
    sigmoid = evidence.conventions.threshold_parameter == "sigmoid"
    for name, t in starts.items():
        yield name, np.maximum(_logit(t), -30) if sigmoid else t
    yield (
        "start-constant",
        Constant(
            lambda found: [float(expit(found[0]) if sigmoid else found[0])],
            lambda t: np.full(len(rates), _logit(np.asarray(t)) if sigmoid else t),
            (0.0,),
        ),
    )
    right = at_rank(count)
    if evidence.conventions.initial_threshold == "rounded down":
        right = at_rank(np.maximum(np.floor(exact), 1))
    if sigmoid:
        yield "threshold-stored", right
        yield from _other_inverses(right)
        yield "logit-without-floor", _logit(right)
    else:
        yield "logit-stored", _logit(right)
        yield "logit-stored", np.maximum(_logit(right), -30)


def _other_inverses(t: Array) -> Iterator[tuple[str, Array]]:
    """Yield s from the inverses of functions that are not the sigmoid."""
    with np.errstate(divide="ignore"):
        yield "start-log", np.log(t)
        yield "start-log", np.log(np.maximum(t, 1e-8))
        yield "start-atanh", np.arctanh(t)
        yield "start-inverse-softplus", np.log(np.expm1(t))
        yield "start-logit-of-1-t", -_logit(t)
        yield "start-sigmoid-of-t", expit(t)


def _logit(t: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(t) - np.log1p(-t))


VALUES: dict[str, Values] = {"inputs": _inputs}
