"""Pooling on buffers: windows over planes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.memory.layout import Geometry
from fcpts_ref.engines.numba.simd.places import (
    places_from,
    places_in_steps,
    store_places,
    take_greater,
)
from fcpts_ref.engines.numba.simd.register_tiles import load_lanes, load_pairs
from fcpts_ref.engines.numba.simd.types import StaticSize, lanes, static_size
from fcpts_ref.engines.numba.simd.vectors import splat, store
from fcpts_ref.layers.windows import Windows

Integers = NDArray[np.integer[Any]]


class Walk(NamedTuple):
    """How windows walk over the planes of x, and where their results stand in those of y.

    starts (P,), (Q,): the first row and column of every window, negative in the padding; inside
    (S, Q): -1 where a tap of a column of windows reads the image, else 0; first (Q,): the first
    column within the image.  The last two are integers as wide as the values.
    """

    size: tuple[int, int]
    pitch: int
    y_size: tuple[int, int]
    y_pitch: int
    kernel: tuple[int, int]
    dilation: tuple[int, int]
    step: int
    rows: Integers
    columns: Integers
    inside: Integers
    first: Integers


def make_walk(windows: Windows, x: Geometry, y: Geometry, dtype: DTypeLike) -> Walk:
    """The walk of these windows over images of geometry x."""
    place = np.int32 if np.dtype(dtype).itemsize == 4 else np.int64
    (R, S), (d, e), (down, across) = windows.kernel, windows.dilation, windows.stride
    rows = np.arange(y.height) * down - windows.padding[0]
    columns = np.arange(y.width) * across - windows.padding[1]
    at = columns + e * np.arange(S)[:, np.newaxis]  # (S, Q)
    inside = (at >= 0) & (at < x.width)
    first = at[inside.argmax(axis=0), np.arange(y.width)]
    return Walk(
        (x.height, x.width), x.pitch, (y.height, y.width), y.pitch, (R, S), (d, e), across,
        rows, columns, np.where(inside, -1, 0).astype(place), first.astype(place),
    )  # fmt: skip


def vector_lanes(walk: Walk, dtype: DTypeLike) -> StaticSize | None:
    """Lanes for the kernel that takes windows vector by vector; None where it does not apply."""
    full = lanes(dtype)
    return static_size(full) if walk.step in (1, 2) and walk.y_size[1] >= full else None


@compiled
def max_pool(x: Any, walk: Any, y: Any, winner: Any, LANES: Any) -> None:
    """y = the greatest pixel of each window; winner (N, C, P * Q): its place in the plane of x.

    Ties go to the first pixel in row-major order; the first NaN wins over all.
    LANES: ``vector_lanes``.
    """
    if LANES is None:
        for_each(len(x) * x.shape[1], _max_of_plane, x, walk, y, winner)
    else:
        for_each(len(x) * x.shape[1], _max_by_vectors, x, walk, y, winner, LANES)


@compiled_part
def _max_of_plane(item: int, x: Any, walk: Any, y: Any, winner: Any) -> None:
    (H, W), (R, S), (d, e), (P, Q) = walk.size, walk.kernel, walk.dilation, walk.y_size
    n, c = item // x.shape[1], item % x.shape[1]
    source, target = x[n, c], y[n, c]
    for p in range(P):
        top = _first_row(walk, p)
        for q in range(Q):
            place = top * walk.pitch + walk.first[q]
            best = source[place]
            for r in range(R):
                i = walk.rows[p] + r * d
                for s in range(S):
                    j = walk.columns[q] + s * e
                    if 0 <= i < H and 0 <= j < W:
                        value = source[i * walk.pitch + j]
                        if value > best or (np.isnan(value) and not np.isnan(best)):
                            place, best = i * walk.pitch + j, value
            target[p * walk.y_pitch + q] = best
            winner[n, c, p * Q + q] = place


@compiled_part
def _max_by_vectors(item: int, x: Any, walk: Any, y: Any, winner: Any, LANES: Any) -> None:
    """The last vector of a row begins so that it ends with the row."""
    (R, S), (P, Q), L = walk.kernel, walk.y_size, len(LANES)
    least = splat(x.dtype.type(-np.inf))
    for p in range(P):
        first_row = _first_row(walk, p) * walk.pitch
        for v in range((Q + L - 1) // L):
            q = min(v * L, Q - L)
            best, place = least, places_from(x, walk.first, q, first_row)
            for r in range(R):
                i = walk.rows[p] + r * walk.dilation[0]
                if 0 <= i < walk.size[0]:
                    for s in range(S):
                        at = i * walk.pitch + walk.columns[q] + s * walk.dilation[1]
                        value = _every_step(x, item * x.shape[2] + at, walk.step, LANES)
                        best, place = take_greater(
                            value, places_in_steps(x, at, walk.step), best, place,
                            walk.inside, s * Q + q,
                        )  # fmt: skip
            store(y, item * y.shape[2] + p * walk.y_pitch + q, best)
            store_places(winner, item * winner.shape[2] + p * Q + q, place)


@compiled_part
def _first_row(walk: Any, p: int) -> int:
    """The first row of a window within the image."""
    i = walk.rows[p]
    while i < 0:
        i += walk.dilation[0]
    return int(i)


@compiled_part
def _every_step(x: Any, at: int, step: int, LANES: Any) -> Any:
    """x[at], x[at + step], ...; step: 1 or 2."""
    if step == 1:
        return load_lanes(x, at, LANES)
    return load_pairs(x, at, LANES)[0]


@compiled
def max_pool_backward(dy: Any, walk: Any, winner: Any, dx: Any) -> None:
    """dx = every dy at the pixel that won its window, added in row-major order of the windows."""
    for_each(len(dx) * dx.shape[1], _give_to_winners, dy, walk, winner, dx)


@compiled_part
def _give_to_winners(item: int, dy: Any, walk: Any, winner: Any, dx: Any) -> None:
    P, Q = walk.y_size
    n, c = item // dx.shape[1], item % dx.shape[1]
    source, target, place = dy[n, c], dx[n, c], winner[n, c]
    target[:] = 0
    for p in range(P):
        for q in range(Q):
            target[place[p * Q + q]] += source[p * walk.y_pitch + q]


@compiled
def average_pool(x: Any, walk: Any, row_counts: Any, column_counts: Any, y: Any) -> None:
    """y = the mean of each window; counts (P,), (Q,): divisors are their products."""
    for_each(len(x) * x.shape[1], _average_of_plane, x, walk, row_counts, column_counts, y)


@compiled_part
def _average_of_plane(
    item: int, x: Any, walk: Any, row_counts: Any, column_counts: Any, y: Any
) -> None:
    (H, W), (R, S), (d, e), (P, Q) = walk.size, walk.kernel, walk.dilation, walk.y_size
    n, c = item // x.shape[1], item % x.shape[1]
    source, target = x[n, c], y[n, c]
    for p in range(P):
        for q in range(Q):
            total = source.dtype.type(0)
            for r in range(R):
                i = walk.rows[p] + r * d
                for s in range(S):
                    j = walk.columns[q] + s * e
                    if 0 <= i < H and 0 <= j < W:
                        total += source[i * walk.pitch + j]
            count = source.dtype.type(row_counts[p] * column_counts[q])
            target[p * walk.y_pitch + q] = total / count


@compiled
def average_pool_backward(dy: Any, walk: Any, row_counts: Any, column_counts: Any, dx: Any) -> None:
    """dx = every dy shared out evenly over its window."""
    for_each(len(dx) * dx.shape[1], _share_plane, dy, walk, row_counts, column_counts, dx)


@compiled_part
def _share_plane(
    item: int, dy: Any, walk: Any, row_counts: Any, column_counts: Any, dx: Any
) -> None:
    (H, W), (R, S), (d, e), (P, Q) = walk.size, walk.kernel, walk.dilation, walk.y_size
    n, c = item // dx.shape[1], item % dx.shape[1]
    source, target = dy[n, c], dx[n, c]
    target[:] = 0
    for p in range(P):
        for q in range(Q):
            count = source.dtype.type(row_counts[p] * column_counts[q])
            share = source[p * walk.y_pitch + q] / count
            for r in range(R):
                i = walk.rows[p] + r * d
                for s in range(S):
                    j = walk.columns[q] + s * e
                    if 0 <= i < H and 0 <= j < W:
                        target[i * walk.pitch + j] += share
