"""Convolution and pooling with padding on four sides, ceil_mode, dilation: window by window."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from mpmath import mp

from tools.vectors.exact import Decisions, exact, indices, total, zeros

Outputs = dict[str, Any]


class Side(NamedTuple):
    """One side of the image; before and after: padding."""

    size: int
    before: int
    after: int
    kernel: int
    stride: int
    dilation: int

    def windows(self, ceil_mode: bool) -> list[list[int]]:
        """Return the places of every tap of every window, counted from the first pixel.

        Windows are laid one after the other from the beginning of the padding, as long as they
        fit; with ceil_mode, as long as the last one did not reach the end of the padding, and
        unless the next one starts in the padding at the end.
        """
        end, start = self.size + self.after, -self.before
        found: list[list[int]] = []
        while True:
            taps = [start + self.dilation * r for r in range(self.kernel)]
            fits = taps[-1] < end
            wanted = ceil_mode and bool(found) and found[-1][-1] < end - 1 and start < self.size
            if not fits and not wanted:
                return found
            found.append(taps)
            start += self.stride

    def counts(self, place: int, count_include_pad: bool) -> bool:
        """Whether a tap counts in a mean."""
        if count_include_pad:
            return -self.before <= place < self.size + self.after
        return 0 <= place < self.size


def _sides(
    shape: tuple[int, ...], kernel: Any, stride: list[int], padding: list[int], dilation: list[int]
) -> tuple[Side, Side]:
    top, left, bottom, right = padding
    return (
        Side(shape[2], top, bottom, kernel[0], stride[0], dilation[0]),
        Side(shape[3], left, right, kernel[1], stride[1], dilation[1]),
    )


def _pixels(sides: tuple[Side, Side], rows: list[int], columns: list[int]) -> list[tuple[int, int]]:
    """Return the pixels of a window within the image, row-major."""
    H, W = sides[0].size, sides[1].size
    return [(i, j) for i in rows for j in columns if 0 <= i < H and 0 <= j < W]


def padded_convolution_forward(
    decide: Decisions, x: Any, weight: Any, bias: Any, stride: list[int], padding: list[int],
    dilation: list[int], groups: int,
) -> Outputs:  # fmt: skip
    rows, columns = (
        side.windows(False) for side in _sides(x.shape, weight.shape[2:], stride, padding, dilation)
    )
    x, weight = exact(x), exact(weight)
    (_, _, H, W), (K, C, R, S) = x.shape, weight.shape
    y = zeros((len(x), K, len(rows), len(columns)))
    for n, k, p, q in indices(y.shape):
        terms = [
            x[n, k // (K // groups) * C + c, rows[p][r], columns[q][s]] * weight[k, c, r, s]
            for c, r, s in indices((C, R, S))
            if 0 <= rows[p][r] < H and 0 <= columns[q][s] < W
        ]
        y[n, k, p, q] = mp.fsum(terms) + (0 if bias is None else exact(bias)[k])
    return {"y": y}


def padded_convolution_backward(
    decide: Decisions, dy: Any, x: Any, weight: Any, bias: Any, **settings: Any
) -> Outputs:
    """Linear in x and in the weight: a gradient is the value for a unit, times dy."""

    def gradient(units: Any, forward: Any) -> np.ndarray:
        result = zeros(units.shape)
        for index in indices(units.shape):
            unit = zeros(units.shape)
            unit[index] += 1
            result[index] = total(exact(dy) * forward(unit)["y"])
        return result

    outputs = {
        "dx": gradient(
            x, lambda unit: padded_convolution_forward(decide, unit, weight, None, **settings)
        ),
        "dweight": gradient(
            weight, lambda unit: padded_convolution_forward(decide, x, unit, None, **settings)
        ),
    }
    if bias is not None:
        outputs["dbias"] = np.array([total(exact(dy)[:, k]) for k in range(len(bias))], object)
    return outputs


def _winners(
    decide: Decisions, x: np.ndarray, ceil_mode: bool, window: dict[str, Any]
) -> dict[tuple[int, ...], tuple[int, ...]]:
    """Return the index of the greatest pixel, the first of equals, by the index of its window."""
    sides = _sides(x.shape, **window)
    found: dict[tuple[int, ...], tuple[int, ...]] = {}
    for n, c in indices(x.shape[:2]):
        for p, rows in enumerate(sides[0].windows(ceil_mode)):
            for q, columns in enumerate(sides[1].windows(ceil_mode)):
                best, *others = [(n, c, *pixel) for pixel in _pixels(sides, rows, columns)]
                for index in others:
                    if decide.compare(x[index], x[best]) > 0:
                        best = index
                found[n, c, p, q] = best
    return found


def windowed_max_pool_forward(decide: Decisions, x: Any, ceil_mode: bool, **window: Any) -> Outputs:
    x = exact(x)
    winners = _winners(decide, x, ceil_mode, window)
    y = zeros(tuple(side + 1 for side in max(winners)))
    for at, winner in winners.items():
        y[at] = x[winner]
    return {"y": y}


def windowed_max_pool_backward(
    decide: Decisions, dy: Any, x: Any, ceil_mode: bool, **window: Any
) -> Outputs:
    dy, x, dx = exact(dy), exact(x), zeros(x.shape)
    for at, winner in _winners(decide, x, ceil_mode, window).items():
        dx[winner] += dy[at]
    return {"dx": dx}


def windowed_average_pool_forward(
    decide: Decisions, x: Any, ceil_mode: bool, count_include_pad: bool, **window: Any
) -> Outputs:
    x, sides = exact(x), _sides(x.shape, **window)
    rows, columns = (side.windows(ceil_mode) for side in sides)
    y = zeros((*x.shape[:2], len(rows), len(columns)))
    for n, c, p, q in indices(y.shape):
        pixels = [x[n, c, i, j] for i, j in _pixels(sides, rows[p], columns[q])]
        y[n, c, p, q] = mp.fsum(pixels) / _divisor(sides, rows[p], columns[q], count_include_pad)
    return {"y": y}


def windowed_average_pool_backward(
    decide: Decisions, dy: Any, x: Any, ceil_mode: bool, count_include_pad: bool, **window: Any
) -> Outputs:
    dy, dx, sides = exact(dy), zeros(x.shape), _sides(x.shape, **window)
    rows, columns = (side.windows(ceil_mode) for side in sides)
    for n, c, p, q in indices(dy.shape):
        divisor = _divisor(sides, rows[p], columns[q], count_include_pad)
        for i, j in _pixels(sides, rows[p], columns[q]):
            dx[n, c, i, j] += dy[n, c, p, q] / divisor
    return {"dx": dx}


def _divisor(
    sides: tuple[Side, Side], rows: list[int], columns: list[int], count_include_pad: bool
) -> int:
    return sum(
        sides[0].counts(i, count_include_pad) and sides[1].counts(j, count_include_pad)
        for i in rows
        for j in columns
    )
