"""Batch normalisation on buffers, with the residual addition and the ReLU that follow it.

    y = clamp(z + residual),   z = (x - mean) scale + beta,   scale = gamma / sqrt(var + epsilon),

where ``residual`` is the shortcut of a residual block and ``clamp`` is ReLU, ReLU6 or nothing (see
``activation``).

Backward, with g the gradient of z and xhat = (x - mean) / sqrt(var + epsilon) over the M values of
a channel: dbeta = sum of g, dgamma = sum of g xhat.  In training mean and var depend on x:

    dx = scale (g - dbeta / M - xhat dgamma / M),

g less its mean and less its projection on xhat.  In evaluation dx = scale g.

Memory traffic is the cost, so every sweep does all it can.  Training forward: the statistics come
from the convolution that writes x (``partial_sums``), one sweep makes y.  Backward: one sweep for
the sums over dy, one for dx; the clamp mask is computed again from x where there is no residual.

Sums: per plane in float lanes, flushed into float64 every FLOAT_SUM_VECTORS vectors; planes are
then added in order, so the result does not depend on the number of threads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.jit.host import VECTOR_BYTES
from fcpts_ref.engines.numba.pointwise.activation import clamp, mask_gradient
from fcpts_ref.engines.numba.simd.vectors import (
    add,
    apply_mask,
    itemsize,
    load,
    multiply,
    multiply_add,
    splat,
    store,
    subtract,
    sum_lanes,
)
from fcpts_ref.engines.numba.tuning import FLOAT_SUM_VECTORS

Array = NDArray[Any]


class Planes(NamedTuple):
    """Vectors over a plane, and the mask of its pixels (``layout.pixel_mask``)."""

    vectors: int
    mask: Array


class Affine(NamedTuple):
    """z = (x - mean) scale + beta by channel, then clamped to the bounds ``low`` and ``high``."""

    mean: Array
    scale: Array
    beta: Array
    low: Any
    high: Any


@compiled
def combine_statistics(
    partial_sums: Any, gamma: Any, running_mean: Any, running_var: Any,
    momentum: float, epsilon: float, mean: Any, scale: Any, inverse: Any,
    new_mean: Any, new_var: Any,
) -> None:  # fmt: skip
    """Planes to channels: mean, inverse = 1 / sqrt(var + epsilon), scale, running statistics."""
    images, channels = partial_sums.shape[:2]
    for c in range(channels):
        total, values = 0.0, 0.0
        for n in range(images):
            centre, linear, _, count = partial_sums[n, c]
            if count:
                total += centre * count + linear
                values += count
        m = total / values
        squares = 0.0
        for n in range(images):
            centre, linear, square, count = partial_sums[n, c]
            if count:
                d = centre + linear / count - m
                squares += square - linear * (linear / count) + count * (d * d)
        variance = squares / values
        mean[c] = m
        inverse[c] = 1 / np.sqrt(variance + epsilon)
        scale[c] = gamma[c] * inverse[c]
        unbiased = variance * (values / (values - 1))
        new_mean[c] = (1 - momentum) * running_mean[c] + momentum * m
        new_var[c] = (1 - momentum) * running_var[c] + momentum * unbiased


@compiled
def fixed_statistics(
    gamma: Any, running_mean: Any, running_var: Any, epsilon: float,
    mean: Any, scale: Any, inverse: Any,
) -> None:  # fmt: skip
    """Evaluation: mean, inverse and scale from the running statistics."""
    for c in range(gamma.size):
        mean[c] = running_mean[c]
        inverse[c] = 1 / np.sqrt(running_var[c] + epsilon)
        scale[c] = gamma[c] * inverse[c]


@compiled
def normalise_planes(
    x: Any, residual: Any, y: Any, planes: Any, affine: Any, has_residual: bool
) -> None:
    """y = clamp((x - mean) scale + beta (+ residual)); y may be x or residual.

    planes: ``Planes``; affine: ``Affine``.
    """
    for_each(len(x) * x.shape[1], _normalise_plane, x, residual, y, planes, affine, has_residual)


@compiled_part
def _normalise_plane(
    item: int, x: Any, residual: Any, y: Any, planes: Any, affine: Any, has_residual: bool
) -> None:
    channels, plane = x.shape[1:]
    L, c, mask = VECTOR_BYTES // itemsize(x), item % channels, planes.mask
    m, a, b = splat(affine.mean[c]), splat(affine.scale[c]), splat(affine.beta[c])
    low, high = splat(affine.low), splat(affine.high)
    for v in range(planes.vectors):
        at = item * plane + v * L
        z = add(multiply(subtract(load(x, at), m), a), b)
        if has_residual:
            z = add(z, load(residual, at))
        store(y, at, apply_mask(clamp(z, low, high), mask, v * L))


@compiled
def gradient_sums(
    dy: Any, x: Any, y: Any, vectors: int, affine: Any, clamped: bool, has_residual: bool,
    sums: Any,
) -> None:  # fmt: skip
    """sums[n, c] = sum of g and sum of g (x - mean) over a plane; float64 (N, C, 2).

    g is dy where the activation lets it pass.  has_residual: the clamp mask is computed from y, and
    g replaces dy, because the residual's gradient is g too.
    """
    for_each(
        len(x) * x.shape[1], _sums_of_plane,
        dy, x, y, vectors, affine, clamped, has_residual, sums,
    )  # fmt: skip


@compiled_part
def _sums_of_plane(
    item: int, dy: Any, x: Any, y: Any, vectors: int, affine: Any, clamped: bool,
    has_residual: bool, sums: Any,
) -> None:  # fmt: skip
    channels, plane = x.shape[1:]
    L, at = VECTOR_BYTES // itemsize(x), item * plane
    n, c = item // channels, item % channels
    m, a, b = splat(affine.mean[c]), splat(affine.scale[c]), splat(affine.beta[c])
    low, high, zero = splat(affine.low), splat(affine.high), splat(x.dtype.type(0))
    plain, weighted = 0.0, 0.0
    for first in range(0, vectors, FLOAT_SUM_VECTORS):
        g_sums, gx_sums = zero, zero
        for v in range(first, min(first + FLOAT_SUM_VECTORS, vectors)):
            g, d = load(dy, at + v * L), subtract(load(x, at + v * L), m)
            if has_residual:
                g = mask_gradient(g, load(y, at + v * L), low, high)
                store(dy, at + v * L, g)
            elif clamped:
                g = mask_gradient(g, add(multiply(d, a), b), low, high)
            g_sums = add(g_sums, g)
            gx_sums = multiply_add(g, d, gx_sums)
        plain += np.float64(sum_lanes(g_sums))
        weighted += np.float64(sum_lanes(gx_sums))
    sums[n, c, 0] = plain
    sums[n, c, 1] = weighted


@compiled
def combine_gradient_sums(
    sums: Any, values: int, inverse: Any, training: bool,
    dgamma: Any, dbeta: Any, offset: Any, slope: Any,
) -> None:  # fmt: skip
    """Planes to channels: dgamma, dbeta, and what training subtracts from g (0 otherwise).

    In training dx = scale (g - offset - (x - mean) slope).
    """
    images, channels = sums.shape[:2]
    for c in range(channels):
        plain, weighted = 0.0, 0.0
        for n in range(images):
            plain += sums[n, c, 0]
            weighted += sums[n, c, 1]
        dbeta[c] = plain
        dgamma[c] = weighted * inverse[c]
        offset[c] = plain / values if training else 0
        slope[c] = weighted / values * inverse[c] * inverse[c] if training else 0


@compiled
def input_gradient(
    dy: Any, x: Any, dx: Any, planes: Any, affine: Any, clamped: bool, offset: Any, slope: Any,
    training: bool,
) -> None:  # fmt: skip
    """dx = scale (g - offset - (x - mean) slope), without the subtractions in evaluation.

    g is dy, where the activation lets it pass if ``clamped``; dx may be dy.
    """
    for_each(
        len(x) * x.shape[1], _gradient_of_plane,
        dy, x, dx, planes, affine, clamped, offset, slope, training,
    )  # fmt: skip


@compiled_part
def _gradient_of_plane(
    item: int, dy: Any, x: Any, dx: Any, planes: Any, affine: Any, clamped: bool, offset: Any,
    slope: Any, training: bool,
) -> None:  # fmt: skip
    channels, plane = x.shape[1:]
    L, c, mask = VECTOR_BYTES // itemsize(x), item % channels, planes.mask
    m, a, b = splat(affine.mean[c]), splat(affine.scale[c]), splat(affine.beta[c])
    shift, tilt = splat(offset[c]), splat(slope[c])
    low, high = splat(affine.low), splat(affine.high)
    for v in range(planes.vectors):
        at = item * plane + v * L
        g, d = load(dy, at), subtract(load(x, at), m)
        if clamped:
            g = mask_gradient(g, add(multiply(d, a), b), low, high)
        if training:
            g = subtract(subtract(g, shift), multiply(d, tilt))
        store(dx, at, apply_mask(multiply(g, a), mask, v * L))
