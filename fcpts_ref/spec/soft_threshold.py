"""STR: soft threshold weight reparameterisation (Kusupati et al., ICML 2020, arXiv:2002.03231).

Every layer has one learned number s.  Its threshold is t = sigmoid(s), and the network computes
with W~ = sgn(W) max(|W| - t, 0): weights below t are 0, the others are moved towards 0 by t.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def soft_threshold(weight: Array, threshold: float) -> Array:
    """Return W~ = sgn(W) max(|W| - t, 0), of the weight's shape and dtype."""
    t = weight.dtype.type(threshold)
    return np.asarray(np.sign(weight) * np.maximum(np.abs(weight) - t, 0))


def soft_threshold_gradients(
    weight: Array, threshold: float, deffective: Array
) -> tuple[Array, float]:
    """Return dL/dW and dL/dt from dL/dW~.

    dL/dW = dL/dW~ and dL/dt = -sum of dL/dW~ sgn(W), both where |W| > t.  At |W| = t, where W~ has
    a kink, both are 0.
    """
    kept = np.abs(weight) > weight.dtype.type(threshold)
    dweight = np.where(kept, deffective, deffective.dtype.type(0))
    dthreshold = -np.sum(dweight * np.sign(weight), dtype=np.float64)
    return dweight, float(dthreshold)
