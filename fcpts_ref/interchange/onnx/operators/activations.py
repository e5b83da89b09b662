"""Activations: one node each; parts of others are left to patterns.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.interchange.onnx.draft import Constant
from fcpts_ref.interchange.onnx.known import Known, constant_of, value_of
from fcpts_ref.interchange.onnx.layout import Value
from fcpts_ref.interchange.onnx.operators.windows import decimal
from fcpts_ref.interchange.onnx.reading import OnnxNode
from fcpts_ref.interchange.onnx.translator import Translator

Inputs = Sequence[Known | None]
Translate = Callable[[Translator, OnnxNode, Inputs], Value]

INFINITE: Final = float(np.finfo(np.float32).max)


def unary(operation: str, **settings: tuple[str, Any]) -> Translate:
    """Translate an operator to a node of the same shape.

    settings: our attribute = (the operator's setting, its default).
    """

    def translate(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
        x = value_of(inputs[0])
        given = {
            ours: decimal(found)
            if isinstance(found := node.settings.get(theirs, default), float)
            else found
            for ours, (theirs, default) in settings.items()
        }
        return x.renamed(t.add(node, operation, [x.name], given))

    return translate


def clip(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """Clip: relu and relu6 where the bounds are theirs."""
    bounds = [*inputs[1:], None, None][:2]
    low, high = (
        node.settings.get(key) if known is None else _number(known)
        for key, known in zip(("min", "max"), bounds, strict=True)
    )
    return clipped(t, node, value_of(inputs[0]), low, high)


def minimum(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """Min with one number."""
    x, number = _value_and_number(inputs)
    return clipped(t, node, x, None, number)


def maximum(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """Max with one number."""
    x, number = _value_and_number(inputs)
    return clipped(t, node, x, number, None)


def clipped(
    t: Translator, node: OnnxNode, x: Value, low: float | None, high: float | None
) -> Value:
    """The value between two bounds, either of which may be missing."""
    low = -INFINITE if low is None else max(low, -INFINITE)
    high = INFINITE if high is None else min(high, INFINITE)
    if low == -INFINITE and high == INFINITE:
        return x
    operation, attributes = clip_operation(low, high)
    return x.renamed(t.add(node, operation, [x.name], attributes))


def clip_operation(low: float, high: float) -> tuple[str, Mapping[str, float]]:
    """Return the operation and attributes of clipping to [low, high]."""
    if low == 0 and high == INFINITE:
        return "relu", {}
    if low == 0 and high == 6:
        return "relu6", {}
    return "clip", {"low": low, "high": high}


def parametric_relu(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """PRelu with one slope for all channels."""
    x, slope = value_of(inputs[0]), constant_of(inputs[1], "slope").array
    if slope.size < 1 or not (slope == slope.ravel()[0]).all():
        raise InputError(f"it has slopes of shape {slope.shape}; expected one for all channels")
    attributes = {"slope": decimal(float(slope.ravel()[0]))}
    return x.renamed(t.add(node, "leaky_relu", [x.name], attributes))


def _number(known: Known) -> float:
    array = constant_of(known, "bound").array
    if array.size != 1:
        raise InputError(f"its bound has shape {array.shape}; expected one number")
    return float(array.ravel()[0])


def _value_and_number(inputs: Inputs) -> tuple[Value, float]:
    values = [known for known in inputs if isinstance(known, Value)]
    numbers = [known for known in inputs if isinstance(known, Constant)]
    if (len(values), len(numbers)) != (1, 1):
        raise InputError("compares several values; expected one value and one number")
    return values[0], _number(numbers[0])


def swish(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """Swish with alpha = 1."""
    if node.settings.get("alpha", 1.0) != 1:
        raise InputError("its alpha is not 1, which is not supported")
    x = value_of(inputs[0])
    return x.renamed(t.add(node, "silu", [x.name]))


def cast(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """Cast between floats: nothing to do; ours have one dtype."""
    if node.settings.get("to") not in (1, 10, 11, 16):
        raise InputError("converts a value to integers or booleans; expected floats")
    return value_of(inputs[0])


def same(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """Identity, and Dropout in inference."""
    if len(inputs) > 2 and inputs[2] is not None and constant_of(inputs[2], "mode").array.any():
        raise InputError("drops values: export the network in evaluation mode")
    return value_of(inputs[0])
