"""Batch norm over a whole batch of which engines see parts, in training mode.

With mean and variance given, batch norm treats every image by itself, as it does in evaluation
mode.  So an engine runs it in that mode, with the batch's statistics in place of the running ones.
That mode's backward gives dgamma, dbeta and gamma / sqrt(var + epsilon) dy; since mean and variance
depend on x too, ``subtract_projections`` completes dx (derived in docs/derivations.md).

Sums are float64, image after image, so that they do not depend on how the batch is divided.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import Node

Array = NDArray[Any]
PIXELS = (-2, -1)


@dataclass(frozen=True)
class Statistics:
    """The batch's mean and biased variance, (C,), and the number of values per channel."""

    mean: Array
    variance: Array
    values: int


def batch_statistics(node: Node, x: Array) -> Statistics:
    """Return the statistics of a batch norm's input x (N, C, H, W), at least float64.

    Raises InputError for fewer than two values per channel.
    """
    N, C, H, W = x.shape
    values, wide = N * H * W, np.result_type(x.dtype, np.float64)
    if values < 2:
        raise InputError(
            f"batch norm {node.name!r} got one image of one pixel in training; expected at "
            "least 2 values per channel"
        )
    mean, variance = np.zeros(C, wide), np.zeros(C, wide)
    for image in x:
        mean += image.sum(axis=PIXELS, dtype=wide)
    mean /= values
    for image in x:
        centred = image - _wide(mean)
        variance += (centred * centred).sum(axis=PIXELS)
    return Statistics(mean, variance / values, values)


def fixed_buffers(node: Node, found: Statistics, dtype: Any) -> dict[str, Array]:
    """Return the buffers with which evaluation mode normalises by the batch's statistics."""
    return {
        f"{node.name}.running_mean": found.mean.astype(dtype),
        f"{node.name}.running_var": found.variance.astype(dtype),
    }


def running_buffers(
    node: Node, found: Statistics, buffers: Mapping[str, Array]
) -> dict[str, Array]:
    """Return the new running statistics, as ``batch_norm_forward`` does in training."""
    unbiased = found.variance * (found.values / (found.values - 1))
    momentum, new = node.attributes["momentum"], {}
    for short, batch in (("running_mean", found.mean), ("running_var", unbiased)):
        running = buffers[f"{node.name}.{short}"]
        mixed = (1 - momentum) * running + momentum * batch
        new[f"{node.name}.{short}"] = mixed.astype(running.dtype)
    return new


def subtract_projections(
    node: Node, found: Statistics, x: Array, dx: Array, gamma: Array, dgamma: Array, dbeta: Array
) -> None:
    """Turn dx (N, C, H, W) of evaluation mode into that of training, in place.

    dx -= gamma / sqrt(var + epsilon) (dbeta + xhat dgamma) / values, with xhat = (x - mean) /
    sqrt(var + epsilon).  x: the input; gamma, dgamma, dbeta: (C,), the last two of the whole batch.
    """
    inverse = 1 / np.sqrt(found.variance + node.attributes["epsilon"])
    scale = gamma * inverse / found.values
    offset = _wide((scale * dbeta).astype(x.dtype))
    slope = _wide((scale * inverse * dgamma).astype(x.dtype))
    mean = _wide(found.mean.astype(x.dtype))
    for image, dimage in zip(x, dx, strict=True):
        dimage -= (image - mean) * slope + offset


def _wide(per_channel: Array) -> Array:
    return per_channel[:, np.newaxis, np.newaxis]  # (C, 1, 1) broadcasts over (C, H, W)
