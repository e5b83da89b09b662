"""Gradients of pruned weights, and their regrowth: how a weight that was pruned can return."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.checks import check_alike
from fcpts_ref.errors import InputError

Array = NDArray[Any]


def straight_through_gradient(
    weight: Array, mask: Array, dsparse_weight: Array, pull: float = 0.0
) -> Array:
    """Return dL/dW = dL/dW_sparse + pull (1 - M) W, of the weight's shape and dtype.

    Pruned weights receive the gradient of the sparse weight too, as if the mask were constant 1
    (DPF, Lin et al., ICLR 2020, arXiv:2006.07253).  The pull draws them towards 0, so that masks
    change less often (SR-STE, Zhou et al., ICLR 2021, arXiv:2102.04010, equation 8).
    mask: 1 where kept, 0 where pruned.
    """
    check_alike(weight=weight, dsparse_weight=dsparse_weight)
    if pull == 0:
        return dsparse_weight
    pruned = 1 - mask.astype(weight.dtype, copy=False)
    return np.asarray(dsparse_weight + weight.dtype.type(pull) * pruned * weight)


def drop_share(progress: float, first: float = 0.3, stop: float = 0.75) -> float:
    """Return the share of a layer's kept weights that RigL replaces at ``progress`` of the run.

    It falls from ``first`` at the start as half a cosine to 0 at ``stop`` (Evci et al., ICML 2020,
    arXiv:1911.11134, section 3).  progress: from 0 to 1.
    """
    if progress >= stop:
        return 0.0
    return first / 2 * (1 + math.cos(math.pi * progress / stop))


def regrown_mask(
    weight: Array, mask: NDArray[np.bool_], gradient: Array, share: float
) -> NDArray[np.bool_]:
    """Return the mask (True = kept) after a replacement of RigL: its number of kept weights stays.

    The ``int(share * kept)`` smallest kept weights are dropped; as many of those that were pruned
    before, with the largest gradients, are grown, fewer if there are fewer.  Of equal values the
    first in row-major order is dropped or grown.
    weight, mask, gradient: one shape; share: from 0 to 1.
    Raises InputError for another share, or numbers that are not finite.
    """
    check_alike(weight=weight, gradient=gradient)
    if not 0 <= share <= 1 or not (np.isfinite(weight).all() and np.isfinite(gradient).all()):
        raise InputError(
            f"regrowth got a share of {share}; expected 0 to 1, and finite weights and gradients"
        )
    kept = mask.ravel()
    count = min(int(share * np.count_nonzero(kept)), np.count_nonzero(~kept))
    smallest = np.argsort(np.where(kept, np.abs(weight.ravel()), np.inf), kind="stable")
    largest = np.argsort(np.where(kept, 0.0, -np.abs(gradient.ravel()) - 1), kind="stable")
    result = kept.copy()
    result[smallest[:count]] = False
    result[largest[:count]] = True
    return result.reshape(mask.shape)
