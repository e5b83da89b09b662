"""Convolutions of the fast engine: the plan of a layer, bound to buffers.

A plan holds what depends on shapes alone: the tables of taps, packed weights and work spaces.
``prefer_sparse`` alone decides whether the dense or the masked kernel runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fcpts_ref.engines.numba.convolution.dense import (
    dense_correlation,
    dense_weight_gradient,
    pack_weights,
)
from fcpts_ref.engines.numba.convolution.polyphase import even_lanes, merge_phases, split_phases
from fcpts_ref.engines.numba.convolution.row_plan import RowCorrelation, RowGradient, row_form
from fcpts_ref.engines.numba.convolution.sparse import (
    add_chunks,
    masked_correlation,
    masked_weight_gradient,
)
from fcpts_ref.engines.numba.convolution.sparse_index import SparseIndex
from fcpts_ref.engines.numba.convolution.taps import (
    Scheme,
    Taps,
    backward_taps,
    forward_taps,
    make_scheme,
)
from fcpts_ref.engines.numba.convolution.winograd.plan import (
    WinogradCorrelation,
    WinogradGradient,
    suits_winograd,
)
from fcpts_ref.engines.numba.memory.layout import Geometry, Scratch, allocate, keep_mask, round_up
from fcpts_ref.engines.numba.pointwise.activation import NO_LIMITS
from fcpts_ref.engines.numba.pointwise.moments import statistics
from fcpts_ref.engines.numba.simd.vectors import Length, lanes
from fcpts_ref.engines.numba.tuning import (
    GRADIENT_CACHE_BYTES,
    GRADIENT_TILE_WEIGHTS,
    HALF_TILE_VECTORS,
    KEPT_GRADIENT_PARTS,
    SPARSE_BELOW,
    TILE_ROWS,
    TILE_VECTORS,
    WINOGRAD_GAIN,
)
from fcpts_ref.layers.convolution import Pair
from fcpts_ref.layers.convolution import geometry as make_walk

Array = NDArray[Any]

# Vectors in a tile, whole ones and halves: few choices, for every one is compiled by itself.
TILE_WIDTHS = (TILE_VECTORS, 1)
HALF_WIDTHS = (HALF_TILE_VECTORS, 1)
NO_MOMENTS = np.zeros((0, 0, 4))


def prefer_sparse(density: float, planes: int) -> bool:
    """Whether the masked kernel beats the dense one.

    density: share of the weights that are not zero; planes: output planes with the same
    inputs.  The dense kernel makes TILE_ROWS planes at once, whether there are as many or not.
    """
    return density * min(planes, TILE_ROWS) < SPARSE_BELOW * TILE_ROWS


class Correlation:
    """One table of taps over buffers: y from x, or dx from dy.

    winograd: the same by squares of pixels, where that applies: it is then the dense kernel.
    rows: the same over aligned rows, where that applies: it is then the masked kernel.

    target (N, PLANES, PLANE) = sum over taps of weight * source (N, CHANNELS, PLANE) shifted.
    """

    def __init__(
        self, scheme: Scheme, taps: Taps, geometry: Geometry, images: int, dtype: DTypeLike,
        backward: bool,
    ) -> None:  # fmt: skip
        """geometry: of the target."""
        self.taps = taps
        self.winograd: WinogradCorrelation | None = None
        if suits_winograd(scheme, geometry, dtype):
            self.winograd = WinogradCorrelation(taps, geometry, dtype, backward)
        self.mask = keep_mask(geometry, dtype)
        self.pixels = geometry.height * geometry.width
        self.cover = cover(geometry, dtype)
        widths = TILE_WIDTHS if self.cover.step is None else HALF_WIDTHS
        self.shape = _shape(self.cover.vectors, widths)
        self.no_bias = np.zeros(taps.planes, dtype)
        self.places = np.zeros((0, 0), np.int64) if self.winograd else _packed_places(taps)
        self.packed = np.zeros(self.places.shape, dtype)
        form = row_form(scheme, geometry, images, dtype)
        self.rows = RowCorrelation(scheme, geometry, form, dtype, backward) if form else None
        self.index = self.rows.index if self.rows else SparseIndex(taps, dtype)

    def dense(
        self, weight: Array, source: Array, target: Array, bias: Array | None,
        side: Array | None, limits: Array, moments: Array | None = None,
    ) -> None:  # fmt: skip
        """target = the correlation with all weights + bias (PLANES,) (+ side), cut off.

        moments: of the target's planes, to be taken for batch norm (see ``moments``).
        """
        self.index.listed = None  # what it lists is not of this weight
        if self.winograd is not None:
            _, taken = self._moments(moments)
            self.winograd.run(weight, source, target, bias, side, limits, taken)
            return
        pack_weights(weight.reshape(-1), self.places.reshape(-1), self.packed.reshape(-1))
        dense_correlation(
            source, target, self.packed, self.taps.offsets, self.taps.counts,
            self.taps.positions.shape[1], self.no_bias if bias is None else bias,
            self.cover.vectors, self.cover.step, self.mask, self.shape,
            self.cover.lane_shape, side is not None, target if side is None else side, limits,
        )  # fmt: skip
        if moments is not None:
            statistics(target, self.mask, self.pixels, moments)

    def masked(
        self, weight: Array, source: Array, target: Array, bias: Array | None,
        side: Array | None, limits: Array, moments: Array | None = None, everything: bool = False,
    ) -> None:  # fmt: skip
        """The same with the weights that are not zero alone, or with everything one by one."""
        if self.rows is not None:
            _, taken = self._moments(moments)
            self.rows.run(weight, source, target, bias, side, limits, taken, everything)
            return
        index = self.index
        index.build(weight, everything)
        masked_correlation(
            source, target, index.offsets, index.values, index.kept,
            self.no_bias if bias is None else bias,
            self.cover.vectors, self.cover.step, self.mask, self.shape,
            self.cover.lane_shape, side is not None, target if side is None else side, limits,
            *self._moments(moments),
        )  # fmt: skip

    def _moments(self, moments: Array | None) -> tuple[int, Array]:
        """Pixels of a plane, 0 for no moments, and where they go."""
        return (0, NO_MOMENTS) if moments is None else (self.pixels, moments)


class ConvolutionPlan:
    """A convolution bound to the geometry of its input, a batch size and a dtype.

    x and dx are buffers with ``input_geometry``, y and dy with ``output_geometry`` (see
    ``layout``), all of ``images`` images; weight and dweight are (K, C / groups, R, S).
    border: rows of zeros that users of the output need at least.
    prefer: the rule that chooses the kernel by density.
    density: share of the weights that are not zero, where zero ones may be skipped.
    scratch: shared by layers that run one after the other; default its own.
    """

    def __init__(
        self,
        input_geometry: Geometry,
        weight_shape: tuple[int, ...],
        images: int,
        dtype: DTypeLike,
        *,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
        groups: int = 1,
        border: int | None = None,
        prefer: Callable[[float, int], bool] = prefer_sparse,
        scratch: Scratch | None = None,
    ) -> None:
        walk = make_walk(stride, padding, dilation, groups)
        border = input_geometry.border if border is None else border
        self.scheme = make_scheme(input_geometry, weight_shape, walk, border)
        self.input_geometry = input_geometry
        self.output_geometry = self.scheme.target
        self.weight_shape = weight_shape
        self.prefer = prefer
        taps = forward_taps(self.scheme)
        self.forward_correlation = Correlation(
            self.scheme, taps, self.scheme.target, images, dtype, backward=False
        )
        self.backward_correlation = Correlation(
            self.scheme, backward_taps(self.scheme), self.scheme.source, images, dtype,
            backward=True,
        )  # fmt: skip
        channels = weight_shape[1] * groups
        if self.scheme.split:
            source = self.scheme.source
            half = even_lanes(
                (input_geometry.height, input_geometry.width), walk.stride, walk.padding,
                (source.height, source.width), dtype,
            )  # fmt: skip
            self.pair_shape = None if half is None else (None,) * half
            planes = self.scheme.phases * channels
            self.phases = allocate(images, planes, self.scheme.source, dtype)
            self.dphases = allocate(images, planes, self.scheme.source, dtype)
        self.gradient = WeightGradient(
            self.scheme, self.forward_correlation, dtype, scratch or Scratch()
        )

    def forward(
        self, x: Array, weight: Array, bias: Array | None, y: Array, *, density: float = 1.0,
        side: Array | None = None, limits: tuple[float, float] = NO_LIMITS,
        moments: Array | None = None,
    ) -> None:  # fmt: skip
        """y = convolution of x (+ side), cut off at the limits (see ``activation``).

        moments: (N, K, 4), takes those of the planes of y (see ``moments``).
        """
        self._correlate(
            self.forward_correlation, weight, self._source(x), y, bias, density, side, limits,
            moments,
        )  # fmt: skip

    def input_gradient(
        self, dy: Array, weight: Array, dx: Array, *, density: float = 1.0, add: bool = False
    ) -> None:
        """dx = (add: dx +) the adjoint by x."""
        if not self.scheme.split:
            side = dx if add else None
            self._correlate(self.backward_correlation, weight, dy, dx, None, density, side)
            return
        self._correlate(self.backward_correlation, weight, dy, self.dphases, None, density, None)
        phase_size, phase_pitch, stride, padding = self._phase_arguments()
        size = (self.input_geometry.height, self.input_geometry.width)
        pitch = self.input_geometry.pitch
        merge_phases(
            self.dphases, phase_size, phase_pitch, stride, padding, dx, size, pitch, add,
            self.pair_shape,
        )  # fmt: skip

    def _correlate(
        self, correlation: Correlation, weight: Array, source: Array, target: Array,
        bias: Array | None, density: float, side: Array | None,
        limits: tuple[float, float] = NO_LIMITS, moments: Array | None = None,
    ) -> None:  # fmt: skip
        """Choose the kernel; one plane per group (depthwise) is always done weight by weight."""
        planes = correlation.taps.positions.shape[1]
        gain = WINOGRAD_GAIN if correlation.winograd else 1.0
        ends = np.array(limits, weight.dtype)
        if density < 1 and self.prefer(density * gain, planes):
            correlation.masked(weight, source, target, bias, side, ends, moments)
        elif self.prefer(1.0, planes):
            correlation.masked(weight, source, target, bias, side, ends, moments, everything=True)
        else:
            correlation.dense(weight, source, target, bias, side, ends, moments)

    def weight_gradient(self, dy: Array, x: Array, dweight: Array) -> None:
        """dweight = the adjoint by the weight, for every weight."""
        if self.gradient.blocked:
            self.gradient.dense(dy, self._source(x), dweight)
        else:
            self.gradient.masked(dy, self._source(x), dweight, dweight, everything=True)

    def kept_weight_gradient(
        self, dy: Array, x: Array, weight: Array, dweight: Array, *, density: float,
        again: bool = False,
    ) -> None:  # fmt: skip
        """The same where weight is not zero; zero elsewhere.

        again: x and weight are as they were in the last forward, whose phases and list of kept
        weights are good still.
        """
        rows = self.gradient.rows
        source = self.phases if again and self.scheme.split else self._source(x)
        gain = WINOGRAD_GAIN if self.gradient.winograd else 1.0
        if self.prefer(density * gain, rows) or not self.gradient.blocked:
            self.gradient.masked(dy, source, weight, dweight, again=again)
        else:
            self.gradient.dense(dy, source, dweight)
            dweight[weight == 0] = 0

    def _source(self, x: Array) -> Array:
        """x itself, or its phases."""
        if not self.scheme.split:
            return x
        phase_size, phase_pitch, stride, padding = self._phase_arguments()
        size = (self.input_geometry.height, self.input_geometry.width)
        pitch = self.input_geometry.pitch
        split_phases(
            x, size, pitch, stride, padding, self.phases, phase_size, phase_pitch,
            self.pair_shape,
        )  # fmt: skip
        return self.phases

    def _phase_arguments(self) -> tuple[tuple[int, int], int, tuple[int, int], tuple[int, int]]:
        source, walk = self.scheme.source, self.scheme.walk
        return (source.height, source.width), source.pitch, walk.stride, walk.padding


class WeightGradient:
    """dweight of a table of taps, for all weights or the kept ones.

    It shares the tables of the correlation forward, and the memory of its index.
    """

    def __init__(
        self, scheme: Scheme, forward: Correlation, dtype: DTypeLike, scratch: Scratch
    ) -> None:
        source, target, taps = scheme.source, scheme.target, forward.taps
        self.scratch = scratch
        self.taps = taps
        self.winograd: WinogradGradient | None = None
        if suits_winograd(scheme, target, dtype):
            self.winograd = WinogradGradient(scheme, dtype)
        self.by_rows = RowGradient(forward.rows) if forward.rows else None
        self.index = forward.index
        self.shape = (None,) * TILE_VECTORS
        self.cover = flat_cover(target, dtype)
        G, J = taps.offsets.shape
        self.offsets = np.zeros((G, round_up(J, TILE_VECTORS)), np.int64)
        self.offsets[:, :J] = taps.offsets
        itemsize = np.dtype(dtype).itemsize
        tile_bytes = itemsize * (TILE_ROWS * target.plane + 2 * source.plane)
        self.chunk = max(1, GRADIENT_CACHE_BYTES // tile_bytes)
        channels = scheme.weight_shape[1] * G * scheme.phases
        image_bytes = itemsize * (taps.planes * target.plane + channels * source.plane)
        self.kept_chunk = max(1, GRADIENT_CACHE_BYTES // image_bytes)

    @property
    def rows(self) -> int:
        """Output planes with the same inputs."""
        return int(self.taps.positions.shape[1])

    @property
    def blocked(self) -> bool:
        """Whether there are enough of them for the dense kernel."""
        return self.rows >= TILE_ROWS

    def dense(self, dy: Array, source: Array, dweight: Array) -> None:
        """Every weight; dweight: as the weight."""
        if self.winograd is not None:
            self.winograd.run(dy, source, dweight, self.scratch)
            return
        dense_weight_gradient(
            dy, source, self.offsets, self.taps.counts, self.rows, self.cover.vectors,
            self.cover.step, self.chunk, dweight.reshape(self.taps.positions.shape), self.shape,
            self.cover.lane_shape,
        )  # fmt: skip

    def masked(
        self, dy: Array, source: Array, weight: Array, dweight: Array, everything: bool = False,
        again: bool = False,
    ) -> None:  # fmt: skip
        """The weights that are not zero, or everything one by one; zero elsewhere."""
        if self.by_rows is not None:
            self.by_rows.run(dy, source, weight, dweight, everything, again)
            return
        index = self.index
        index.build(weight, everything, again)
        images = dy.shape[0]
        chunk = max(1, min(self.kept_chunk, -(-images // KEPT_GRADIENT_PARTS)))
        chunks = max(1, -(-images // chunk))
        partial = np.empty((chunks, *index.offsets.shape), dweight.dtype)
        masked_weight_gradient(
            dy, source, index.offsets, index.kept, self.cover.vectors, self.cover.step,
            chunk, partial, (None,) * GRADIENT_TILE_WEIGHTS, self.cover.lane_shape,
        )  # fmt: skip
        add_chunks(partial, index.places, index.kept, dweight.reshape(-1))


class Cover(NamedTuple):
    """How vectors cover a plane: their number, the step between them (None: they follow each
    other) and a tuple as long as they have lanes."""

    vectors: int
    step: int | None
    lane_shape: Length


def cover(geometry: Geometry, dtype: DTypeLike) -> Cover:
    """Whole vectors along the run; half a vector for each row where it just holds the row."""
    flat = flat_cover(geometry, dtype)
    half = lanes(dtype) // 2
    if geometry.width == half and geometry.height < 2 * flat.vectors:
        return Cover(geometry.height, geometry.pitch, (None,) * half)
    return flat


def flat_cover(geometry: Geometry, dtype: DTypeLike) -> Cover:
    """Whole vectors along the run, also best for weight gradients of narrow images."""
    full = lanes(dtype)
    return Cover(-(-geometry.run // full), None, (None,) * full)


def _shape(vectors: int, widths: tuple[int, ...]) -> Length:
    """A tuple as long as the best tile width: few vectors beyond the run, and few tiles."""
    width = min(widths, key=lambda width: -(-vectors // width) * (width + 1))
    return (None,) * width


def _packed_places(taps: Taps) -> NDArray[np.int64]:
    """(G, BLOCKS, J, TILE_ROWS): positions of the weights in the order of the dense kernel."""
    G, M, J = taps.positions.shape
    blocks = -(-M // TILE_ROWS)
    places = np.full((G, blocks * TILE_ROWS, J), -1)
    places[:, :M] = taps.positions
    return np.ascontiguousarray(places.reshape(G, blocks, TILE_ROWS, J).swapaxes(2, 3))
