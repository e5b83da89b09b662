"""The row of the linear layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.operations.attributes import Attribute, flag, size
from fcpts_ref.graphs.operations.operation import (
    Array,
    Arrays,
    Attributes,
    Channels,
    Operation,
    Shape,
    Stored,
    mixed,
    one_to_one,
    weight_and_bias,
    weights_macs,
)
from fcpts_ref.layers.linear import linear_backward, linear_forward

ATTRIBUTES = {
    "in_features": Attribute(size),
    "out_features": Attribute(size),
    "bias": Attribute(flag, True),
}


def _forward(inputs: list[Array], stored: Arrays, attributes: Attributes, training: bool) -> Any:
    y, cache = linear_forward(inputs[0], stored["weight"], stored.get("bias"))
    return y, {}, cache


def _backward(dy: Array, cache: Any) -> Any:
    return weight_and_bias(*linear_backward(dy, cache))


def _shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    if not inputs[0] or inputs[0][-1] != attributes["in_features"]:
        raise InputError(
            f"reads {inputs[0]}; expected {attributes['in_features']} features on the last axis"
        )
    return (*inputs[0][:-1], attributes["out_features"])


def _stored(attributes: Attributes) -> dict[str, Stored]:
    K = attributes["out_features"]
    stored = {"weight": Stored((K, attributes["in_features"]), "weight", "he")}
    return stored | ({"bias": Stored((K,), "bias")} if attributes["bias"] else {})


def _macs(inputs: Sequence[Shape], output: Shape, attributes: Attributes) -> int:
    return weights_macs(inputs, output, (output[-1], attributes["in_features"]))


def _channels(inputs: Sequence[Shape], attributes: Attributes) -> tuple[Channels | None, ...]:
    """Features are mixed; tokens, or whatever comes before them, keep to themselves."""
    return (mixed if len(inputs[0]) == 1 else one_to_one)(inputs, attributes)


LINEAR = Operation(_forward, _backward, ATTRIBUTES, _shape, _stored, _macs, _channels)
