"""The rows of stored arrays that join a value: class token, added and multiplied parameter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.operations.attributes import Attribute, size
from fcpts_ref.graphs.operations.operation import (
    LEARNED,
    Array,
    Arrays,
    Attributes,
    Backward,
    Channels,
    Forward,
    Initial,
    Operation,
    Role,
    Shape,
    Stored,
)
from fcpts_ref.graphs.operations.shapes import broadcast, shape
from fcpts_ref.layers.embedding import (
    add_parameter_backward,
    add_parameter_forward,
    broadcast_shape,
    class_token_backward,
    class_token_forward,
    multiply_parameter_backward,
    multiply_parameter_forward,
)

Maps = tuple[Channels | None, ...]


def parameter_role(value: Any) -> Role:
    """embedding, scale, bias or constant (which is never changed)"""
    roles: dict[str, Role] = {
        "embedding": "embedding",
        "scale": "scale",
        "bias": "bias",
        "constant": "constant",
    }
    if value not in roles:
        raise ValueError
    return roles[value]


def _token_forward(inputs: list[Array], stored: Arrays, a: Attributes, training: bool) -> Any:
    y, cache = class_token_forward(inputs[0], stored["token"])
    return y, {}, cache


def _token_backward(dy: Array, cache: Any) -> Any:
    dx, dtoken = class_token_backward(dy, cache)
    return (dx,), {"token": dtoken}


def _token_shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    if len(inputs[0]) != 2 or inputs[0][1] != attributes["features"]:
        raise InputError(f"reads {inputs[0]}; expected tokens of {attributes['features']} features")
    return inputs[0][0] + 1, inputs[0][1]


def _token_stored(attributes: Attributes) -> dict[str, Stored]:
    return {"token": Stored((attributes["features"],), "embedding", "small")}


def _token_channels(inputs: Sequence[Shape], attributes: Attributes) -> Maps:
    return (np.arange(-1, inputs[0][0]),)


def _joined(forward: Callable[..., Any], backward: Callable[..., Any]) -> tuple[Forward, Backward]:
    """Forward and backward of a row with a stored parameter; a constant has no gradient."""

    def run(inputs: list[Array], stored: Arrays, attributes: Attributes, training: bool) -> Any:
        y, cache = forward(inputs[0], stored["parameter"])
        return y, {}, (attributes["role"] in LEARNED, cache)

    def back(dy: Array, cache: Any) -> Any:
        learned, inner = cache
        dx, dparameter = backward(dy, inner)
        return (dx,), {"parameter": dparameter} if learned else {}

    return run, back


def _joined_shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    return broadcast_shape(inputs[0], attributes["shape"])


def _joined_stored(initial: Initial) -> Callable[[Attributes], dict[str, Stored]]:
    def stored(attributes: Attributes) -> dict[str, Stored]:
        role: Role = attributes["role"]
        start: Initial = "small" if role == "embedding" else initial
        return {"parameter": Stored(attributes["shape"], role, start)}

    return stored


def _joined_channels(inputs: Sequence[Shape], attributes: Attributes) -> Maps:
    return (broadcast(inputs[0], _joined_shape(inputs, attributes)),)


CLASS_TOKEN = Operation(
    _token_forward,
    _token_backward,
    {"features": Attribute(size)},
    _token_shape,
    _token_stored,
    channels=_token_channels,
)
ADD_PARAMETER = Operation(
    *_joined(add_parameter_forward, add_parameter_backward),
    {"shape": Attribute(shape), "role": Attribute(parameter_role, "bias")},
    _joined_shape,
    _joined_stored("zeros"),
    channels=_joined_channels,
)
MULTIPLY_PARAMETER = Operation(
    *_joined(multiply_parameter_forward, multiply_parameter_backward),
    {"shape": Attribute(shape), "role": Attribute(parameter_role, "scale")},
    _joined_shape,
    _joined_stored("ones"),
    channels=_joined_channels,
)
