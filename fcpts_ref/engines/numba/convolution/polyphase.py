"""Copies between a buffer and its polyphase components, for strides and odd geometries.

Component (a, b) of an image padded by (top, left) has its rows a, a + down, a + 2 down, ... and
columns b, b + right, ...: on the components a convolution with stride (down, right) has stride 1.
Only components that a tap reads exist (``Scheme.phases``).
"""

from __future__ import annotations

from typing import Any

from numpy.typing import DTypeLike, NDArray

from fcpts_ref.engines.numba.convolution.taps import Scheme
from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.memory.layout import Geometry, Scratch, allocate
from fcpts_ref.engines.numba.simd.register_tiles import load_as, load_lanes, load_pairs, zip_lanes
from fcpts_ref.engines.numba.simd.types import lanes, static_size
from fcpts_ref.engines.numba.simd.vectors import add, store, store_first

Array = NDArray[Any]


class Polyphase:
    """The components of a layer's input, and those of its gradient."""

    def __init__(
        self,
        geometry: Geometry,
        scheme: Scheme,
        channels: int,
        images: int,
        dtype: DTypeLike,
        scratch: Scratch,
    ) -> None:
        """geometry: of the input, with this many channels."""
        walk, source = scheme.walk, scheme.source
        size, component_size = (geometry.height, geometry.width), (source.height, source.width)
        self.image = size, geometry.pitch
        self.steps = walk.stride, walk.padding[:2]
        self.component = component_size, source.pitch
        self.phases = scheme.phases
        half = even_lanes(size, *self.steps, component_size, dtype)
        every = scheme.components == walk.stride[0] * walk.stride[1]
        self.LANES = None if half is None or not every else static_size(half)
        self.PAIRS = static_size(lanes(dtype) // 2) if splits_by_pairs(walk.stride, dtype) else None
        count = scheme.components * channels
        self.components = allocate(images, count, source, dtype)
        self.gradient = images, count, source, dtype
        self.scratch = scratch

    def split(self, x: Array) -> Array:
        """The components of x, valid until the next call."""
        split_components(
            x, *self.image, *self.steps, *self.phases, self.components, *self.component, self.PAIRS
        )
        return self.components

    def take_gradient(self) -> Array:
        """Memory for the gradient of the components; the next step may use it too."""
        return self.scratch.buffer(*self.gradient)

    def merge(self, dcomponents: Array, dx: Array, *, add: bool) -> None:
        """dx = (add: dx +) the gradient of the components put back in their places."""
        merge_components(
            dcomponents, *self.component, *self.steps, *self.phases, dx, *self.image, add,
            self.LANES,
        )  # fmt: skip


@compiled
def split_components(
    x: Any, size: Any, pitch: int, stride: Any, padding: Any, rows: Any, columns: Any,
    components: Any, component_size: Any, component_pitch: int, LANES: Any,
) -> None:  # fmt: skip
    """components[n, (k, l, c), i, j] = padded x[n, c, rows[k] + i down, columns[l] + j right].

    x: (N, C, PLANE) with images of size (H, W); rows (A,), columns (B,): ``Scheme.phases``;
    components: (N, A B C, PLANE), whose rows and columns outside the padded image are and stay
    zero.  LANES: static, of vectors of pairs where ``splits_by_pairs``, or None.
    """
    if LANES is None:
        for_each(
            len(x) * x.shape[1], _split_channel,
            x, size, pitch, stride, padding, rows, columns,
            components, component_size, component_pitch,
        )  # fmt: skip
    else:
        for_each(
            len(x) * x.shape[1], _split_channel_by_pairs,
            x, size, pitch, stride, padding, rows, columns,
            components, component_size, component_pitch, LANES,
        )  # fmt: skip


@compiled
def merge_components(
    components: Any, component_size: Any, component_pitch: int, stride: Any, padding: Any,
    rows: Any, columns: Any, x: Any, size: Any, pitch: int, accumulate: bool, LANES: Any,
) -> None:  # fmt: skip
    """The way back: each pixel of x (+)= its place in the components; zero if it has none."""
    if LANES is None:
        for_each(
            len(x), _merge_image, components, component_size, component_pitch, stride, padding,
            rows, columns, x, size, pitch, accumulate,
        )  # fmt: skip
    else:
        for_each(
            len(x), _merge_even_image,
            components, component_pitch, stride, padding, x, size, pitch, accumulate, LANES,
        )  # fmt: skip


def splits_by_pairs(stride: tuple[int, int], dtype: DTypeLike) -> bool:
    """Whether every second pixel of a row is taken, and vectors have halves to put them in."""
    return stride[1] == 2 and lanes(dtype) > 1


def even_lanes(
    size: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int],
    component_size: tuple[int, int], dtype: DTypeLike,
) -> int | None:  # fmt: skip
    """Lanes of the vectors that halves of rows fill, at steps of 2 that reach every pixel.

    Half a register, whatever the width: a variant for each would have to be compiled.
    """
    half = lanes(dtype) // 2
    whole = (
        half > 1
        and stride[1] == 2
        and size[1] % (2 * half) == 0
        and (size[0] - 1 + padding[0]) // stride[0] < component_size[0]
        and (padding[1] + 1) // 2 + size[1] // 2 <= component_size[1]
    )
    return half if whole else None


@compiled_part
def _split_channel(
    item: int, images: Any, size: Any, pitch: int, stride: Any, padding: Any, rows: Any,
    columns: Any, every: Any, component_size: Any, component_pitch: int,
) -> None:  # fmt: skip
    """One channel of an image."""
    channels = images.shape[1]
    n, c = item // channels, item % channels
    x, components = images[n], every[n]
    for k, a in enumerate(rows):
        for m, b in enumerate(columns):
            top, bottom = _inside(a, stride[0], padding[0], size[0], component_size[0])
            first, last = _inside(b, stride[1], padding[1], size[1], component_size[1])
            plane = (k * len(columns) + m) * channels + c
            for i in range(top, bottom):
                row = i * component_pitch
                at = (a + i * stride[0] - padding[0]) * pitch + b - padding[1]
                for j in range(first, last):
                    components[plane, row + j] = x[c, at + j * stride[1]]


@compiled_part
def _split_channel_by_pairs(
    item: int, images: Any, size: Any, pitch: int, stride: Any, padding: Any, rows: Any,
    columns: Any, every: Any, component_size: Any, component_pitch: int, LANES: Any,
) -> None:  # fmt: skip
    """``_split_channel`` for steps of 2 along rows, by vectors."""
    _, channels, plane = images.shape
    n, c = item // channels, item % channels
    for k, a in enumerate(rows):
        for m, b in enumerate(columns):
            top, bottom = _inside(a, stride[0], padding[0], size[0], component_size[0])
            first, last = _inside(b, stride[1], padding[1], size[1], component_size[1])
            component = n * every.shape[1] + (k * len(columns) + m) * channels + c
            for i in range(top, bottom):
                target = component * every.shape[2] + i * component_pitch
                row = item * plane + (a + i * stride[0] - padding[0]) * pitch + b - padding[1]
                for j in range(first, last, len(LANES)):
                    wanted, _ = load_pairs(images, row + 2 * j, LANES)
                    store_first(every, target + j, wanted, min(len(LANES), last - j))


@compiled_part
def _merge_image(
    n: int, every: Any, component_size: Any, component_pitch: int, stride: Any, padding: Any,
    rows: Any, columns: Any, images: Any, size: Any, pitch: int, accumulate: bool,
) -> None:  # fmt: skip
    x, components = images[n], every[n]
    if not accumulate:
        x[:] = 0
    for k, a in enumerate(rows):
        for m, b in enumerate(columns):
            top, bottom = _inside(a, stride[0], padding[0], size[0], component_size[0])
            first, last = _inside(b, stride[1], padding[1], size[1], component_size[1])
            for c in range(len(x)):
                plane = (k * len(columns) + m) * len(x) + c
                for i in range(top, bottom):
                    row = i * component_pitch
                    at = (a + i * stride[0] - padding[0]) * pitch + b - padding[1]
                    for j in range(first, last):
                        x[c, at + j * stride[1]] += components[plane, row + j]


@compiled_part
def _merge_even_image(
    n: int, every: Any, component_pitch: int, stride: Any, padding: Any,
    images: Any, size: Any, pitch: int, accumulate: bool, LANES: Any,
) -> None:  # fmt: skip
    """``_merge_image`` for steps of 2 along rows whose halves fill vectors."""
    x, components = images[n], every[n]
    left, length = padding[1], len(LANES)
    for c in range(len(x)):
        for p in range(size[0]):
            i, a = (p + padding[0]) // stride[0], (p + padding[0]) % stride[0]
            even, odd = _row_starts(a, i, left, c, len(x), component_pitch)
            for m in range(0, size[1] // 2, length):
                low, high = zip_lanes(
                    load_lanes(components[even[0]], even[1] + m, LANES),
                    load_lanes(components[odd[0]], odd[1] + m, LANES),
                )
                at = p * pitch + 2 * m
                if accumulate:
                    low = add(low, load_as(low, x[c], at))
                    high = add(high, load_as(high, x[c], at + length))
                store(x[c], at, low)
                store(x[c], at + length, high)


@compiled_part
def _row_starts(a: int, i: int, left: int, c: int, channels: int, pitch: int) -> Any:
    """Plane and element of the components where the even and the odd pixels of a row begin."""
    even = (a * 2 + left % 2) * channels + c, i * pitch + left // 2
    odd = (a * 2 + (left + 1) % 2) * channels + c, i * pitch + (left + 1) // 2
    return even, odd


@compiled_part
def _inside(start: int, step: int, padding: int, size: int, limit: int) -> Any:
    """The range of i < limit with 0 <= start + i step - padding < size."""
    first = max(0, -((start - padding) // step))
    last = min(limit, (size + padding - start + step - 1) // step)
    return first, last
