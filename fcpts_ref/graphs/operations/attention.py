"""The row of multi-head attention."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fcpts_ref.graphs.operations.attributes import Attribute, size
from fcpts_ref.graphs.operations.operation import Attributes, Channels, Operation, Shape, simple
from fcpts_ref.layers.attention import attention_backward, attention_forward, check_attention


def _shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    q, k, v = inputs
    check_attention(q, k, v, attributes["heads"])
    return (*q[:-1], v[-1])


def _channels(inputs: Sequence[Shape], attributes: Attributes) -> tuple[Channels | None, ...]:
    """A token reads its own query and every key and value."""
    return np.arange(inputs[0][0]), None, None


ATTENTION = Operation(
    *simple(attention_forward, attention_backward),
    {"heads": Attribute(size)},
    _shape,
    channels=_channels,
    arity=3,
)
