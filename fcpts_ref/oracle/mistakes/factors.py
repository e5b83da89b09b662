"""A known number too many: the right value times or over a size, a rate, a weight or another
quantity, or the root of a size."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.constant import MARK
from fcpts_ref.oracle.mistakes.mistake import CATALOGUE, Found, Values

FACTOR = "factor"
VECTORS = {
    "t": "thresholds",
    "r": "rates",
    "dr/dt": "drate_dthreshold",
    "dL_c/dr": "dcontrol_drate",
}
NUMBERS = {"L_rec": "reconstruction_loss", "L_c": "control_loss", "factor": "rate_factor"}


def _factors(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    right = evidence.value
    for text, number in _known(evidence):
        factor = _fitted(np.asarray(number, dtype=np.float64), right.shape)
        if factor is None or np.all(factor == 1):
            continue
        yield f"{FACTOR}{MARK}{text}", partial(np.multiply, right, factor)
        yield f"{FACTOR}{MARK}1 / {text}", partial(np.divide, right, factor)


def _fitted(factor: Array, shape: tuple[int, ...]) -> Array | None:
    """Return the factor in a shape that multiplies the value; None if it has no place there."""
    if factor.ndim == 0 or factor.shape == shape:
        return factor
    return factor[:, np.newaxis] if len(shape) == 2 and factor.shape == shape[:1] else None


def _known(evidence: Evidence) -> Iterator[tuple[str, Any]]:
    """Yield the numbers and arrays that a step knows, by how they are written."""
    c, given, N = evidence.conventions, evidence.given, evidence.sizes
    B, L = evidence.batch, len(N)
    K = np.shape(given["sparse_logits"])[1] if "sparse_logits" in given else 1
    counts = {"B": B, "K": K, "L": L, "sum(N)": N.sum(), "n": c.density_samples}
    for name, count in counts.items():
        yield name, count
        yield f"sqrt({name})", np.sqrt(count)
    yield "(B - 1) / B", (B - 1) / B
    for text, name in NUMBERS.items():
        if name in given and name != evidence.quantity:
            yield text, given[name]
    if evidence.item in evidence.layers:
        yield from _of_layer(evidence)
    elif not evidence.item:
        yield "N", N
        yield "N / sum(N)", N / N.sum()
        yield "N / mean(N)", N / N.mean()
        for text, name in VECTORS.items():
            if name in given and name != evidence.quantity:
                yield text, given[name]
        yield "(1 - r)", 1 - np.asarray(given["rates"])
        masks = [given[name] for n in evidence.layers if (name := f"mask/{n}") in given]
        if len(masks) == L:
            kept = np.array([np.count_nonzero(mask) for mask in masks])
            yield "kept weights", kept
            yield "pruned weights", N - kept
    elif evidence.value.ndim == 1:
        yield from _of_channel(evidence)


def _of_layer(evidence: Evidence) -> Iterator[tuple[str, Any]]:
    W, M, i = (
        evidence.weights[evidence.item],
        evidence.given.get(f"mask/{evidence.item}"),
        evidence.layer,
    )
    yield "N", W.size
    yield "sqrt(N)", np.sqrt(W.size)
    yield "outputs", len(W)
    yield "fan-in", W[0].size
    yield "t", evidence.given["thresholds"][i]
    yield "r", evidence.given["rates"][i]
    yield "(1 - r)", 1 - evidence.given["rates"][i]
    yield "W", W
    yield "|W|", np.abs(W)
    yield "norm(W)", np.sqrt((W * W).sum())
    if M is not None and evidence.quantity != "mask":  # it is the mask found
        yield "M", M
        yield "mean(M)", M.mean()
        yield "sqrt(mean(M))", np.sqrt(M.mean())


def _of_channel(evidence: Evidence) -> Iterator[tuple[str, Any]]:
    """The pixels that a channel's gradients and statistics are summed over."""
    node = evidence.item.rpartition(".")[0]
    value = evidence.given.get(f"activation/{node}")
    if value is not None and value.ndim == 4:
        pixels = value.shape[2] * value.shape[3]
        yield "pixels", pixels
        yield "B pixels", evidence.batch * pixels


VALUES: dict[str, Values] = dict.fromkeys(CATALOGUE[FACTOR].of, _factors)
