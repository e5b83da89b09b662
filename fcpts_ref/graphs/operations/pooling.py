"""The rows of pooling."""

from __future__ import annotations

from collections.abc import Sequence

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.operations.attributes import Attribute, SameAs, counts, sizes
from fcpts_ref.graphs.operations.operation import (
    Attributes,
    Operation,
    Shape,
    image_shape,
    simple,
)
from fcpts_ref.layers.convolution import output_size
from fcpts_ref.layers.pooling import (
    average_pool_backward,
    average_pool_forward,
    global_average_pool_backward,
    global_average_pool_forward,
    max_pool_backward,
    max_pool_forward,
)

ATTRIBUTES = {
    "kernel": Attribute(sizes),
    "stride": Attribute(sizes, SameAs("kernel")),
    "padding": Attribute(counts, (0, 0)),
}


def _shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    C, H, W = image_shape(inputs[0])
    kernel, padding = attributes["kernel"], attributes["padding"]
    if any(2 * pad > side for pad, side in zip(padding, kernel, strict=True)):
        raise InputError(
            f"has padding {padding} and kernel {kernel}; expected at most half the kernel"
        )
    P, Q = (
        output_size(side, kernel[axis], attributes["stride"][axis], padding[axis])
        for axis, side in enumerate((H, W))
    )
    return C, P, Q


def _global_shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    C, _, _ = image_shape(inputs[0])
    return (C,)


MAX_POOL = Operation(*simple(max_pool_forward, max_pool_backward), ATTRIBUTES, _shape)
AVERAGE_POOL = Operation(*simple(average_pool_forward, average_pool_backward), ATTRIBUTES, _shape)
GLOBAL_AVERAGE_POOL = Operation(
    *simple(global_average_pool_forward, global_average_pool_backward), shape=_global_shape
)
