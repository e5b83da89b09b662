"""The transformed coefficients of filters, packed as ``correlation`` takes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from fcpts_ref.engines.numba.convolution.winograd.tiles import SPAN
from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.jit.host import VECTOR_BYTES
from fcpts_ref.engines.numba.simd.vectors import (
    add,
    itemsize,
    load,
    multiply,
    splat,
    store,
    subtract,
)
from fcpts_ref.engines.numba.tuning import WINOGRAD_FILTER_CHANNELS, WINOGRAD_TILE_ROWS

ROWS, SHARE = WINOGRAD_TILE_ROWS, WINOGRAD_FILTER_CHANNELS
LANES = SHARE * ROWS  # filters that are transformed at a time: whole vectors of every width


@compiled
def pack_filters(weight: Any, positions: Any, pace: int, outputs: int, packed: Any) -> None:
    """packed[k // ROWS, i, c, j, k % ROWS] = coefficient (i, j) of the filter from channel c to k.

    weight: flat; positions (C, 3, 3): where those for output channel 0 are, and pace: from there to
    the next one; packed (BLOCKS, SPAN, C, SPAN, ROWS).  The coefficients are computed in float64
    and rounded once.  Lanes are the ROWS output channels of WINOGRAD_FILTER_CHANNELS input ones.
    """
    for_each(len(packed), _pack_block, weight, positions, pace, outputs, packed)


@compiled_part
def _pack_block(b: int, weight: Any, positions: Any, pace: int, outputs: int, packed: Any) -> None:
    channels, rows = len(positions), min(ROWS, outputs - b * ROWS)
    filters = np.zeros((3, 3, LANES))
    half, coeffs = np.empty((3, SPAN, LANES)), np.empty((SPAN, SPAN, LANES))
    target = packed.reshape(-1)
    for first in range(0, channels, SHARE):
        share = positions[first : min(first + SHARE, channels)]
        _load_filters(weight, share, b * ROWS * pace, pace, rows, filters)
        for s in range(3):
            transform_filters(filters, s * LANES, 3 * LANES, half, s * SPAN * LANES)
        for i in range(SPAN):
            transform_filters(half, i * LANES, SPAN * LANES, coeffs, i * SPAN * LANES)
            at = ((b * SPAN + i) * channels + first) * SPAN * ROWS
            for c in range(len(share)):
                for j in range(SPAN):
                    for k in range(ROWS):
                        target[at + (c * SPAN + j) * ROWS + k] = coeffs[i, j, c * ROWS + k]


@compiled_part
def _load_filters(
    weight: Any, positions: Any, start: int, pace: int, rows: int, filters: Any
) -> None:
    """filters[r, s, c * ROWS + k] = element (r, s) of the filter from channel c to output k."""
    for c in range(len(positions)):
        for r in range(3):
            for s in range(3):
                at = start + positions[c, r, s]
                for k in range(rows):
                    filters[r, s, c * ROWS + k] = weight[at + k * pace]


@compiled_part
def transform_filters(g: Any, at: int, pace: int, coeffs: Any, target: int) -> None:
    """coeffs = G g for LANES columns; float64.

    The 3 rows of g are ``pace`` apart from ``at``, the SPAN rows of coeffs LANES from ``target``.
    """
    two, four, third = splat(2.0), splat(4.0), splat(1 / 3)
    for lane in range(0, LANES, VECTOR_BYTES // itemsize(g)):
        here, there = at + lane, target + lane
        g0, g1, g2 = load(g, here), load(g, here + pace), load(g, here + 2 * pace)
        sides, middle, twice = multiply(add(g0, g2), third), multiply(g1, third), multiply(g1, two)
        plus = add(add(multiply(g0, four), twice), g2)
        minus = add(subtract(g0, twice), multiply(g2, four))
        store(coeffs, there, g0)
        store(coeffs, there + LANES, add(middle, sides))
        store(coeffs, there + 2 * LANES, subtract(middle, sides))
        store(coeffs, there + 3 * LANES, multiply(plus, splat(-4 / 15)))
        store(coeffs, there + 4 * LANES, multiply(minus, splat(1 / 15)))
        store(coeffs, there + 5 * LANES, g2)
