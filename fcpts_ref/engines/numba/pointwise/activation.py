"""ReLU and ReLU6 as limits: both are z cut off at ``low`` and ``high``, with a gate for dy.

A limit that is NaN does not limit: no comparison with it is true, and the upper one is asked
the other way round.  Forward leaves z between its limits and keeps NaN; backward passes dy
where low < z < high, so the derivative at a kink, and of NaN, is 0.  Cutting does not move a
value into or out of the open interval: the gate may be asked about the output as well as z.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.extending import intrinsic

from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.jit.host import VECTOR_BYTES
from fcpts_ref.engines.numba.simd.vectors import itemsize, load, splat, store
from fcpts_ref.engines.numba.tuning import ACTIVATION_BLOCK

NONE = float("nan")
LIMITS = {"relu": (0.0, NONE), "relu6": (0.0, 6.0)}
NO_LIMITS = (NONE, NONE)


@intrinsic
def cut(typing: Any, z: Any, low: Any, high: Any) -> Any:
    """z, but low where z <= low and high where z >= high; all vectors, NaN stays NaN."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        z, low, high = args
        z = builder.select(builder.fcmp_ordered("<=", z, low), low, z)
        return builder.select(builder.fcmp_ordered(">=", z, high), high, z)

    return z(z, low, high), generate


@intrinsic
def gate(typing: Any, dy: Any, z: Any, low: Any, high: Any) -> Any:
    """dy where z > low and not z >= high, else 0; all vectors."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        above = builder.fcmp_ordered(">", args[1], args[2])
        below = builder.fcmp_unordered("<", args[1], args[3])
        zero = ir.Constant(args[0].type, None)
        return builder.select(builder.and_(above, below), args[0], zero)

    return dy(dy, z, low, high), generate


@compiled
def limit(x: Any, y: Any, low: float, high: float) -> None:
    """y = x cut off at the limits; buffers of one shape, y may be x.  Zeros stay zeros."""
    for_each((x.size + ACTIVATION_BLOCK - 1) // ACTIVATION_BLOCK, _limit_piece, x, y, low, high)


@compiled_part
def _limit_piece(piece: int, x: Any, y: Any, low: float, high: float) -> None:
    bottom, top = splat(low), splat(high)
    L = VECTOR_BYTES // itemsize(x)
    for at in range(piece * ACTIVATION_BLOCK, min((piece + 1) * ACTIVATION_BLOCK, x.size), L):
        store(y, at, cut(load(x, at), bottom, top))


@compiled
def limit_backward(dy: Any, y: Any, dx: Any, low: float, high: float) -> None:
    """dx = dy where low < y < high, else 0; dx may be dy."""
    for_each(
        (y.size + ACTIVATION_BLOCK - 1) // ACTIVATION_BLOCK,
        _limit_piece_backward,
        dy,
        y,
        dx,
        low,
        high,
    )


@compiled_part
def _limit_piece_backward(piece: int, dy: Any, y: Any, dx: Any, low: float, high: float) -> None:
    bottom, top = splat(low), splat(high)
    L = VECTOR_BYTES // itemsize(y)
    for at in range(piece * ACTIVATION_BLOCK, min((piece + 1) * ACTIVATION_BLOCK, y.size), L):
        store(dx, at, gate(load(dy, at), load(y, at), bottom, top))
