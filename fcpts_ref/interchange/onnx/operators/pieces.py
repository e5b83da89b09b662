"""Slice, Split, Gather, Concat: parts of values, and values of parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.interchange.onnx.bounds import clamped, slice_bounds, split_sizes
from fcpts_ref.interchange.onnx.draft import Constant
from fcpts_ref.interchange.onnx.known import Known, constant_of, value_of
from fcpts_ref.interchange.onnx.layout import BATCH, Value, fresh, shown_dims, viewed
from fcpts_ref.interchange.onnx.operators.shapes import integers
from fcpts_ref.interchange.onnx.reading import OnnxNode
from fcpts_ref.interchange.onnx.translator import Translator

Inputs = Sequence[Known | None]


def slice_(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """Slice: one node for each axis that loses something; rows and columns alike: subsample."""
    x = value_of(inputs[0])
    given = [None if known is None else integers(known, "bounds") for known in inputs[1:]]
    bounds = slice_bounds(node.settings, given, len(x.axes))
    cuts = []
    for start, end, axis, step in zip(*bounds, strict=True):
        first, last = clamped(start, end, step, x.dims[axis])
        whole = (first, last, step) == (0, x.dims[axis], 1)
        cuts += [] if whole else [(axis, first, last, step)]
    if _subsamples(x, cuts):
        x = t.plain(node, x)
        stride = cuts[0][3]
        name = t.add(node, "subsample", [x.name], {"stride": stride})
        return fresh(name, (*x.dims[:2], *t.drafts.shapes[name][1:]), 0, x.batch)
    for axis, first, last, step in cuts:
        stop = -(x.dims[axis] + 1) if last is None else last
        x = cut(t, node, x, axis, first, stop, step)
    return x


def _subsamples(x: Value, cuts: Sequence[tuple[int, int, int | None, int]]) -> bool:
    """Whether every stride-th row and column of images is kept."""
    steps = {step for *_, step in cuts}
    full = all((first, last) == (0, x.dims[axis]) for axis, first, last, _ in cuts)
    axes = [axis for axis, *_ in cuts]
    return (
        len(x.axes) == 4
        and x.batch_axis == 0
        and axes == [2, 3]
        and full
        and len(steps) == 1
        and min(steps) > 1
    )


def cut(
    t: Translator, node: OnnxNode, x: Value, axis: int, start: int, stop: int, step: int = 1
) -> Value:
    """The part start:stop:step along an axis of the file."""
    group = x.axes[axis]
    if BATCH in group or x.size(group) == 1:
        raise InputError(f"takes a part of axis {axis} of {shown_dims(x.dims)}; expected another")
    if len(group) == 1:
        at, layout = group[0], x
        base = t.as_shape(node, x.name, x.atoms)
    else:
        layout = t.plain(node, x)
        at, base = layout.axes[axis][0], layout.name
        base = t.as_shape(node, base, layout.atoms)
    attributes = {"axis": at, "start": start, "stop": stop, "step": step}
    key = ("slice", base, *attributes.values())
    if key not in t.memo:
        t.memo[key] = t.add(node, "slice", [base], attributes)
    return viewed(t.memo[key], t.drafts.shapes[t.memo[key]], layout.axes, x.batch)


def split(t: Translator, node: OnnxNode, inputs: Inputs) -> list[Value]:
    """Split: several slices."""
    x = value_of(inputs[0])
    axis = x.axis(node.settings.get("axis", 0))
    given = integers(inputs[1], "split") if len(inputs) > 1 and inputs[1] is not None else None
    sizes = split_sizes(node.settings, given, x.dims[axis], len(node.outputs))
    ends = np.cumsum(sizes)
    if len(sizes) == 1:
        return [x]
    return [
        cut(t, node, x, axis, int(end) - size, int(end))
        for size, end in zip(sizes, ends, strict=True)
    ]


def gather(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """Gather of neighbours: a slice; of one element, an axis fewer."""
    x, indices = value_of(inputs[0]), constant_of(inputs[1], "index").array
    axis = x.axis(node.settings.get("axis", 0))
    size = x.dims[axis]
    chosen = np.ravel(np.where(indices < 0, indices + size, indices)).astype(int)
    step = int(chosen[1] - chosen[0]) if len(chosen) > 1 else 1
    even = len(chosen) and step and (np.diff(chosen) == step).all()
    if not even or indices.ndim > 1 or not 0 <= min(chosen) <= max(chosen) < size:
        raise InputError(
            f"takes the elements {str(chosen)[:40]} of {size}; expected evenly spaced ones"
        )
    if len(chosen) < size:
        stop = int(chosen[-1]) + (1 if step > 0 else -1)
        x = cut(t, node, x, axis, int(chosen[0]), stop if stop >= 0 else -size - 1, step)
    elif step < 0:
        x = cut(t, node, x, axis, size - 1, -size - 1, -1)
    if indices.ndim == 1:
        return x
    return x.reshaped([n for i, n in enumerate(x.dims) if i != axis])


def concat(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """Concat of values; of constants before the tokens, class tokens."""
    in_front = next(i for i, known in enumerate(inputs) if isinstance(known, Value))
    if not all(isinstance(known, Value) for known in inputs[in_front:]):
        raise InputError("puts a constant behind a value; expected constants in front")
    values = [t.plain(node, value_of(known)) for known in inputs[in_front:]]
    axis = values[0].axis(node.settings["axis"])
    x = values[0] if len(values) == 1 else _joined(t, node, values, axis)
    for slot in reversed(range(in_front)):
        x = _tokens(t, node, slot, constant_of(inputs[slot], "constant"), x, axis)
    return x


def _joined(t: Translator, node: OnnxNode, values: Sequence[Value], axis: int) -> Value:
    first = values[0]
    names = [value.name for value in values]
    name = t.add(node, "concat", names, {"axis": _our_axis(first, axis)})
    dims = list(first.dims)
    dims[axis] = sum(value.dims[axis] for value in values)
    return fresh(name, dims, first.batch_axis, first.batch)


def _tokens(
    t: Translator, node: OnnxNode, slot: int, constant: Constant, x: Value, axis: int
) -> Value:
    """Put the rows of a constant before the tokens, (T, D), of a value."""
    array = constant.array
    fits = len(x.axes) == 3 and x.batch_axis == 0 and axis == 1 and array.ndim == 3
    if not fits or array.shape[2] != x.dims[2] or (array != array[:1]).any():
        raise InputError(
            f"puts a constant {array.shape} before {shown_dims(x.dims)}; expected tokens (N, T, D)"
        )
    D = x.dims[2]
    for row in reversed(range(array.shape[1])):
        if array.shape[:2] == (1, 1):
            held = t.hold(node, slot, constant, constant.reshaped((D,)))
        else:
            held = t.hold(node, slot, Constant(array[0, row]))
        name = t.add(node, "class_token", [x.name], {"features": D}, {"": held})
        x = fresh(name, (x.batch, x.dims[1] + 1, D), 0, x.batch)
    return x


def _our_axis(x: Value, axis: int) -> int:
    """Return the axis without the batch."""
    batch_axis = x.batch_axis
    if axis == batch_axis:
        raise InputError("works along the batch, which is not supported")
    return axis - (batch_axis is not None and axis > batch_axis)
