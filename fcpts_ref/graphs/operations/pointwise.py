"""The rows of activations and addition."""

from __future__ import annotations

from collections.abc import Sequence

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.operations.operation import Attributes, Operation, Shape, simple
from fcpts_ref.layers.add import add_backward, add_forward
from fcpts_ref.layers.relu import relu6_backward, relu6_forward, relu_backward, relu_forward


def _sum_shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    a, b = inputs
    if a != b:
        raise InputError(f"adds shapes {a} and {b}; expected the same")
    return a


RELU = Operation(*simple(relu_forward, relu_backward))
RELU6 = Operation(*simple(relu6_forward, relu6_backward))
ADD = Operation(*simple(add_forward, add_backward), shape=_sum_shape, arity=2)
