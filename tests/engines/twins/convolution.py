"""The functions of ``fcpts_ref.layers.convolution`` on the kernels of the fast engine.

They take plain (N, C, H, W) arrays of float32 or float64 and pack them into buffers at every call.

The ``masked_`` functions skip the weights that are zero: such a weight contributes nothing,
even against an infinite or NaN activation, and its gradient is zero.  Elsewhere what is not
finite in NumPy is not finite here, with two exceptions to the letter:

* the dense 3 x 3 kernels (``winograd``) may give NaN where NumPy gives infinity;
* the weight gradient multiplies the zero border of dy by pixels of x, so an infinite or NaN
  pixel makes every tap of its channel that reaches it across a border NaN too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.numba.convolution.choice import prefer_sparse
from fcpts_ref.engines.numba.convolution.kept_weights import density
from fcpts_ref.engines.numba.convolution.plan import ConvolutionPlan, Operands
from fcpts_ref.engines.numba.memory.layout import Geometry, allocate, interior, make_geometry
from fcpts_ref.errors import InputError
from fcpts_ref.layers.convolution import check_shapes
from fcpts_ref.layers.convolution import geometry as make_walk

Array = NDArray[Any]


def convolution_forward(
    x: Array, weight: Array, bias: Array | None = None, **walk: Any
) -> tuple[Array, tuple[Any, ...]]:
    """Convolution.

    x: (N, C, H, W); weight: (K, C / groups, R, S); bias: (K,) or None; one dtype, float32 or
    float64.  walk: stride, padding, dilation (int or pair; 1, 0, 1) and groups (1).
    Returns y (N, K, P, Q) and the cache for ``convolution_backward``.
    Raises InputError for shapes or dtypes that do not fit.
    """
    return _forward(x, weight, bias, False, walk), (x, weight, bias is not None, walk)


def convolution_backward(dy: Array, cache: tuple[Any, ...]) -> tuple[Array, Array, Array | None]:
    """dy: (N, K, P, Q).  Returns dx, dweight, dbias, each like its input; None for no bias."""
    x, weight, has_bias, walk = cache
    dx = convolution_input_gradient(dy, weight, x.shape, **walk)
    dweight = convolution_weight_gradient(dy, x, weight.shape, **walk)
    return dx, dweight, dy.sum(axis=(0, 2, 3)) if has_bias else None


def convolution_input_gradient(
    dy: Array, weight: Array, input_shape: tuple[int, ...], **walk: Any
) -> Array:
    """The adjoint by x, of shape input_shape (N, C, H, W); dy: (N, K, P, Q)."""
    return _input_gradient(dy, weight, input_shape, False, walk)


def convolution_weight_gradient(
    dy: Array, x: Array, weight_shape: tuple[int, ...], **walk: Any
) -> Array:
    """The adjoint by the weight, of shape weight_shape; dy: (N, K, P, Q); x: (N, C, H, W)."""
    plan = _plan(x, weight_shape, dy.dtype, walk)
    dweight = np.empty(weight_shape, dy.dtype)
    operands = _operands(plan, x, dweight, 1.0)
    plan.weight_gradient(_pack(dy, plan.output_geometry), operands, dweight)
    return dweight


def masked_convolution_forward(
    x: Array, weight: Array, bias: Array | None = None, **walk: Any
) -> tuple[Array, tuple[Any, ...]]:
    """``convolution_forward`` without the zero weights; cache for the masked backward."""
    return _forward(x, weight, bias, True, walk), (x, weight, bias is not None, walk)


def masked_convolution_backward(
    dy: Array, cache: tuple[Any, ...]
) -> tuple[Array, Array, Array | None]:
    """``convolution_backward`` without the zero weights, whose gradient is zero."""
    x, weight, has_bias, walk = cache
    dx = masked_convolution_input_gradient(dy, weight, x.shape, **walk)
    dweight = masked_convolution_weight_gradient(dy, x, weight, **walk)
    return dx, dweight, dy.sum(axis=(0, 2, 3)) if has_bias else None


def masked_convolution_input_gradient(
    dy: Array, weight: Array, input_shape: tuple[int, ...], **walk: Any
) -> Array:
    """``convolution_input_gradient`` without the zero weights."""
    return _input_gradient(dy, weight, input_shape, True, walk)


def masked_convolution_weight_gradient(dy: Array, x: Array, weight: Array, **walk: Any) -> Array:
    """``convolution_weight_gradient`` where weight is not zero; zero elsewhere."""
    plan = _plan(x, weight.shape, weight.dtype, walk, sparse=True)
    dweight = np.empty_like(weight, order="C")
    operands = _operands(plan, x, weight, density(weight))
    plan.kept_weight_gradient(_pack(dy, plan.output_geometry), operands, dweight)
    return dweight


def _forward(
    x: Array, weight: Array, bias: Array | None, sparse: bool, walk: dict[str, Any]
) -> Array:
    plan = _plan(x, weight.shape, weight.dtype, walk, sparse)
    y = allocate(len(x), len(weight), plan.output_geometry, weight.dtype)
    operands = _operands(plan, x, weight, density(weight) if sparse else 1.0)
    plan.forward(operands, bias, y)
    return interior(y, plan.output_geometry).copy()


def _input_gradient(
    dy: Array, weight: Array, input_shape: tuple[int, ...], sparse: bool, walk: dict[str, Any]
) -> Array:
    plan = _plan(np.empty(input_shape, dy.dtype), weight.shape, weight.dtype, walk, sparse)
    dx = allocate(input_shape[0], input_shape[1], plan.input_geometry, weight.dtype)
    weight = np.ascontiguousarray(weight)
    kept = density(weight) if sparse else 1.0
    plan.input_gradient(_pack(dy, plan.output_geometry), weight, dx, density=kept)
    return interior(dx, plan.input_geometry).copy()


def _plan(
    x: Array, weight_shape: tuple[int, ...], dtype: Any, walk: dict[str, Any], sparse: bool = False
) -> ConvolutionPlan:
    """A plan for this input alone; sparse: with the masked kernels whatever the density."""
    if dtype not in (np.float32, np.float64) or x.dtype != dtype:
        raise InputError(
            f"convolution kernels got {x.dtype} and {dtype}; expected one dtype, float32 or float64"
        )
    steps = make_walk(**walk)
    check_shapes(x.shape, weight_shape, steps)
    geometry = make_geometry(x.shape[2], x.shape[3], max(steps.padding))
    prefer = _always if sparse else prefer_sparse
    return ConvolutionPlan(geometry, weight_shape, len(x), dtype, prefer=prefer, **walk)


def _operands(plan: ConvolutionPlan, x: Array, weight: Array, share: float) -> Operands:
    packed = _pack(x, plan.input_geometry)
    return plan.operands(packed, np.ascontiguousarray(weight), density=share)


def _always(share: float, planes: int) -> bool:
    return True


def _pack(pixels: Array, geometry: Geometry) -> Array:
    """A buffer with these pixels (N, C, H, W)."""
    buffer = allocate(pixels.shape[0], pixels.shape[1], geometry, pixels.dtype)
    interior(buffer, geometry)[...] = pixels
    return buffer
