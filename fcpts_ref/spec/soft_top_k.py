"""Spartan: a differentiable top-k with an exact budget.

Tai, Tian and Lim, NeurIPS 2022, arXiv:2205.14107.  The soft mask is the solution of an entropic
optimal transport between weights and the two states kept and pruned.  In closed form it is
m = sigmoid(b v + mu), b the sharpness and v the weights' magnitudes, with the one mu for which the
sum of m is k.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

from fcpts_ref.errors import InputError, counted

Array = NDArray[Any]


def soft_top_k(values: Array, count: int, sharpness: float) -> Array:
    """Return m = sigmoid(b v + mu) (n,) float64, whose sum is ``count``.

    mu is found to the last digits by a bracketed root (the published code iterates Sinkhorn's
    algorithm to 1 %).  values: (n,); sharpness: b > 0.
    Raises InputError for a count outside [0, n], or values that are not finite.
    """
    v = np.asarray(values, np.float64)
    if not 0 <= count <= v.size or not np.isfinite(v).all() or not 0 < sharpness < math.inf:
        raise InputError(
            f"a soft top-k got count {count} of {counted(v.size, 'value')} and sharpness "
            f"{sharpness}; expected a count of 0 to all, finite values, and a finite sharpness "
            "above 0"
        )
    if count in (0, v.size):
        return np.full(v.shape, float(count > 0))
    z = sharpness * v
    middle = math.log(count) - math.log(v.size - count)  # logit of the kept share
    low, high = middle - float(z.max()), middle - float(z.min())

    def excess(mu: float) -> float:
        return float(expit(z + mu).sum()) - count

    if excess(low) >= 0:  # all values are equal, or nearly so
        return np.asarray(expit(z + low))
    if excess(high) <= 0:
        return np.asarray(expit(z + high))
    mu = brentq(excess, low, high, xtol=1e-14, rtol=1e-15)
    return np.asarray(expit(z + mu))


def soft_top_k_gradient(mask: Array, sharpness: float, dmask: Array) -> Array:
    """Return dL/dv = b m (1 - m) (dL/dm - c), with c the mean of dL/dm under weights m (1 - m).

    The derivative of the mask with mu as a function of v (the implicit function theorem), so that
    the sum of m does not change.  0 everywhere if the mask is hard.
    """
    slope = mask * (1 - mask)
    total = slope.sum()
    if total == 0:
        return np.zeros_like(mask)
    c = (dmask * slope).sum() / total
    return np.asarray(sharpness * slope * (dmask - c))
