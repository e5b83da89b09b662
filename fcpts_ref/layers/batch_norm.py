"""Batch normalisation over the images and pixels of each channel (Ioffe and Szegedy, 2015)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError

Array = NDArray[Any]
AXES = (0, 2, 3)  # of (N, C, H, W): everything but the channel


def batch_norm_forward(
    x: Array,
    gamma: Array,
    beta: Array,
    running_mean: Array,
    running_var: Array,
    *,
    training: bool,
    momentum: float = 0.1,
    epsilon: float = 1e-5,
) -> tuple[tuple[Array, Array, Array], tuple[Any, ...]]:
    """y = gamma (x - mean) / sqrt(var + epsilon) + beta.

    Training: the batch's mean and biased variance; the new running statistics are
    (1 - momentum) running + momentum batch, with the batch's unbiased variance (as in PyTorch).
    Evaluation: the running statistics, unchanged.

    x: (N, C, H, W); all others (C,).  Returns (y, running_mean, running_var) and the cache.
    Raises InputError for shapes that do not fit, or training on one value per channel.
    """
    C = x.shape[1] if x.ndim == 4 else -1
    if not (gamma.shape == beta.shape == running_mean.shape == running_var.shape == (C,)):
        raise InputError(
            f"batch norm got x {x.shape} and gamma {gamma.shape}; expected (N, C, H, W) and (C,)"
        )
    if not training:
        inverse = 1 / np.sqrt(running_var + epsilon)  # (C,)
        normalised = (x - _wide(running_mean)) * _wide(inverse)
        y = _wide(gamma) * normalised + _wide(beta)
        return (y, running_mean, running_var), (normalised, inverse, gamma, training)
    M = x.size // C  # values per channel
    if M < 2:
        raise InputError(
            f"batch norm got x {x.shape} in training; expected at least 2 values per channel"
        )
    mean = x.mean(axis=AXES)
    centred = x - _wide(mean)
    variance = (centred * centred).mean(axis=AXES)  # not abs(...)**2: analytic, for complex steps
    inverse = 1 / np.sqrt(variance + epsilon)
    normalised = centred * _wide(inverse)
    y = _wide(gamma) * normalised + _wide(beta)
    new_mean = (1 - momentum) * running_mean + momentum * mean
    new_var = (1 - momentum) * running_var + momentum * variance * (M / (M - 1))
    return (y, new_mean, new_var), (normalised, inverse, gamma, training)


def batch_norm_backward(dy: Array, cache: tuple[Any, ...]) -> tuple[Array, Array, Array]:
    """Return dx (N, C, H, W), dgamma (C,) and dbeta (C,).  dy: (N, C, H, W).

    In training the batch's mean and variance depend on x too: these two paths subtract from dy
    its mean and its projection onto the normalised x (derived in docs/derivations.md).
    """
    normalised, inverse, gamma, training = cache
    dgamma = (dy * normalised).sum(axis=AXES)
    dbeta = dy.sum(axis=AXES)
    if training:
        M = dy.size // dy.shape[1]
        dy = dy - _wide(dbeta / M) - normalised * _wide(dgamma / M)
    return dy * _wide(gamma * inverse), dgamma, dbeta


def _wide(per_channel: Array) -> Array:
    return per_channel[:, np.newaxis, np.newaxis]  # (C, 1, 1) broadcasts over (N, C, H, W)
