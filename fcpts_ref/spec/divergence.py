"""Equation 4 and its derivative, which share their softmaxes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fcpts_ref.checks import check_same_shape, finite_array, positive_in
from fcpts_ref.errors import InputError
from fcpts_ref.spec.precise import kl_and_difference

Array = NDArray[Any]

TOO_LARGE = "logits or temperature are too large; scale them down"


def divergence(
    dense_logits: ArrayLike, sparse_logits: ArrayLike, temperature: float
) -> tuple[Any, Array]:
    """Return T^2 KL(p || q), the mean over the batch, and its derivative (T / B) (q - p).

    As ``equations.reconstruction_loss`` and its gradient, which say more; neither is checked for
    NaN and infinity.  Raises InputError for the same arguments.
    """
    dense, sparse, T, dtype = _logits(dense_logits, sparse_logits, temperature)
    B = len(dense)
    with np.errstate(over="ignore", invalid="ignore"):
        kl, q_minus_p = kl_and_difference(dense, sparse, T)  # sum_k p (log p - log q), (B,)
        loss = (kl.mean() * T * T).astype(dtype)
        gradient = (q_minus_p * (T / B)).astype(dtype)
    return loss, np.asarray(gradient)


def _logits(
    dense_logits: ArrayLike, sparse_logits: ArrayLike, temperature: float
) -> tuple[Array, Array, Any, np.dtype[Any]]:
    """The logits and the temperature in float64 or wider, and the dtype of the result."""
    dense = finite_array(dense_logits, "dense_logits")
    sparse = finite_array(sparse_logits, "sparse_logits")
    check_same_shape(dense, sparse, "dense_logits", "sparse_logits")
    if dense.ndim != 2 or dense.size == 0:
        raise InputError(f"logits have shape {dense.shape}; expected (batch, classes), not empty")
    dtype = np.result_type(dense, sparse)
    T = positive_in(temperature, "temperature", "a finite number above 0", dtype)
    wide = np.result_type(dtype, np.float64)
    return dense.astype(wide), sparse.astype(wide), wide.type(T), dtype
