"""Nearest and bilinear resizing of images, with the coordinate conventions of ONNX.

Both are linear, and separate for rows and columns: every output pixel is a weighted sum of at most
two rows, then of at most two columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.checks import check_choice
from fcpts_ref.errors import InputError

Array = NDArray[Any]

MODES = ("nearest", "bilinear")
NEAREST: dict[str, Callable[[Array], Array]] = {
    "round_prefer_floor": lambda at: np.ceil(at - 0.5),
    "round_prefer_ceil": lambda at: np.floor(at + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}
"""How "nearest" rounds a coordinate of the input."""


class Side(NamedTuple):
    """One side of an image: pixels in and out, the factor, and the region of interest."""

    size: int
    outputs: int
    scale: float
    start: float
    stop: float


def _half_pixel(i: Array, side: Side) -> Array:
    return (i + 0.5) / side.scale - 0.5


def _half_pixel_symmetric(i: Array, side: Side) -> Array:
    whole = side.outputs / (side.scale * side.size)  # below 1 where the size was rounded down
    return side.size / 2 * (1 - whole) + _half_pixel(i, side)


def _pytorch_half_pixel(i: Array, side: Side) -> Array:
    return _half_pixel(i, side) if side.outputs > 1 else np.zeros_like(i)


def _align_corners(i: Array, side: Side) -> Array:
    return i * (side.size - 1) / max(side.outputs - 1, 1)


def _asymmetric(i: Array, side: Side) -> Array:
    return i / side.scale


def _tf_half_pixel_for_nn(i: Array, side: Side) -> Array:
    return (i + 0.5) / side.scale


def _tf_crop_and_resize(i: Array, side: Side) -> Array:
    if side.outputs == 1:
        return i + (side.start + side.stop) / 2 * (side.size - 1)
    steps = i * (side.stop - side.start) / (side.outputs - 1)
    return (side.start + steps) * (side.size - 1)


COORDINATES: dict[str, Callable[[Array, Side], Array]] = {
    "half_pixel": _half_pixel,
    "half_pixel_symmetric": _half_pixel_symmetric,
    "pytorch_half_pixel": _pytorch_half_pixel,
    "align_corners": _align_corners,
    "asymmetric": _asymmetric,
    "tf_half_pixel_for_nn": _tf_half_pixel_for_nn,
    "tf_crop_and_resize": _tf_crop_and_resize,
}
"""The coordinate in the input of every output pixel (``coordinate_transformation_mode``)."""


class Taps(NamedTuple):
    """The pixels that every output pixel along one side reads.

    at (2, outputs): two pixels; weights (2, outputs); inside (outputs,): False where the output is
    outside the region of interest and takes the extrapolation value.
    """

    at: NDArray[np.int64]
    weights: NDArray[np.float64]
    inside: NDArray[np.bool_]


def resize_forward(
    x: Array,
    *,
    size: Sequence[int],
    mode: str = "nearest",
    coordinate_transformation_mode: str = "half_pixel",
    nearest_mode: str = "round_prefer_floor",
    scales: Sequence[float] = (),
    roi: Sequence[float] = (),
    extrapolation_value: float = 0.0,
) -> tuple[Array, tuple[Any, ...]]:
    """Resize images to another height and width; settings are named as in ONNX's Resize.

    x: (N, C, H, W).  size: (P, Q), height and width of y.
    mode: "nearest" or "bilinear".  coordinate_transformation_mode: one of ``COORDINATES``;
    nearest_mode: one of ``NEAREST``.
    scales: the vertical and horizontal factors that coordinates are divided by; by default
    those of the sizes, (P / H, Q / W), from which factors that were rounded to a size differ.
    roi, extrapolation_value: of "tf_crop_and_resize" alone: top, left, bottom, right of the region
    as shares of the image (default all), and the value outside the image.
    Returns y (N, C, P, Q) and the cache.  Raises InputError for settings that do not fit.
    """
    check_choice(mode, "mode", MODES)
    check_choice(nearest_mode, "nearest_mode", tuple(NEAREST))
    check_sizes(x.shape, size, scales, roi)
    sides = make_sides(x.shape[2:], size, scales, roi)
    round_ = NEAREST[nearest_mode] if mode == "nearest" else None
    rows, columns = (_taps(side, coordinate_transformation_mode, round_) for side in sides)
    y = _take(_take(x, rows, 2), columns, 3)
    inside = rows.inside[:, np.newaxis] & columns.inside
    y = np.where(inside, y, x.dtype.type(extrapolation_value))
    return y, (x.shape, rows, columns, inside)


def resize_backward(dy: Array, cache: tuple[Any, ...]) -> Array:
    """Return dx: every pixel's share of the dy that it went into.  dy: (N, C, P, Q)."""
    x_shape, rows, columns, inside = cache
    by_row, by_column = (
        _matrix(taps, size).astype(dy.dtype)
        for taps, size in zip((rows, columns), x_shape[2:], strict=True)
    )
    return np.asarray(by_row.T @ np.where(inside, dy, dy.dtype.type(0)) @ by_column)


def make_sides(
    shape: Sequence[int], size: Sequence[int], scales: Sequence[float], roi: Sequence[float]
) -> tuple[Side, Side]:
    """The vertical and the horizontal side, defaults filled in."""
    top, left, bottom, right = roi or (0.0, 0.0, 1.0, 1.0)
    (H, W), (P, Q) = shape, size
    down, across = scales or (P / H, Q / W)
    return Side(H, P, down, top, bottom), Side(W, Q, across, left, right)


def check_sizes(
    x_shape: Sequence[int], size: Sequence[int], scales: Sequence[float], roi: Sequence[float]
) -> None:
    """Raise InputError unless the settings fit images (N, C, H, W)."""
    fits = (
        len(x_shape) == 4
        and len(size) == 2
        and len(scales) in (0, 2)
        and len(roi) in (0, 4)
        and min(*x_shape[2:], *size, 1) > 0
        and all(scale > 0 for scale in scales)
    )
    if not fits:
        raise InputError(
            f"resize got x {tuple(x_shape)}, size {tuple(size)}, scales {tuple(scales)}, roi "
            f"{tuple(roi)}; expected (N, C, H, W) with pixels, two sizes >= 1, no or two scales "
            "above 0, and no or four sides of a region"
        )


def _taps(side: Side, convention: str, round_: Callable[[Array], Array] | None) -> Taps:
    check_choice(convention, "coordinate_transformation_mode", tuple(COORDINATES))
    last = side.size - 1
    at = COORDINATES[convention](np.arange(side.outputs, dtype=np.float64), side)
    inside = np.ones(side.outputs, np.bool_)
    if convention == "tf_crop_and_resize":
        inside = (at >= 0) & (at <= last)
    at = np.clip(at if round_ is None else round_(at), 0, last)
    low = np.floor(at)
    pixels = np.stack([low, np.minimum(low + 1, last)]).astype(np.int64)
    return Taps(pixels, np.stack([1 - (at - low), at - low]), inside)


def _take(x: Array, taps: Taps, axis: int) -> Array:
    """The weighted sums along one axis."""
    low, high = (x.take(at, axis) for at in taps.at)
    if not taps.weights[1].any():
        return np.asarray(low)
    shape = (-1,) + (1,) * (3 - axis)
    near, far = (weights.astype(x.dtype).reshape(shape) for weights in taps.weights)
    return np.asarray(low * near + high * far)


def _matrix(taps: Taps, size: int) -> Array:
    """The weights as a matrix (outputs, size)."""
    matrix = np.zeros((len(taps.inside), size))
    for at, weights in zip(taps.at, taps.weights, strict=True):
        np.add.at(matrix, (np.arange(len(at)), at), weights)
    return matrix
