"""ReLU and ReLU6 as limits: both are z cut off at ``low`` and ``high``, with a gate for dy.

Forward leaves z between its limits and keeps NaN; backward passes dy where low < z < high, so
the derivative at a kink, and of NaN, is 0.  Cutting does not move a value into or out of the
open interval: the gate may be asked about the output as well as about z.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import njit, prange
from numba.extending import intrinsic

from .vectors import VectorType, _broadcast

LIMITS = {"relu": (0.0, float("inf")), "relu6": (0.0, 6.0)}
NO_LIMITS = (float("-inf"), float("inf"))


@intrinsic  # type: ignore[untyped-decorator]
def splat(typing: Any, scalar: Any) -> Any:
    """A vector with the scalar in every lane."""
    result = VectorType(scalar)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _broadcast(builder, args[0], context.get_value_type(result))

    return result(scalar), generate


@intrinsic  # type: ignore[untyped-decorator]
def multiply(typing: Any, a: Any, b: Any) -> Any:
    """a * b"""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fmul(*args)

    return a(a, b), generate


@intrinsic  # type: ignore[untyped-decorator]
def gate(typing: Any, dy: Any, z: Any, low: Any, high: Any) -> Any:
    """dy where low < z < high, else 0; all vectors."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        above = builder.fcmp_ordered(">", args[1], args[2])
        below = builder.fcmp_ordered("<", args[1], args[3])
        zero = ir.Constant(args[0].type, None)
        return builder.select(builder.and_(above, below), args[0], zero)

    return dy(dy, z, low, high), generate


@njit(cache=True, nogil=True, parallel=True, error_model="numpy")  # type: ignore[untyped-decorator]
def limit(x: Any, y: Any, run: int, low: float, high: float) -> None:
    """y = x cut off at the limits; buffers (N, C, PLANE), y may be x.  Border: 0 stays 0."""
    channels = x.shape[1]
    for item in prange(x.shape[0] * channels):
        source, target = x[item // channels, item % channels], y[item // channels, item % channels]
        for i in range(run):
            z = source[i]
            z = low if z <= low else z
            target[i] = high if z >= high else z


@njit(cache=True, nogil=True, parallel=True, error_model="numpy")  # type: ignore[untyped-decorator]
def limit_backward(dy: Any, y: Any, dx: Any, run: int, low: float, high: float) -> None:
    """dx = dy where low < y < high, else 0; dx may be dy."""
    channels = y.shape[1]
    for item in prange(y.shape[0] * channels):
        n, c = item // channels, item % channels
        upper, value, lower = dy[n, c], y[n, c], dx[n, c]
        for i in range(run):
            z = value[i]
            lower[i] = upper[i] if (z > low) & (z < high) else 0
