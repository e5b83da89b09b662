"""Layer normalisation over the last axes of each value (Ba, Kiros and Hinton, 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError

Array = NDArray[Any]


def layer_norm_forward(
    x: Array,
    gamma: Array | None = None,
    beta: Array | None = None,
    *,
    shape: Sequence[int],
    epsilon: float = 1e-5,
) -> tuple[Array, tuple[Any, ...]]:
    """y = gamma (x - mean) / sqrt(var + epsilon) + beta over the last axes.

    The mean and the biased variance are those of the last axes, whose shape is ``shape``.
    x: (N, ..., *shape); gamma, beta: ``shape``, or both None (1 and 0).  Returns y and the cache.
    Raises InputError for shapes that do not fit.
    """
    shape = tuple(shape)
    given = [array.shape for array in (gamma, beta) if array is not None]
    if (
        not 0 < len(shape) < x.ndim
        or x.shape[-len(shape) :] != shape
        or given
        not in (
            [],
            [shape, shape],
        )
    ):
        raise InputError(
            f"layer norm got x {x.shape}, shape {shape} and parameters {given}; expected "
            "(N, ..., *shape), and two of that shape or none"
        )
    axes = tuple(range(-len(shape), 0))
    centred = x - x.mean(axis=axes, keepdims=True)
    variance = (centred * centred).mean(axis=axes, keepdims=True)  # analytic, for complex steps
    inverse = 1 / np.sqrt(variance + epsilon)  # (N, ..., 1)
    normalised = centred * inverse
    y = normalised if gamma is None else gamma * normalised + beta
    return y, (normalised, inverse, gamma, axes)


def layer_norm_backward(
    dy: Array, cache: tuple[Any, ...]
) -> tuple[Array, Array | None, Array | None]:
    """Return dx (N, ..., *shape), dgamma and dbeta of ``shape``, or None.  dy: as y.

    The mean and the variance depend on x too: these two paths subtract from the gradient its mean
    and its projection onto the normalised x, as in batch norm (docs/derivations.md).
    """
    normalised, inverse, gamma, axes = cache
    dgamma = dbeta = None
    if gamma is not None:
        lead = tuple(range(dy.ndim - len(axes)))
        dgamma, dbeta = (dy * normalised).sum(axis=lead), dy.sum(axis=lead)
        dy = dy * gamma
    mean = dy.mean(axis=axes, keepdims=True)
    projection = (dy * normalised).mean(axis=axes, keepdims=True)
    return inverse * (dy - mean - normalised * projection), dgamma, dbeta
