"""Mistakes in what the last projection ranks weights by, and in how many it prunes."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.constant import MARK
from fcpts_ref.oracle.mistakes.mistake import Values
from fcpts_ref.spec.budget import exact_masks

SCORE = "projection-score"


def _final_mask(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    target, t = evidence.setting.target, evidence.given["new_thresholds"]
    weights = {name: evidence.given[f"new_parameter/{name}"] for name in evidence.layers}
    N = [w.size for w in weights.values()]
    count, exact = round(target * sum(N)), target * sum(N)
    named = (count, math.floor(exact), math.ceil(exact))  # these have names of their own
    everything = sum(p.size for p in evidence.state.parameters.values())
    for cause, number in (
        ("projection-of-kept-count", round((1 - target) * sum(N))),
        ("projection-of-all-parameters", round(target * everything)),
        ("projection-counts-per-layer", sum(round(target * n) for n in N)),
        ("projection-counts-per-layer", sum(int(target * n) for n in N)),
        ("projection-one-more", count + 1),
        ("projection-one-less", count - 1),
    ):
        if number not in named:
            yield from _ranked(cause, weights, t, number, evidence.item)
    for text, arrays in _scores(evidence, weights, t):
        if len(arrays) == len(t):  # every layer has a score
            ones = np.ones(len(t))
            yield from _ranked(f"{SCORE}{MARK}{text}", arrays, ones, count, evidence.item)


def _ranked(
    cause: str, arrays: dict[str, Array], scale: Array, count: int, item: str
) -> Iterator[tuple[str, Array]]:
    try:
        by_name = dict(zip(arrays, scale.tolist(), strict=True))
        yield cause, exact_masks(arrays, by_name, count)[item] * 1.0
    except InputError:  # this count is impossible
        return


def _scores(
    evidence: Evidence, weights: dict[str, Array], t: Array
) -> Iterator[tuple[str, dict[str, Array]]]:
    """Yield positive scores of all weights, by layer."""
    by_layer = list(zip(weights.items(), t, strict=True))
    yield "|w| t", {n: np.abs(w) * x for (n, w), x in by_layer}
    yield "|w| / t^2", {n: np.abs(w) / x**2 for (n, w), x in by_layer if x > 0}
    yield "|w| / sqrt(t)", {n: np.abs(w) / np.sqrt(x) for (n, w), x in by_layer if x > 0}
    yield "w^2 / t", {n: w * w / x for (n, w), x in by_layer if x > 0}
    yield "||w| - t|", {n: np.abs(np.abs(w) - x) for (n, w), x in by_layer}
    yield "|w| / std(w)", {n: np.abs(w) / w.std() for n, w in weights.items()}
    yield "|w| / max|w|", {n: np.abs(w) / np.abs(w).max() for n, w in weights.items()}
    yield "|w| / mean|w|", {n: np.abs(w) / np.abs(w).mean() for n, w in weights.items()}
    yield "|w| / norm(w)", {n: np.abs(w) / np.linalg.norm(w) for n, w in weights.items()}
    gradients = {n: evidence.given[f"dsparse_weight/{n}"] for n in weights}
    yield "|w gradient|", {n: np.abs(w * gradients[n]) for n, w in weights.items()}
    yield "|gradient|", {n: np.abs(gradients[n]) for n in weights}


VALUES: dict[str, Values] = {"final_mask": _final_mask}
