"""N:M patterns and blocks of a weight matrix: which weights are kept or pruned together.

A weight (K, C, ...) is read as a matrix of K rows, one an output.  The layout orders the columns:

channels   the C input channels of a kernel position side by side, positions one after the other, as
           sparse tensor cores read a convolution (Mishra et al., 2021, arXiv:2104.08378)
rows       as stored: the kernel positions of an input channel side by side

For a linear layer both are the weight itself.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError, counted

Array = NDArray[Any]
Layout = Literal["channels", "rows"]


def weight_matrix(weight: Array, layout: Layout = "channels") -> Array:
    """Return the weight (K, C, ...) as a matrix (K, columns), dtype in, dtype out."""
    ordered = np.moveaxis(weight, 1, -1) if layout == "channels" else weight
    return ordered.reshape(len(weight), -1)


def from_matrix(matrix: Array, shape: tuple[int, ...], layout: Layout = "channels") -> Array:
    """Return the weight of this shape whose ``weight_matrix`` is the given one."""
    if layout == "rows":
        return matrix.reshape(shape)
    channels_last = (shape[0], *shape[2:], shape[1])
    return np.ascontiguousarray(np.moveaxis(matrix.reshape(channels_last), -1, 1))


def run_length(shape: tuple[int, ...], layout: Layout = "channels") -> int:
    """Return the number of neighbouring columns that a group or block may cover.

    For "channels" this is C: no group covers two kernel positions; for "rows" all columns.
    """
    return shape[1] if layout == "channels" else math.prod(shape[1:])


def has_pattern(shape: tuple[int, ...], M: int, layout: Layout = "channels") -> bool:
    """Return whether the weight divides into whole groups of M."""
    return run_length(shape, layout) % M == 0


def pattern_mask(weight: Array, N: int, M: int, layout: Layout = "channels") -> NDArray[np.bool_]:
    """Return the mask (True = kept) of the N largest magnitudes of each M neighbours.

    Of all masks with N kept weights in each group this one loses the least sum of squares.  Of
    equal magnitudes the first are pruned first, as in ``budget.mask_of_count``.
    Raises InputError unless 1 <= N < M, M divides the columns that a group may cover, and all
    weights are numbers.
    """
    if not 1 <= N < M:
        raise InputError(
            f"pattern {N}:{M} keeps {N} of {counted(M, 'weight')}; expected 1 <= N < M"
        )
    if not has_pattern(weight.shape, M, layout):
        raise InputError(
            f"a weight of shape {weight.shape} has runs of "
            f"{counted(run_length(weight.shape, layout), 'weight')} ({layout}); pattern {N}:{M} "
            f"expects a multiple of {M}"
        )
    magnitudes = np.abs(weight_matrix(weight, layout)).reshape(-1, M)
    if np.isnan(magnitudes).any():
        raise InputError(f"pattern {N}:{M} got a weight that is NaN; expected numbers")
    kept = np.ones(magnitudes.shape, np.bool_)
    lowest = np.argsort(magnitudes, axis=1, kind="stable")[:, : M - N]
    np.put_along_axis(kept, lowest, False, axis=1)
    return from_matrix(kept, weight.shape, layout)


def block_sides(
    shape: tuple[int, ...], rows: int, columns: int, layout: Layout = "channels"
) -> tuple[int, int]:
    """Return the sides of the blocks of a weight: at most rows x columns, and dividing it.

    They are the greatest common divisors with the number of rows, and with the columns that a block
    may cover, so that all blocks of a layer have one size.
    """
    return math.gcd(rows, shape[0]), math.gcd(columns, run_length(shape, layout))


def into_blocks(weight: Array, sides: tuple[int, int], layout: Layout = "channels") -> Array:
    """Return the blocks of a weight, (K / R, columns / C, R, C), for the sides R x C."""
    R, C = sides
    matrix = weight_matrix(weight, layout)
    K, columns = matrix.shape
    return matrix.reshape(K // R, R, columns // C, C).transpose(0, 2, 1, 3)


def block_norms(weight: Array, sides: tuple[int, int], layout: Layout = "channels") -> Array:
    """Return the root mean square of each block, (K / R, columns / C), in the weight's dtype."""
    blocks = into_blocks(weight, sides, layout).astype(np.float64)
    return np.asarray(np.sqrt((blocks * blocks).mean(axis=(2, 3))).astype(weight.dtype))


def from_blocks(
    values: Array, shape: tuple[int, ...], sides: tuple[int, int], layout: Layout = "channels"
) -> Array:
    """Return the weight of this shape that holds a block's value in all its places."""
    wide = np.repeat(np.repeat(values, sides[0], axis=0), sides[1], axis=1)
    return from_matrix(wide, shape, layout)
