"""Inputs of a node that is translated: constants that are known, and values of ours."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.interchange.onnx.draft import Constant
from fcpts_ref.interchange.onnx.layout import Value
from fcpts_ref.interchange.onnx.reading import OnnxNode

Array = NDArray[Any]
Known = Value | Constant

REARRANGING: Final = (
    "Identity",
    "Dropout",
    "Transpose",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
    "Flatten",
)
"""Operators through which a constant can be followed back to its initialiser."""


class NoValue(Constant):
    """An output that is not computed; reading it is an error."""

    def __init__(self, name: str) -> None:
        super().__init__(np.zeros(0), name)


def is_followed(node: OnnxNode, constant: Constant, result: Array) -> bool:
    """Whether a node only rearranges a constant; Expand may only add axes of size 1."""
    same_size = node.kind == "Expand" and result.size == constant.array.size
    return node.kind in REARRANGING or same_size


def followed(node: OnnxNode, constant: Constant, result: Array) -> Constant:
    """Return a rearranged constant with the step that undoes it recorded."""
    if node.kind == "Transpose":
        default = range(constant.array.ndim)[::-1]
        return constant.transposed(node.settings.get("perm", default))
    return constant.reshaped(result.shape)


def constant_value(node: OnnxNode) -> Array:
    """Return the array of a Constant node."""
    for key, value in node.settings.items():
        if isinstance(value, np.ndarray):
            return value
        if key in ("value_int", "value_ints"):
            return np.array(value, np.int64)
        if key in ("value_float", "value_floats"):
            return np.array(value, np.float32)
    raise InputError(f"{node} has no numbers; expected a tensor, integers or floats")


def constant_of(known: Known | None, what: str) -> Constant:
    """Return an input that must be known.  Raises InputError if it depends on the images."""
    if not isinstance(known, Constant):
        raise InputError(f"its {what} depends on the input; expected a constant")
    return known


def value_of(known: Known | None, what: str = "input") -> Value:
    """Return an input that must depend on the images.  Raises InputError for a constant."""
    if not isinstance(known, Value):
        raise InputError(f"its {what} is constant; expected one that depends on the input")
    return known
