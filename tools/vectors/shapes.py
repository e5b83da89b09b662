"""Arithmetic with broadcasting, means, and operations that move values: element by element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from mpmath import floor, mp, mpf

from tools.vectors.exact import Decisions, exact, indices, total, zeros

Outputs = dict[str, Any]
Index = tuple[int, ...]


# Arithmetic


def _source(at: Index, shape: Index) -> Index:
    """Return the element of a value of this shape that stands at an element of the result."""
    batch, *rest = at
    sides = shape[1:]
    aligned = rest[len(rest) - len(sides) :]
    return batch, *(i if side > 1 else 0 for i, side in zip(aligned, sides, strict=True))


def _result_shape(a: Any, b: Any) -> Index:
    rank = max(a.ndim, b.ndim) - 1
    wide = [(1,) * (rank + 1 - value.ndim) + value.shape[1:] for value in (a, b)]
    return a.shape[0], *(max(sides) for sides in zip(*wide, strict=True))


def _combine(a: Any, b: Any, function: Callable[[mpf, mpf], mpf]) -> Outputs:
    a, b = exact(a), exact(b)
    y = zeros(_result_shape(a, b))
    for at in indices(y.shape):
        y[at] = function(a[_source(at, a.shape)], b[_source(at, b.shape)])
    return {"y": y}


def _gradients(dy: Any, a: Any, b: Any, slopes: Callable[[mpf, mpf], tuple[mpf, mpf]]) -> Outputs:
    dy, a, b = exact(dy), exact(a), exact(b)
    da, db = zeros(a.shape), zeros(b.shape)
    for at in indices(dy.shape):
        from_a, from_b = _source(at, a.shape), _source(at, b.shape)
        by_a, by_b = slopes(a[from_a], b[from_b])
        da[from_a] += dy[at] * by_a
        db[from_b] += dy[at] * by_b
    return {"da": da, "db": db}


def broadcast_add_forward(decide: Decisions, a: Any, b: Any) -> Outputs:
    return _combine(a, b, lambda p, q: p + q)


def broadcast_add_backward(decide: Decisions, dy: Any, a: Any, b: Any) -> Outputs:
    return _gradients(dy, a, b, lambda p, q: (mpf(1), mpf(1)))


def subtract_forward(decide: Decisions, a: Any, b: Any) -> Outputs:
    return _combine(a, b, lambda p, q: p - q)


def subtract_backward(decide: Decisions, dy: Any, a: Any, b: Any) -> Outputs:
    return _gradients(dy, a, b, lambda p, q: (mpf(1), mpf(-1)))


def multiply_forward(decide: Decisions, a: Any, b: Any) -> Outputs:
    return _combine(a, b, lambda p, q: p * q)


def multiply_backward(decide: Decisions, dy: Any, a: Any, b: Any) -> Outputs:
    return _gradients(dy, a, b, lambda p, q: (q, p))


def divide_forward(decide: Decisions, a: Any, b: Any) -> Outputs:
    return _combine(a, b, lambda p, q: p / q)


def divide_backward(decide: Decisions, dy: Any, a: Any, b: Any) -> Outputs:
    return _gradients(dy, a, b, lambda p, q: (1 / q, -p / q**2))


def _kept(at: Index, axes: list[int], rank: int, keepdims: bool) -> Index:
    """Return the element of a mean that an element of x goes into; axes without the batch."""
    gone = {axis % rank + 1 for axis in axes}
    if keepdims:
        return tuple(0 if i in gone else place for i, place in enumerate(at))
    return tuple(place for i, place in enumerate(at) if i not in gone)


def mean_forward(decide: Decisions, x: Any, axes: list[int], keepdims: bool) -> Outputs:
    x = exact(x)
    parts: dict[Index, list[mpf]] = {}
    for at in indices(x.shape):
        parts.setdefault(_kept(at, axes, x.ndim - 1, keepdims), []).append(x[at])
    y = zeros(tuple(side + 1 for side in max(parts)))
    for place, values in parts.items():
        y[place] = mp.fsum(values) / len(values)
    return {"y": y}


def mean_backward(decide: Decisions, dy: Any, x: Any, axes: list[int], keepdims: bool) -> Outputs:
    dy, dx = exact(dy), zeros(x.shape)
    for at in indices(x.shape):
        dx[at] = dy[_kept(at, axes, x.ndim - 1, keepdims)] * dy.size / x.size
    return {"dx": dx}


# Moving values


def concat_forward(decide: Decisions, values: list[Any], axis: int) -> Outputs:
    at = axis % (values[0].ndim - 1) + 1
    shape = list(values[0].shape)
    shape[at] = sum(value.shape[at] for value in values)
    y, start = zeros(tuple(shape)), 0
    for value in values:
        for index in indices(value.shape):
            y[(*index[:at], start + index[at], *index[at + 1 :])] = mpf(value[index].item())
        start += value.shape[at]
    return {"y": y}


def concat_backward(decide: Decisions, dy: Any, values: list[Any], axis: int) -> Outputs:
    at, start, outputs = axis % (values[0].ndim - 1) + 1, 0, {}
    for i, value in enumerate(values):
        part = zeros(value.shape)
        for index in indices(value.shape):
            place = (*index[:at], start + index[at], *index[at + 1 :])
            part[index] = mpf(dy[place].item())
        outputs[f"dvalue{i}"] = part
        start += value.shape[at]
    return outputs


def _taken(side: int, start: int, stop: int, step: int) -> list[int]:
    return list(range(side))[start:stop:step]


def slice_forward(
    decide: Decisions, x: Any, axis: int, start: int, stop: int, step: int
) -> Outputs:
    x, at = exact(x), axis % (x.ndim - 1) + 1
    taken = _taken(x.shape[at], start, stop, step)
    y = zeros((*x.shape[:at], len(taken), *x.shape[at + 1 :]))
    for index in indices(y.shape):
        y[index] = x[(*index[:at], taken[index[at]], *index[at + 1 :])]
    return {"y": y}


def slice_backward(
    decide: Decisions, dy: Any, x: Any, axis: int, start: int, stop: int, step: int
) -> Outputs:
    dy, dx, at = exact(dy), zeros(x.shape), axis % (x.ndim - 1) + 1
    taken = _taken(x.shape[at], start, stop, step)
    for index in indices(dy.shape):
        dx[(*index[:at], taken[index[at]], *index[at + 1 :])] = dy[index]
    return {"dx": dx}


def pad_forward(decide: Decisions, x: Any, pads: list[int], value: float) -> Outputs:
    rank = x.ndim - 1
    before, after = (0, *pads[:rank]), (0, *pads[rank:])
    shape = tuple(b + side + a for b, side, a in zip(before, x.shape, after, strict=True))
    x, y = exact(x), zeros(shape)
    for index in indices(shape):
        inner = tuple(i - b for i, b in zip(index, before, strict=True))
        inside = all(0 <= i < side for i, side in zip(inner, x.shape, strict=True))
        y[index] = x[inner] if inside else mpf(value)
    return {"y": y}


def pad_backward(decide: Decisions, dy: Any, x: Any, pads: list[int], value: float) -> Outputs:
    before, dx = (0, *pads[: x.ndim - 1]), zeros(x.shape)
    for index in indices(x.shape):
        dx[index] = mpf(dy[tuple(i + b for i, b in zip(index, before, strict=True))].item())
    return {"dx": dx}


# Resizing: as ONNX's Resize describes every mode


def _coordinate(i: int, side: int, outputs: int, scale: mpf, mode: str, roi: Any) -> mpf:
    half = (i + mpf(1) / 2) / scale
    if (mode == "pytorch_half_pixel" and outputs == 1) or (
        mode == "align_corners" and outputs == 1
    ):
        return mpf(0)
    if mode == "tf_crop_and_resize":
        start, end = (mpf(number) for number in roi)
        if outputs == 1:
            return (start + end) * (side - 1) / 2
        return start * (side - 1) + i * (end - start) * (side - 1) / (outputs - 1)
    adjustment = outputs / (scale * side)
    return {
        "half_pixel": half - mpf(1) / 2,
        "pytorch_half_pixel": half - mpf(1) / 2,
        "half_pixel_symmetric": mpf(side) / 2 * (1 - adjustment) + half - mpf(1) / 2,
        "align_corners": mpf(i) * (side - 1) / max(outputs - 1, 1),
        "asymmetric": i / scale,
        "tf_half_pixel_for_nn": half,
    }[mode]


def _nearest(decide: Decisions, at: mpf, mode: str) -> int:
    low = int(floor(at))
    if mode == "floor":
        return low if decide.compare(at, low + 1) < 0 else low + 1
    if mode == "ceil":
        return low if decide.compare(at, low) == 0 else low + 1
    side = decide.compare(at, low + mpf(1) / 2)
    up = side > 0 or (side == 0 and mode == "round_prefer_ceil")
    return low + 1 if up else low


def _weights(decide: Decisions, at: mpf, side: int, settings: dict[str, Any]) -> dict[int, mpf]:
    """Return the weight of every pixel along one side; neighbours beyond it are its last pixel."""
    if settings["mode"] == "nearest":
        pixel = _nearest(decide, at, settings["nearest_mode"])
        return {min(max(pixel, 0), side - 1): mpf(1)}
    low, found = int(floor(at)), dict[int, mpf]()
    for pixel, weight in ((low, 1 - (at - low)), (low + 1, at - low)):
        clamped = min(max(pixel, 0), side - 1)
        found[clamped] = found.get(clamped, mpf(0)) + weight
    return found


def _resize_rows(
    decide: Decisions, shape: Index, size: list[int], settings: dict[str, Any]
) -> list[list[dict[int, mpf] | None]]:
    """Return the weights for every output along both sides; None outside a region's image."""
    mode, scales = settings["coordinate_transformation_mode"], settings.get("scales")
    result = []
    for axis in (0, 1):
        side, outputs, rows = shape[2 + axis], size[axis], []
        scale = mpf(outputs) / side if scales is None else mpf(float(scales[axis]))
        roi = settings.get("roi")
        region = None if roi is None else (float(roi[axis]), float(roi[axis + 2]))
        for i in range(outputs):
            at = _coordinate(i, side, outputs, scale, mode, region)
            outside = mode == "tf_crop_and_resize" and not 0 <= at <= side - 1
            rows.append(None if outside else _weights(decide, at, side, settings))
        result.append(rows)
    return result


def resize_forward(decide: Decisions, x: Any, size: list[int], **settings: Any) -> Outputs:
    x, y = exact(x), zeros((*x.shape[:2], *size))
    rows, columns = _resize_rows(decide, x.shape, size, settings)
    for n, c, p, q in indices(y.shape):
        down, across = rows[p], columns[q]
        if down is None or across is None:
            y[n, c, p, q] = mpf(settings["extrapolation_value"])
            continue
        y[n, c, p, q] = mp.fsum(
            x[n, c, i, j] * by_row * by_column
            for i, by_row in down.items()
            for j, by_column in across.items()
        )
    return {"y": y}


def resize_backward(
    decide: Decisions, dy: Any, x: Any, size: list[int], **settings: Any
) -> Outputs:
    """Linear in x: a gradient is the value for a unit, times dy."""
    settings = settings | {"extrapolation_value": 0.0}
    dy, dx = exact(dy), zeros(x.shape)
    for index in indices(x.shape):
        unit = np.zeros(x.shape)
        unit[index] = 1
        dx[index] = total(dy * resize_forward(decide, unit, size, **settings)["y"])
    return {"dx": dx}
