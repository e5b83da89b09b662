"""The equations that a step of FCPTS evaluates over whole layers, one sweep each.

``density`` and ``histogram_density`` are the functions of ``fcpts_ref.spec.equations``; the other
two do in one sweep what takes several of its functions.  Sums are taken in float64, in an order
that depends on the size alone.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fcpts_ref.engines.numba.pruning import sweeps
from fcpts_ref.engines.numba.tuning import PARALLEL_SUMS
from fcpts_ref.errors import InputError
from fcpts_ref.spec import equations as specification
from fcpts_ref.spec.conventions import SURROGATE_WIDTH, Tie

Array = NDArray[Any]


def density(points: ArrayLike, samples: ArrayLike, bandwidth: float) -> Array:
    """Equation 12, as ``fcpts_ref.spec.equations.density``."""
    w, h = _samples(samples, bandwidth)
    x = np.asarray(points, dtype=np.float64)
    if not np.isfinite(x).all():
        raise InputError("points holds NaN or infinity; expected finite numbers")
    result = np.empty(x.size)
    sweeps.density(x.reshape(-1), w, h, result)
    return result.astype(w.dtype).reshape(x.shape)


def histogram_density(points: ArrayLike, samples: ArrayLike, bins: int = 100) -> Array:
    """The released code's p(w), as ``fcpts_ref.spec.equations.histogram_density``.

    Counts the samples in the bins of the points alone: one sweep for every point.
    """
    w = _weight(samples).reshape(-1)
    x = np.asarray(points)
    low, high = (w.min(), w.max()) if w.size else (np.nan, np.nan)
    if bins < 1 or not (np.isfinite(low) and np.isfinite(high)):
        return specification.histogram_density(points, samples, bins)  # raises the error
    if not np.isfinite(x).all():
        raise InputError("points holds NaN or infinity; expected finite numbers")
    x = x.astype(w.dtype, copy=False)
    if low == high:
        return np.zeros_like(x)
    edges = np.linspace(low, high, bins + 1, dtype=w.dtype)
    heights = np.zeros(x.size, dtype=w.dtype)
    width = (high - low) / bins
    for i, k in enumerate(np.searchsorted(edges, x.reshape(-1), side="right") - 1):
        if 0 <= k < bins:
            count = sweeps.count_between(w, edges[k], edges[k + 1], bool(k == bins - 1))
            heights[i] = count / (w.size * width)
    return heights.reshape(x.shape)


def masked_weight(
    weight: ArrayLike, threshold: float, *, tie: Tie = "pruned", strict: bool = False
) -> tuple[Array, Array, float]:
    """Equations 2, 1 and 10: the sparse weight M * W, the mask M and the exact rate r.

    Arguments and errors as in ``mask`` and ``sparsity_rate``; the rate is that of the weights in
    float64, and 0 if there are none.
    """
    W, t = _weight(weight), _threshold(threshold)
    if tie not in ("pruned", "half"):
        raise InputError(f"tie is {tie!r}; expected 'pruned' or 'half'")
    M, sparse = np.empty_like(W), np.empty_like(W)
    at_threshold = W.dtype.type(0.5 if tie == "half" else 0)
    flat = (array.reshape(-1) for array in (W, M, sparse))
    pruned, finite = sweeps.mask(*flat, t, at_threshold, strict)
    if not finite:
        raise InputError("weight holds NaN or infinity; expected finite numbers")
    return sparse, M, pruned / max(W.size, 1)


def threshold_gradient(weight: ArrayLike, threshold: float, dsparse_weight: ArrayLike) -> float:
    """Equation 14 from the gradient of the sparse weight: sum of dW_sparse * W * dM/dt.

    Convention 2 for dM/dt, convention 3: pruned weights count.  Both of one shape; the weight
    finite.  Returns a float.
    """
    W, dW = _weight(weight), _weight(dsparse_weight)
    if W.shape != dW.shape:
        raise InputError(
            f"weight has shape {W.shape} and dsparse_weight {dW.shape}; expected the same"
        )
    t = _threshold(threshold)
    sums = np.zeros(PARALLEL_SUMS)
    total = sweeps.threshold_gradient(W.reshape(-1), dW.reshape(-1), t, SURROGATE_WIDTH, sums)
    return float(total)


def _weight(values: ArrayLike) -> Array:
    """A C-contiguous float32 or float64 array: other dtypes become float64."""
    array = np.asarray(values)
    dtype = array.dtype if array.dtype in (np.float32, np.float64) else np.float64
    return np.asarray(array, dtype=dtype, order="C")


def _threshold(threshold: float) -> float:
    if np.ndim(threshold) != 0 or not (math.isfinite(threshold) and threshold >= 0):
        raise InputError(f"threshold is {threshold}; expected one finite magnitude >= 0")
    return float(threshold)  # float64 whatever the weights are: comparing is then exact


def _samples(samples: ArrayLike, bandwidth: float) -> tuple[Array, float]:
    w = _weight(samples).reshape(-1)
    if w.size == 0 or not (np.isfinite(w).all() and np.isfinite(bandwidth) and bandwidth > 0):
        specification.density(0.0, samples, bandwidth)  # raises the error
    return w, float(w.dtype.type(bandwidth))
