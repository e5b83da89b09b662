"""The row of layer norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.operations.attributes import Attribute, amount, flag
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
)
from fcpts_ref.graphs.operations.shapes import shape
from fcpts_ref.layers.layer_norm import layer_norm_backward, layer_norm_forward

ATTRIBUTES = {
    "shape": Attribute(shape),
    "epsilon": Attribute(amount, 1e-5),
    "affine": Attribute(flag, True),
}


def _forward(inputs: list[Array], stored: Arrays, attributes: Attributes, training: bool) -> Any:
    y, cache = layer_norm_forward(
        inputs[0],
        stored.get("weight"),
        stored.get("bias"),
        shape=attributes["shape"],
        epsilon=attributes["epsilon"],
    )
    return y, {}, cache


def _backward(dy: Array, cache: Any) -> Any:
    dx, dgamma, dbeta = layer_norm_backward(dy, cache)
    return (dx,), {} if dgamma is None else {"weight": dgamma, "bias": dbeta}


def _shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    normalised = attributes["shape"]
    if inputs[0][-len(normalised) :] != normalised:
        raise InputError(f"reads {inputs[0]}; expected the last axes to be {normalised}")
    return inputs[0]


def _stored(attributes: Attributes) -> dict[str, Stored]:
    if not attributes["affine"]:
        return {}
    normalised = attributes["shape"]
    return {"weight": Stored(normalised, "scale", "ones"), "bias": Stored(normalised, "bias")}


def _channels(inputs: Sequence[Shape], attributes: Attributes) -> tuple[Channels | None, ...]:
    """Over all axes it mixes the channels; otherwise each keeps to itself."""
    all_axes = len(attributes["shape"]) == len(inputs[0])
    return (mixed if all_axes else one_to_one)(inputs, attributes)


LAYER_NORM = Operation(_forward, _backward, ATTRIBUTES, _shape, _stored, channels=_channels)
