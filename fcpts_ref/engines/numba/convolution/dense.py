"""Convolution with all weights, for layers that ``winograd`` does not suit.

Each group of the table is a product of matrices, (rows, J) and (J, pixels): the second is packed
into panels (see ``panels``).  Shapes: source (N, C, PLANE), target (N, K, PLANE), tables as in
``taps.Taps``, epilogue: ``Epilogue``.
"""

from __future__ import annotations

from typing import Any

from fcpts_ref.engines.numba.convolution.epilogue import finished
from fcpts_ref.engines.numba.convolution.panels import find_pieces, pack_panel
from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.simd.channels_last import aligned_rows
from fcpts_ref.engines.numba.simd.register_tiles import (
    load_tile,
    outer_product,
    zero_tile,
)
from fcpts_ref.engines.numba.simd.vectors import (
    itemsize,
    load,
    store,
    store_first,
)
from fcpts_ref.engines.numba.tuning import PANEL_BYTES, TILE_ROWS


@compiled
def pack_weights(weight: Any, taps: Any, packed: Any) -> None:
    """packed (G, BLOCKS, J, TILE_ROWS) = the weights of a table in the order of the kernel.

    weight: flat.  Rows beyond the last output channel are zero.
    """
    for_each(packed.shape[0] * packed.shape[1], _pack_block, weight, taps, packed)


@compiled_part
def _pack_block(item: int, weight: Any, taps: Any, packed: Any) -> None:
    g, block = item // packed.shape[1], item % packed.shape[1]
    columns, target = taps.columns[g], packed[g, block]
    for m in range(TILE_ROWS):
        row = block * TILE_ROWS + m
        for j in range(taps.counts[g]):
            target[j, m] = weight[columns[j] + row * taps.pace] if row < taps.rows else 0


@compiled
def dense_correlation(
    source: Any, target: Any, weights: Any, offsets: Any, counts: Any, rows: int, pixels: Any,
    epilogue: Any,
) -> None:  # fmt: skip
    """target[n, g * rows + m] = sum over j of weights[g, m, j] * source shifted by offsets[g, j].

    weights: (G, BLOCKS, J, TILE_ROWS), packed; offsets: flat; pixels: see ``panels.Pixels``.

    Threads share the panels, and parts of their output channels.  Rows of a panel that fit into the
    second-level cache meet all blocks of TILE_ROWS output channels, then the next rows; sums wait
    in that cache.
    """
    width = len(pixels.N_VECTORS) * len(pixels.LANES)
    panels = (len(source) * pixels.height * pixels.width + width - 1) // width
    for_each(
        panels * pixels.parts, _correlate_panel,
        source, target, weights, offsets, counts, rows, pixels, epilogue,
    )  # fmt: skip


@compiled_part
def _correlate_panel(
    item: int, source: Any, target: Any, weights: Any, offsets: Any, counts: Any, rows: int,
    pixels: Any, epilogue: Any,
) -> None:  # fmt: skip
    groups, blocks, columns, _ = weights.shape
    width = len(pixels.N_VECTORS) * len(pixels.LANES)
    number, part = item // pixels.parts, item % pixels.parts
    last = min((number + 1) * width, len(source) * pixels.height * pixels.width)
    pieces = find_pieces(number * width, last, pixels, source, target)
    depth = min(columns, PANEL_BYTES // (width * itemsize(source)))
    panel = aligned_rows(depth + 1, width, source)
    units = groups * blocks
    begin, end = part * units // pixels.parts, (part + 1) * units // pixels.parts
    waiting = min(end - begin, blocks) if columns > depth else 1  # blocks whose sums are kept
    sums = aligned_rows(waiting * TILE_ROWS + 1, width, source)
    for g in range(begin // blocks, (end + blocks - 1) // blocks):
        low, high = max(begin - g * blocks, 0), min(end - g * blocks, blocks)
        for first in range(0, max(counts[g], 1), depth):
            count = min(depth, counts[g] - first)
            pack_panel(source, pieces, offsets, g * columns + first, count, panel)
            for block in range(low, high):
                at_sums = (block - low) * TILE_ROWS * width if columns > depth else 0
                tile = zero_tile(source, pixels.N_TILE, 1, pixels.LANES)
                if first > 0:
                    tile = load_tile(sums, at_sums, pixels.N_TILE, pixels.LANES)
                at_weight = ((g * blocks + block) * columns + first) * TILE_ROWS
                for j in range(count):
                    tile = outer_product(
                        tile, pixels.N_VECTORS, weights, at_weight + j * TILE_ROWS, panel,
                        j * width, None,
                    )  # fmt: skip
                for i, value in enumerate(tile):
                    store(sums, at_sums + i * len(pixels.LANES), value)
                if first + depth >= counts[g]:
                    left = min(TILE_ROWS, rows - block * TILE_ROWS)
                    row = g * rows + block * TILE_ROWS
                    write_rows(sums, at_sums, width, pieces, target, row, left, epilogue)


@compiled_part
def write_rows(
    sums: Any, at: int, width: int, pieces: Any, target: Any, row: int, rows: int, epilogue: Any
) -> None:
    """Write some output channels, after the epilogue.

    sums: a row of a panel for each; row: channel of the first one.
    """
    plane = target.shape[2]
    for m in range(rows):
        for i in range(len(pieces)):
            here = pieces[i, 1] + (row + m) * plane
            value = finished(load(sums, at + m * width + pieces[i, 2]), epilogue, row + m, here)
            store_first(target, here, value, pieces[i, 3])
