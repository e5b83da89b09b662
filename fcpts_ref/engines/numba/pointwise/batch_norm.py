"""Batch normalisation on buffers, with the addition of a branch and the ReLU that follow it.

y = cut((x - mean) scale + beta + side), scale = gamma / sqrt(var + epsilon), where ``side`` is
the shortcut of a residual block and ``cut`` is ReLU, ReLU6 or nothing (see ``activation``).

Memory traffic is what this costs, so every sweep does all it can.  Training forward: the
statistics come from the convolution that writes x (``moments``), one sweep makes y.  Backward:
one for the sums over dy, one for dx; the gate of the ReLU is worked out again from x where there
is no side branch.

Sums: per plane in float lanes, flushed into float64 every FLOAT_SUM_VECTORS vectors; planes are
then added in order (as in ``moments``), so the result does not depend on the number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.jit.host import VECTOR_BYTES
from fcpts_ref.engines.numba.pointwise.activation import cut, gate
from fcpts_ref.engines.numba.simd.vectors import (
    add,
    itemsize,
    keep,
    load,
    multiply,
    multiply_add,
    splat,
    store,
    subtract,
    sum_lanes,
)
from fcpts_ref.engines.numba.tuning import FLOAT_SUM_VECTORS


@compiled
def combine_statistics(
    moments: Any, gamma: Any, running_mean: Any, running_var: Any,
    momentum: float, epsilon: float, mean: Any, scale: Any, inverse: Any,
    new_mean: Any, new_var: Any,
) -> None:  # fmt: skip
    """Planes to channels: mean, inverse = 1 / sqrt(var + epsilon), scale, running statistics."""
    images, channels = moments.shape[:2]
    for c in range(channels):
        total, values = 0.0, 0.0
        for n in range(images):
            centre, linear, _, count = moments[n, c]
            if count:
                total += centre * count + linear
                values += count
        m = total / values
        squares = 0.0
        for n in range(images):
            centre, linear, square, count = moments[n, c]
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
    x: Any, side: Any, y: Any, vectors: int, mask: Any, mean: Any, scale: Any, beta: Any,
    low: float, high: float, joined: bool,
) -> None:  # fmt: skip
    """y = cut((x - mean) scale + beta (+ side)); y may be x or side."""
    for_each(
        len(x) * x.shape[1], _normalise_plane,
        x, side, y, vectors, mask, mean, scale, beta, low, high, joined,
    )  # fmt: skip


@compiled_part
def _normalise_plane(
    item: int, x: Any, side: Any, y: Any, vectors: int, mask: Any, mean: Any, scale: Any,
    beta: Any, low: float, high: float, joined: bool,
) -> None:  # fmt: skip
    channels, plane = x.shape[1:]
    L, c = VECTOR_BYTES // itemsize(x), item % channels
    m, a, b = splat(mean[c]), splat(scale[c]), splat(beta[c])
    bottom, top = splat(low), splat(high)
    for v in range(vectors):
        at = item * plane + v * L
        z = add(multiply(subtract(load(x, at), m), a), b)
        if joined:
            z = add(z, load(side, at))
        store(y, at, keep(cut(z, bottom, top), mask, v * L))


@compiled
def gradient_sums(
    dy: Any, x: Any, y: Any, vectors: int, mean: Any, scale: Any, beta: Any,
    low: Any, high: Any, gated: bool, joined: bool, sums: Any,
) -> None:  # fmt: skip
    """sums[n, c] = sum of g and sum of g (x - mean) over a plane; float64 (N, C, 2).

    g is dy behind the activation's gate.  joined: the gate is read off y, and g replaces dy,
    because the side branch wants it too.
    """
    for_each(
        len(x) * x.shape[1], _sums_of_plane,
        dy, x, y, vectors, mean, scale, beta, low, high, gated, joined, sums,
    )  # fmt: skip


@compiled_part
def _sums_of_plane(
    item: int, dy: Any, x: Any, y: Any, vectors: int, mean: Any, scale: Any, beta: Any,
    low: Any, high: Any, gated: bool, joined: bool, sums: Any,
) -> None:  # fmt: skip
    channels, plane = x.shape[1:]
    L, at = VECTOR_BYTES // itemsize(x), item * plane
    n, c = item // channels, item % channels
    m, a, b = splat(mean[c]), splat(scale[c]), splat(beta[c])
    bottom, top, zero = splat(low), splat(high), splat(x.dtype.type(0))
    plain, weighted = 0.0, 0.0
    for first in range(0, vectors, FLOAT_SUM_VECTORS):
        g_sums, gx_sums = zero, zero
        for v in range(first, min(first + FLOAT_SUM_VECTORS, vectors)):
            g, d = load(dy, at + v * L), subtract(load(x, at + v * L), m)
            if joined:
                g = gate(g, load(y, at + v * L), bottom, top)
                store(dy, at + v * L, g)
            elif gated:
                g = gate(g, add(multiply(d, a), b), bottom, top)
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

    In training dx = scale (g - offset - (x - mean) slope): the batch's mean and variance depend
    on x too, and take from g its mean and its projection on the normalised x.
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
    dy: Any, x: Any, dx: Any, vectors: int, mask: Any, mean: Any, scale: Any, beta: Any,
    low: float, high: float, gated: bool, offset: Any, slope: Any, training: bool,
) -> None:  # fmt: skip
    """dx = scale (g - offset - (x - mean) slope), without the subtractions in evaluation.

    g is dy behind the activation's gate if ``gated``; dx may be dy.
    """
    for_each(
        len(x) * x.shape[1], _gradient_of_plane,
        dy, x, dx, vectors, mask, mean, scale, beta, low, high, gated, offset, slope, training,
    )  # fmt: skip


@compiled_part
def _gradient_of_plane(
    item: int, dy: Any, x: Any, dx: Any, vectors: int, mask: Any, mean: Any, scale: Any,
    beta: Any, low: float, high: float, gated: bool, offset: Any, slope: Any, training: bool,
) -> None:  # fmt: skip
    channels, plane = x.shape[1:]
    L, c = VECTOR_BYTES // itemsize(x), item % channels
    m, a, b = splat(mean[c]), splat(scale[c]), splat(beta[c])
    shift, tilt = splat(offset[c]), splat(slope[c])
    bottom, top = splat(low), splat(high)
    for v in range(vectors):
        at = item * plane + v * L
        g, d = load(dy, at), subtract(load(x, at), m)
        if gated:
            g = gate(g, add(multiply(d, a), b), bottom, top)
        if training:
            g = subtract(subtract(g, shift), multiply(d, tilt))
        store(dx, at, keep(multiply(g, a), mask, v * L))
