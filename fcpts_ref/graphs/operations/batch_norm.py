"""The row of batch norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fcpts_ref.errors import InputError, counted
from fcpts_ref.graphs.operations.attributes import Attribute, amount, share, size
from fcpts_ref.graphs.operations.operation import (
    Array,
    Arrays,
    Attributes,
    Operation,
    Shape,
    Stored,
)
from fcpts_ref.layers.batch_norm import batch_norm_backward, batch_norm_forward

ATTRIBUTES = {
    "channels": Attribute(size),
    "momentum": Attribute(share, 0.1),
    "epsilon": Attribute(amount, 1e-5),
}


def _forward(inputs: list[Array], stored: Arrays, attributes: Attributes, training: bool) -> Any:
    (y, mean, var), cache = batch_norm_forward(
        inputs[0],
        stored["weight"],
        stored["bias"],
        stored["running_mean"],
        stored["running_var"],
        training=training,
        momentum=attributes["momentum"],
        epsilon=attributes["epsilon"],
    )
    return y, ({"running_mean": mean, "running_var": var} if training else {}), cache


def _backward(dy: Array, cache: Any) -> Any:
    dx, dgamma, dbeta = batch_norm_backward(dy, cache)
    return (dx,), {"weight": dgamma, "bias": dbeta}


def _shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    if len(inputs[0]) != 3 or inputs[0][0] != attributes["channels"]:
        raise InputError(
            f"reads {inputs[0]}; expected {counted(attributes['channels'], 'channel')}"
        )
    return inputs[0]


def _stored(attributes: Attributes) -> dict[str, Stored]:
    shape = (attributes["channels"],)
    return {
        "weight": Stored(shape, "scale", "ones"),
        "bias": Stored(shape, "bias"),
        "running_mean": Stored(shape, "statistic"),
        "running_var": Stored(shape, "statistic", "ones", positive="weakly"),
    }


BATCH_NORM = Operation(_forward, _backward, ATTRIBUTES, _shape, _stored)
