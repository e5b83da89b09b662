"""Two-dimensional convolution (cross-correlation, as in every framework) and its two adjoints.

Sizes: N images, C channels in, K out, H x W pixels in, P x Q out, R x S taps of the kernel,
G groups.  With one group, stride (u, v), dilation (d, e) and x padded with zeros:

    y[n, k, p, q] = bias[k] + sum over c, r, s of x[n, c, u p + d r, v q + e s] weight[k, c, r, s]

Each function lays out the pixels that every tap reads as columns (im2col) and multiplies matrices.
"""

from __future__ import annotations

import math
from operator import index
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError, counted
from fcpts_ref.layers.padding import Padding, Sides, as_padding, check_padded, ends

Array = NDArray[Any]
Pair = int | tuple[int, int]


class Geometry(NamedTuple):
    """How the kernel walks over the image; vertical, then horizontal.

    padding: (top, left, bottom, right).
    """

    stride: tuple[int, int]
    padding: Sides
    dilation: tuple[int, int]
    groups: int


def geometry(
    stride: Pair = 1, padding: Padding = 0, dilation: Pair = 1, groups: int = 1
) -> Geometry:
    """Check the four settings and return them in full.  Raises InputError if one is too small."""
    result = Geometry(as_pair(stride), as_padding(padding), as_pair(dilation), index(groups))
    if min(*result.stride, *result.dilation, groups) < 1:
        raise InputError(
            f"convolution has stride {stride}, dilation {dilation}, groups {groups}; expected "
            "stride, dilation and groups >= 1"
        )
    return result


def output_size(
    size: int, kernel: int, stride: int, padding: tuple[int, int], dilation: int = 1
) -> int:
    """The number of outputs along one side.  padding: before and after.

    Raises InputError if the kernel does not fit.
    """
    reach = dilation * (kernel - 1) + 1
    if kernel < 1:
        raise InputError(f"a kernel has {kernel} taps along one side; expected at least 1")
    padded = size + sum(padding)
    if padded < reach:
        raise InputError(
            f"a side of {counted(size, 'pixel')} with padding {padding[0]} before and {padding[1]} "
            f"after is shorter than a kernel that spans {reach}; use a larger image, more padding "
            "or a smaller kernel"
        )
    return (padded - reach) // stride + 1


def convolution_forward(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> tuple[Array, tuple[Any, ...]]:
    """Convolve x with the weight and add the bias.

    x: (N, C, H, W); weight: (K, C / groups, R, S); bias: (K,) or None.
    Returns y (N, K, P, Q) and the cache for ``convolution_backward``.
    Raises InputError for shapes that do not fit.
    """
    walk = geometry(stride, padding, dilation, groups)
    shape = check_shapes(x.shape, weight.shape, walk)  # (N, K, P, Q)
    columns = _columns(x, weight.shape, walk)  # (N, G, C/G R S, P Q)
    y = (_matrices(weight, groups) @ columns).reshape(shape)
    if bias is not None:
        if bias.shape != shape[1:2]:
            raise InputError(f"convolution got bias {bias.shape}; expected {shape[1:2]}")
        y = y + bias[:, np.newaxis, np.newaxis]
    return y, (x, weight, bias is not None, walk)


def convolution_backward(dy: Array, cache: tuple[Any, ...]) -> tuple[Array, Array, Array | None]:
    """Return dx, dweight, dbias, each like its input; None for no bias.  dy: (N, K, P, Q)."""
    x, weight, has_bias, walk = cache
    dx = convolution_input_gradient(dy, weight, x.shape, **walk._asdict())
    dweight = convolution_weight_gradient(dy, x, weight.shape, **walk._asdict())
    return dx, dweight, dy.sum(axis=(0, 2, 3)) if has_bias else None


def convolution_input_gradient(
    dy: Array,
    weight: Array,
    input_shape: tuple[int, ...],
    *,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Array:
    """The gradient with respect to x: every tap adds its share of dy to the pixel that it read.

    dy: (N, K, P, Q); weight: (K, C/groups, R, S); input_shape: (N, C, H, W), also of the result.
    Raises InputError for shapes that do not fit.
    """
    walk = geometry(stride, padding, dilation, groups)
    N, K, P, Q = _check_gradient(dy, check_shapes(input_shape, weight.shape, walk))
    _, C, H, W = input_shape
    R, S = weight.shape[2:]
    dy_grouped = dy.reshape(N, groups, K // groups, P * Q)
    dcolumns = _matrices(weight, groups).swapaxes(1, 2) @ dy_grouped  # (N, G, C/G R S, P Q)
    dcolumns = dcolumns.reshape(N, C, R, S, P, Q)
    (top, left, bottom, right), (down, across) = walk.padding, walk.stride
    dx = np.zeros((N, C, top + H + bottom, left + W + right), dtype=dcolumns.dtype)
    for r in range(R):
        for s in range(S):
            y0, x0 = r * walk.dilation[0], s * walk.dilation[1]
            rows, columns = slice(y0, y0 + P * down, down), slice(x0, x0 + Q * across, across)
            dx[:, :, rows, columns] += dcolumns[:, :, r, s]
    return dx[:, :, top : top + H, left : left + W]


def convolution_weight_gradient(
    dy: Array,
    x: Array,
    weight_shape: tuple[int, ...],
    *,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Array:
    """The gradient with respect to the weight: dy times the pixels that every tap read.

    dy: (N, K, P, Q); x: (N, C, H, W); weight_shape: (K, C/groups, R, S), also of the result.
    Raises InputError for shapes that do not fit.
    """
    walk = geometry(stride, padding, dilation, groups)
    N, K, P, Q = _check_gradient(dy, check_shapes(x.shape, weight_shape, walk))
    columns = _columns(x, weight_shape, walk)
    dy_grouped = dy.reshape(N, groups, K // groups, P * Q)
    dweight = (dy_grouped @ columns.swapaxes(2, 3)).sum(axis=0)  # (G, K/G, C/G R S)
    return np.asarray(dweight.reshape(weight_shape))


def _columns(x: Array, weight_shape: tuple[int, ...], walk: Geometry) -> Array:
    """The pixel that each tap reads for each output: (N, G, C/G R S, P Q)."""
    (top, left, bottom, right), (d, e) = walk.padding, walk.dilation
    down, across = walk.stride
    R, S = weight_shape[2:]
    reach = (d * (R - 1) + 1, e * (S - 1) + 1)
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    view = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(2, 3))
    view = view[:, :, ::down, ::across, ::d, ::e]  # (N, C, P, Q, R, S)
    N, C, P, Q = view.shape[:4]
    columns = view.transpose(0, 1, 4, 5, 2, 3)
    return columns.reshape(N, walk.groups, C // walk.groups * R * S, P * Q)


def _matrices(weight: Array, groups: int) -> Array:
    """(K, C/G, R, S) as one matrix per group: (G, K/G, C/G R S)."""
    K, features = weight.shape[0], math.prod(weight.shape[1:])
    return weight.reshape(groups, K // groups, features)


def check_shapes(
    x_shape: tuple[int, ...], weight_shape: tuple[int, ...], walk: Geometry
) -> tuple[int, int, int, int]:
    """The output's shape (N, K, P, Q).  Raises InputError for shapes that do not fit."""
    if len(x_shape) != 4 or len(weight_shape) != 4:
        raise InputError(
            f"convolution got x {x_shape} and weight {weight_shape}; expected (N, C, H, W) and "
            "(K, C/groups, R, S)"
        )
    C, K = x_shape[1], weight_shape[0]
    if weight_shape[1] * walk.groups != C or K % walk.groups:
        raise InputError(
            f"convolution got x {x_shape}, weight {weight_shape} and groups {walk.groups}; "
            "expected weight.shape[1] * groups == C and K a multiple of groups"
        )
    check_padded(x_shape[2:], walk.padding)
    P, Q = (
        output_size(size, kernel, stride, padding, dilation)
        for size, kernel, stride, padding, dilation in zip(
            x_shape[2:], weight_shape[2:], walk.stride, ends(walk.padding), walk.dilation,
            strict=True,
        )
    )  # fmt: skip
    return x_shape[0], K, P, Q


def _check_gradient(dy: Array, shape: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    if dy.shape != shape:
        raise InputError(f"convolution got dy {dy.shape}; expected the output's shape {shape}")
    return shape


def as_pair(value: Pair) -> tuple[int, int]:
    """Return (vertical, horizontal), both the same for one number.  Raises InputError otherwise."""
    try:
        vertical, horizontal = value if isinstance(value, (tuple, list)) else (value, value)
        return index(vertical), index(horizontal)
    except (TypeError, ValueError):
        raise InputError(f"got {value!r}; expected a whole number or a pair of them") from None
