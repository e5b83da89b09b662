"""Activations that change every value: sigmoid, SiLU, GELU, their hard forms, leaky ReLU.

Each has a formula of its value and one of its slope, both of x and two settings.  Backward computes
the slope from x again, which costs less than to store it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from numpy.polynomial.chebyshev import chebinterpolate
from scipy.special import erfcx

from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.jit.host import VECTOR_BYTES
from fcpts_ref.engines.numba.simd.formulas import Formula, Value, exponential, make_evaluate
from fcpts_ref.engines.numba.simd.vectors import apply_mask, itemsize, load, multiply, splat, store
from fcpts_ref.engines.numba.tuning import ACTIVATION_BLOCK

ROOT, CUBIC, LIMIT = math.sqrt(2 / math.pi), 0.044715, 40.0
"""Of GELU, as in ``fcpts_ref.layers.gelu``; what kernels are compiled from is kept beside them."""


def _sigmoid(x: Value, p: Value, q: Value) -> Value:
    return 1.0 / (1.0 + exponential(-x))


def _sigmoid_slope(x: Value, p: Value, q: Value) -> Value:
    s = _sigmoid(x, p, q)
    return s * (1.0 - s)


def _silu(x: Value, p: Value, q: Value) -> Value:
    return x * _sigmoid(x, p, q)


def _silu_slope(x: Value, p: Value, q: Value) -> Value:
    s = _sigmoid(x, p, q)
    return s * (1.0 + x * (1.0 - s))


def _hard_sigmoid(x: Value, alpha: Value, beta: Value) -> Value:
    z = alpha * x + beta
    return z.where("<=", 0.0, 0.0, z.where(">=", 1.0, 1.0, z))


def _hard_sigmoid_slope(x: Value, alpha: Value, beta: Value) -> Value:
    z = alpha * x + beta
    return z.where(">", 0.0, z.where("<", 1.0, alpha, 0.0), 0.0)


def _hard_swish(x: Value, alpha: Value, beta: Value) -> Value:
    return x * _hard_sigmoid(x, alpha, beta)


def _hard_swish_slope(x: Value, alpha: Value, beta: Value) -> Value:
    return _hard_sigmoid(x, alpha, beta) + x * _hard_sigmoid_slope(x, alpha, beta)


def _leaky_relu(x: Value, slope: Value, q: Value) -> Value:
    return x.where(">", 0.0, x, slope * x)


def _leaky_relu_slope(x: Value, slope: Value, q: Value) -> Value:
    return x.where(">", 0.0, 1.0, slope)


CENTRE = 4.0  # of the mapping s = (|x| - CENTRE) / (|x| + CENTRE) of [0, infinity) to [-1, 1)


def _scaled_tail(s: Any) -> Any:
    """Phi(-|x|) exp(x^2 / 2): smooth in s."""
    return erfcx(CENTRE * (1 + s) / (1 - s) / math.sqrt(2)) / 2


# Chebyshev series of it, relative errors of 6e-8 and 2e-14
SINGLE, DOUBLE = (chebinterpolate(_scaled_tail, degree).tolist() for degree in (10, 22))


def _normal(x: Value) -> tuple[Value, Value]:
    """Phi(x), and exp(-x^2 / 2)."""
    size = x.where("<", 0.0, -x, x)
    size = size.where(">", LIMIT, LIMIT, size)
    bell = exponential(size * size * -0.5)
    s = (size - CENTRE) / (size + CENTRE)
    series = DOUBLE if x.double else SINGLE
    above, this = s.constant(0.0), s.constant(series[-1])
    for coefficient in reversed(series[1:-1]):  # Clenshaw's recurrence
        above, this = this, (s + s).times_plus(this, coefficient - above)
    tail = bell * s.times_plus(this, series[0] - above)
    return x.where("<", 0.0, tail, 1.0 - tail), bell


def _gelu(x: Value, p: Value, q: Value) -> Value:
    return x * _normal(x)[0]


def _gelu_slope(x: Value, p: Value, q: Value) -> Value:
    share, bell = _normal(x)
    return share + x * bell * (1 / math.sqrt(2 * math.pi))


def _tanh_share(x: Value) -> tuple[Value, Value]:
    """(1 + tanh(u)) / 2 = sigmoid(2 u), and x within the limits where it changes."""
    z = x.where(">", LIMIT, LIMIT, x.where("<", -LIMIT, -LIMIT, x))
    u = z * ROOT * (1.0 + z * z * CUBIC)
    return _sigmoid(u + u, z, z), z


def _gelu_tanh(x: Value, p: Value, q: Value) -> Value:
    return x * _tanh_share(x)[0]


def _gelu_tanh_slope(x: Value, p: Value, q: Value) -> Value:
    share, z = _tanh_share(x)
    return share + x * (2.0 * share * (1.0 - share)) * (ROOT * (1.0 + z * z * (3 * CUBIC)))


FORMULAS: dict[str, tuple[Formula, Formula]] = {
    "sigmoid": (_sigmoid, _sigmoid_slope),
    "silu": (_silu, _silu_slope),
    "hard_sigmoid": (_hard_sigmoid, _hard_sigmoid_slope),
    "hard_swish": (_hard_swish, _hard_swish_slope),
    "leaky_relu": (_leaky_relu, _leaky_relu_slope),
    "gelu": (_gelu, _gelu_slope),
    "gelu_tanh": (_gelu_tanh, _gelu_tanh_slope),
}
"""Value and slope."""

evaluate = make_evaluate(tuple(formula for pair in FORMULAS.values() for formula in pair))
NUMBERS = {name: 2 * number for number, name in enumerate(FORMULAS)}


class Choice(NamedTuple):
    """A formula by its number (of its slope: one more), its settings, whether it keeps 0."""

    number: int
    p: float
    q: float
    keeps_zero: bool


def choose(operation: str, attributes: Mapping[str, Any]) -> Choice:
    """The formula of a node."""
    name = "gelu_tanh" if attributes.get("approximate") == "tanh" else operation
    first, second = attributes.get("alpha", 1 / 6), attributes.get("beta", 0.5)
    if operation == "leaky_relu":
        first = attributes["slope"]
    return Choice(NUMBERS[name], first, second, "sigmoid" not in operation)


@compiled
def activate(x: Any, y: Any, FORMULA: Any, p: float, q: float) -> None:
    """y = formula(x); buffers of one shape, y may be x.  For formulas that are 0 at 0."""
    blocks = (x.size + ACTIVATION_BLOCK - 1) // ACTIVATION_BLOCK
    for_each(blocks, _activate_block, x, y, FORMULA, p, q)


@compiled_part
def _activate_block(block: int, x: Any, y: Any, FORMULA: Any, p: float, q: float) -> None:
    L, first, second = VECTOR_BYTES // itemsize(x), splat(p), splat(q)
    for at in range(block * ACTIVATION_BLOCK, min((block + 1) * ACTIVATION_BLOCK, x.size), L):
        store(y, at, evaluate(FORMULA, load(x, at), first, second))


@compiled
def activate_planes(
    x: Any, y: Any, vectors: int, mask: Any, FORMULA: Any, p: float, q: float
) -> None:
    """The same of any formula: zeros between the pixels stay zeros (``layout.pixel_mask``)."""
    for_each(len(x) * x.shape[1], _activate_plane, x, y, vectors, mask, FORMULA, p, q)


@compiled_part
def _activate_plane(
    item: int, x: Any, y: Any, vectors: int, mask: Any, FORMULA: Any, p: float, q: float
) -> None:
    L, first, second = VECTOR_BYTES // itemsize(x), splat(p), splat(q)
    for v in range(vectors):
        at = item * x.shape[2] + v * L
        value = evaluate(FORMULA, load(x, at), first, second)
        store(y, at, apply_mask(value, mask, v * L))


@compiled
def activate_backward(dy: Any, x: Any, dx: Any, SLOPE: Any, p: float, q: float) -> None:
    """dx = dy slope(x); dx may be dy."""
    blocks = (x.size + ACTIVATION_BLOCK - 1) // ACTIVATION_BLOCK
    for_each(blocks, _activate_block_backward, dy, x, dx, SLOPE, p, q)


@compiled_part
def _activate_block_backward(
    block: int, dy: Any, x: Any, dx: Any, SLOPE: Any, p: float, q: float
) -> None:
    L, first, second = VECTOR_BYTES // itemsize(x), splat(p), splat(q)
    for at in range(block * ACTIVATION_BLOCK, min((block + 1) * ACTIVATION_BLOCK, x.size), L):
        slope = evaluate(SLOPE, load(x, at), first, second)
        store(dx, at, multiply(load(dy, at), slope))
