"""A convolution bound to the geometry of its buffers.

A plan holds what depends on shapes alone: the tables of taps and work spaces.  The
operands of a pass are made once and handed to the forward kernel and to the weight gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from numpy.typing import DTypeLike, NDArray

from fcpts_ref.engines.numba.convolution.choice import prefer_sparse
from fcpts_ref.engines.numba.convolution.correlation import Correlation
from fcpts_ref.engines.numba.convolution.depthwise import StridedDepthwise, suits_depthwise
from fcpts_ref.engines.numba.convolution.epilogue import make_epilogue
from fcpts_ref.engines.numba.convolution.gradient import WeightGradient
from fcpts_ref.engines.numba.convolution.kept_weights import KeptList, KeptWeights
from fcpts_ref.engines.numba.convolution.polyphase import Polyphase
from fcpts_ref.engines.numba.convolution.taps import backward_taps, forward_taps, make_scheme
from fcpts_ref.engines.numba.convolution.winograd.plan import PackedWeights
from fcpts_ref.engines.numba.memory.layout import Geometry, Scratch
from fcpts_ref.engines.numba.pointwise.activation import NO_BOUNDS
from fcpts_ref.engines.numba.tuning import WINOGRAD_GAIN
from fcpts_ref.layers.convolution import Pair
from fcpts_ref.layers.convolution import geometry as make_walk
from fcpts_ref.layers.padding import Padding

Array = NDArray[Any]


class Weights(NamedTuple):
    """The weight of a pass, in the form that the forward kernel takes.

    density: share of the weights that are not zero, 1 where zeros may not be skipped; kept: the
    weights that the forward kernel multiplies, None for a dense kernel; includes_zeros: whether all
    weights are listed.
    """

    array: Array
    density: float
    kept: KeptWeights | None
    includes_zeros: bool


class Operands(NamedTuple):
    """The arrays that a pass reads, valid until the plan makes the next ones.

    source: the input, or its polyphase components.
    """

    source: Array
    weights: Weights


class ConvolutionPlan:
    """A convolution bound to the geometry of its input, a batch size and a dtype.

    x and dx are buffers with ``input_geometry``, y and dy with ``output_geometry`` (see
    ``layout``), all of ``images`` images; weight and dweight are (K, C / groups, R, S).
    border: rows of zeros that users of the output need at least.
    key: plans with the same one take the same ``weights``.
    prefer: the rule that chooses the kernel by density.
    scratch: shared by layers that run one after the other; default its own.
    gradients: whether they are wanted; without them some layers run faster.
    """

    def __init__(
        self,
        input_geometry: Geometry,
        weight_shape: tuple[int, ...],
        images: int,
        dtype: DTypeLike,
        *,
        stride: Pair = 1,
        padding: Padding = 0,
        dilation: Pair = 1,
        groups: int = 1,
        border: int | None = None,
        prefer: Callable[[float, int], bool] = prefer_sparse,
        scratch: Scratch | None = None,
        gradients: bool = True,
    ) -> None:
        walk = make_walk(stride, padding, dilation, groups)
        border = input_geometry.border if border is None else border
        scheme = make_scheme(input_geometry, weight_shape, walk, border)
        self.input_geometry = input_geometry
        self.output_geometry = scheme.target
        self.weight_shape = weight_shape
        self.prefer = prefer
        scratch = scratch or Scratch()
        self.forward_correlation = Correlation(
            scheme, forward_taps(scheme), scheme.target, images, dtype, backward=False,
            scratch=scratch,
        )  # fmt: skip
        self.backward_correlation = Correlation(
            scheme, backward_taps(scheme), scheme.source, images, dtype, backward=True,
            scratch=scratch,
        )  # fmt: skip
        self.strided: StridedDepthwise | None = None
        if not gradients and suits_depthwise(input_geometry, scheme, dtype):
            self.strided = StridedDepthwise(input_geometry, scheme, border, dtype)
            self.output_geometry = self.strided.target
        self.polyphase: Polyphase | None = None
        if scheme.split and self.strided is None:
            channels = weight_shape[1] * groups
            self.polyphase = Polyphase(input_geometry, scheme, channels, images, dtype, scratch)
        rows = self.forward_correlation.rows is not None
        self.key = scheme, rows, self.strided is not None
        self.gradient = WeightGradient(scheme, self.forward_correlation, images, dtype, scratch)

    def operands(self, x: Array, weight: Array, *, density: float = 1.0) -> Operands:
        """The operands of a pass with this input and weight."""
        return Operands(self.source(x), self.weights(weight, density=density))

    def source(self, x: Array) -> Array:
        """The input in the form that the kernels read."""
        return self.polyphase.split(x) if self.polyphase else x

    def weights(self, weight: Array, *, density: float = 1.0, lasting: bool = False) -> Weights:
        """The weight in the form that the forward kernel takes.

        lasting: it stays valid when the plan makes the next one, for passes with the same weight.
        """
        correlation = self.forward_correlation
        masked, includes_zeros = self._choose(correlation, density)
        if self.strided and not masked:
            masked, includes_zeros = True, True
        kept = None
        if masked:
            memory = self.strided.kept if self.strided else correlation.kept
            memory = KeptList(memory.taps, weight.dtype) if lasting else memory
            kept = memory.fill(weight, include_zeros=includes_zeros)
        return Weights(weight, density, kept, includes_zeros)

    def forward(
        self,
        operands: Operands,
        bias: Array | None,
        y: Array,
        *,
        residual: Array | None = None,
        bounds: tuple[float, float] = NO_BOUNDS,
        sums: Array | None = None,
        packed: PackedWeights | None = None,
    ) -> None:
        """y = clamp(convolution of x + bias (+ residual), bounds), see ``activation``.

        sums: (N, K, 4), takes the partial sums of y (see ``partial_sums``).
        packed: holds what the kernel derives from the weight, for later passes with the same one.
        """
        epilogue = make_epilogue(y, bias, residual, bounds)
        (source, weights), correlation = operands, self.forward_correlation
        if self.strided and weights.kept is not None:
            self.strided.run(weights.kept, source, y, epilogue, sums)
        elif weights.kept is None:
            correlation.dense(weights.array, source, y, epilogue, sums, packed)
        else:
            correlation.masked(weights.kept, source, y, epilogue, sums)

    def input_gradient(
        self, dy: Array, weight: Array, dx: Array, *, density: float = 1.0, add: bool = False
    ) -> None:
        """dx = (add: dx +) the adjoint by x."""
        target = self.polyphase.take_gradient() if self.polyphase else dx
        residual = dx if add and not self.polyphase else None
        epilogue = make_epilogue(target, None, residual, NO_BOUNDS)
        correlation = self.backward_correlation
        masked, include_zeros = self._choose(correlation, density)
        if masked:
            kept = correlation.kept.fill(weight, include_zeros=include_zeros)
            correlation.masked(kept, dy, target, epilogue)
        else:
            correlation.dense(weight, dy, target, epilogue)
        if self.polyphase:
            self.polyphase.merge(target, dx, add=add)

    def weight_gradient(self, dy: Array, operands: Operands, dweight: Array) -> None:
        """dweight = the adjoint by the weight, for every weight."""
        if self.gradient.blocked:
            self.gradient.dense(dy, operands.source, dweight)
        else:
            kept = self._listed(operands.weights, include_zeros=True)
            self.gradient.masked(kept, dy, operands.source, dweight)

    def kept_weight_gradient(self, dy: Array, operands: Operands, dweight: Array) -> None:
        """The same where the weight is not zero; zero elsewhere."""
        gain = WINOGRAD_GAIN if self.gradient.winograd else 1.0
        few = self.prefer(operands.weights.density * gain, self.gradient.rows)
        if few or not self.gradient.blocked:
            kept = self._listed(operands.weights, include_zeros=False)
            self.gradient.masked(kept, dy, operands.source, dweight)
        else:
            self.gradient.dense(dy, operands.source, dweight)
            dweight[operands.weights.array == 0] = 0

    def _choose(self, correlation: Correlation, density: float) -> tuple[bool, bool]:
        """Whether the masked kernel runs, and whether it multiplies zeros too.

        One channel per group (depthwise) is always computed weight by weight.
        """
        gain = WINOGRAD_GAIN if correlation.winograd else 1.0
        if density < 1 and self.prefer(density * gain, correlation.taps.rows):
            return True, False
        depthwise = self.prefer(1.0, correlation.taps.rows)
        return depthwise, depthwise

    def _listed(self, weights: Weights, *, include_zeros: bool) -> KeptWeights:
        """The list of the forward kernel if it is this one, else a new one beside it."""
        memory = self.forward_correlation.kept
        if weights.kept is not None:
            if weights.includes_zeros == include_zeros:
                return weights.kept
            memory = KeptList(memory.taps, weights.array.dtype)
        return memory.fill(weights.array, include_zeros=include_zeros)
