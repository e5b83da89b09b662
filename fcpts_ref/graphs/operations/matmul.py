"""The row of the matrix product of two values."""

from __future__ import annotations

from collections.abc import Sequence

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.operations.operation import Attributes, Channels, Operation, Shape, simple
from fcpts_ref.graphs.operations.shapes import broadcast
from fcpts_ref.layers.embedding import broadcast_shape
from fcpts_ref.layers.matmul import matmul_backward, matmul_forward


def _shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    a, b = inputs
    if len(a) < 2 or len(b) < 2 or a[-1] != b[-2]:
        raise InputError(f"multiplies {a} and {b}; expected (..., I, J) and (..., J, K)")
    return (*broadcast_shape(a[:-2], b[:-2]), a[-2], b[-1])


def _channels(inputs: Sequence[Shape], attributes: Attributes) -> tuple[Channels | None, ...]:
    """Rows of a, and matrices of a stack, keep to themselves; the rows of b are mixed."""
    y = _shape(inputs, attributes)
    a, b = (broadcast(shape, y) for shape in inputs)
    return a, b if len(y) > 2 else None


MATMUL = Operation(
    *simple(matmul_forward, matmul_backward), shape=_shape, channels=_channels, arity=2
)
