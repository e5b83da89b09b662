"""GELU and its derivative, elementwise.  The one by tanh is in ``pointwise.smooth``.

By erfc and exp of the C library.  In float32, where those would take a good part of the
time of the products around them, by odd rational functions, a vector at a time:
Phi(x) - 1/2 and GELU'(x) - 1/2 as x P(x^2) / Q(x^2) up to END, constant beyond.  They were fitted
to these functions by repeated linear least squares in float64, to 1e-9 and 1e-7; computed in
float32 their errors are below 4e-7.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.jit.host import VECTOR_BYTES
from fcpts_ref.engines.numba.pointwise.activation import UNBOUNDED, clamp
from fcpts_ref.engines.numba.simd.vectors import (
    divide,
    load,
    multiply,
    multiply_add,
    splat,
    store,
)
from fcpts_ref.engines.numba.tuning import ACTIVATION_BLOCK

Array = NDArray[Any]
single = np.float32
END = single(5.7)
LANES = VECTOR_BYTES // 4  # of a vector in float32
ROOT = math.sqrt(0.5)
PEAK = 1 / math.sqrt(2 * math.pi)  # of the normal density


def gelu(x: Array, y: Array) -> None:
    """y = x Phi(x); x, y: flat buffers of one shape, whole vectors long; y may be x."""
    if x.dtype == single:
        _gelu_single(x, y)
    else:
        _gelu(x, y)


def gelu_backward(dy: Array, x: Array, dx: Array) -> None:
    """dx = dy (Phi(x) + x Phi'(x)); buffers as above; dx may be dy."""
    if x.dtype == single:
        _gelu_single_backward(dy, x, dx)
    else:
        _gelu_backward(dy, x, dx)


@compiled
def _gelu_single(x: Any, y: Any) -> None:
    for_each((x.size + ACTIVATION_BLOCK - 1) // ACTIVATION_BLOCK, _single_block, x, y)


@compiled_part
def _single_block(block: int, x: Any, y: Any) -> None:
    last = min((block + 1) * ACTIVATION_BLOCK, x.size)
    least, unbounded = splat(-END), splat(single(UNBOUNDED))
    for i in range(block * ACTIVATION_BLOCK, last, LANES):
        z = load(x, i)  # below -END the share is not 0 but about 1e-8, so the factor stays small
        store(y, i, multiply(clamp(z, least, unbounded), _share(z)))


@compiled
def _gelu_single_backward(dy: Any, x: Any, dx: Any) -> None:
    blocks = (x.size + ACTIVATION_BLOCK - 1) // ACTIVATION_BLOCK
    for_each(blocks, _single_block_backward, dy, x, dx)


@compiled_part
def _single_block_backward(block: int, dy: Any, x: Any, dx: Any) -> None:
    last = min((block + 1) * ACTIVATION_BLOCK, x.size)
    for i in range(block * ACTIVATION_BLOCK, last, LANES):
        store(dx, i, multiply(load(dy, i), _slope(load(x, i))))


@compiled
def _gelu(x: Any, y: Any) -> None:
    for_each((x.size + ACTIVATION_BLOCK - 1) // ACTIVATION_BLOCK, _block, x, y)


@compiled_part
def _block(block: int, x: Any, y: Any) -> None:
    for i in range(block * ACTIVATION_BLOCK, min((block + 1) * ACTIVATION_BLOCK, x.size)):
        y[i] = x[i] * (0.5 * math.erfc(-ROOT * x[i]))


@compiled
def _gelu_backward(dy: Any, x: Any, dx: Any) -> None:
    blocks = (x.size + ACTIVATION_BLOCK - 1) // ACTIVATION_BLOCK
    for_each(blocks, _block_backward, dy, x, dx)


@compiled_part
def _block_backward(block: int, dy: Any, x: Any, dx: Any) -> None:
    for i in range(block * ACTIVATION_BLOCK, min((block + 1) * ACTIVATION_BLOCK, x.size)):
        v = x[i]
        share = 0.5 * math.erfc(-ROOT * v)
        density = PEAK * math.exp(-0.5 * v * v)
        dx[i] = dy[i] * (share + v * density)


@compiled_part
def _share(x: Any) -> Any:
    """Phi(x) of a vector in float32."""
    z = clamp(x, splat(-END), splat(END))
    s = multiply(z, z)
    p = multiply_add(splat(single(-7.60008346e-11)), s, splat(single(5.30107743e-08)))
    p = multiply_add(p, s, splat(single(8.47060963e-06)))
    p = multiply_add(p, s, splat(single(0.000169761414)))
    p = multiply_add(p, s, splat(single(0.0048036305)))
    p = multiply_add(p, s, splat(single(0.032651726)))
    p = multiply_add(p, s, splat(single(0.398942286)))
    q = multiply_add(splat(single(2.00543539e-06)), s, splat(single(8.19245553e-05)))
    q = multiply_add(q, s, splat(single(0.00193240778)))
    q = multiply_add(q, s, splat(single(0.0284594185)))
    q = multiply_add(q, s, splat(single(0.248512515)))
    q = multiply_add(q, s, splat(single(1)))
    return multiply_add(z, divide(p, q), splat(single(0.5)))


@compiled_part
def _slope(x: Any) -> Any:
    """GELU'(x) of a vector in float32."""
    z = clamp(x, splat(-END), splat(END))
    s = multiply(z, z)
    p = multiply_add(splat(single(1.76725495e-10)), s, splat(single(1.47458471e-07)))
    p = multiply_add(p, s, splat(single(3.43728089e-05)))
    p = multiply_add(p, s, splat(single(3.01643849e-06)))
    p = multiply_add(p, s, splat(single(0.0141957167)))
    p = multiply_add(p, s, splat(single(-0.0322663931)))
    p = multiply_add(p, s, splat(single(0.797885107)))
    q = multiply_add(splat(single(8.06894219e-06)), s, splat(single(0.000185045677)))
    q = multiply_add(q, s, splat(single(0.00342674251)))
    q = multiply_add(q, s, splat(single(0.0404108867)))
    q = multiply_add(q, s, splat(single(0.292899149)))
    q = multiply_add(q, s, splat(single(1)))
    return multiply_add(z, divide(p, q), splat(single(0.5)))
