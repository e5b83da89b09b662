"""The rows of operations that only move values: subsampling, padding, slices, joining."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.operations.attributes import (
    Attribute,
    count,
    count_list,
    integer,
    number,
    size,
)
from fcpts_ref.graphs.operations.operation import (
    Attributes,
    Channels,
    Operation,
    Shape,
    image_shape,
    one_to_one,
    simple,
)
from fcpts_ref.layers.axes import array_axis
from fcpts_ref.layers.concat import (
    concat_backward,
    concat_forward,
    slice_backward,
    slice_forward,
    sliced,
)
from fcpts_ref.layers.pad import pad_backward, pad_forward
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


def _concat_shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    at = array_axis(attributes["axis"], len(inputs[0])) - 1
    if len({(*shape[:at], *shape[at + 1 :]) for shape in inputs}) > 1:
        raise InputError(
            f"joins {', '.join(map(str, inputs))}; expected the same sides but for axis "
            f"{attributes['axis']}"
        )
    return *inputs[0][:at], sum(shape[at] for shape in inputs), *inputs[0][at + 1 :]


def _concat_channels(
    inputs: Sequence[Shape], attributes: Attributes
) -> tuple[Channels | None, ...]:
    """Along the channels, every input fills its own; along another axis, each carries them all."""
    if array_axis(attributes["axis"], len(inputs[0])) > 1:
        return one_to_one(inputs, attributes)
    ends = np.cumsum([shape[0] for shape in inputs])
    at = np.arange(ends[-1])
    return tuple(
        np.where((at >= end - C) & (at < end), at - (end - C), -1)
        for end, (C, *_) in zip(ends, inputs, strict=True)
    )


def _slice_of(attributes: Attributes, side: int) -> slice:
    return sliced(side, attributes["start"], attributes["stop"], attributes["step"])


def _slice_shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    (shape,) = inputs
    at = array_axis(attributes["axis"], len(shape)) - 1
    taken = np.arange(shape[at])[_slice_of(attributes, shape[at])]
    return *shape[:at], len(taken), *shape[at + 1 :]


def _slice_channels(inputs: Sequence[Shape], attributes: Attributes) -> tuple[Channels | None, ...]:
    channels = np.arange(inputs[0][0])
    along = array_axis(attributes["axis"], len(inputs[0])) == 1
    return (channels[_slice_of(attributes, len(channels))] if along else channels,)


def _pad_widths(shape: Shape, attributes: Attributes) -> list[tuple[int, int]]:
    """The elements before and after each axis."""
    pads, rank = attributes["pads"], len(shape)
    if len(pads) != 2 * rank:
        raise InputError(
            f"has pads {pads} for {shape}; expected {2 * rank}: those before each axis, then those "
            "after each"
        )
    return list(zip(pads[:rank], pads[rank:], strict=True))


def _pad_shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    widths = _pad_widths(inputs[0], attributes)
    return tuple(
        before + side + after for side, (before, after) in zip(inputs[0], widths, strict=True)
    )


def _pad_channels(inputs: Sequence[Shape], attributes: Attributes) -> tuple[Channels | None, ...]:
    widths = _pad_widths(inputs[0], attributes)
    return (np.pad(np.arange(inputs[0][0]), widths[0], constant_values=-1),)


SUBSAMPLE = Operation(
    *simple(subsample_forward, subsample_backward), {"stride": Attribute(size)}, _subsample_shape
)
ZERO_PAD = Operation(
    *simple(zero_pad_forward, zero_pad_backward),
    {"before": Attribute(count), "after": Attribute(count)},
    _zero_pad_shape,
    channels=_zero_pad_channels,
)
CONCAT = Operation(
    *simple(concat_forward, concat_backward),
    {"axis": Attribute(integer)},
    _concat_shape,
    channels=_concat_channels,
    arity=None,
)
SLICE = Operation(
    *simple(slice_forward, slice_backward),
    {
        "axis": Attribute(integer),
        "start": Attribute(integer),
        "stop": Attribute(integer),
        "step": Attribute(integer, 1),
    },
    _slice_shape,
    channels=_slice_channels,
)
PAD = Operation(
    *simple(pad_forward, pad_backward),
    {"pads": Attribute(count_list), "value": Attribute(number, 0.0)},
    _pad_shape,
    channels=_pad_channels,
)
