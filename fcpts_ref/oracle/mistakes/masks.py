"""Mistakes in the thresholds, masks and sparse weights of Equations 1 and 2."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.mistake import Values


def _thresholds(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    s = evidence.state.threshold_parameters
    if evidence.quantity == "new_thresholds":
        s = evidence.given["new_threshold_parameters"]
        if evidence.setting.control == "projection" or not evidence.setting.learn_rates:
            return
    if evidence.quantity == "thresholds" and "thresholds" in evidence.earlier:
        yield "threshold-of-earlier-step", evidence.earlier["thresholds"]
    if evidence.quantity == "new_thresholds":
        yield "threshold-of-earlier-step", evidence.given["thresholds"]
    sigmoid = 1 / (1 + np.exp(-s))
    if evidence.conventions.threshold_parameter == "threshold":
        yield "threshold-sigmoid-of-t", sigmoid
        return
    yield "threshold-without-sigmoid", s
    yield "threshold-softplus", np.log1p(np.exp(s))
    yield "threshold-exp", np.exp(s)
    yield "threshold-tanh", np.tanh(s)
    yield "threshold-sigmoid-of-minus-s", 1 - sigmoid
    yield "threshold-sigmoid-twice", 1 / (1 + np.exp(-sigmoid))


def _mask(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    W, thresholds, i = evidence.weights[evidence.item], evidence.given["thresholds"], evidence.layer
    size, t = np.abs(W), thresholds[i]
    yield "ties-kept", (size >= t) * 1.0
    yield "layer-not-pruned", np.ones_like(W)
    yield "mask-without-magnitude", (t < W) * 1.0
    yield "mask-inverted", 1 - evidence.value
    yield "mask-of-squares", (t < W * W) * 1.0
    yield "mask-squared-threshold", (size > t * t) * 1.0
    for other in (i - 1, (i + 1) % len(thresholds)):
        yield "mask-of-other-threshold", (size > thresholds[other]) * 1.0
    yield "mask-one-threshold", (size > thresholds.mean()) * 1.0
    yield (
        "mask-of-dense-weights",
        (np.abs(evidence.setting.network.parameters[evidence.item]) > t) * 1.0,
    )
    yield "mask-relative", (size / max(size.max(), 1e-300) > t) * 1.0
    yield "mask-soft", 1 / (1 + np.exp(t - size))
    yield "mask-minus-1", np.sign(size - t)
    if evidence.name in evidence.earlier:
        yield "mask-stale", evidence.earlier[evidence.name]


def _sparse_weight(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    W, M = evidence.weights[evidence.item], evidence.given[f"mask/{evidence.item}"]
    t = evidence.given["thresholds"][evidence.layer]
    yield "soft-threshold", np.sign(W) * np.maximum(np.abs(W) - t, 0)
    yield "soft-threshold", M * np.sign(W) * (np.abs(W) - np.abs(W[M == 0]).max(initial=0.0))
    yield "weight-not-masked", W
    yield "weight-rescaled", M * W / M.mean()
    yield "dense-weight-masked", M * evidence.setting.network.parameters[evidence.item]
    yield "mask-alone", M
    yield "magnitude-masked", M * np.abs(W)
    yield "mask-twice", M * M * W
    yield "mask-binary", (M > 0) * W


VALUES: dict[str, Values] = {
    "thresholds": _thresholds,
    "new_thresholds": _thresholds,
    "mask": _mask,
    "sparse_weight": _sparse_weight,
}
