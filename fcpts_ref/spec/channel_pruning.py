"""DSA's differentiable pruning process (Ning et al., ECCV 2020, arXiv:2004.02164).

A group of C channels has a keep ratio alpha.  Each channel is kept with a probability that rises
with its importance b,

    p_i = e + (1 - e) sigmoid(beta2 (log b_i - log beta1)),    mean_i p_i = alpha,

where e is a small floor.  The second equation is solved for beta1, so alpha is the only variable.
Masks m_i are drawn with probability p_i; the gradient of the loss passes through the draw as if m
were p, and through the solution by the implicit-function theorem.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, softmax

from fcpts_ref.errors import InputError

Array = NDArray[Any]

FLOOR = 0.01
"""e: the least probability of a channel."""
LEAST_IMPORTANCE = 1e-8
"""Added to importances, so that their logarithm exists."""
REACH = 60.0
"""sigmoid(-REACH) is 0 beside 1 in float64: the bracket of beta1 reaches this far beyond b."""


def scale_importance(scale: Array) -> Array:
    """Return |gamma| (C,) of a batch norm: the published importance of its channels."""
    return np.asarray(np.abs(scale), np.float64)


def filter_importance(weight: Array) -> Array:
    """Return the mean |w| of every filter, (K,) from (K, ...): for layers without batch norm.

    The published code takes the sum, which differs by one factor for all channels of a layer.
    """
    rows = np.abs(weight.reshape(len(weight), -1).astype(np.float64))
    return np.asarray(rows.mean(axis=1))


def keep_probabilities(
    importance: Array, log_threshold: float, steepness: float, floor: float = FLOOR
) -> Array:
    """Return p_i = e + (1 - e) sigmoid(beta2 (log b_i - log beta1)), (C,).

    log_threshold: log beta1.  steepness: beta2 > 0; towards infinity p becomes a hard selection.
    """
    soft = expit(_logits(importance, log_threshold, steepness))
    return np.asarray(floor + (1 - floor) * soft)


def solve_log_threshold(
    importance: Array, ratio: float, steepness: float, floor: float = FLOOR
) -> float:
    """Return log beta1 with mean p = ratio, to 1e-10, by a bracketed root (Brent, 1973).

    The mean falls from 1 to e as log beta1 rises, so there is one root for e < ratio < 1.
    Raises InputError for importances that are negative or not finite, and for another ratio.
    """
    if not (np.isfinite(importance).all() and (importance >= 0).all() and importance.size):
        raise InputError(
            f"importances run from {importance.min(initial=0)} to {importance.max(initial=0)}; "
            "expected finite numbers of at least 0"
        )
    if not floor < ratio < 1 or not 0 < steepness < np.inf:
        raise InputError(
            f"keep ratio is {ratio} and steepness {steepness}; expected a ratio between {floor} "
            "and 1, both excluded, and a finite steepness above 0"
        )
    logs = np.log(importance + LEAST_IMPORTANCE)
    reach = REACH / steepness

    def excess(log_threshold: float) -> float:
        p = keep_probabilities(importance, log_threshold, steepness, floor)
        return float(p.mean() - ratio)

    low, high = float(logs.min() - reach), float(logs.max() + reach)
    if excess(low) <= 0:  # a ratio that rounds to 1
        return low
    if excess(high) >= 0:
        return high
    return float(brentq(excess, low, high, xtol=1e-12 / max(steepness, 1.0), rtol=1e-15))


def draw_mask(probabilities: Array, uniform: Array) -> NDArray[np.bool_]:
    """Return m = [u < p], a draw of every channel by itself; uniform: (C,) in [0, 1)."""
    return np.asarray(uniform < probabilities)


def keep_ratio_gradient(
    importance: Array, log_threshold: float, steepness: float, dmask: Array
) -> float:
    """Return dL/dalpha from dL/dm (C,), at the solution log beta1.

    The draw passes gradients straight through, dL/dp := dL/dm.  Differentiating mean p = alpha,
    with t_i = sigmoid(...) and h_i = t_i (1 - t_i),

        dp_i/dalpha = C h_i / sum_j h_j,    dL/dalpha = C sum_i dL/dp_i h_i / sum_j h_j;

    beta2 and the floor cancel.  h is compared by its logarithm, which does not underflow.
    """
    x = _logits(importance, log_threshold, steepness)
    log_h = -np.logaddexp(0, x) - np.logaddexp(0, -x)
    return float(len(x) * (dmask @ softmax(log_h)))


def score_gradient(
    importance: Array,
    log_threshold: float,
    steepness: float,
    masks: tuple[Array, Array],
    losses: tuple[float, float],
    floor: float = FLOOR,
) -> float:
    """Return an estimate of dE[L(m)]/dalpha from the losses of two draws of masks (C,).

    No derivative by m is needed, so it sees what removing a channel does, not only what moving it
    a little does.  With s_i = d log P(m_i)/dp_i = m_i / p_i - (1 - m_i) / (1 - p_i) and dp/dalpha
    as in ``keep_ratio_gradient``,

        S(m) = sum_i s_i dp_i/dalpha,    (L(m) - L(m')) (S(m) - S(m')) / 2

    has the mean E[L S] = dE[L]/dalpha, for S has the mean 0: each draw is the other one's baseline
    (R. J. Williams, Simple statistical gradient-following algorithms, Machine Learning 8, 1992).
    Our addition: DSA itself passes gradients straight through.
    """
    p = keep_probabilities(importance, log_threshold, steepness, floor)
    sums = []
    for mask in masks:
        with np.errstate(divide="ignore"):  # a channel that is always kept is never out
            score = np.where(mask != 0, 1 / p, -1 / (1 - p))
        sums.append(keep_ratio_gradient(importance, log_threshold, steepness, score))
    return float((losses[0] - losses[1]) * (sums[0] - sums[1]) / 2)


def _logits(importance: Array, log_threshold: float, steepness: float) -> Array:
    logs = np.log(importance.astype(np.float64) + LEAST_IMPORTANCE)
    return np.asarray(steepness * (logs - log_threshold))
