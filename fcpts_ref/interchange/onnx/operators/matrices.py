"""MatMul, Gemm, Softmax, LayerNormalization."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.interchange.onnx.draft import Constant
from fcpts_ref.interchange.onnx.known import Known, constant_of, value_of
from fcpts_ref.interchange.onnx.layout import BATCH, Group, Value, fresh, shown_dims, viewed
from fcpts_ref.interchange.onnx.operators.arithmetic import add_values
from fcpts_ref.interchange.onnx.operators.windows import decimal
from fcpts_ref.interchange.onnx.reading import OnnxNode
from fcpts_ref.interchange.onnx.translator import Translator

Inputs = Sequence[Known | None]


def matmul(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """MatMul: a linear layer where the right factor is known, else a product of two values."""
    left, right = inputs
    if isinstance(right, Constant) and isinstance(left, Value):
        if right.array.ndim != 2:
            raise InputError(f"multiplies by a constant {right.array.shape}; expected a matrix")
        return linear(t, node, left, 1, right, right.transposed((1, 0)))
    if isinstance(left, Constant):
        raise InputError("multiplies a constant by a value; expected the constant on the right")
    return product(t, node, value_of(left), value_of(right))


def gemm(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """Gemm: a linear layer."""
    settings = node.settings
    x, weight = value_of(inputs[0]), constant_of(inputs[1], "weight")
    if settings.get("transA", 0) or len(x.axes) != 2 or weight.array.ndim != 2:
        raise InputError(f"reads {shown_dims(x.dims)}, transposed or not; expected (N, features)")
    ours = weight if settings.get("transB", 0) else weight.transposed((1, 0))
    ours = ours.scaled(settings.get("alpha", 1.0))
    addend = inputs[2] if len(inputs) > 2 else None
    beta = settings.get("beta", 1.0)
    if isinstance(addend, Value):
        if beta != 1:
            raise InputError("adds a value times beta; expected beta = 1")
        return add_values(t, node, linear(t, node, x, 1, weight, ours), addend)
    return linear(t, node, x, 1, weight, ours, addend, beta)


def linear(
    t: Translator,
    node: OnnxNode,
    x: Value,
    slot: int,
    read: Constant,
    weight: Constant,
    addend: Constant | None = None,
    beta: float = 1.0,
) -> Value:
    """A linear layer over the last axis of ``x``.

    read: the weight as the file has it, at input ``slot``; weight: as ours, (out, in).
    addend: for every feature, times ``beta``.
    """
    out_features, in_features = weight.array.shape
    if not x.axes or x.size(x.axes[-1]) != in_features:
        raise InputError(f"reads {shown_dims(x.dims)}; expected {in_features} features")
    name, sizes, layout = t.last(node, x, x.axes[-1])
    name = t.as_shape(node, name, (*sizes, in_features))
    arrays = {"weight": t.hold(node, slot, read, weight)}
    if addend is not None:
        arrays["bias"] = t.hold(node, 2, addend, _row(addend, out_features).scaled(beta))
    attributes = {
        "in_features": in_features,
        "out_features": out_features,
        "bias": addend is not None,
    }
    result = t.add(node, "linear", [name], attributes, arrays)
    axes = (*layout.axes[:-1], (len(sizes),))
    return viewed(result, (*sizes, out_features), axes, x.batch)


def _row(addend: Constant, size: int) -> Constant:
    """Return a constant as one number for every feature."""
    if addend.array.size == size and addend.array.shape[-1:] == (size,):
        return addend.reshaped((size,))
    if addend.array.size == 1:
        return Constant(np.full(size, addend.array.ravel()[0], addend.array.dtype))
    raise InputError(f"adds a constant {addend.array.shape}; expected ({size},)")


def product(t: Translator, node: OnnxNode, left: Value, right: Value) -> Value:
    """A product of two values: over the last two axes, for every index of the leading ones."""
    if min(len(left.axes), len(right.axes)) < 2:
        raise InputError(
            f"multiplies {shown_dims(left.dims)} by {shown_dims(right.dims)}; expected matrices"
        )
    leads = [[atom for group in value.axes[:-2] for atom in group] for value in (left, right)]
    sizes = [
        [value.size((a,)) for a in lead] for value, lead in zip((left, right), leads, strict=True)
    ]
    marks = [[atom == BATCH for atom in lead] for lead in leads]
    if sizes[0] != sizes[1] or marks[0] != marks[1] or (BATCH not in leads[0] and left.batch > 1):
        return _broadcast_product(t, node, left, right)
    a, b = (_stack(t, node, value) for value in (left, right))
    result = t.add(node, "matmul", [a, b])
    order = [atom for atom in leads[0] if atom != BATCH]
    place = {atom: new for new, atom in enumerate(order)} | {BATCH: BATCH}
    axes: list[Group] = [tuple(place[atom] for atom in group) for group in left.axes[:-2]]
    axes += [(len(order),), (len(order) + 1,)]
    return viewed(result, t.drafts.shapes[result], axes, left.batch)


def _stack(t: Translator, node: OnnxNode, value: Value) -> str:
    """Return our value as matrices: leading atoms, then the last two axes."""
    lead = [atom for group in value.axes[:-2] for atom in group if atom != BATCH]
    rows, columns = value.axes[-2:]
    if BATCH in (*rows, *columns):
        raise InputError("sums over the batch, which is not supported")
    name = t.in_order(node, value, [*lead, *rows, *columns])
    sizes = [value.atoms[atom] for atom in lead]
    return t.as_shape(node, name, (*sizes, value.size(rows), value.size(columns)))


def _broadcast_product(t: Translator, node: OnnxNode, left: Value, right: Value) -> Value:
    a, b = t.plain(node, left), t.plain(node, right)
    places = {len(v.axes) - axis for v in (a, b) if (axis := v.batch_axis) is not None}
    if len(places) > 1 or (a.batch > 1 and not places) or min(places, default=3) < 3:
        raise InputError(
            f"multiplies {shown_dims(a.dims)} by {shown_dims(b.dims)}; expected the batch first"
        )
    result = t.add(node, "matmul", [a.name, b.name])
    lead = np.broadcast_shapes(a.dims[:-2], b.dims[:-2])
    dims = (*lead, a.dims[-2], b.dims[-1])
    return fresh(result, dims, len(dims) - places.pop() if places else None, left.batch)


def softmax(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """Softmax over one axis; before opset 13, over all axes from one on."""
    return _softmax(t, node, inputs, "softmax")


def log_softmax(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """LogSoftmax, as ``softmax``."""
    return _softmax(t, node, inputs, "log_softmax")


def _softmax(t: Translator, node: OnnxNode, inputs: Inputs, operation: str) -> Value:
    x = value_of(inputs[0])
    axis = x.axis(node.settings.get("axis", -1 if t.opset >= 13 else 1))
    over = x.axes[axis : axis + 1] if t.opset >= 13 else x.axes[axis:]
    group = tuple(atom for axes in over for atom in axes)
    name, sizes, layout = t.last(node, x, group)
    name = t.as_shape(node, name, (*sizes, x.size(group)))
    return layout.renamed(t.add(node, operation, [name]))


def layer_normalization(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """LayerNormalization over the axes from one on."""
    x = value_of(inputs[0])
    over = x.axes[x.axis(node.settings.get("axis", -1)) :]
    shape = tuple(x.size(group) for group in over)
    name, sizes, layout = t.last(node, x, tuple(atom for group in over for atom in group))
    arrays = {}
    scale = constant_of(inputs[1], "scale")
    arrays["weight"] = t.hold(node, 1, scale, _spread(scale, shape))
    bias = inputs[2] if len(inputs) > 2 else None
    if bias is not None:
        bias = constant_of(bias, "bias")
        arrays["bias"] = t.hold(node, 2, bias, _spread(bias, shape))
    else:
        zeros = Constant(np.zeros(shape, scale.array.dtype))
        arrays["bias"] = t.hold(node, 2, zeros)
    attributes = {"shape": shape, "epsilon": decimal(node.settings.get("epsilon", 1e-5))}
    name = t.as_shape(node, name, (*sizes, *shape))
    return layout.renamed(t.add(node, "layer_norm", [name], attributes, arrays))


def _spread(constant: Constant, shape: tuple[int, ...]) -> Constant:
    if constant.array.size == math.prod(shape):
        return constant.reshaped(shape)
    try:
        return Constant(np.broadcast_to(constant.array, shape).copy())
    except ValueError as error:
        raise InputError(
            f"has a weight or bias of shape {constant.array.shape}; expected one that fits {shape}"
        ) from error
