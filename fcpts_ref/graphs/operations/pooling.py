"""The rows of pooling."""

from __future__ import annotations

from collections.abc import Sequence

from fcpts_ref.graphs.operations.attributes import Attribute, SameAs, flag, paddings, sizes
from fcpts_ref.graphs.operations.operation import (
    Attributes,
    Operation,
    Shape,
    image_shape,
    simple,
)
from fcpts_ref.layers.pooling import (
    average_pool_backward,
    average_pool_forward,
    global_average_pool_backward,
    global_average_pool_forward,
    max_pool_backward,
    max_pool_forward,
)
from fcpts_ref.layers.windows import Windows, make_windows

MAX_ATTRIBUTES = {
    "kernel": Attribute(sizes),
    "stride": Attribute(sizes, SameAs("kernel")),
    "padding": Attribute(paddings, (0, 0, 0, 0)),
    "dilation": Attribute(sizes, (1, 1)),
    "ceil_mode": Attribute(flag, False),
}
AVERAGE_ATTRIBUTES = MAX_ATTRIBUTES | {"count_include_pad": Attribute(flag, True)}


def windows_of(attributes: Attributes) -> Windows:
    """The windows of a node."""
    return make_windows(**{name: attributes[name] for name in MAX_ATTRIBUTES})


def _shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    C, H, W = image_shape(inputs[0])
    return (C, *windows_of(attributes).outputs((H, W)))


def _global_shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    C, _, _ = image_shape(inputs[0])
    return (C,)


MAX_POOL = Operation(*simple(max_pool_forward, max_pool_backward), MAX_ATTRIBUTES, _shape)
AVERAGE_POOL = Operation(
    *simple(average_pool_forward, average_pool_backward), AVERAGE_ATTRIBUTES, _shape
)
GLOBAL_AVERAGE_POOL = Operation(
    *simple(global_average_pool_forward, global_average_pool_backward), shape=_global_shape
)
