"""Mistakes in the gradients of weights and other parameters, once the network has sent them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.constant import Constant, limits, ratio
from fcpts_ref.oracle.mistakes.mistake import Found, Values


def _dweight(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    W, M = evidence.weights[evidence.item], evidence.given[f"mask/{evidence.item}"]
    dsparse = evidence.given[f"dsparse_weight/{evidence.item}"]
    through = (
        -0.5 * dsparse * W * (np.abs(np.abs(W) - evidence.given["thresholds"][evidence.layer]) < 1)
    )
    if evidence.conventions.pruned_weight_gradient == "dense":
        yield from _pulled(W, M, dsparse, evidence.conventions.pruned_weight_pull)
    else:
        yield "dweight-unmasked", dsparse
    pruned = (1 - M) * dsparse
    yield (
        "dweight-pruned-share",
        Constant(
            lambda found: ratio(found - M * dsparse, pruned),
            lambda share: M * dsparse + share * pruned,
            (0.0, 1.0),
        ),
    )
    surrogate = evidence.given[f"dmask_dthreshold/{evidence.item}"]  # the one found
    yield "dweight-through-surrogate", M * dsparse - dsparse * W * np.sign(W) * surrogate
    yield "dweight-mask-squared", M * M * dsparse
    yield "dweight-through-mask-sign", M * dsparse + through * np.sign(W)
    yield "dweight-through-mask-unsigned", M * dsparse - through
    if M.any():
        yield "dweight-rescaled", M * dsparse / M.mean()
    yield "dweight-inverted", (1 - M) * dsparse
    yield from _other_masks(evidence, W, dsparse)


def _other_masks(evidence: Evidence, W: Array, dsparse: Array) -> Iterator[tuple[str, Array]]:
    """Yield the gradient with the mask of another time."""
    given, i = evidence.given, evidence.layer
    before = evidence.earlier.get(f"mask/{evidence.item}")
    if before is not None:
        yield "dweight-stale-mask", before * dsparse
    t = given["thresholds"][i]
    new_t, new_W = given["new_thresholds"][i], given[f"new_parameter/{evidence.item}"]
    yield "dweight-mask-of-new-thresholds", (np.abs(W) > new_t) * dsparse
    for threshold in (t, new_t):
        yield "dweight-mask-of-new-weights", (np.abs(new_W) > threshold) * dsparse


def _pulled(W: Array, M: Array, dsparse: Array, pull: float) -> Iterator[tuple[str, Found]]:
    """Yield mistakes in the gradients that pruned weights have by convention 4."""
    yield "dweight-pulls-kept", dsparse + pull * M * W
    yield "dweight-pulls-all", dsparse + pull * W
    yield "dweight-pushes", dsparse - pull * (1 - M) * W
    yield "dweight-pull-of-sign", dsparse + pull * (1 - M) * np.sign(W)
    yield "dweight-pull-doubled", dsparse + 2 * pull * (1 - M) * W
    yield "dweight-pull-missing", dsparse
    yield "dweight-pull-alone", M * dsparse + pull * (1 - M) * W


def _dparameter(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    right, w = evidence.value, evidence.state.parameters[evidence.item]
    yield "dparameter-frozen", np.zeros_like(right)
    if evidence.name in evidence.earlier:
        yield "dparameter-accumulated", right + evidence.earlier[evidence.name]
    yield "dparameter-sum", right * evidence.batch
    yield "dparameter-mean-twice", right / evidence.batch
    yield "dparameter-with-decay", right + evidence.conventions.weight_decay * w
    yield "dparameter-sign", -right
    norm = np.sqrt((right * right).sum())
    yield "dparameter-normalised", right / norm
    yield (
        "dparameter-clipped",
        Constant(
            lambda found: limits(found, lambda x: float(np.abs(x).max())),
            lambda top: np.clip(right, -top, top),
            (0.0,),
        ),
    )
    yield (
        "dparameter-norm-clipped",  # the small number is that of torch.nn.utils.clip_grad_norm_
        Constant(
            lambda found: [c * (1 + 1e-6 / norm) for c in (np.sqrt((found * found).sum()),)],
            lambda top: right * min(1.0, top / (norm + 1e-6)),
            (0.0,),
        ),
    )
    yield from clipped_together(evidence)
    dsparse = evidence.given.get(f"dsparse_weight/{evidence.item}")
    if dsparse is not None:
        yield "dparameter-unmasked", dsparse


def clipped_together(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    """Yield the gradient scaled so that the norm of all gradients together is a constant.

    The factor is read from the weights' gradients, which are known before and after it.
    """
    given, right = evidence.given, evidence.value
    after = _norm(given[f"dparameter/{name}"] for name in evidence.layers)
    factor = after / _norm(given[f"dweight/{name}"] for name in evidence.layers)
    of_parameters = _norm(given[f"dparameter/{name}"] for name in evidence.state.parameters)
    of_thresholds = _norm([given["dthreshold_parameter"]])
    for norm in (of_parameters, math.hypot(of_parameters, of_thresholds)):
        before = norm / factor
        yield (
            "gradient-norm-clipped",  # the small number is that of torch.nn.utils.clip_grad_norm_
            Constant(
                partial(_clip_of, norm, factor),
                partial(_clipped, right, before),
                (0.0,),
            ),
        )


def _clip_of(norm: float, factor: float, found: Array) -> list[float]:
    return [norm + 1e-6 * factor, norm]


def _clipped(right: Array, norm: float, top: float) -> Array:
    return right * min(1.0, top / (norm + 1e-6))


def _norm(arrays: Iterable[Array]) -> float:
    return math.sqrt(sum(float((a * a).sum()) for a in arrays))


VALUES: dict[str, Values] = {"dweight": _dweight, "dparameter": _dparameter}
