"""Mistakes in the thresholds, masks and sparse weights of Equations 1 and 2."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.mistake import Mistake, Values

T, MASK, SPARSE = ("thresholds", "new_thresholds"), ("mask",), ("sparse_weight",)

NAMES = {
    "threshold-without-sigmoid": Mistake("s is used as the threshold, without its sigmoid", "t = s", T, point=7),
    "threshold-softplus": Mistake("softplus in place of the sigmoid", "t = log(1 + exp(s))", T, point=7),
    "threshold-exp": Mistake("exp in place of the sigmoid", "t = exp(s)", T, "equal to the sigmoid only for small t", 7),
    "threshold-tanh": Mistake("tanh in place of the sigmoid", "t = tanh(s)", T, point=7),
    "threshold-sigmoid-of-minus-s": Mistake("the sigmoid of -s", "t = sigmoid(-s)", T, point=7),
    "threshold-sigmoid-twice": Mistake("the sigmoid is applied twice", "t = sigmoid(sigmoid(s))", T, point=7),
    "threshold-sigmoid-of-t": Mistake("t is learned directly, and a sigmoid applied", "sigmoid(t)", T, point=7),
    "threshold-of-earlier-step": Mistake(
        "the thresholds of the step before", "t of the step before", T, "thresholds are read before the update"
    ),
    "ties-kept": Mistake("weights with |w| = t are kept", "M = |W| >= t", MASK, ">= for >", 1),
    "layer-not-pruned": Mistake("this layer is not pruned", "M = 1", MASK, "a list of layers that lacks it", 14),
    "mask-without-magnitude": Mistake("the weight's sign is not taken off: w > t", "M = W > t", MASK, "abs is missing"),
    "mask-inverted": Mistake("the mask marks what is pruned", "M = |W| <= t", MASK, "< for >"),
    "mask-of-squares": Mistake("squares are compared with the threshold", "M = W^2 > t", MASK),
    "mask-squared-threshold": Mistake("magnitudes are compared with t^2", "M = |W| > t^2", MASK),
    "mask-of-other-threshold": Mistake(
        "the threshold of another layer: one before or behind", "M = |W_l| > t_(l-1), or t_(l+1)", MASK, "lists of layers and thresholds in different orders"
    ),
    "mask-one-threshold": Mistake("one threshold for all layers, their mean", "M = |W| > mean(t)", MASK),
    "mask-stale": Mistake(
        "the mask of the step before", "M of the step before", MASK, "masks are made after the forward pass, or once an epoch"
    ),
    "mask-of-dense-weights": Mistake(
        "the mask is made from the dense network's weights", "M = |W_dense| > t", MASK, "the mask never follows the weights"
    ),
    "mask-relative": Mistake("magnitudes relative to the largest of the layer", "M = |W| / max|W| > t", MASK),
    "mask-soft": Mistake("a soft mask, the sigmoid of |w| - t", "M = sigmoid(|W| - t)", MASK),
    "mask-minus-1": Mistake("the mask is -1 where weights are pruned", "M = sgn(|W| - t)", MASK, "0.5 sgn + 0.5 is missing"),
    "soft-threshold": Mistake("soft threshold: kept weights shrink by t", "sgn(W) max(|W| - t, 0)", SPARSE, "softshrink"),
    "weight-not-masked": Mistake("the weight is not masked", "W", SPARSE, "the mask is computed and not used"),
    "weight-rescaled": Mistake("kept weights are scaled up to make up for the pruned ones", "M W / mean(M)", SPARSE, "as dropout does"),
    "dense-weight-masked": Mistake("the dense network's weights are masked, not the current ones", "M W_dense", SPARSE),
    "mask-alone": Mistake("the mask in place of the masked weight", "M", SPARSE),
    "magnitude-masked": Mistake("magnitudes are masked: the sign is lost", "M |W|", SPARSE),
    "mask-twice": Mistake("the mask is multiplied twice", "M^2 W", SPARSE, "shows only where masks are 0.5"),
    "mask-binary": Mistake("masks of 0.5 are counted as 1", "W where M > 0", SPARSE, "a boolean mask", 1),
}  # fmt: skip


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
    yield "mask-of-squares", (W * W > t) * 1.0
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
