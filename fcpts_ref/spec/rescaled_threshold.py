"""ST-3: a soft threshold with rescaled channels (Vanderschueren and De Vleeschouwer, WACV 2023).

arXiv:2212.01076.  The network computes with q = s_c sgn(w) max(|w| - t, 0).  The scale s_c of an
output channel restores the magnitude that pruning takes from it; the gradient passes to every
weight, pruned ones included, as if q were w.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.spec.soft_threshold import soft_threshold

Array = NDArray[Any]

SCALE_MARGIN = 0.01
"""Added to the kept share of a channel, so that the scale of an emptied one stays finite."""


def channel_scales(weight: Array, threshold: float) -> Array:
    """Return s_c = 1.01 / (a_c + 0.01) of every output channel, (K, 1, ...), in the weight's dtype.

    a_c: the share of the channel's sum of |w| that lies in weights above the threshold; 1 for a
    channel of zeros.  weight: (K, ...).
    """
    axes = tuple(range(1, weight.ndim))
    magnitudes = np.abs(weight)
    kept = np.where(magnitudes > weight.dtype.type(threshold), magnitudes, 0)
    whole = magnitudes.sum(axis=axes, keepdims=True, dtype=np.float64)
    share = kept.sum(axis=axes, keepdims=True, dtype=np.float64) / np.where(whole > 0, whole, 1)
    share = np.where(whole > 0, share, 1.0)
    return np.asarray(((1 + SCALE_MARGIN) / (share + SCALE_MARGIN)).astype(weight.dtype))


def rescaled_soft_threshold(weight: Array, threshold: float) -> Array:
    """Return q = s_c sgn(w) max(|w| - t, 0), of the weight's shape and dtype."""
    return np.asarray(channel_scales(weight, threshold) * soft_threshold(weight, threshold))
