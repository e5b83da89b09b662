"""The equations that a step of FCPTS evaluates over whole layers, one sweep each.

``density`` and ``histogram_density`` are the functions of ``fcpts_ref.spec.equations``; the others
do in one sweep what takes several functions of NumPy or of the specification.  Sums are taken in
float64, in an order that depends on the size alone; threads: default all.
"""

from __future__ import annotations

import math
from contextlib import suppress
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fcpts_ref.checks import (
    check_choice,
    check_result,
    finite_array,
    floating_array,
    real_number,
    uniform_bins,
    whole_number,
)
from fcpts_ref.engines.numba.jit.share import sweep
from fcpts_ref.engines.numba.pruning import sweeps
from fcpts_ref.engines.numba.tuning import SWEEP_PIECE
from fcpts_ref.errors import InputError
from fcpts_ref.spec import equations as specification
from fcpts_ref.spec.conventions import SURROGATE_WIDTH, Tie

Array = NDArray[Any]
SINGLE_MAXIMUM = float(np.finfo(np.float32).max)


def density(points: ArrayLike, samples: ArrayLike, bandwidth: float) -> Array:
    """Equation 12, as ``fcpts_ref.spec.equations.density``."""
    if not _has_kernels(samples):
        return specification.density(points, samples, bandwidth)
    w, h = _samples(samples, bandwidth)
    x = finite_array(points, "points").astype(np.float64, order="C")
    result = np.empty(x.size)
    sweeps.density(x.reshape(-1), w, h, result)
    if h * SINGLE_MAXIMUM >= 1:
        return result.astype(w.dtype).reshape(x.shape)
    with np.errstate(over="ignore"):  # 0.4 / h may be too large for the dtype
        result = result.astype(w.dtype)
    check_result(result, "the density", f"the bandwidth {h} is too small; use a larger one")
    return result.reshape(x.shape)


def spread(weight: ArrayLike, threads: int | None = None) -> float:
    """Return the unbiased standard deviation of one or more weights; 0 if all are equal."""
    w = _weight(weight).reshape(-1)
    found = sweep(sweeps.moments, (w,), (w[0],), piece=SWEEP_PIECE, threads=threads)
    if all(equal for *_, equal in found):
        return 0.0
    mean = sum(n * part for n, part, _, _ in found) / w.size
    squares = sum(apart + n * (part - mean) ** 2 for n, part, apart, _ in found)
    return math.sqrt(squares / (w.size - 1)) if w.size > 1 else math.nan


def histogram_density(points: ArrayLike, samples: ArrayLike, bins: int = 100) -> Array:
    """The released code's p(w), as ``fcpts_ref.spec.equations.histogram_density``.

    Counts the samples in the bins of the points alone: one sweep for every point.
    """
    if not _has_kernels(samples):
        return specification.histogram_density(points, samples, bins)
    w = _weight(samples).reshape(-1)
    low, high = (w.min(), w.max()) if w.size else (np.nan, np.nan)
    if not (np.isfinite(low) and np.isfinite(high)):
        return specification.histogram_density(points, samples, bins)  # raises InputError
    x = finite_array(points, "points").astype(w.dtype, copy=False)
    whole_number(bins, "bins", 1)
    if low == high:
        return np.zeros_like(x)
    edges, width = uniform_bins(low, high, bins, w.size)
    heights = np.zeros(x.size, dtype=w.dtype)
    for i, k in enumerate(np.searchsorted(edges, x.reshape(-1), side="right") - 1):
        if 0 <= k < bins:
            count = sweeps.count_between(w, edges[k], edges[k + 1], bool(k == bins - 1))
            heights[i] = count / (w.size * width)
    return heights.reshape(x.shape)


def masked_weight(
    weight: ArrayLike,
    threshold: float,
    *,
    tie: Tie = "pruned",
    strict: bool = False,
    threads: int | None = None,
) -> tuple[Array, Array, float]:
    """Equations 2, 1 and 10: the sparse weight M * W, the mask M and the exact rate r.

    Arguments and errors as in ``mask`` and ``sparsity_rate``; the rate is a float.
    """
    if not _has_kernels(weight):
        M = specification.mask(weight, threshold, tie=tie)
        rate = specification.sparsity_rate(np.asarray(weight, np.float64), threshold, strict=strict)
        return specification.sparse_weight(weight, M), M, float(rate)
    W, t = _weight(weight), _threshold(threshold)
    check_choice(tie, "tie", ("pruned", "half"))
    if W.size == 0:
        raise InputError(f"weight is empty (shape {W.shape}); expected at least one weight")
    M, sparse = np.empty_like(W), np.empty_like(W)
    at_threshold = W.dtype.type(0.5 if tie == "half" else 0)
    flat = (W.reshape(-1), M.reshape(-1), sparse.reshape(-1))
    constants = (t, at_threshold, strict)
    found = sweep(sweeps.mask, flat, constants, piece=SWEEP_PIECE, threads=threads)
    pruned, finite = zip(*found, strict=True)
    if not all(finite):
        raise InputError("weight holds NaN or infinity; expected finite numbers")
    return sparse, M, sum(pruned) / W.size


def threshold_gradient(
    weight: ArrayLike, threshold: float, dsparse_weight: ArrayLike, threads: int | None = None
) -> float:
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
    flat, constants = (W.reshape(-1), dW.reshape(-1)), (t, SURROGATE_WIDTH)
    kernel = sweeps.threshold_gradient
    return float(sum(sweep(kernel, flat, constants, piece=SWEEP_PIECE, threads=threads)))


def _has_kernels(values: ArrayLike) -> bool:
    """Whether the kernels have the dtype: the specification computes with float16 and wider ones.

    Raises InputError for anything but real numbers.
    """
    return floating_array(values, "weight").dtype in (np.float32, np.float64)


def _weight(values: ArrayLike) -> Array:
    """A C-contiguous float32 or float64 array: other real numbers become float64."""
    array = floating_array(values)
    dtype = array.dtype if array.dtype in (np.float32, np.float64) else np.float64
    return np.asarray(array, dtype=dtype, order="C")


def _threshold(threshold: float) -> float:
    """The threshold in float64 whatever the weights are: comparing |w| with it is then exact."""
    expected = "one finite magnitude >= 0"
    t = real_number(threshold, "threshold", expected)
    if t < 0:
        raise InputError(f"threshold is {threshold}; expected {expected}")
    return t


def _samples(samples: ArrayLike, bandwidth: float) -> tuple[Array, float]:
    w = _weight(samples).reshape(-1)
    h = _in_dtype(bandwidth, w.dtype)
    if w.size == 0 or not (np.isfinite(w).all() and 0 < h < math.inf):
        specification.density(0.0, samples, bandwidth)  # raises InputError
    return w, h


def _in_dtype(value: Any, dtype: np.dtype[Any]) -> float:
    """The number as this dtype holds it; NaN for what is not a number."""
    if not isinstance(value, Real) or isinstance(value, bool | np.bool_):
        return math.nan
    with suppress(OverflowError):
        number = float(value)
        if abs(number) < SINGLE_MAXIMUM:
            return float(dtype.type(number))
        with np.errstate(over="ignore"):
            return float(dtype.type(number))
    return math.inf
