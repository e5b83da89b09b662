"""Which input element meets which weight: every convolution as one table.

In the layout of ``layout.py`` a tap (c, r, s) of a filter reads, for all pixels of an image,
its input at one constant offset.  A convolution is therefore a table: for every output channel
the list of (offset of the input, position in the weight array).  The input gradient is the
same thing with the table transposed, so one set of kernels does both.

With a stride the offsets would differ from pixel to pixel.  So the input is first split into its
polyphase components, the images of every ``stride``-th row and column, which have stride 1.
Components that no tap reads, as where the stride exceeds the kernel, are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.numba.memory.layout import Geometry
from fcpts_ref.layers.convolution import Geometry as Walk
from fcpts_ref.layers.convolution import output_size
from fcpts_ref.layers.padding import ends

Integers = NDArray[np.integer[Any]]


class Taps(NamedTuple):
    """The table of one correlation; its output channels fall into groups with the same inputs.

    offsets (G, J): element of the source, counted from pixel 0 of channel 0 of the image;
    counts (G,): how many of the J columns the group has, the rest is padding;
    columns (G, J), pace: the weight of output channel g rows + m is element columns[g, j] + m pace
    of the flat weight array.
    rows: output channels of a group; they read the same inputs.

    Offsets and columns are 32 bits wide where that is enough, for these tables are read often.
    """

    offsets: Integers
    counts: Integers
    columns: Integers
    rows: int
    pace: int

    @classmethod
    def narrow(
        cls, offsets: Integers, counts: Integers, columns: Integers, rows: int, pace: int
    ) -> Taps:
        """The table in 32 bits, if that is enough for all its numbers."""
        return cls(_narrow(offsets), counts, _narrow(columns), rows, pace)

    @property
    def channels(self) -> int:
        """Output channels of all groups."""
        return len(self.offsets) * self.rows


@dataclass(frozen=True)
class Scheme:
    """How a convolution maps onto buffers.

    source: geometry that the taps read; target: that of the output.  They have one pitch.
    split: the source is a work space of polyphase components, not the input buffer itself.
    """

    source: Geometry
    target: Geometry
    split: bool
    walk: Walk
    weight_shape: tuple[int, ...]

    @property
    def phases(self) -> tuple[Integers, Integers]:
        """The first rows and the first columns of the components that taps read, ascending."""
        walk, kernel = self.walk, self.weight_shape[2:]
        reads = [walk.dilation[i] * np.arange(kernel[i]) % walk.stride[i] for i in (0, 1)]
        return np.unique(reads[0]), np.unique(reads[1])

    @property
    def components(self) -> int:
        """Polyphase components of the source per input channel."""
        rows, columns = self.phases
        return len(rows) * len(columns)


def make_scheme(
    geometry: Geometry, weight_shape: tuple[int, ...], walk: Walk, border: int
) -> Scheme:
    """Geometry of the output (with at least this border), and whether the input must be split.

    Raises InputError if the image is smaller than the kernel.
    """
    kernel, sizes = weight_shape[2:], (geometry.height, geometry.width)
    P, Q = (
        output_size(sizes[i], kernel[i], walk.stride[i], ends(walk.padding)[i], walk.dilation[i])
        for i in (0, 1)
    )
    reach = [walk.dilation[i] * (kernel[i] - 1) for i in (0, 1)]
    top, left, bottom, right = walk.padding
    direct = (
        walk.stride == (1, 1)
        and geometry.border >= max(top, bottom)
        and geometry.pitch >= max(geometry.width + max(left, right), Q)
    )
    if direct:
        rows = max(border, reach[0] - min(top, bottom))
        return Scheme(geometry, Geometry(P, Q, rows, geometry.pitch), False, walk, weight_shape)
    rows, columns = reach[0] // walk.stride[0], reach[1] // walk.stride[1]
    pitch = Q + max(border, columns)
    source = Geometry(P + rows, Q + columns, 0, pitch)
    return Scheme(source, Geometry(P, Q, max(border, rows), pitch), True, walk, weight_shape)


def forward_taps(scheme: Scheme) -> Taps:
    """The table of y from x: groups are those of the convolution."""
    K, channels, R, S = scheme.weight_shape
    G = scheme.walk.groups
    shift, component = _steps(scheme)
    channel = component * (channels * G) + np.arange(channels * G).reshape(G, channels, 1, 1)
    offsets = (channel * scheme.source.plane + shift).reshape(G, -1)
    J = channels * R * S
    columns = np.arange(K * J).reshape(G, K // G, J)[:, 0]
    return Taps.narrow(offsets, np.full(G, J), columns, K // G, J)


def backward_taps(scheme: Scheme) -> Taps:
    """The table of dx from dy: one group for each component and group of the convolution."""
    K, channels, R, S = scheme.weight_shape
    G = scheme.walk.groups
    shift, component = _steps(scheme)
    weight = np.arange(K * channels * R * S).reshape(G, K // G, channels, R, S)
    plane = np.arange(K).reshape(G, K // G, 1) * scheme.target.plane
    offsets, columns = [], []
    for number in range(scheme.components):
        chosen = component == number  # (R, S): the taps that read this component
        J = K // G * int(chosen.sum())
        offsets.append((plane - shift[chosen]).reshape(G, J))
        columns.append(weight[:, :, 0][..., chosen].reshape(G, J))
    counts = np.repeat([table.shape[1] for table in offsets], G)
    J = int(counts.max())
    return Taps.narrow(
        np.concatenate([_pad(table, J, 0) for table in offsets]),
        counts,
        np.concatenate([_pad(table, J, 0) for table in columns]),
        channels,
        R * S,
    )


def _steps(scheme: Scheme) -> tuple[Integers, Integers]:
    """For each tap (r, s): the elements from an output pixel to its input, and the component."""
    R, S = scheme.weight_shape[2:]
    (down, right), (d, e) = scheme.walk.stride, scheme.walk.dilation
    u, v = d * np.arange(R)[:, np.newaxis], e * np.arange(S)[np.newaxis, :]
    pitch = scheme.source.pitch
    shift = u // down * pitch + v // right
    if not scheme.split:
        shift = shift - (scheme.walk.padding[0] * pitch + scheme.walk.padding[1])
    rows, columns = scheme.phases
    row, column = np.searchsorted(rows, u % down), np.searchsorted(columns, v % right)
    return shift, row * len(columns) + column


def _narrow(table: Integers) -> Integers:
    fits = table.size == 0 or np.abs(table).max() <= np.iinfo(np.int32).max
    return table.astype(np.int32) if fits else table


def _pad(table: NDArray[Any], columns: int, value: int) -> Integers:
    widths = [(0, 0)] * (table.ndim - 1) + [(0, columns - table.shape[-1])]
    return np.pad(table, widths, constant_values=value)
