"""ReLU, ReLU6 and clip as clamps: all restrict z to the interval from ``low`` to ``high``.

A bound that is NaN does not restrict: comparisons with it are false, and the kernels ask so that
false means "inside".  Forward keeps NaN.  Backward lets dy pass where low < z < high, so the
derivative at a kink, and of NaN, is 0.  Clamping does not move a value into or out of the open
interval, so the clamp mask may be computed from the output as well as from z.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llvmlite import ir
from numba.extending import intrinsic

from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.jit.host import VECTOR_BYTES
from fcpts_ref.engines.numba.simd.vectors import itemsize, load, splat, store
from fcpts_ref.engines.numba.tuning import ACTIVATION_BLOCK

UNBOUNDED = float("nan")
BOUNDS = {"relu": (0.0, UNBOUNDED), "relu6": (0.0, 6.0)}
NO_BOUNDS = (UNBOUNDED, UNBOUNDED)


def bounds_of(operation: str, attributes: Mapping[str, Any]) -> tuple[float, float]:
    """The bounds of a relu, relu6 or clip."""
    return BOUNDS.get(operation) or (attributes["low"], attributes["high"])


@intrinsic
def clamp(typing: Any, z: Any, low: Any, high: Any) -> Any:
    """z, but low where z <= low and high where z >= high; all vectors, NaN stays NaN."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        z, low, high = args
        z = builder.select(builder.fcmp_ordered("<=", z, low), low, z)
        return builder.select(builder.fcmp_ordered(">=", z, high), high, z)

    return z(z, low, high), generate


@intrinsic
def mask_gradient(typing: Any, dy: Any, z: Any, low: Any, high: Any) -> Any:
    """dy where z > low and not z >= high, else 0; all vectors."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        above = builder.fcmp_ordered(">", args[1], args[2])
        below = builder.fcmp_unordered("<", args[1], args[3])
        zero = ir.Constant(args[0].type, None)
        return builder.select(builder.and_(above, below), args[0], zero)

    return dy(dy, z, low, high), generate


@compiled
def clamp_planes(x: Any, y: Any, low: float, high: float) -> None:
    """y = x clamped to the bounds; buffers of one shape, y may be x.  Zeros stay zeros."""
    for_each((x.size + ACTIVATION_BLOCK - 1) // ACTIVATION_BLOCK, _clamp_block, x, y, low, high)


@compiled_part
def _clamp_block(block: int, x: Any, y: Any, low: float, high: float) -> None:
    bottom, top = splat(low), splat(high)
    L = VECTOR_BYTES // itemsize(x)
    for at in range(block * ACTIVATION_BLOCK, min((block + 1) * ACTIVATION_BLOCK, x.size), L):
        store(y, at, clamp(load(x, at), bottom, top))


@compiled
def clamp_planes_backward(dy: Any, y: Any, dx: Any, low: float, high: float) -> None:
    """dx = dy where low < y < high, else 0; dx may be dy."""
    for_each(
        (y.size + ACTIVATION_BLOCK - 1) // ACTIVATION_BLOCK,
        _clamp_block_backward,
        dy,
        y,
        dx,
        low,
        high,
    )


@compiled_part
def _clamp_block_backward(block: int, dy: Any, y: Any, dx: Any, low: float, high: float) -> None:
    bottom, top = splat(low), splat(high)
    L = VECTOR_BYTES // itemsize(y)
    for at in range(block * ACTIVATION_BLOCK, min((block + 1) * ACTIVATION_BLOCK, y.size), L):
        store(dx, at, mask_gradient(load(dy, at), load(y, at), bottom, top))
