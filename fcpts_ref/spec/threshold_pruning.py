"""LTP: learned threshold pruning (Azarian et al., 2020, arXiv:2003.00075).

Every layer has one learned threshold tau on the *square* of its weights, and the network computes
with v = w a, where a = sigmoid((w^2 - tau) / T) says softly whether the weight is kept.  The sum of
a is a soft count of the kept weights, which the loss penalises.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from fcpts_ref.checks import positive_number

Array = NDArray[Any]


def temperature(weight: Array, scale: float) -> float:
    """Return T = T0 Var(|w|) (equation 15), so that scaling a layer scales nothing else.

    scale: T0.
    """
    return scale * float(np.abs(weight).var(dtype=np.float64))


def soft_mask(weight: Array, threshold: float, temperature: float) -> Array:
    """Return a = sigmoid((w^2 - tau) / T), of the weight's shape and dtype.

    Raises InputError unless T is positive and finite.
    """
    positive_number(temperature, "the temperature")
    return np.asarray(expit((weight * weight - threshold) / temperature).astype(weight.dtype))


def soft_count(mask: Array) -> float:
    """Return the soft number of kept weights, the sum of a (equation 6)."""
    return float(mask.sum(dtype=np.float64))


def soft_mask_gradients(
    weight: Array,
    mask: Array,
    temperature: float,
    deffective: Array,
    penalty: float,
    *,
    exact: bool = False,
) -> tuple[Array, float]:
    """Return dL/dw and dL/dtau of L(v) + penalty * soft_count, from dL/dv.

    With d = a (1 - a) / T:  dL/dtau = -sum of (dL/dv w + penalty) d;  exactly
    dL/dw = dL/dv (a + 2 w^2 d) + 2 penalty w d.

    exact: False takes dL/dw = dL/dv a (equation 14): the terms that it drops would push weights out
        of the band around tau, and tau would receive no gradient any more.
    """
    d = mask * (1 - mask) / weight.dtype.type(temperature)
    dthreshold = -np.sum((deffective * weight + weight.dtype.type(penalty)) * d, dtype=np.float64)
    if not exact:
        return deffective * mask, float(dthreshold)
    dweight = deffective * (mask + 2 * weight * weight * d) + 2 * penalty * weight * d
    return np.asarray(dweight, weight.dtype), float(dthreshold)
