"""Images copied to channels last: from planes of pixels to rows of channels.

Where every output channel meets every input channel of the same pixel, lanes that are channels
need no neighbours: any width of image fills them, and nothing is summed across lanes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from fcpts_ref.engines.numba.jit.compilation import compiled_part
from fcpts_ref.engines.numba.jit.host import VECTOR_BYTES
from fcpts_ref.engines.numba.memory.layout import ALIGNMENT
from fcpts_ref.engines.numba.simd.emit import constant, emit_load, emit_store, emit_transposed
from fcpts_ref.engines.numba.simd.types import VectorType
from fcpts_ref.engines.numba.simd.vectors import itemsize


@compiled_part
def aligned_rows(rows: int, columns: int, like: Any) -> Any:
    """An array of any content on a 64-byte boundary, in the dtype of another."""
    block = np.empty(rows * columns + ALIGNMENT, like.dtype)
    skew = -(block.ctypes.data // itemsize(block)) % ALIGNMENT
    return block[skew : skew + rows * columns].reshape((rows, columns))


@compiled_part
def to_channels_last(buffer: Any, n: int, start: int, transposed: Any) -> None:
    """transposed[i, c] = element start + i of plane (n, c), as far as the plane goes.

    buffer: (N, C, PLANE); start: a multiple of ALIGNMENT, negative for the zeros above.  The
    rows of transposed are whole vectors, whose lanes beyond C repeat the last channel.
    """
    _, channels, plane = buffer.shape
    row, L = transposed.shape[1], VECTOR_BYTES // itemsize(buffer)
    for c in range(0, row, L):
        first = min(c, channels - 1)
        for p in range(start, plane, L):
            at = (n * channels + first) * plane + p
            transpose_block(
                buffer, at, plane, channels - first, transposed, (p - start) * row + c, row
            )


@intrinsic
def transpose_block(
    typing: Any, a: Any, at_a: Any, step: Any, rows: Any, b: Any, at_b: Any, pace: Any
) -> Any:
    """b[at_b + j * pace + i] = a[at_a + i * step + j], i and j up to the lanes of a vector.

    Rows i >= rows repeat the last one, so that nothing behind it is read.
    """
    vector = VectorType(a.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        last = builder.sub(args[3], constant(1))
        values = []
        for i in range(vector.lanes):
            inside = builder.icmp_signed("<", constant(i), last)
            row = builder.select(inside, constant(i), last)
            at = builder.add(args[1], builder.mul(row, args[2]))
            values.append(emit_load(context, builder, a, args[0], at))
        for j, value in enumerate(emit_transposed(builder, values)):
            at = builder.add(args[5], builder.mul(args[6], constant(j)))
            emit_store(context, builder, b, args[4], at, value)
        return context.get_dummy_value()

    index = types.intp
    return types.void(a, index, index, index, b, index, index), generate
