"""Transpose, Reshape, Flatten, Squeeze, Unsqueeze, Shape: no nodes, only other views."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from fcpts_ref.errors import InputError, counted
from fcpts_ref.interchange.onnx.bounds import unsqueezed
from fcpts_ref.interchange.onnx.draft import Constant
from fcpts_ref.interchange.onnx.known import Known, constant_of, value_of
from fcpts_ref.interchange.onnx.layout import Value, fresh, shown_dims
from fcpts_ref.interchange.onnx.reading import OnnxNode
from fcpts_ref.interchange.onnx.translator import Translator

Inputs = Sequence[Known | None]

MAX_COPIES: Final = 1 << 12
"""Copies of a value side by side, each an input of one node."""


def transpose(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """Transpose."""
    x = value_of(inputs[0])
    return x.transposed(node.settings.get("perm", tuple(range(len(x.axes)))[::-1]))


def reshape(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """Reshape."""
    x = value_of(inputs[0])
    given = integers(inputs[1], "shape")
    if node.settings.get("allowzero", 0) and 0 in given:
        raise InputError(f"reshapes to {given}, which is empty")
    sizes = resolved(x, given)
    try:
        return x.reshaped(sizes)
    except InputError:
        return _moved(t, node, x, sizes)


def _moved(t: Translator, node: OnnxNode, x: Value, sizes: Sequence[int]) -> Value:
    """Reshape by a node of ours: axes are mixed, and the batch keeps its place."""
    plain = t.plain(node, x)
    at = plain.batch_axis or 0
    before = math.prod(plain.dims[:at])
    places = [
        i for i in range(len(sizes)) if math.prod(sizes[:i]) == before and sizes[i] == x.batch
    ]
    if not places and x.batch > 1:
        return x.reshaped(sizes)  # raises the error
    batch_axis = places[0] if places else None
    ours = [size for axis, size in enumerate(sizes) if axis != batch_axis]
    return fresh(t.as_shape(node, plain.name, ours), sizes, batch_axis, x.batch)


def resolved(x: Value, given: Sequence[int]) -> list[int]:
    """Return the sizes of Reshape: 0 keeps a size, -1 takes what is left."""
    dims = x.dims
    if any(size < -1 or (size == 0 and i >= len(dims)) for i, size in enumerate(given)):
        raise InputError(f"reshapes {shown_dims(dims)} to {tuple(given)}")
    sizes = [dims[i] if size == 0 else size for i, size in enumerate(given)]
    if -1 in sizes:
        rest = math.prod(size for size in sizes if size != -1)
        if sizes.count(-1) > 1 or rest == 0 or math.prod(dims) % rest:
            raise InputError(f"reshapes {shown_dims(dims)} to {shown_dims(given)}")
        sizes[sizes.index(-1)] = math.prod(dims) // rest
    return sizes


def flatten(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """Flatten to two axes."""
    x = value_of(inputs[0])
    axis = node.settings.get("axis", 1)
    axis += len(x.axes) if axis < 0 else 0
    return x.reshaped((math.prod(x.dims[:axis]), math.prod(x.dims[axis:])))


def squeeze(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """Squeeze."""
    x = value_of(inputs[0])
    axes = _axes(node, inputs)
    chosen = {x.axis(axis) for axis in axes} if axes is not None else _ones(x)
    dims = x.dims
    if any(dims[axis] != 1 for axis in chosen):
        raise InputError(
            f"squeezes axes {sorted(chosen)} of {shown_dims(dims)}; expected sizes of 1"
        )
    return x.reshaped([size for axis, size in enumerate(dims) if axis not in chosen])


def _ones(x: Value) -> set[int]:
    return {axis for axis, size in enumerate(x.dims) if size == 1}


def unsqueeze(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """Unsqueeze."""
    x = value_of(inputs[0])
    return x.reshaped(unsqueezed(x.dims, _axes(node, inputs) or ()))


def _axes(node: OnnxNode, inputs: Inputs) -> Sequence[int] | None:
    """Return axes from the second input (opset 13) or the setting, None for neither."""
    if len(inputs) > 1 and inputs[1] is not None:
        return integers(inputs[1], "axes")
    axes: Sequence[int] | None = node.settings.get("axes")
    return axes


def shape(t: Translator, node: OnnxNode, inputs: Inputs) -> Constant:
    """Shape: known, with a stand-in for a batch that the file leaves open."""
    dims = value_of(inputs[0]).dims
    return Constant(
        np.array(dims[node.settings.get("start", 0) : node.settings.get("end")], np.int64)
    )


def size(t: Translator, node: OnnxNode, inputs: Inputs) -> Constant:
    """Size, as ``shape``."""
    return Constant(np.array(math.prod(value_of(inputs[0]).dims), np.int64))


def expand(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """Expand: copies along the axes of size 1 that grow."""
    x, given = value_of(inputs[0]), integers(inputs[1], "shape")
    try:
        wide = np.broadcast_shapes(x.dims, tuple(given))
    except ValueError as error:
        raise InputError(f"expands {shown_dims(x.dims)} to {shown_dims(given)}") from error
    return widened(t, node, x, wide)


def tile(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """Tile: copies along every axis."""
    x, times = value_of(inputs[0]), integers(inputs[1], "repeats")
    if len(times) != len(x.axes):
        raise InputError(f"repeats {shown_dims(x.dims)} {times} times; expected a number per axis")
    for axis, number in enumerate(times):
        x = repeated(t, node, x, axis, number)
    return x


def widened(t: Translator, node: OnnxNode, x: Value, dims: Sequence[int]) -> Value:
    """Return a value broadcast to ``dims``, to which its own have to fit."""
    x = x.reshaped((1,) * (len(dims) - len(x.axes)) + x.dims)
    for axis, (size, whole) in enumerate(zip(x.dims, dims, strict=True)):
        if size != whole:
            x = repeated(t, node, x, axis, whole)
    return x


def repeated(t: Translator, node: OnnxNode, x: Value, axis: int, times: int) -> Value:
    """Return copies of a value side by side along an axis: a concat of itself.

    Raises InputError along the batch, and for too many copies.
    """
    if times == 1:
        return x
    x = t.plain(node, x)
    if axis == x.batch_axis or not 1 <= times <= MAX_COPIES:
        raise InputError(
            f"repeats axis {axis} of {shown_dims(x.dims)} {counted(times, 'time')}; expected "
            f"another axis than the batch, and 1 to {MAX_COPIES} times"
        )
    ours = axis - (x.batch_axis is not None and axis > x.batch_axis)
    shape = [size for i, size in enumerate(x.dims) if i != x.batch_axis]
    base = t.as_shape(node, x.name, shape)
    name = t.add(node, "concat", [base] * times, {"axis": ours})
    dims = [size * (times if i == axis else 1) for i, size in enumerate(x.dims)]
    return fresh(name, dims, x.batch_axis, x.batch)


def integers(known: Known | None, what: str) -> tuple[int, ...]:
    """Return the whole numbers of a known input.  Raises InputError for anything else."""
    array = constant_of(known, what).array
    if array.dtype.kind not in "iu" or array.ndim > 1:
        raise InputError(f"its {what} is {array.dtype} of shape {array.shape}; expected integers")
    return tuple(int(number) for number in array.ravel())
