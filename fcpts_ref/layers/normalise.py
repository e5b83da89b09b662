"""Input normalisation: (x - mean) / std per channel, with constants that belong to the network."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError

Array = NDArray[Any]


def normalise_forward(x: Array, mean: Array, std: Array) -> tuple[Array, tuple[Any, ...]]:
    """y = (x - mean) / std.

    x: (N, C, H, W); mean, std: (C,).  Returns y and the cache.
    Raises InputError for shapes that do not fit.
    """
    if x.ndim != 4 or not (mean.shape == std.shape == (x.shape[1],)):
        raise InputError(
            f"normalise got x {x.shape}, mean {mean.shape}, std {std.shape}; "
            "expected (N, C, H, W) and (C,)"
        )
    scale = 1 / std[:, np.newaxis, np.newaxis]
    return (x - mean[:, np.newaxis, np.newaxis]) * scale, (scale,)


def normalise_backward(dy: Array, cache: tuple[Any, ...]) -> Array:
    """Return dx = dy / std; mean and std are constants."""
    (scale,) = cache
    return np.asarray(dy * scale)
