"""Mistakes in the projection onto the budget, during and after a run."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.mistake import Values
from fcpts_ref.pruning.fcpts.step import thresholds_of
from fcpts_ref.spec.budget import exact_masks


def _new_weights(evidence: Evidence) -> dict[str, Array]:
    return {name: evidence.given[f"new_parameter/{name}"] for name in evidence.layers}


def _final_mask(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    name, i, target = evidence.item, evidence.layer, evidence.setting.target
    weights, t = _new_weights(evidence), evidence.given["new_thresholds"]
    size = sum(w.size for w in weights.values())
    count = round(target * size)
    own = np.abs(weights[name])
    yield "projection-missing", (own > t[i]) * 1.0
    yield "projection-inverted", 1 - evidence.value
    yield "projection-keeps-mask", evidence.given[f"mask/{name}"]
    for cause, rate in (
        ("projection-per-layer", float((own <= t[i]).mean())),
        ("projection-to-target-per-layer", target),
    ):
        order, kept = np.argsort(own, axis=None, kind="stable"), np.ones(own.size)
        kept[order[: round(rate * own.size)]] = 0
        yield cause, kept.reshape(own.shape)
    yield from _at_a_weight(weights, t, name, count)
    ones, thresholds = np.ones(len(t)), evidence.given["thresholds"]
    distance = {n: np.exp(np.abs(w) - t[j]) for j, (n, w) in enumerate(weights.items())}
    dense = {n: evidence.setting.network.parameters[n] for n in weights}
    for cause, arrays, scale, number in (
        ("projection-by-magnitude", weights, ones, count),
        ("projection-by-distance", distance, ones, count),
        ("projection-rounded-down", weights, t, math.floor(target * size)),
        ("projection-rounded-up", weights, t, math.ceil(target * size)),
        ("projection-of-old-weights", evidence.weights, t, count),
        ("projection-of-dense-weights", dense, t, count),
        ("projection-with-old-thresholds", weights, thresholds, count),
    ):
        by_name = dict(zip(weights, scale.tolist(), strict=True))
        try:
            yield cause, exact_masks(arrays, by_name, number)[name] * 1.0
        except InputError:  # this count is impossible
            continue


def _at_a_weight(
    weights: dict[str, Array], t: Array, name: str, count: int
) -> Iterator[tuple[str, Array]]:
    """Masks of thresholds that meet a weight, so that one more is kept or pruned."""
    own, threshold = np.abs(weights[name]), t[list(weights).index(name)]
    ratios = np.concatenate(
        [np.abs(w).ravel() / x for w, x in zip(weights.values(), t, strict=True)]
    )
    ratios.sort()
    if count > 0:
        yield "projection-at-weight", (own / threshold >= ratios[count - 1]) * 1.0
    if count < ratios.size:
        yield "projection-at-next-weight", (own / threshold > ratios[count]) * 1.0


def _new_thresholds(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    """The thresholds after a step that is controlled by projection."""
    if evidence.setting.control != "projection":
        return
    t = thresholds_of(evidence.given["new_threshold_parameters"], evidence.conventions)
    target = evidence.setting.target
    for old in (False, True):
        weights = evidence.weights if old else _new_weights(evidence)
        pairs = zip(weights.values(), t, strict=True)
        ratios = np.sort(np.concatenate([np.abs(w).ravel() / x for w, x in pairs]))
        count = round(target * ratios.size)
        if old:
            yield "projection-of-old-weights", t * (ratios[count - 1] + ratios[count]) / 2
            continue
        yield "projection-missing", t
        yield "projection-at-weight", t * ratios[count - 1]
        yield "projection-at-next-weight", t * ratios[count]
        for cause, k in (
            ("projection-rounded-down", math.floor(target * ratios.size)),
            ("projection-rounded-up", math.ceil(target * ratios.size)),
        ):
            if k != count:
                yield cause, t * (ratios[k - 1] + ratios[k]) / 2


def _final_rate(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    yield "final-rate-is-target", np.array(evidence.setting.target)
    rates, N = evidence.given["rates"], evidence.sizes
    yield "final-rate-of-step", (rates * N).sum() / N.sum()
    t = evidence.given["new_thresholds"]
    weights = _new_weights(evidence).values()
    masks = [evidence.given[f"final_mask/{n}"] for n in evidence.layers]
    yield "final-rate-unweighted", np.asarray(np.mean([1 - mask.mean() for mask in masks]))
    yield "final-rate-unweighted", np.asarray(np.mean(rates))
    everything = sum(p.size for p in evidence.state.parameters.values())
    yield "final-rate-over-all-parameters", evidence.value * N.sum() / everything
    yield "final-rate-of-kept", 1 - evidence.value
    yield (
        "final-rate-unweighted",
        np.mean([(np.abs(w) <= x).mean() for w, x in zip(weights, t, strict=True)]),
    )


VALUES: dict[str, Values] = {
    "final_mask": _final_mask,
    "final_rate": _final_rate,
    "new_thresholds": _new_thresholds,
}
