"""Add, Sub, Mul, Div, Pow, of values and of constants."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.interchange.onnx.draft import Constant
from fcpts_ref.interchange.onnx.known import Known, value_of
from fcpts_ref.interchange.onnx.layout import Value, fresh, shown_dims
from fcpts_ref.interchange.onnx.operators.shapes import widened
from fcpts_ref.interchange.onnx.reading import OnnxNode
from fcpts_ref.interchange.onnx.translator import Translator

Inputs = Sequence[Known | None]
Translate = Callable[[Translator, OnnxNode, Inputs], Value]


def add(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """Add."""
    return _commutative(t, node, inputs, "add", "add_parameter")


def total(t: Translator, node: OnnxNode, inputs: Inputs) -> Known | None:
    """Sum of any number of values."""
    result = inputs[0]
    for known in inputs[1:]:
        result = _commutative(t, node, (result, known), "add", "add_parameter")
    return result


def multiply(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """Mul."""
    return _commutative(t, node, inputs, "multiply", "multiply_parameter")


def subtract(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """Sub."""
    left, right = inputs
    if isinstance(right, Constant):
        return _with_constant(t, node, "add_parameter", value_of(left), 1, right, right.scaled(-1))
    if isinstance(left, Constant):
        negated = shifted(t, node, "multiply_parameter", value_of(right), -1.0)
        return _with_constant(t, node, "add_parameter", negated, 0, left)
    return _of_values(t, node, "subtract", value_of(left), value_of(right))


def divide(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """Div."""
    left, right = inputs
    if isinstance(right, Constant):
        factor = Constant(np.reciprocal(right.array))
        return _with_constant(t, node, "multiply_parameter", value_of(left), 1, right, factor)
    if isinstance(left, Constant):
        name = t.add(node, "reciprocal", [value_of(right).name])
        reciprocal = value_of(right).renamed(name)
        return _with_constant(t, node, "multiply_parameter", reciprocal, 0, left)
    return _of_values(t, node, "divide", value_of(left), value_of(right))


def power(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """Pow with the exponents 1, 2 and 3 (products) and 0.5 (a part of others)."""
    x, exponent = value_of(inputs[0]), inputs[1]
    number = float(exponent.array.ravel()[0]) if _is_number(exponent) else None  # type: ignore[union-attr]
    if number == 0.5:
        return x.renamed(t.add(node, "sqrt", [x.name]))
    if number not in (1, 2, 3):
        raise InputError(f"raises to the power {number}; expected a constant of 0.5, 1, 2 or 3")
    result = x.name
    for _ in range(int(number) - 1):
        result = t.add(node, "multiply", [result, x.name])
    return x.renamed(result)


def _is_number(known: Known | None) -> bool:
    return isinstance(known, Constant) and known.array.size == 1


def negate(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """Neg."""
    return shifted(t, node, "multiply_parameter", value_of(inputs[0]), -1.0)


def add_values(t: Translator, node: OnnxNode, a: Value, b: Value) -> Value:
    """The sum of two values, broadcast."""
    return _of_values(t, node, "add", a, b)


def shifted(t: Translator, node: OnnxNode, operation: str, x: Value, number: float) -> Value:
    """Add or multiply one number (operation: add_parameter or multiply_parameter)."""
    return _with_constant(t, node, operation, x, 0, Constant(np.array(number, np.float32)))


def _commutative(
    t: Translator, node: OnnxNode, inputs: Inputs, of_values: str, with_constant: str
) -> Value:
    left, right = inputs
    for slot, (x, other) in enumerate(((right, left), (left, right))):
        if isinstance(other, Constant):
            return _with_constant(t, node, with_constant, value_of(x), slot, other)
    return _of_values(t, node, of_values, value_of(left), value_of(right))


def _of_values(t: Translator, node: OnnxNode, operation: str, a: Value, b: Value) -> Value:
    if (a.atoms, a.axes) == (b.atoms, b.axes) and t.shape(a) == t.shape(b):
        return a.renamed(t.add(node, operation, [a.name, b.name]))
    a, b = t.plain(node, a), t.plain(node, b)
    places = {len(v.axes) - axis for v in (a, b) if (axis := v.batch_axis) is not None}
    if len(places) > 1 or (a.batch > 1 and not places):
        raise InputError(
            f"combines {shown_dims(a.dims)} and {shown_dims(b.dims)}; expected the batch in the "
            "same place"
        )
    try:
        dims = np.broadcast_shapes(a.dims, b.dims)
    except ValueError as error:
        raise InputError(
            f"combines {shown_dims(a.dims)} and {shown_dims(b.dims)}, which cannot be broadcast"
        ) from error
    result = t.add(node, operation, [a.name, b.name])
    return fresh(result, dims, len(dims) - places.pop() if places else None, a.batch)


def _with_constant(
    t: Translator,
    node: OnnxNode,
    operation: str,
    x: Value,
    slot: int,
    read: Constant,
    ours: Constant | None = None,
) -> Value:
    """Add or multiply a constant that is broadcast over the value."""
    ours = ours or read
    if ours.array.size == 1:
        array = ours.array.reshape((1,))
        held = t.hold(node, slot, Constant(array))
        attributes = {"shape": (1,), "role": "constant"}
        return x.renamed(t.add(node, operation, [x.name], attributes, {"": held}))
    x = _fitted(t, node, x, ours.array.shape)
    if x.axes and ours.array.size == ours.array.shape[-1] == x.dims[-1]:
        return _over_features(t, node, operation, x, slot, read, ours)
    x = t.plain(node, x)
    ours = ours.reshaped(_without_batch(ours.array.shape, x))
    attributes = {"shape": ours.array.shape, "role": _role(operation, ours)}
    held = t.hold(node, slot, read, ours)
    return x.renamed(t.add(node, operation, [x.name], attributes, {"": held}))


def _fitted(t: Translator, node: OnnxNode, x: Value, shape: tuple[int, ...]) -> Value:
    """Return the value, with copies of itself where a constant of this shape is wider."""
    try:
        dims = np.broadcast_shapes(x.dims, shape)
    except ValueError as error:
        raise InputError(
            f"combines {shown_dims(x.dims)} with a constant {shape}, which does not fit"
        ) from error
    if len(dims) > len(x.axes):
        raise InputError(f"combines {shown_dims(x.dims)} with a constant {shape}, which adds axes")
    return widened(t, node, x, dims)


def _over_features(
    t: Translator,
    node: OnnxNode,
    operation: str,
    x: Value,
    slot: int,
    read: Constant,
    ours: Constant,
) -> Value:
    """Add or multiply one number for each feature: the last axis, wherever the batch is."""
    D = x.dims[-1]
    name, sizes, layout = t.last(node, x, x.axes[-1])
    held = t.hold(node, slot, read, ours.reshaped((D,)))
    attributes = {"shape": (D,), "role": _role(operation, ours)}
    name = t.as_shape(node, name, (*sizes, D))
    return layout.renamed(t.add(node, operation, [name], attributes, {"": held}))


def _without_batch(shape: tuple[int, ...], x: Value) -> tuple[int, ...]:
    """Return a constant's shape without the batch's axis and leading axes of size 1."""
    sizes = list(shape)
    if x.batch_axis is not None and (axis := x.batch_axis - len(x.axes) + len(sizes)) >= 0:
        if sizes[axis] != 1:
            raise InputError(f"has a constant {shape} with a number for each image of the batch")
        del sizes[axis]
    while sizes and sizes[0] == 1:
        del sizes[0]
    return tuple(sizes) or (1,)


def _role(operation: str, constant: Constant) -> str:
    """Return whether an array is learned: embeddings, scales, biases, or a computed constant."""
    if not constant.source:
        return "constant"
    if operation == "multiply_parameter":
        return "scale"
    leading = constant.array.shape[:-1]
    return (
        "embedding"
        if any(size > 1 for size in leading) and constant.array.shape[-1] > 1
        else "bias"
    )
