"""Mistakes in the sparse weights of Equation 2, and in the gradients through them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.constant import Constant, ratio
from fcpts_ref.oracle.mistakes.mistake import Found, Values


def _weights(evidence: Evidence) -> Iterator[tuple[str, Array, Array, Array]]:
    """Yield the sparse weights with each mistake, and their derivatives by W and by M."""
    W, M = evidence.weights[evidence.item], evidence.given[f"mask/{evidence.item}"]
    t, one, zero = evidence.given["thresholds"][evidence.layer], np.ones_like(W), np.zeros_like(W)
    above = np.abs(W) > t
    yield "soft-threshold", np.sign(W) * np.maximum(np.abs(W) - t, 0), above * one, zero
    largest = np.abs(W[M == 0]).max(initial=0.0)
    shrunk = np.sign(W) * (np.abs(W) - largest)
    yield "soft-threshold", M * shrunk, M, shrunk
    yield "weight-not-masked", W, one, zero
    if M.any():
        yield "weight-rescaled", M * W / M.mean(), M / M.mean(), W / M.mean()
        norms = np.sqrt((W * W).sum() / ((M * W) ** 2).sum())
        yield "weight-norm-kept", M * W * norms, M * norms, W * norms
    dense = evidence.setting.network.parameters[evidence.item]
    yield "dense-weight-masked", M * dense, M, dense  # the dense weights' gradient is used
    yield "dense-weight-masked", M * dense, zero, dense
    yield "mask-alone", M, zero, one
    yield "magnitude-masked", M * np.abs(W), M * np.sign(W), np.abs(W)
    yield "mask-twice", M * M * W, M * M, 2 * M * W
    yield "mask-binary", (M > 0) * W, (M > 0) * one, zero
    yield "weight-sign", M * np.sign(W), zero, np.sign(W)
    yield "weight-squared", M * W * W, 2 * M * W, W * W


def _sparse_weight(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    for name, value, _, _ in _weights(evidence):
        yield name, value
    W, M = evidence.weights[evidence.item], evidence.given[f"mask/{evidence.item}"]
    yield (
        "weight-pruned-share",
        Constant(
            lambda found: ratio(found - M * W, (1 - M) * W),
            lambda share: M * W + share * (1 - M) * W,
            (0.0, 1.0),
        ),
    )


def _dweight(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    gradient = evidence.given[f"dsparse_weight/{evidence.item}"]
    for name, _, by_weight, _ in _weights(evidence):
        yield name, gradient * by_weight
    M = evidence.given[f"mask/{evidence.item}"]
    yield (
        "weight-pruned-share",
        Constant(lambda found: (), lambda share: (M + share * (1 - M)) * gradient),
    )


def _dmask(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    for name, _, _, by_mask in _weights(evidence):
        yield name, evidence.given[f"dsparse_weight/{evidence.item}"] * by_mask


VALUES: dict[str, Values] = {
    "sparse_weight": _sparse_weight,
    "dweight": _dweight,
    "dmask": _dmask,
}
