"""Boxes coded relative to priors, scaled by variances (Liu et al., 2016, equation 2)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError

Array = NDArray[Any]

CENTRE_VARIANCE, SIZE_VARIANCE = 0.1, 0.2
"""The units of the codes: of centres in sizes of the prior, of sizes on a logarithmic scale."""


def encode(
    boxes: Array,
    priors: Array,
    *,
    centre_variance: float = CENTRE_VARIANCE,
    size_variance: float = SIZE_VARIANCE,
) -> Array:
    """Return the codes (..., 4) of boxes: ((c - c_p) / s_p / 0.1, log(s / s_p) / 0.2).

    boxes, priors: (..., 4) as centres.  Raises InputError unless all sizes are above 0.
    """
    if not ((boxes[..., 2:] > 0).all() and (priors[..., 2:] > 0).all()):
        raise InputError("boxes or priors to encode have no width or height; expected above 0")
    centre = (boxes[..., :2] - priors[..., :2]) / priors[..., 2:] / centre_variance
    size = np.log(boxes[..., 2:] / priors[..., 2:]) / size_variance
    return np.concatenate([centre, size], axis=-1)


def decode(
    codes: Array,
    priors: Array,
    *,
    centre_variance: float = CENTRE_VARIANCE,
    size_variance: float = SIZE_VARIANCE,
) -> Array:
    """Return the boxes (..., 4) as centres of codes; the inverse of ``encode``.

    codes, priors: (..., 4).  A code beyond the dtype's range becomes an infinite size.
    """
    centre = codes[..., :2] * centre_variance * priors[..., 2:] + priors[..., :2]
    with np.errstate(over="ignore"):
        size = np.exp(codes[..., 2:] * size_variance) * priors[..., 2:]
    return np.concatenate([centre, size], axis=-1)
