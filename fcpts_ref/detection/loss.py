"""The multibox loss of SSD (Liu et al., 2016, equations 1 to 3) and its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.detection.matching import NEGATIVES, hard_negatives
from fcpts_ref.errors import InputError
from fcpts_ref.layers.softmax import log_softmax_forward

Array = NDArray[Any]


def smooth_l1(difference: Array) -> Array:
    """Return d^2 / 2 where |d| < 1, else |d| - 1/2, element by element (Girshick, 2015)."""
    size = np.where(difference.real < 0, -difference, difference)
    return np.where(size.real < 1, difference * difference / 2, size - 0.5)


def smooth_l1_gradient(difference: Array) -> Array:
    """Return the derivative of ``smooth_l1``: d, clipped to [-1, 1]."""
    return np.clip(difference, -1, 1)


def multibox_loss_forward(
    scores: Array,
    codes: Array,
    labels: NDArray[np.integer[Any]],
    targets: Array,
    *,
    ratio: int = NEGATIVES,
) -> tuple[Any, tuple[Any, ...]]:
    """Return the loss of a batch and the cache.

    Cross-entropy of positive priors and of hard negatives, plus smooth L1 of the codes of positive
    priors; both are sums divided by the number of positive priors in the batch, at least 1.

    scores: (N, P, K) logits, class 0 the background; codes: (N, P, 4); labels: (N, P) in [0, K);
    targets: (N, P, 4), as ``matching.targets`` returns them.
    Raises InputError for shapes or labels that do not fit.
    """
    _check(scores, codes, labels, targets)
    N, P, _ = scores.shape
    log_p, _ = log_softmax_forward(scores)
    positive = labels > 0
    counted = positive | hard_negatives(-log_p[..., 0].real, positive, ratio=ratio)
    count = max(int(positive.sum()), 1)
    rows, columns = np.arange(N)[:, np.newaxis], np.arange(P)
    classification = -log_p[rows, columns, labels][counted].sum()
    difference = (codes - targets) * positive[..., np.newaxis]
    loss = (classification + smooth_l1(difference).sum()) / count
    return loss, (log_p, labels, counted, difference, count)


def multibox_loss_backward(dloss: float, cache: tuple[Any, ...]) -> tuple[Array, Array]:
    """Return dscores (N, P, K) and dcodes (N, P, 4); which negatives count is a constant.

    dscores: dloss (p - one-hot) / positives where a prior counts, else 0.
    """
    log_p, labels, counted, difference, count = cache
    scale = dloss / count
    dscores = np.exp(log_p)
    rows, columns = np.arange(len(labels))[:, np.newaxis], np.arange(labels.shape[1])
    dscores[rows, columns, labels] -= 1
    dscores *= scale * counted[..., np.newaxis].astype(dscores.dtype)
    return dscores, smooth_l1_gradient(difference) * difference.dtype.type(scale)


def _check(scores: Array, codes: Array, labels: Array, targets: Array) -> None:
    if scores.ndim != 3 or labels.shape != scores.shape[:2] or labels.dtype.kind not in "iu":
        raise InputError(
            f"scores {scores.shape} with labels {labels.dtype} {labels.shape}; expected (N, P, K) "
            "and integers (N, P)"
        )
    if codes.shape != (*labels.shape, 4) or targets.shape != codes.shape:
        raise InputError(
            f"codes {codes.shape} and targets {targets.shape}; expected {(*labels.shape, 4)} twice"
        )
    if labels.size and not 0 <= labels.min() <= labels.max() < scores.shape[2]:
        raise InputError(
            f"labels run from {labels.min()} to {labels.max()}; the scores have "
            f"{scores.shape[2]} classes"
        )
