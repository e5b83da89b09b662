"""GELU and its derivative, elementwise.

In float64 by erfc and exp of the C library.  In float32, where those would take a good part of the
time of the products around them, by odd rational functions that compilers turn into vectors:
Phi(x) - 1/2 and GELU'(x) - 1/2 as x P(x^2) / Q(x^2) up to END, constant beyond.  They were fitted
to these functions by repeated linear least squares in float64, to 1e-9 and 1e-7; computed in
float32 their errors are below 4e-7.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.tuning import ACTIVATION_BLOCK

single = np.float32
END = single(5.7)
ROOT = math.sqrt(0.5)
PEAK = 1 / math.sqrt(2 * math.pi)  # of the normal density
TANH_ROOT, CUBIC = math.sqrt(2 / math.pi), 0.044715  # of the approximation by tanh


@compiled
def gelu(x: Any, y: Any, by_tanh: bool) -> None:
    """y = x Phi(x); x, y: flat, of one size; y may be x."""
    for_each((x.size + ACTIVATION_BLOCK - 1) // ACTIVATION_BLOCK, _gelu_block, x, y, by_tanh)


@compiled
def gelu_backward(dy: Any, x: Any, dx: Any, by_tanh: bool) -> None:
    """dx = dy (Phi(x) + x Phi'(x)); flat, of one size; dx may be dy."""
    blocks = (x.size + ACTIVATION_BLOCK - 1) // ACTIVATION_BLOCK
    for_each(blocks, _gelu_block_backward, dy, x, dx, by_tanh)


@compiled_part
def _gelu_block(block: int, x: Any, y: Any, by_tanh: bool) -> None:
    first, last = block * ACTIVATION_BLOCK, min((block + 1) * ACTIVATION_BLOCK, x.size)
    if by_tanh:
        for i in range(first, last):
            y[i] = x[i] * _tanh_share(x[i])
    elif x.itemsize == 4:
        for i in range(first, last):
            y[i] = x[i] * _share(single(x[i]))
    else:
        for i in range(first, last):
            y[i] = x[i] * (0.5 * math.erfc(-ROOT * x[i]))


@compiled_part
def _gelu_block_backward(block: int, dy: Any, x: Any, dx: Any, by_tanh: bool) -> None:
    first, last = block * ACTIVATION_BLOCK, min((block + 1) * ACTIVATION_BLOCK, x.size)
    if by_tanh:
        for i in range(first, last):
            v = x[i]
            share = _tanh_share(v)
            slope = 2 * share * (1 - share) * TANH_ROOT * (1 + 3 * CUBIC * v * v)
            dx[i] = dy[i] * (share + v * slope)
    elif x.itemsize == 4:
        for i in range(first, last):
            dx[i] = dy[i] * _slope(single(x[i]))
    else:
        for i in range(first, last):
            v = x[i]
            share = 0.5 * math.erfc(-ROOT * v)
            dx[i] = dy[i] * (share + v * PEAK * math.exp(-0.5 * v * v))


@compiled_part
def _tanh_share(x: Any) -> Any:
    return 0.5 * (1 + math.tanh(TANH_ROOT * x * (1 + CUBIC * x * x)))


@compiled_part
def _share(x: Any) -> Any:
    """Phi(x) in float32."""
    z = min(max(x, -END), END)
    s = z * z
    p = single(-7.60008346e-11) * s + single(5.30107743e-08)
    p = p * s + single(8.47060963e-06)
    p = p * s + single(0.000169761414)
    p = p * s + single(0.0048036305)
    p = p * s + single(0.032651726)
    p = p * s + single(0.398942286)
    q = single(2.00543539e-06) * s + single(8.19245553e-05)
    q = q * s + single(0.00193240778)
    q = q * s + single(0.0284594185)
    q = q * s + single(0.248512515)
    q = q * s + single(1)
    return single(0.5) + z * p / q


@compiled_part
def _slope(x: Any) -> Any:
    """GELU'(x) in float32."""
    z = min(max(x, -END), END)
    s = z * z
    p = single(1.76725495e-10) * s + single(1.47458471e-07)
    p = p * s + single(3.43728089e-05)
    p = p * s + single(3.01643849e-06)
    p = p * s + single(0.0141957167)
    p = p * s + single(-0.0322663931)
    p = p * s + single(0.797885107)
    q = single(8.06894219e-06) * s + single(0.000185045677)
    q = q * s + single(0.00342674251)
    q = q * s + single(0.0404108867)
    q = q * s + single(0.292899149)
    q = q * s + single(1)
    return single(0.5) + z * p / q
