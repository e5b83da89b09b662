"""Operands from elsewhere: another step, another layer, other weights or samples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence

CURVED = {"mask", "rates", "densities", "dmask_dthreshold", "reconstruction_loss", "dsparse_logits"}
"""Where a factor on an operand is no factor on the value."""


NUMBERS = (0.1, 0.5, 0.8, 0.9, 0.95, 1.05, 1.1, 1.2, 1.25, 1.5, 2.0, 10.0)
"""Factors on an operand."""


def other_values(evidence: Evidence, name: str) -> Iterator[tuple[str, Array]]:
    value, L = np.asarray(evidence.given[name]), len(evidence.layers)
    if evidence.quantity in CURVED:
        for number in NUMBERS:
            yield f"times {number:g}", number * value
    if name in evidence.earlier:
        yield "of the step before", evidence.earlier[name]
    if f"new_{name}" in evidence.given:
        yield "after the update", evidence.given[f"new_{name}"]
    if value.ndim and len(value) == L > 1 and evidence.name != name:
        yield "of the layer before", np.roll(value, 1, 0)
        yield "of the next layer", np.roll(value, -1, 0)
        yield "in reverse order", value[::-1]
        yield "averaged over the layers", np.broadcast_to(value.mean(axis=0), value.shape)
        yield "of the first layer", np.broadcast_to(value[:1], value.shape)
        yield "of the last layer", np.broadcast_to(value[-1:], value.shape)
    if name.endswith("_logits"):
        for shift in (1, -1):
            yield f"with images shifted by {shift:+d}", np.roll(value, shift, 0)
        yield "with images reversed", value[::-1]
        yield "less their mean", value - value.mean(axis=1, keepdims=True)
        yield "less their largest", value - value.max(axis=1, keepdims=True)
        yield "over their norm", value / np.sqrt((value * value).sum(axis=1, keepdims=True))
        yield "over their deviation", value / value.std(axis=1, keepdims=True)


def other_weights(evidence: Evidence) -> Iterator[tuple[str, dict[str, Array]]]:
    given, weights = evidence.given, evidence.weights
    yield "dense weights", {n: evidence.setting.network.parameters[n] for n in weights}
    if evidence.quantity != "mask":  # there it would be the mask found that decides
        yield "sparse weights", {n: given[f"mask/{n}"] * w for n, w in weights.items()}
    yield "magnitudes of the weights", {n: np.abs(w) for n, w in weights.items()}
    yield "centred weights", {n: w - w.mean() for n, w in weights.items()}
    yield "standardised weights", {n: w / w.std() for n, w in weights.items()}
    yield (
        "updated weights",
        {n: given.get(f"new_parameter/{n}", w * np.nan) for n, w in weights.items()},
    )
    ts = zip(weights.items(), given["thresholds"], strict=True)
    shrunk = {n: np.sign(w) * np.maximum(np.abs(w) - t, 0) for (n, w), t in ts}
    yield "soft-thresholded weights", shrunk
    ts = zip(weights.items(), given["thresholds"], strict=True)
    yield "weights less the threshold", {n: w - t * np.sign(w) for (n, w), t in ts}
    earlier = {n: evidence.earlier.get(f"inputs/parameters/{n}") for n in weights}
    if all(w is not None for w in earlier.values()):
        yield "weights of the step before", {n: w for n, w in earlier.items() if w is not None}
    if evidence.quantity == "rates" and all(s.size for s in evidence.samples):
        drawn = zip(weights.items(), evidence.samples, strict=True)
        yield "drawn weights", {n: w.ravel()[s] for (n, w), s in drawn}
    if evidence.quantity == "densities":
        yield "sorted weights", {n: np.sort(w, axis=None) for n, w in weights.items()}
        yield (
            "weights sorted by magnitude",
            {n: w.ravel()[_by_magnitude(w)] for n, w in weights.items()},
        )
        yield "column-major weights", {n: w.ravel(order="F") for n, w in weights.items()}


def _by_magnitude(w: Array) -> Array:
    return np.argsort(np.abs(w), axis=None)


def other_samples(evidence: Evidence) -> Iterator[tuple[str, tuple[Array, ...]]]:
    samples, N = evidence.samples, [w.size for w in evidence.weights.values()]
    n = evidence.conventions.density_samples
    yield "of the first weights", tuple(np.arange(min(n, size)) for size in N)
    yield "of the last weights", tuple(np.arange(max(size - n, 0), size) for size in N)
    yield "of evenly spaced weights", tuple(np.arange(0, size, max(size // n, 1))[:n] for size in N)
    yield "of spread weights", tuple(np.linspace(0, size - 1, n).astype(int) for size in N)
    for text, shift in (("the layer before", 1), ("the next layer", -1)):
        moved = [samples[(i - shift) % len(samples)] for i in range(len(samples))]
        yield f"of {text}", tuple(s % size for s, size in zip(moved, N, strict=True))
    held = [samples[max(i - 1, 0)] for i in range(len(samples))]
    yield "of the layer before", tuple(s % size for s, size in zip(held, N, strict=True))
    yield "of the first layer", tuple(samples[0] % size for size in N)
    yield "without repetition", tuple(np.unique(s) for s in samples)
    earlier = [evidence.earlier.get(f"inputs/samples/{n}") for n in evidence.layers]
    if all(s is not None for s in earlier):
        yield "of the step before", tuple(np.asarray(s) for s in earlier)
