"""Convolution with the weights that are not zero: kernels that follow a list of them.

``kept_weights`` lists, for each output channel, the offset and value of every kept weight.  A
pruned weight contributes nothing, also against an infinite or NaN activation.
"""

from __future__ import annotations

from typing import Any

from fcpts_ref.engines.numba.convolution.epilogue import finished
from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.pointwise.partial_sums import image_sums
from fcpts_ref.engines.numba.simd.register_tiles import (
    dot_products,
    outer_product,
    take,
    zero_tile,
)
from fcpts_ref.engines.numba.simd.vectors import apply_mask, store, sum_lanes
from fcpts_ref.engines.numba.tuning import PART_CHANNELS


@compiled_part
def pace_of(tiling: Any) -> int:
    """Elements from a vector to the next one."""
    return len(tiling.LANES) if tiling.step is None else tiling.step


@compiled_part
def store_tile(
    tile: Any, tiling: Any, target: Any, at: int, row: int, rows: int, first: int, epilogue: Any
) -> None:
    """Write the rows of a tile that exist, and its vectors; border lanes stay zero.

    What is written went through the epilogue.
    at: where its first vector goes; row: channel of its first row, of which ``rows`` are left;
    first: number of its first vector.
    """
    width, pace, plane, mask = len(tiling.N_VECTORS), pace_of(tiling), target.shape[2], tiling.mask
    vectors = tiling.vectors - first
    for i, value in enumerate(tile):
        m, v = i // width, i % width
        if m < rows and v < vectors:
            here = at + m * plane + v * pace
            value = finished(value, epilogue, row + m, here)
            store(target, here, apply_mask(value, mask, (first + v) * pace))


@compiled
def masked_correlation(
    source: Any, target: Any, kept: Any, tiling: Any, epilogue: Any, pixels: int, sums: Any
) -> None:
    """target[n, k] = sum over the kept weights of k: value * source shifted by its offset.

    kept: ``KeptWeights``; tiling: ``Tiling``; epilogue: ``Epilogue``; pixels: of a plane, if
    ``sums`` are to be taken of the target (see ``partial_sums``), else 0.

    Threads share the (image, tile of vectors) pairs, or whole images for sums; of a single image
    also parts of its output channels.  A piece of the source stays in the first-level cache while
    every output channel is made from it; the sums of one channel's tile stay in registers while its
    kept weights go by.
    """
    pieces = (tiling.vectors + len(tiling.N_VECTORS) - 1) // len(tiling.N_VECTORS)
    shares, parts = 1 if pixels else pieces, 1
    if len(source) == 1 and not pixels:
        parts = (target.shape[1] + PART_CHANNELS - 1) // PART_CHANNELS
    for_each(
        len(source) * shares * parts, _correlate_share,
        shares, parts, source, target, kept, tiling, epilogue, pixels, sums,
    )  # fmt: skip


@compiled_part
def _correlate_share(
    item: int, shares: int, parts: int, source: Any, target: Any, kept: Any, tiling: Any,
    epilogue: Any, pixels: int, sums: Any,
) -> None:  # fmt: skip
    """One of ``parts`` of the output channels in every ``shares``-th piece of an image."""
    _, channels, plane = source.shape
    _, K, target_plane = target.shape
    index, values, counts = kept.offsets, kept.values, kept.counts
    width, pace = len(tiling.N_VECTORS), pace_of(tiling)
    part, share = item % parts, item // parts
    n = share // shares
    for piece in range(share % shares, (tiling.vectors + width - 1) // width, shares):
        first = piece * width
        at_source = n * channels * plane + first * pace
        for k in range(part * K // parts, (part + 1) * K // parts):
            tile = zero_tile(source, tiling.N_VECTORS, 1, tiling.LANES)
            row = k * index.shape[1]
            for e in range(counts[k]):
                at = at_source + index[k, e]
                tile = outer_product(
                    tile, tiling.N_VECTORS, values, row + e, source, at, tiling.step
                )
            at_target = (n * K + k) * target_plane + first * pace
            store_tile(tile, tiling, target, at_target, k, 1, first, epilogue)
    if pixels:
        image_sums(n, target, tiling.mask, pixels, sums)


@compiled
def masked_weight_gradient(
    dy: Any, x: Any, kept: Any, tiling: Any, chunk: int, partial: Any
) -> None:
    """partial[i, k, e] = sum over the images of chunk i of dy[n, k] * x at kept.offsets[k, e].

    Threads share the chunks of images, whose size does not depend on the threads; the caller
    adds the chunks in order.  One vector of dy meets N_VECTORS shifted vectors of x.
    """
    for_each(len(partial), _gradient_of_chunk, dy, x, kept, tiling, chunk, partial)


@compiled_part
def _gradient_of_chunk(
    i: int, dy: Any, x: Any, kept: Any, tiling: Any, chunk: int, partial: Any
) -> None:
    images, K, dy_plane = dy.shape
    _, channels, plane = x.shape
    index, counts, pace = kept.offsets, kept.counts, pace_of(tiling)
    for k in range(K):
        for e in range(0, counts[k], len(tiling.N_VECTORS)):
            shifts = take(index, k * index.shape[1] + e, tiling.N_VECTORS)
            tile = zero_tile(x, tiling.N_VECTORS, 1, tiling.LANES)
            for n in range(i * chunk, min((i + 1) * chunk, images)):
                at_dy, at_x = (n * K + k) * dy_plane, n * channels * plane
                for v in range(tiling.vectors):
                    at = v * pace
                    tile = dot_products(tile, dy, at_dy + at, 0, x, at_x + at, shifts)
            for value in tile:
                partial[i, k, e] = sum_lanes(value)
                e += 1


@compiled
def add_chunks(partial: Any, kept: Any, dweight: Any) -> None:
    """dweight[positions[k, e]] = sum over chunks of partial[:, k, e], in order; zero elsewhere."""
    counts, positions = kept.counts, kept.positions
    dweight[:] = 0
    for k in range(counts.size):
        for e in range(counts[k]):
            total = partial[0, k, e]
            for i in range(1, partial.shape[0]):
                total += partial[i, k, e]
            dweight[positions[k, e]] = total
