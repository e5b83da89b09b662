"""The row of input normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fcpts_ref.errors import InputError, counted
from fcpts_ref.graphs.operations.attributes import Attribute, size
from fcpts_ref.graphs.operations.operation import (
    Array,
    Arrays,
    Attributes,
    Operation,
    Shape,
    Stored,
    image_shape,
)
from fcpts_ref.layers.normalise import normalise_backward, normalise_forward


def _forward(inputs: list[Array], stored: Arrays, attributes: Attributes, training: bool) -> Any:
    y, cache = normalise_forward(inputs[0], stored["mean"], stored["std"])
    return y, {}, cache


def _backward(dy: Array, cache: Any) -> Any:
    return (normalise_backward(dy, cache),), {}


def _shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    if image_shape(inputs[0])[0] != attributes["channels"]:
        raise InputError(
            f"reads {inputs[0]}; expected {counted(attributes['channels'], 'channel')}"
        )
    return inputs[0]


def _stored(attributes: Attributes) -> dict[str, Stored]:
    shape = (attributes["channels"],)
    return {
        "mean": Stored(shape, "constant"),
        "std": Stored(shape, "constant", "ones", positive="strictly"),
    }


NORMALISE = Operation(_forward, _backward, {"channels": Attribute(size)}, _shape, _stored)
