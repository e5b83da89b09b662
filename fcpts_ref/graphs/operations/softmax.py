"""The rows of softmax and its logarithm."""

from __future__ import annotations

from collections.abc import Sequence

from fcpts_ref.graphs.operations.attributes import Attribute
from fcpts_ref.graphs.operations.operation import (
    Attributes,
    Channels,
    Operation,
    Shape,
    mixed,
    one_to_one,
    simple,
)
from fcpts_ref.graphs.operations.shapes import axis
from fcpts_ref.layers.axes import axis_of_value
from fcpts_ref.layers.softmax import (
    log_softmax_backward,
    log_softmax_forward,
    softmax_backward,
    softmax_forward,
)

ATTRIBUTES = {"axis": Attribute(axis, -1)}


def _shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    axis_of_value(attributes["axis"], len(inputs[0]))
    return inputs[0]


def _channels(inputs: Sequence[Shape], attributes: Attributes) -> tuple[Channels | None, ...]:
    """Over the channels it mixes them; over another axis each keeps to itself."""
    first = axis_of_value(attributes["axis"], len(inputs[0])) == 0
    return (mixed if first else one_to_one)(inputs, attributes)


SOFTMAX = Operation(
    *simple(softmax_forward, softmax_backward), ATTRIBUTES, _shape, channels=_channels
)
LOG_SOFTMAX = Operation(
    *simple(log_softmax_forward, log_softmax_backward), ATTRIBUTES, _shape, channels=_channels
)
