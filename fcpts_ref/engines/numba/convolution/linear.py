"""Linear layers of the fast engine: a 1 x 1 convolution whose pixels are the images.

With x transposed to (C, N), y = weight x is a convolution of one "image" with C channels and a row
of N pixels.  So the kernels of the convolutions serve, dense and masked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import DTypeLike, NDArray

from fcpts_ref.engines.numba.convolution.choice import prefer_sparse
from fcpts_ref.engines.numba.convolution.plan import ConvolutionPlan, Operands, Weights
from fcpts_ref.engines.numba.convolution.winograd.plan import PackedWeights
from fcpts_ref.engines.numba.memory.layout import Scratch, allocate, interior, make_geometry

Array = NDArray[Any]


class LinearPlan:
    """A linear layer bound to its batch size and dtype.

    x, dx are (N, C) and y, dy (N, K), plain arrays; weight and dweight (K, C); bias (K,).
    """

    def __init__(
        self,
        weight_shape: tuple[int, ...],
        images: int,
        dtype: DTypeLike,
        *,
        prefer: Callable[[float, int], bool] = prefer_sparse,
        scratch: Scratch | None = None,
    ) -> None:
        K, C = weight_shape
        geometry = make_geometry(1, images, 0)
        self.plan = ConvolutionPlan(
            geometry, (K, C, 1, 1), 1, dtype, prefer=prefer, scratch=scratch
        )
        self.key = self.plan.key
        self.columns = allocate(1, C, geometry, dtype)  # x or dx as (C, N)
        self.rows = allocate(1, K, geometry, dtype)  # y or dy as (K, N)
        self.x = interior(self.columns, geometry)[0, :, 0].T  # (N, C), a view
        self.y = interior(self.rows, geometry)[0, :, 0].T  # (N, K), a view

    def operands(self, x: Array, weight: Array, *, density: float = 1.0) -> Operands:
        """The operands of a pass, valid until ``input_gradient``; density: as in ``Operands``."""
        return self.read(x, self.weights(weight, density=density, lasting=False))

    def read(self, x: Array, weights: Weights) -> Operands:
        """The same from weights in the form that the kernel takes."""
        self.x[...] = x
        return Operands(self.columns, weights)

    def weights(self, weight: Array, *, density: float, lasting: bool) -> Weights:
        """See ``ConvolutionPlan.weights``."""
        return self.plan.weights(weight, density=density, lasting=lasting)

    def forward(self, operands: Operands, bias: Array | None, y: Array) -> None:
        """y = x weight' + bias"""
        self.run(operands.weights, bias)
        y[...] = self.y

    def run(
        self, weights: Weights, bias: Array | None, packed: PackedWeights | None = None
    ) -> None:
        """``self.y`` from ``self.x``; packed: as in ``ConvolutionPlan.forward``."""
        self.plan.forward(Operands(self.columns, weights), bias, self.rows, packed=packed)

    def input_gradient(self, dy: Array, weight: Array, dx: Array, *, density: float = 1.0) -> None:
        """dx = dy weight"""
        self.y[...] = dy
        self.plan.input_gradient(self.rows, weight, self.columns, density=density)
        dx[...] = self.x

    def weight_gradient(self, dy: Array, operands: Operands, dweight: Array) -> None:
        """dweight = dy' x"""
        self.y[...] = dy
        self.plan.weight_gradient(self.rows, operands, dweight)

    def kept_weight_gradient(self, dy: Array, operands: Operands, dweight: Array) -> None:
        """The same where the weight is not zero; zero elsewhere."""
        self.y[...] = dy
        self.plan.kept_weight_gradient(self.rows, operands, dweight)
