"""Convolution with the weights that are not zero: kernels that follow an index of them.

``sparse_index`` lists, for each output plane, the offset and value of every kept weight.  A pruned
weight contributes nothing, also against an infinite or NaN activation.
"""

from __future__ import annotations

from typing import Any

from fcpts_ref.engines.numba.convolution.dense import store_tile
from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.pointwise.moments import image_moments
from fcpts_ref.engines.numba.simd.vectors import (
    dot_products,
    outer_product,
    sum_lanes,
    take,
    zero_tile,
)


@compiled
def masked_correlation(
    source: Any, target: Any, index: Any, values: Any, kept: Any, bias: Any,
    vectors: int, step: Any, mask: Any, shape: Any, lane_shape: Any, accumulate: bool,
    side: Any, limits: Any, pixels: int, moments: Any,
) -> None:  # fmt: skip
    """target[n, k] (+)= sum over the kept weights of k: value * source shifted by its offset.

    pixels: of a plane, if ``moments`` are to be taken of the target, else 0.

    Threads share the (image, piece of the run) pairs, or whole images for moments.  A piece of
    the source stays in the first-level cache while every output plane is made from it; the sums
    of one plane's piece, len(shape) vectors, stay in registers while its kept weights go by.
    """
    pieces = (vectors + len(shape) - 1) // len(shape)
    shares = 1 if pixels else pieces
    for_each(
        len(source) * shares, _correlate_share,
        shares, source, target, index, values, kept, bias, vectors, step, mask, shape, lane_shape,
        accumulate, side, limits, pixels, moments,
    )  # fmt: skip


@compiled_part
def _correlate_share(
    item: int, shares: int, source: Any, target: Any, index: Any, values: Any, kept: Any,
    bias: Any, vectors: int, step: Any, mask: Any, shape: Any, lane_shape: Any, accumulate: bool,
    side: Any, limits: Any, pixels: int, moments: Any,
) -> None:  # fmt: skip
    """Every ``shares``-th piece of an image."""
    _, channels, plane = source.shape
    _, planes, target_plane = target.shape
    width = len(shape)
    pace = len(lane_shape) if step is None else step
    n = item // shares
    for piece in range(item % shares, (vectors + width - 1) // width, shares):
        first = piece * width
        at_source = n * channels * plane + first * pace
        for k in range(planes):
            tile = zero_tile(source, shape, 1, lane_shape)
            row = k * index.shape[1]
            for e in range(kept[k]):
                at = at_source + index[k, e]
                tile = outer_product(tile, shape, values, row + e, source, at, step)
            store_tile(
                tile, shape, pace, target, (n * planes + k) * target_plane + first * pace,
                target_plane, bias, k, 1, vectors - first, mask, first * pace, accumulate,
                side, limits,
            )  # fmt: skip
    if pixels:
        image_moments(n, target, mask, pixels, moments)


@compiled
def masked_weight_gradient(
    dy: Any, x: Any, index: Any, kept: Any, vectors: int, step: Any, chunk: int, partial: Any,
    shape: Any, lane_shape: Any,
) -> None:  # fmt: skip
    """partial[i, k, e] = sum over the images of chunk i of dy[n, k] * x at index[k, e].

    Threads share the chunks of images, whose size does not depend on the threads; the caller
    adds the chunks in order.  One vector of dy meets len(shape) shifted vectors of x.
    """
    for_each(
        len(partial), _gradient_of_chunk,
        dy, x, index, kept, vectors, step, chunk, partial, shape, lane_shape,
    )  # fmt: skip


@compiled_part
def _gradient_of_chunk(
    i: int, dy: Any, x: Any, index: Any, kept: Any, vectors: int, step: Any, chunk: int,
    partial: Any, shape: Any, lane_shape: Any,
) -> None:  # fmt: skip
    images, planes, dy_plane = dy.shape
    _, channels, plane = x.shape
    pace = len(lane_shape) if step is None else step
    for k in range(planes):
        for e in range(0, kept[k], len(shape)):
            shifts = take(index, k * index.shape[1] + e, shape)
            tile = zero_tile(x, shape, 1, lane_shape)
            for n in range(i * chunk, min((i + 1) * chunk, images)):
                at_dy, at_x = (n * planes + k) * dy_plane, n * channels * plane
                for v in range(vectors):
                    at = v * pace
                    tile = dot_products(tile, dy, at_dy + at, 0, x, at_x + at, shifts)
            for value in tile:
                partial[i, k, e] = sum_lanes(value)
                e += 1


@compiled
def add_chunks(partial: Any, places: Any, kept: Any, dweight: Any) -> None:
    """dweight[places[k, e]] = sum over chunks of partial[:, k, e], in order; zero elsewhere."""
    dweight[:] = 0
    for k in range(kept.size):
        for e in range(kept[k]):
            total = partial[0, k, e]
            for i in range(1, partial.shape[0]):
                total += partial[i, k, e]
            dweight[places[k, e]] = total
