"""The rows of operations that only move values: subsample and zero_pad."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fcpts_ref.graphs.operations.attributes import Attribute, count, size
from fcpts_ref.graphs.operations.operation import (
    Attributes,
    Channels,
    Operation,
    Shape,
    image_shape,
    simple,
)
from fcpts_ref.layers.shortcut import (
    subsample_backward,
    subsample_forward,
    zero_pad_backward,
    zero_pad_forward,
)


def _subsample_shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    C, H, W = image_shape(inputs[0])
    stride = attributes["stride"]
    return C, -(-H // stride), -(-W // stride)


def _zero_pad_shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    C, H, W = image_shape(inputs[0])
    return attributes["before"] + C + attributes["after"], H, W


def _zero_pad_channels(
    inputs: Sequence[Shape], attributes: Attributes
) -> tuple[Channels | None, ...]:
    pads = attributes["before"], attributes["after"]
    return (np.pad(np.arange(inputs[0][0]), pads, constant_values=-1),)


SUBSAMPLE = Operation(
    *simple(subsample_forward, subsample_backward), {"stride": Attribute(size)}, _subsample_shape
)
ZERO_PAD = Operation(
    *simple(zero_pad_forward, zero_pad_backward),
    {"before": Attribute(count), "after": Attribute(count)},
    _zero_pad_shape,
    channels=_zero_pad_channels,
)
