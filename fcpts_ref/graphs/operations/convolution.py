"""The row of convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fcpts_ref.errors import InputError, counted
from fcpts_ref.graphs.operations.attributes import Attribute, flag, paddings, size, sizes
from fcpts_ref.graphs.operations.operation import (
    Array,
    Arrays,
    Attributes,
    Channels,
    Operation,
    Shape,
    Stored,
    image_shape,
    weight_and_bias,
    weights_macs,
)
from fcpts_ref.layers.convolution import convolution_backward, convolution_forward, output_size
from fcpts_ref.layers.padding import check_padded, ends

ATTRIBUTES = {
    "in_channels": Attribute(size),
    "out_channels": Attribute(size),
    "kernel": Attribute(sizes),
    "stride": Attribute(sizes, (1, 1)),
    "padding": Attribute(paddings, (0, 0, 0, 0)),
    "dilation": Attribute(sizes, (1, 1)),
    "groups": Attribute(size, 1),
    "bias": Attribute(flag, False),
}


def settings(attributes: Attributes) -> dict[str, Any]:
    """The keyword arguments of the layer's functions."""
    return {name: attributes[name] for name in ("stride", "padding", "dilation", "groups")}


def _forward(inputs: list[Array], stored: Arrays, attributes: Attributes, training: bool) -> Any:
    y, cache = convolution_forward(
        inputs[0], stored["weight"], stored.get("bias"), **settings(attributes)
    )
    return y, {}, cache


def _backward(dy: Array, cache: Any) -> Any:
    return weight_and_bias(*convolution_backward(dy, cache))


def _shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    C, H, W = image_shape(inputs[0])
    K, G = attributes["out_channels"], attributes["groups"]
    if attributes["in_channels"] != C:
        raise InputError(f"reads {counted(C, 'channel')}; expected {attributes['in_channels']}")
    if C % G or K % G:
        raise InputError(
            f"has {C} and {counted(K, 'channel')}; expected multiples of its {counted(G, 'group')}"
        )
    check_padded((H, W), attributes["padding"])
    P, Q = map(
        output_size, (H, W), attributes["kernel"], attributes["stride"],
        ends(attributes["padding"]), attributes["dilation"],
    )  # fmt: skip
    return K, P, Q


def _stored(attributes: Attributes) -> dict[str, Stored]:
    K = attributes["out_channels"]
    stored = {"weight": Stored(_weight_shape(attributes), "weight", "he")}
    return stored | ({"bias": Stored((K,), "bias")} if attributes["bias"] else {})


def _weight_shape(attributes: Attributes) -> Shape:
    C, K, G = (attributes[name] for name in ("in_channels", "out_channels", "groups"))
    return (K, C // G, *attributes["kernel"])


def _macs(inputs: Sequence[Shape], output: Shape, attributes: Attributes) -> int:
    return weights_macs(inputs, output, _weight_shape(attributes))


def _channels(inputs: Sequence[Shape], attributes: Attributes) -> tuple[Channels | None, ...]:
    """A depthwise convolution keeps its channels separate; any other mixes them."""
    C, K, G = (attributes[name] for name in ("in_channels", "out_channels", "groups"))
    return (np.repeat(np.arange(C), K // C) if G == C > 1 else None,)


CONVOLUTION = Operation(_forward, _backward, ATTRIBUTES, _shape, _stored, _macs, _channels)
