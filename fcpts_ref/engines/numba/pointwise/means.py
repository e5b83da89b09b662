"""The mean of whole planes."""

from __future__ import annotations

from typing import Any

from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.pointwise.partial_sums import plane_sum


@compiled
def plane_means(x: Any, vectors: int, pixels: int, y: Any) -> None:
    """y[n, c] = the mean of a plane; vectors: of its run; its border is zero."""
    for_each(len(x) * x.shape[1], _plane_mean, x, vectors, pixels, y)


@compiled_part
def _plane_mean(item: int, x: Any, vectors: int, pixels: int, y: Any) -> None:
    channels, plane = x.shape[1:]
    y[item // channels, item % channels] = plane_sum(x, item * plane, vectors) / pixels


@compiled
def plane_means_backward(
    dy: Any, pixels: int, run: int, mask: Any, dx: Any, accumulate: bool
) -> None:
    """dx (+)= dy / pixels at every pixel of the plane."""
    for_each(len(dx) * dx.shape[1], _fill_plane, dy, pixels, run, mask, dx, accumulate)


@compiled_part
def _fill_plane(
    item: int, dy: Any, pixels: int, run: int, mask: Any, dx: Any, accumulate: bool
) -> None:
    n, c = item // dx.shape[1], item % dx.shape[1]
    target, share = dx[n, c], dy[n, c] / dy.dtype.type(pixels)
    zero = dy.dtype.type(0)
    for i in range(run):
        added = share if mask[i] else zero
        target[i] = target[i] + added if accumulate else added
